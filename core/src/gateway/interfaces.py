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

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from gateway.body import BodyProducer, BodySink
from gateway.deprecation import since
from gateway.exchange import Responder

if TYPE_CHECKING:
    import asyncio
    import logging
    import mmap
    import ssl
    from collections.abc import Awaitable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gateway.errors import GatewayError
    from gateway.exchange import Exchange, Handler, Principal, Request, Response
    from gateway.metrics import FamilySnapshot, Metrics

T = TypeVar("T")

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


@since("0.1")
class Stage(enum.IntEnum):
    """Where a policy stands in the pipeline, outermost first. Within a stage, policies run by name."""

    EDGE = 1
    """Runs for every request, unmatched and refused ones too: CORS, response headers, request ids."""
    AUTHENTICATE = 2
    """Who is calling. The core's own policy tries the route's authenticators here."""
    AUTHORIZE = 3
    """May they."""
    LIMIT = 4
    """May this much more be served now. The core's own policy asks the route's limiters here."""
    TRANSFORM = 5
    """Changes the request or the response."""
    RETRY = 6
    """Runs what is further in more than once."""
    ATTEMPT = 7
    """Wraps one attempt at one instance: circuit breakers, per-attempt measurements."""


@since("0.1")
@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A rule of the configuration, as policies see it.

    Attributes:
        id: Unique in the configuration.
        path: The pattern.
        service: The name of the service; empty for routes that a plugin answers itself.
        protocol: ``http``, ``websocket``, ``sse``, ``grpc``: which connector serves it.
        timeout_s: How long an instance may take to answer, and to stay silent in mid-body; ``None`` has no limit.
        preserve_host: Whether the client's ``Host`` reaches the service.
        allow_upgrade: Protocols (``websocket``) the client may change to, lower-case.
        metadata: Free-form values from the rule, for plugins.
    """

    id: str
    path: str
    service: str = ""
    protocol: str = "http"
    timeout_s: float | None = None
    preserve_host: bool = True
    allow_upgrade: frozenset[str] = frozenset()
    metadata: Mapping[str, object] = field(default_factory=dict)


# Services and instances.


@since("0.1")
@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An instance as discovery publishes it.

    Attributes:
        address: Host name or IP address, IPv6 without brackets.
        port: TCP port.
        scheme: ``http``, ``https``, or one that a connector registered.
        id: A name for people; empty becomes ``address:port``.
        weight: Its share of the traffic; at least 0, where 0 takes none.
        is_healthy: Whether the source says it works.
        metadata: Anything else the source knows.
    """

    address: str
    port: int
    scheme: str = "http"
    id: str = ""
    weight: int = 1
    is_healthy: bool = True
    metadata: Mapping[str, object] = field(default_factory=dict)


@since("0.1")
class Instance:
    """An instance of a service while it is known: its endpoint and what the gateway measures about it.

    Its identity is service, scheme, address and port: it survives refreshes of discovery and reloads, and with it
    its counters and pooled connections.

    Attributes:
        service: The name of the service.
        endpoint: What discovery last said of it.
        authority: ``address:port`` as it stands in a ``Host`` field.
        in_flight: How many attempts are under way, bodies included.
        latency_s: Moving average of the time to the first byte; 0.0 before the first answer.
        last_latency_s: The time to the first byte of the last answer; another object with every answer.
        is_healthy: Whether it is offered to balancers.
        weight: Its share of the traffic at the moment, relative to the other instances of the service: that of the
            endpoint, unless a health checker grants some of them less than all of it (see ``Directory.mark``).
        share_percent: How much of the endpoint's weight it is granted: 100, or less in slow start.
        release_listeners: Called with the instance whenever ``in_flight`` went down; for balancers.
    """

    __slots__ = (
        "__weakref__",
        "authority",
        "endpoint",
        "in_flight",
        "is_healthy",
        "last_latency_s",
        "latency_s",
        "release_listeners",
        "service",
        "share_percent",
        "weight",
    )

    def __init__(self, service: str, endpoint: Endpoint) -> None:
        self.service = service
        self.endpoint = endpoint
        host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
        self.authority = f"{host}:{endpoint.port}"
        self.in_flight = 0
        self.latency_s = 0.0
        self.last_latency_s = 0.0
        self.is_healthy = endpoint.is_healthy
        self.weight = endpoint.weight
        self.share_percent = 100
        self.release_listeners: tuple[Callable[[Instance], None], ...] = ()

    @property
    def id(self) -> str:
        """The name for people: as configured, else the authority."""
        return self.endpoint.id or self.authority

    def __repr__(self) -> str:
        health = "" if self.is_healthy else " unhealthy"
        return f"<Instance {self.service}/{self.id} in_flight={self.in_flight}{health}>"


@since("0.1")
@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a component has to say against an instance.

    Attributes:
        share_percent: How much of its weight the instance is granted; 0 takes it out.
        reason: Why, for people.
    """

    share_percent: int
    reason: str


@since("0.1")
class Directory(Protocol):
    """All services and their instances; for health checkers and admin routes."""

    def services(self) -> Sequence[str]:
        """Return the names of all known services."""

    def instances(self, service: str) -> Sequence[Instance]:
        """Return the instances of ``service``, unhealthy ones too; empty if the service is unknown."""

    def mark(self, instance: Instance, *, is_healthy: bool, reason: str, share_percent: int = 100) -> None:
        """Say whether ``instance`` works; balancers see it at once, in every worker.

        It is one component's word: an instance takes traffic when nobody says that it does not work, and what one
        component says, another one cannot take back. It is forgotten when the component is not used any more, or its
        worker is gone. Components of one registration speak with one voice, so that a reload changes nothing.

        Args:
            instance: The instance.
            is_healthy: Whether it works.
            reason: Why, for people.
            share_percent: How much of its weight it is granted, from 1 to 100, while it works: less than 100 is a slow
                start. Of several words the least counts.
        """

    def marks(self, instance: Instance) -> Mapping[str, Mark]:
        """Return what is said against ``instance``, by who says it."""


Publish = Callable[[Mapping[str, Sequence[Endpoint]]], None]
"""Hands a whole snapshot, service name to endpoints, to the directory; the provider's earlier one is replaced."""


SHADOW_STATE = "gateway.shadow"
"""The key of ``Exchange.state`` under which observers find what plugins in shadow mode would have done, if anything:
``list[str]``."""


# The request path.


@since("0.1")
class Policy(Protocol):
    """Wraps an exchange.

    Attributes:
        waits: Optional; ``False`` promises that the handlers made by ``wrap`` await nothing but the next handler.
    """

    def wrap(self, next: Handler, route: Route, /) -> Handler:  # noqa: A002 - the field's word for it
        """Return the handler that stands before ``next`` on ``route``.

        Called once per compiled route. Returning ``next`` itself makes the policy free on that route.
        """


@since("0.1")
class Authenticator(Protocol):
    """Finds out who is calling.

    It may have ``conceal`` too, a function that takes its credentials off a request that is let in, so that no service
    sees them: ``conceal(request)``, synchronous. ``None`` forwards them.
    """

    async def authenticate(self, request: Request, /) -> Principal | None:
        """Return the principal, or ``None`` if the request carries no credentials of this kind.

        Raises:
            Unauthorized: If it carries credentials of this kind that are not valid.
        """


@since("0.1")
@dataclass(slots=True, kw_only=True)
class Decision:
    """What a limiter decided. Not frozen, which would double what making one costs.

    Attributes:
        is_allowed: Whether the request may be served.
        limit: The quota of the tightest limit, in its unit (requests, tokens).
        remaining: What is left of it.
        reset_s: Seconds until the quota is whole again.
        retry_after_s: Seconds until the next try makes sense; read only if refused.
        window_s: The length of the window, when the limit has one.
    """

    is_allowed: bool
    limit: int
    remaining: int
    reset_s: float
    retry_after_s: float = 0.0
    window_s: float | None = None


@since("0.1")
class Limiter(Protocol):
    """Decides whether this much more may be served now.

    It may define ``refund(key, cost)`` too, which gives back what was taken for a request that another limiter of the
    route then refused; synchronous, returns at once.
    """

    async def acquire(self, key: str, cost: int, /) -> Decision:
        """Take ``cost`` from the quota of ``key``, atomically under concurrency.

        Args:
            key: Whose quota; made by the core from the route and the configured key.
            cost: How much, at least 1.
        """


@since("0.1")
class Quota(Protocol):
    """A limit that a component charges itself, for what a request costs may be known only later; see ``quotas``.

    Attributes:
        name: The name of the limiter.
        waits: Whether ``acquire`` may wait.
    """

    name: str
    waits: bool

    def key(self, exchange: Exchange, *parts: str) -> str:
        """Return whose quota an exchange counts against, as the settings' ``key`` has it.

        Args:
            exchange: The exchange.
            parts: What sets quotas of the same client apart, such as the name of a model; long ones are hashed.
        """

    async def acquire(self, key: str, cost: int) -> Decision:
        """Take ``cost`` from the quota of ``key``, all of it or, if there is less, nothing.

        Raises:
            Exception: What the limiter raises when it cannot decide.
        """

    def refund(self, key: str, cost: int) -> None:
        """Give back what was taken and not needed; nothing happens if the limiter takes nothing back."""


@since("0.1")
class Balancer(Protocol):
    """Chooses the instance for an attempt. One balancer per service and route.

    It may define ``wrap(next, route)`` too, as a policy does, and then stands around every attempt, innermost: to tell
    the client where it belongs, say. What it makes awaits nothing but ``next``.
    """

    def select(self, instances: Sequence[Instance], exchange: Exchange, /) -> Instance:
        """Return one of ``instances``.

        Synchronous and on the hot path: O(1) or O(log n). ``instances`` holds healthy ones only, is never empty, is
        never changed in place, and stays the same object until the set of instances, their weights or their health
        change: a balancer keeps what it derives from the list and compares by ``is``.
        """


@since("0.1")
class Connector(Protocol):
    """The service-facing side of a protocol."""

    async def open(self, instance: Instance, exchange: Exchange, /) -> Response:
        """Send the request to ``instance`` and return the response as soon as its head is there.

        The body streams, or is bytes if it came whole. Cancellation releases everything.

        Raises:
            GatewayError: ``bad_gateway`` or ``upstream_timeout``, with an internal ``detail``.
        """


@since("0.1")
class CarriedConnector(Protocol):
    """What a registration ``over`` another protocol builds."""

    def over(self, carrier: Connector) -> Connector:
        """Return the connector for instances that ``carrier`` reaches; called whenever routes are compiled."""


@since("0.1")
class Tunnel(Protocol):
    """The service's side of an upgraded connection: bytes both ways (RFC 9110 section 7.8).

    Attributes:
        on_close: Called once when the connection to the service is gone; the core's own.
    """

    on_close: Callable[[], None] | None

    @property
    def is_over(self) -> bool:
        """Whether the connection to the service is gone."""

    def attach(self, client: TunnelEnd) -> None:
        """Begin to pass on what the service sends, starting with what it sent already."""

    def write(self, data: bytes) -> None:
        """Send to the service."""

    def write_eof(self) -> None:
        """The client sends no more."""

    def pause(self) -> None:
        """Stop reading from the service: the client is slow."""

    def resume(self) -> None:
        """Read from the service again."""

    def abort(self) -> None:
        """Drop the connection to the service."""


@since("0.1")
class TunnelEnd(Protocol):
    """The client's side of an upgraded connection."""

    def tunnel_data(self, data: bytes) -> None:
        """Send to the client."""

    def tunnel_eof(self) -> None:
        """The service sends no more."""

    def tunnel_lost(self) -> None:
        """The connection to the service is gone."""

    def tunnel_pause(self) -> None:
        """Stop reading from the client: the service is slow."""

    def tunnel_resume(self) -> None:
        """Read from the client again."""


@since("0.1")
@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """An address an adapter wants to serve.

    Attributes:
        host: Address to bind.
        port: TCP port; 0 takes a free one.
        tls: Terminates TLS with this context; ``None`` is plain.
        backlog: Connections the kernel keeps for us.
        reuse_key: What must be equal for a reload to keep serving as it does, such as the TLS files' contents.
        handshake_timeout_s: How long a client may take for the TLS handshake.
        serve: Answers the requests that arrive there, in place of ``BuildContext.serve``; ``None`` does not.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    backlog: int = 2048
    reuse_key: object = None
    handshake_timeout_s: float = 10.0
    serve: Callable[[Exchange], None] | None = None


@since("0.1")
class Adapter(Protocol):
    """The client-facing side of a protocol. The core owns the sockets, the adapter what is spoken over them.

    One that can carry others may define ``hand_over_to(takeovers)`` too, which is told who takes connections over from
    it, as ``gateway.handover.Takeover``; called whenever a configuration comes into force.
    """

    def listeners(self) -> Sequence[Listener]:
        """Return the addresses to serve, the same each time; called whenever a configuration is loaded that uses it."""

    def connection(self, listener: Listener, /) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection that was accepted on ``listener``."""

    def drain(self) -> None:
        """Close idle connections and answer no more than what is under way; returns at once."""

    def connections(self) -> int:
        """Return how many connections are open."""

    def close(self) -> None:
        """Cut what is still open."""


@since("0.1")
class CarriedAdapter(Protocol):
    """What a registration ``over`` another adapter builds."""

    def over(self, carrier: Adapter) -> Adapter:
        """Return the adapter whose connections ``carrier`` makes; called whenever a configuration is compiled."""


@since("0.1")
@dataclass(slots=True, kw_only=True, eq=False)  # not frozen: one is made per request, and that would cost a microsecond
class AttemptRecord:
    """One attempt at one instance. Shared by all observers, so never changed.

    Attributes:
        instance: The instance.
        status: The status it answered, or ``None`` if it did not.
        error: What went wrong, or ``None``.
        duration_s: From the attempt's beginning to the end of the response head.
    """

    instance: Instance
    status: int | None
    error: BaseException | None
    duration_s: float


@since("0.1")
class Observer(Protocol):
    """Is told what happened and cannot change it. Must not block; its errors never reach the exchange.

    It may define three more methods. ``exchange_started(exchange)`` is called before any policy runs, when
    ``exchange.route`` is set; it may put the trace context among the request's fields. ``attempt_finished(exchange,
    attempt)`` is given the ``AttemptRecord`` of each attempt whose response head arrived, or that failed.
    ``around_policy(name, stage, handler, route)`` is called once for each policy of a compiled route, and returns
    ``handler`` or one that awaits nothing but it, to measure it with all that is further in.
    """

    def exchange_finished(self, exchange: Exchange, /) -> None:
        """Take note of a finished exchange: ``response``, ``sent_bytes``, ``duration_s`` and ``error`` are final.

        Called at the end of the turn of the event loop in which it finished.
        """


# The control plane.


@since("0.1")
class DiscoveryProvider(Protocol):
    """Finds out which instances exist. Runs in the control plane, as one supervised task."""

    async def watch(self, publish: Publish, /) -> None:
        """Publish a whole snapshot now and whenever something changed; return when nothing can change any more.

        An exception restarts it after a growing delay; the last snapshot stays in force meanwhile.
        """


@since("0.1")
@dataclass(frozen=True, slots=True, kw_only=True)
class SourcedRule:
    """A rule that somebody else than the operator wrote: a container's labels, an object of a cluster, a row.

    Attributes:
        rule: Its keys and values as they would stand in the configuration file: text, numbers, truth values, ``None``,
            lists, and mappings with text as keys. Not changed any more once it is published.
        where: Where it comes from, for people: ``container web-1``.
        problem: Why no rule could be made of it, so that it is reported like one that cannot be served; empty is none.
    """

    rule: Mapping[str, object]
    where: str
    problem: str = ""


@since("0.1")
@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOutcome:
    """What became of a rule that a source published.

    Attributes:
        rule: The very object that was published.
        is_accepted: Whether it is a rule that can be served; others are left out.
        is_served: Whether it is in force.
        problems: Why it is not; one line each.
    """

    rule: SourcedRule
    is_accepted: bool
    is_served: bool
    problems: tuple[str, ...] = ()


PublishRules = Callable[[Sequence[SourcedRule]], None]
"""Hands all rules of a source over; those it published before are replaced.

Of two that conflict the first is served, so their order is to be the same every time: by age, or by name.
"""


@since("0.1")
class RouteSource(Protocol):
    """Finds rules beside those of the file. Runs in the control plane, as one supervised task.

    It may define ``settled(outcomes)`` too, a function that is told what became of its rules, a ``RuleOutcome`` for
    each, whenever the gateway has taken them over or could not; synchronous, returns at once.
    """

    async def watch(self, publish: PublishRules, /) -> None:
        """Publish all rules now and whenever some changed; return when nothing can change any more.

        An exception restarts it after a growing delay; the rules it published last stay in force meanwhile.
        """


@since("0.1")
class CarriedRouteSource(Protocol):
    """What a route source ``over`` a discovery provider builds."""

    def over(self, provider: DiscoveryProvider) -> RouteSource:
        """Return the source whose rules ``provider`` comes across; called once for each provider it is to work with."""


@since("0.1")
class HealthChecker(Protocol):
    """Finds out which instances work. Runs in the control plane, as one supervised task."""

    async def monitor(self, directory: Directory, /) -> None:
        """Watch the instances of ``directory`` and mark them, until cancelled."""


@since("0.1")
@dataclass(frozen=True, slots=True, kw_only=True)
class AdminRequest:
    """A request under ``/_gateway/``, handed to the control plane.

    Attributes:
        method: The method.
        path: The path below ``/_gateway``, such as ``/health``.
        query: The query without ``?``.
        accept: Its ``Accept`` field; empty if there is none.
        body: The body, at most 1 MiB.
        params: Captured path parameters.
    """

    method: str
    path: str
    query: str = ""
    accept: str = ""
    body: bytes = b""
    params: Mapping[str, str] = field(default_factory=dict)


# What build() is given.


@since("0.1")
class Timed(Protocol):
    """Something that has a deadline now and then.

    Attributes:
        deadline_s: Monotonic time at which ``deadline_passed`` is due; ``math.inf`` while there is none.
    """

    deadline_s: float

    def deadline_passed(self) -> None:
        """Act: the deadline is over. Called repeatedly until ``deadline_s`` is moved."""


@since("0.1")
class Deadlines(Protocol):
    """One coarse sweep over everything that is timed.

    Setting an attribute per wait costs nothing, a timer handle per wait does; so deadlines are met up to a quarter of
    a second late.
    """

    def watch(self, timed: Timed) -> None:
        """Include ``timed`` in the sweep."""

    def forget(self, timed: Timed) -> None:
        """Leave it out again; harmless if it was not watched."""


@since("0.1")
class Outbox(Protocol):
    """Collects small writes of one turn of the event loop and sends them together at its end.

    For whole, small messages. Whatever else is written to the same transport must come later: call ``flush`` before a
    direct write, an end of file or a close that could overtake.
    """

    def write(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Send ``data`` over ``transport`` at the end of this turn."""

    def flush(self) -> None:
        """Send everything now."""


@since("0.1")
class Background(Protocol):
    """Runs work beside the exchanges, supervised."""

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` until it returns or the component is exited.

        An exception restarts it after a growing delay and shows in ``/_gateway/health``.
        """


@since("0.1")
class SharedMemory(Protocol):
    """Memory that all workers see, zeros at first.

    Attributes:
        buffer: The memory.
        is_alone: Whether no other process has it: then nothing has to be locked, since nothing is interrupted.
    """

    buffer: mmap.mmap
    is_alone: bool

    def lock(self, number: int = 0) -> AbstractContextManager[object]:
        """Return the lock with this number, to be held ``with`` it while no other process does.

        For a few microseconds, without ``await``. It ends with the process that holds it, which may have left what it
        changed half done. Entering raises ``TimeoutError`` if another process keeps it for longer than 0.1 s.
        """

    def close(self) -> None:
        """Give it up; others keep it."""


@since("0.1")
class BuildContext(Protocol):
    """The gateway, as a component may see it."""

    @property
    def name(self) -> str:
        """The registration's name."""

    @property
    def logger(self) -> logging.Logger:
        """The logger ``gateway.plugins.<distribution>``."""

    @property
    def background(self) -> Background:
        """Supervised work; starts once the component is entered."""

    @property
    def deadlines(self) -> Deadlines:
        """The coarse sweep for time-outs."""

    @property
    def outbox(self) -> Outbox:
        """Sends small messages together; for adapters and connectors."""

    @property
    def directory(self) -> Directory:
        """The services."""

    @property
    def metrics(self) -> Metrics:
        """What this process measures; exporters read it."""

    async def gather_metrics(self) -> Sequence[FamilySnapshot]:
        """Return what the whole gateway measures, all workers together. For components of the control plane.

        Raises:
            RuntimeError: In a component of the request path, which knows of no other worker.
        """

    def expose(self, key: str, make: Callable[..., object]) -> None:
        """Let the plugin's components of the control plane see something of this one: a breaker's state, say.

        Args:
            key: What it is called; a later component that exposes the same takes its place.
            make: Returns it, in a form that can be pickled; called when somebody collects it, with the arguments that
                come along.
        """

    async def collect(self, key: str, *arguments: object) -> Sequence[object]:
        """Return what the plugin's components expose under ``key``: one value for each worker that has one.

        For components of the control plane, such as endpoints under ``/_gateway``.

        Args:
            key: What it is called.
            arguments: Handed to what returns it, in a form that can be pickled: so an endpoint can ask for something to
                be done, too.

        Raises:
            RuntimeError: In a component of the request path.
        """

    async def shared_memory(self, key: str, size_bytes: int) -> SharedMemory:
        """Return the memory ``key`` of the plugin, the same in every worker; for what must hold for all of them.

        It outlives reloads and workers. To be asked for when the component is entered. The component closes it.

        Args:
            key: What it is called.
            size_bytes: How large it is; another size is another memory.
        """

    async def ask_admin(self, request: AdminRequest) -> Response:
        """Return what an endpoint under ``/_gateway`` answers to somebody without the token.

        Raises:
            GatewayError: If it refuses, or the control plane does not answer.
        """

    def quotas(self, limiter: str, settings: Mapping[str, object]) -> Sequence[Quota]:
        """Return limits of another plugin's limiter that this component charges; to be asked for in ``build``.

        They are entered before the component and exited after it. Their quotas are shared with other components of
        this registration that ask for the same, and with nobody else.

        Args:
            limiter: The name of the limiter, such as ``ratelimit``.
            settings: Its configuration, as a rule's block would have it: it lies over what the configuration says of
                the limiter gateway-wide, such as where it counts.

        Raises:
            ValueError: If no plugin provides the limiter, or the settings are not valid for it.
        """

    def resolve(self, path: str | Path) -> Path:
        """Return ``path`` as meant in the configuration: relative to the configuration file's folder."""

    def keep(self, key: str, make: Callable[[], T]) -> T:
        """Return what is kept under ``key`` for this registration, else keep what ``make`` returns.

        State (a breaker's window, a limiter's table) outlives a reload that changes the component's configuration, and
        is shared by all components of the registration. It is never forgotten, so it must be bounded.
        """

    def serve(self, exchange: Exchange) -> None:
        """Answer ``exchange``: match it and run its route. For adapters; returns at once."""

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        """Answer ``exchange`` with ``error`` before any route is matched: what arrived is no request. For adapters.

        Edge policies and observers of unmatched requests see it.
        """
