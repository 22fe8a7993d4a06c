"""What plugins implement, and what the gateway hands to them.

One or two methods each; a component is any object that has them, and may name their parameters as it likes. One that is
also an asynchronous context manager is entered before it serves and exited, in reverse order, when no generation uses
it any more. A component stays over a reload that leaves its configuration equal; one that read files may define
``is_current() -> bool``, which is asked then and says whether they are still the same. One that holds clients for long
may define ``drain()``, which is called when the gateway is about to stop and returns at once.

Components of the request path run on one event loop per worker: they must not block it and need no locks around code
without ``await``. A component may say ``waits = False`` to promise that it awaits nothing but the next handler (see
``Policy``); a route whose components all promise so is served without an asyncio task.
"""

from __future__ import annotations

from gateway.body import BodyProducer, BodySink
from gateway.exchange import Responder
from gateway.interfaces.adapters import Adapter, CarriedAdapter, Listener
from gateway.interfaces.admin import AdminRequest
from gateway.interfaces.authentication import Authenticator
from gateway.interfaces.balancers import Balancer
from gateway.interfaces.connectors import CarriedConnector, Connector, Tunnel, TunnelEnd
from gateway.interfaces.context import Background, BuildContext, Deadlines, Outbox, SharedMemory, Timed
from gateway.interfaces.limits import Decision, Limiter, Quota
from gateway.interfaces.observers import AttemptRecord, Observer
from gateway.interfaces.policies import SHADOW_STATE, Policy, Stage
from gateway.interfaces.routes import CarriedRouteSource, PublishRules, Route, RouteSource, RuleOutcome, SourcedRule
from gateway.interfaces.services import Directory, DiscoveryProvider, Endpoint, HealthChecker, Instance, Mark, Publish

__all__ = [
    "SHADOW_STATE",
    "Adapter",
    "AdminRequest",
    "AttemptRecord",
    "Authenticator",
    "Background",
    "Balancer",
    "BodyProducer",
    "BodySink",
    "BuildContext",
    "CarriedAdapter",
    "CarriedConnector",
    "CarriedRouteSource",
    "Connector",
    "Deadlines",
    "Decision",
    "Directory",
    "DiscoveryProvider",
    "Endpoint",
    "HealthChecker",
    "Instance",
    "Limiter",
    "Listener",
    "Mark",
    "Observer",
    "Outbox",
    "Policy",
    "Publish",
    "PublishRules",
    "Quota",
    "Responder",
    "Route",
    "RouteSource",
    "RuleOutcome",
    "SharedMemory",
    "SourcedRule",
    "Stage",
    "Timed",
    "Tunnel",
    "TunnelEnd",
]
