"""What each extension point promises, as tests to inherit.

```python
from gateway.testing import LimiterContract


class TestBuckets(LimiterContract):
    plugin = "gateway_buckets.plugin"
    quota = 10

    def config(self):
        return {"rate": 0.001, "burst": 10}
```

``ComponentContract`` is what all of them have in common, but for ``CommandContract``: a command is no component. Each
test builds the component as a gateway does, uses it, and looks in the end whether a task, a thread or a socket is left.
"""

from __future__ import annotations

from gateway.testing.contracts.adapter import AdapterContract
from gateway.testing.contracts.admin_route import AdminRouteContract
from gateway.testing.contracts.authenticator import AuthenticatorContract
from gateway.testing.contracts.balancer import BalancerContract
from gateway.testing.contracts.command import CommandContract
from gateway.testing.contracts.component import ComponentContract
from gateway.testing.contracts.connector import ConnectorContract
from gateway.testing.contracts.discovery import DiscoveryContract
from gateway.testing.contracts.health import HealthCheckerContract
from gateway.testing.contracts.http_adapter import HttpAdapterContract
from gateway.testing.contracts.http_connector import HttpConnectorContract
from gateway.testing.contracts.limiter import LimiterContract
from gateway.testing.contracts.observer import ObserverContract
from gateway.testing.contracts.policy import PolicyContract
from gateway.testing.contracts.route_source import RouteSourceContract

__all__ = [
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
