"""What tests of plugins need: a whole gateway on loopback, a service behind it, a client, a clock.

It needs the extra: ``pip install gateway-core[testing]``. In the ``conftest.py`` at the root of your tests:

```python
pytest_plugins = ["gateway.testing"]
```

Then, with anyio's plugin, which comes with the gateway:

```python
@pytest.mark.anyio
async def test_teapots_are_refused(gateway_factory, upstream):
    gateway = await gateway_factory({"plugins": {"teapot": {}}}, upstream=upstream)
    answer = await gateway.ask("GET", "/", headers={"accept": "text/tea"})
    assert answer.status == 418
    assert not upstream.requests
```
"""

from __future__ import annotations

from gateway.testing.client import Answer, AnswerStream, Client
from gateway.testing.clock import ManualClock
from gateway.testing.contracts import (
    AdapterContract,
    AdminRouteContract,
    AuthenticatorContract,
    BalancerContract,
    CommandContract,
    ComponentContract,
    ConnectorContract,
    DiscoveryContract,
    HealthCheckerContract,
    HttpAdapterContract,
    HttpConnectorContract,
    LimiterContract,
    ObserverContract,
    PolicyContract,
    RouteSourceContract,
)
from gateway.testing.fixtures import (
    anyio_backend,
    client,
    client_factory,
    clock,
    gateway_block,
    gateway_factory,
    grpc_upstream,
    upstream,
    upstream_factory,
)
from gateway.testing.grpc_echo import GrpcEcho
from gateway.testing.memory import MemoryClient, MemoryClientFactory
from gateway.testing.policy_run import PolicyRun, run_policy
from gateway.testing.ports import free_port
from gateway.testing.running import GatewayFactory, RunningGateway
from gateway.testing.upstream import Received, Reply, Speaker, Upstream
from gateway.testing.websocket_echo import WebSocketEcho, websocket_echo
from gateway.testing.workbench import Workbench

__all__ = [
    # Fixtures.
    "anyio_backend",
    "client",
    "client_factory",
    "clock",
    "gateway_block",
    "gateway_factory",
    "grpc_upstream",
    "upstream",
    "upstream_factory",
    # What they give.
    "Answer",
    "AnswerStream",
    "Client",
    "GatewayFactory",
    "GrpcEcho",
    "ManualClock",
    "MemoryClient",
    "MemoryClientFactory",
    "Received",
    "Reply",
    "RunningGateway",
    "Speaker",
    "Upstream",
    "WebSocketEcho",
    "websocket_echo",
    # For servers beside it.
    "free_port",
    # One component by itself.
    "PolicyRun",
    "Workbench",
    "run_policy",
    # What each extension point promises, as tests to inherit.
    "AdapterContract",
    "AdminRouteContract",
    "AuthenticatorContract",
    "BalancerContract",
    "CommandContract",
    "ComponentContract",
    "ConnectorContract",
    "DiscoveryContract",
    "HealthCheckerContract",
    "HttpAdapterContract",
    "HttpConnectorContract",
    "LimiterContract",
    "ObserverContract",
    "PolicyContract",
    "RouteSourceContract",
]
