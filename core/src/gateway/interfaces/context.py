"""What ``build`` is given: the gateway, as a component may see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from gateway.deprecation import since

if TYPE_CHECKING:
    import asyncio
    import logging
    import mmap
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gateway.errors import GatewayError
    from gateway.exchange import Exchange
    from gateway.interfaces.admin import AdminRequest
    from gateway.interfaces.limits import Quota
    from gateway.interfaces.services import Directory
    from gateway.messages import Response
    from gateway.metrics import FamilySnapshot, Metrics

__all__ = ["Background", "BuildContext", "Deadlines", "Outbox", "SharedMemory", "Timed"]

T = TypeVar("T")


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

    def connector_config(self, name: str) -> object | None:
        """Return how a connector is configured, for who reaches services beside it and must be believed alike.

        A component that asked is built anew when that has changed. To be asked for in ``build``.

        Args:
            name: The name of the connector, such as ``http``.

        Returns:
            An instance of its configuration model; ``None`` if no such connector is on.
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


@since("0.1")
class Background(Protocol):
    """Runs work beside the exchanges, supervised."""

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` until it returns or the component is exited.

        An exception restarts it after a growing delay and shows in ``/_gateway/health``.
        """


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
