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
from gateway.testing.fixtures import anyio_backend, clock, gateway_factory, upstream, upstream_factory
from gateway.testing.running import GatewayFactory, RunningGateway
from gateway.testing.upstream import Received, Reply, Upstream

__all__ = [
    # Fixtures.
    "anyio_backend",
    "clock",
    "gateway_factory",
    "upstream",
    "upstream_factory",
    # What they give.
    "Answer",
    "AnswerStream",
    "Client",
    "GatewayFactory",
    "ManualClock",
    "Received",
    "Reply",
    "RunningGateway",
    "Upstream",
]
