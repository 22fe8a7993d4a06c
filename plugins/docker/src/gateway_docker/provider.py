"""The discovery providers ``docker`` and ``docker-compose``."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Self, TypeVar

from gateway.blocking import BlockingCalls, StuckCallsError
from gateway_docker.endpoints import HOST_NETWORK, Addressing, expose, snapshot_of
from gateway_docker.engine import Engine, EngineError
from gateway_docker.events import EventWatch
from gateway_docker.problems import DiscoveryError, ProblemLog
from gateway_docker.routes import RouteLabels, RuleBoard, rules_of, unread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from gateway import BuildContext
    from gateway.interfaces import Publish
    from gateway_docker.config import EngineConfig
    from gateway_docker.containers import Container
    from gateway_docker.engine import Inspection
    from gateway_docker.labels import Exposed, Exposure

__all__ = ["DockerProvider"]

T = TypeVar("T")

SHORTEST_GAP_S = 0.1
"""Between the end of one look and the beginning of the next: events that flood cause ten looks a second."""
SETTLING_S = [0.15, 0.5]
"""How long after a look that an event caused come two more: Docker tells of an event before its list shows what came of
it (``daemon/pause.go`` logs the event and then updates what ``/containers/json`` reads)."""
MAX_INSPECTIONS = 1000
"""Of how many containers what the list does not tell is looked up; only Podman's does not tell."""

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class DockerProvider:
    """Publishes what the containers of an engine offer, within a moment of every change.

    One session at a time: a thread reads events, and every event that may matter causes a look at everything. The list
    is the truth and events only say when to read it, so that lost, repeated and unknown ones do no harm.

    Args:
        config: The validated block.
        context: The gateway.
        exposure: What a container offers.
        filters: Which containers the engine is to list; ``None`` is those with a label ``service``.
        prepare: Called in a thread before every look; may block, and raise ``DiscoveryError``.

    Attributes:
        rules: The routes that labels ask for.
    """

    def __init__(
        self,
        config: EngineConfig,
        context: BuildContext,
        *,
        exposure: Exposure,
        filters: Mapping[str, Sequence[str]] | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self._config = config
        self._context = context
        self._exposure = exposure
        self._filters = filters or {"label": [f"{config.label_prefix}.service"]}
        self._prepare = prepare
        self._addressing = Addressing(config.network, config.effective_host_address)
        self._calls = BlockingCalls(f"gateway {context.name}")
        self._problems = ProblemLog(context.logger)
        self.rules = RuleBoard()
        self._inspected: dict[str, Inspection] = {}
        self._engine: Engine | None = None
        self._events: EventWatch | None = None
        self._error = "not connected yet"
        self._looked_s: float | None = None
        self._sizes: dict[str, int] = {}
        self._trouble = ""
        context.expose(context.name, self.status)

    async def __aenter__(self) -> Self:
        """Check the certificates: a gateway that would have to go without them does not start."""
        certificates = self._certificates
        if certificates is not None:
            await self._calls.run(lambda: _check_certificates(certificates), self._config.timeout)
        elif self._config.host.startswith(("tcp:", "http:")) and self._is_remote:
            self._context.logger.warning(
                "%s: %s is spoken to without TLS; whoever is on the way decides where requests go, set 'certPath'",
                self._context.name,
                self._config.host,
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing is left: ``watch`` has ended its session."""

    async def watch(self, publish: Publish) -> None:
        """Publish all services now and whenever a container starts, stops, or changes its health.

        Raises:
            DiscoveryError: If the engine cannot be asked any more; to be started again later.
        """
        changed = asyncio.Event()
        try:
            engine = await self._connect()
            events = self._events = EventWatch(
                engine, asyncio.get_running_loop(), changed.set, name=f"gateway {self._context.name} events"
            )
            events.start()
            settling = SETTLING_S
            while True:
                # Before the look, so that what happens during it causes another one.
                changed.clear()
                took_s = await self._look(engine, publish)
                self._report_events(events)
                await asyncio.sleep(max(SHORTEST_GAP_S, took_s))
                wait_s, *settling = settling or (self._config.refresh_interval,)
                if await _is_set(changed, wait_s):
                    settling = SETTLING_S
        except (EngineError, StuckCallsError, TimeoutError) as error:
            reason = str(error) or f"no answer within {self._config.timeout:g} s"
            self._error = f"{self._config.host}: {reason}"
            # The frames of the libraries below say nothing that an operator could use.
            raise DiscoveryError(self._error) from None
        except DiscoveryError as error:
            self._error = str(error)
            raise
        finally:
            await self._disconnect()

    def status(self) -> dict[str, object]:
        """Return how it is doing, for ``/_gateway/docker``."""
        engine, events = self._engine, self._events
        is_connected = engine is not None and not self._error
        return {
            "provider": self._context.name,
            "host": self._config.host,
            "state": "connected" if is_connected else "unavailable",
            "error": self._error,
            "engine": engine.product if engine is not None else "",
            "apiVersion": engine.version if engine is not None else "",
            "events": "streaming" if events is not None and events.is_open else "polling",
            "secondsSinceLastLook": None if self._looked_s is None else round(time.monotonic() - self._looked_s, 3),
            "services": self._sizes,
            "problems": list(self._problems.current),
        }

    @property
    def _certificates(self) -> Path | None:
        return self._context.resolve(self._config.cert_path) if self._config.cert_path else None

    @property
    def _is_remote(self) -> bool:
        return not any(f"//{name}:" in self._config.host or f"//[{name}]:" in self._config.host for name in _LOOPBACK)

    async def _connect(self) -> Engine:
        engine = self._engine = Engine(
            self._config.host, self._certificates, self._config.version, self._config.timeout
        )
        await self._run(engine, engine.connect)
        self._context.logger.info(
            "%s: connected to %s at %s, API %s", self._context.name, engine.product, engine.host, engine.version
        )
        return engine

    async def _disconnect(self) -> None:
        engine, events = self._engine, self._events
        self._engine = self._events = None
        self._error = self._error or "not connected"
        if events is not None:
            events.close()
        if engine is not None:
            # In this thread, and it does not block: it only cuts connections.
            engine.close()

    async def _look(self, engine: Engine, publish: Publish) -> float:
        """List the containers and publish what they offer; returns how many seconds it took."""
        began_s = time.monotonic()
        found, problems = await self._run(engine, lambda: self._find(engine))
        found = await self._complete(engine, found)
        # In a thread too: ten thousand containers take a while, and this loop may be the one that serves.
        snapshot, unreachable = await self._run(engine, lambda: snapshot_of(found, self._addressing))
        labelled = _labelled(found)
        rules, odd_routes = await self._run(engine, lambda: rules_of(labelled, self._config.label_prefix))
        publish(snapshot)
        # After their instances: a new route must not meet an empty service.
        self.rules.put(rules)
        if not self.rules.has_readers:
            odd_routes = unread(labelled, self._context.name)
        self._problems.replace([*problems, *unreachable, *odd_routes])
        self._sizes = {service: len(instances) for service, instances in snapshot.items()}
        self._error, self._looked_s = "", time.monotonic()
        return self._looked_s - began_s

    async def _run(self, engine: Engine, call: Callable[[], T]) -> T:
        return await self._calls.run(call, self._config.timeout, engine.close)

    def _find(self, engine: Engine) -> tuple[list[tuple[Container, Exposed]], list[str]]:
        if self._prepare is not None:
            self._prepare()
        containers, problems = engine.containers(self._filters)
        found, left_out = expose(containers, self._exposure, self._config.label_prefix)
        return found, problems + left_out

    async def _complete(
        self, engine: Engine, found: list[tuple[Container, Exposed]]
    ) -> list[tuple[Container, Exposed]]:
        """Add what the list does not tell: Podman's says nothing of network modes and health."""
        silent = [container for container, _ in found if container.network_mode is None][:MAX_INSPECTIONS]
        if not silent:
            return found
        # Whether there is a health check, and on which network, stays; what the check says does not.
        wanted = [
            container.id
            for container in silent
            if (known := self._inspected.get(container.id)) is None or known.health or not container.addresses
        ]
        fresh = await self._run(engine, lambda: _inspect(engine, wanted))
        known_before = self._inspected
        self._inspected = {
            container.id: inspection
            for container in silent
            if (inspection := fresh.get(container.id) or known_before.get(container.id)) is not None
        }
        return [(_completed(container, self._inspected.get(container.id)), exposed) for container, exposed in found]

    def _report_events(self, events: EventWatch) -> None:
        if events.trouble and not self._trouble:
            self._context.logger.warning(
                "%s: no events (%s); changes are found every %g s",
                self._context.name,
                events.trouble,
                self._config.refresh_interval,
            )
        self._trouble = events.trouble


def _labelled(found: Sequence[tuple[Container, Exposed]]) -> list[RouteLabels]:
    return [
        RouteLabels(owner=f"container {container.name}", service=exposed.service, labels=exposed.routes)
        for container, exposed in found
        if exposed.routes
    ]


def _inspect(engine: Engine, container_ids: Sequence[str]) -> dict[str, Inspection]:
    found = {container_id: engine.inspect(container_id) for container_id in container_ids}
    return {container_id: inspection for container_id, inspection in found.items() if inspection is not None}


def _completed(container: Container, inspection: Inspection | None) -> Container:
    if inspection is None:
        return container
    return replace(
        container,
        # "default", "pasta", "slirp4netns:...": only the host's needs to be known.
        network_mode=HOST_NETWORK if inspection.network_mode == HOST_NETWORK else container.network_mode,
        health=container.health or inspection.health,
        addresses=container.addresses or inspection.addresses,
    )


async def _is_set(changed: asyncio.Event, timeout_s: float) -> bool:
    """Wait until ``changed`` is set, but not longer than ``timeout_s``; returns whether it is."""
    try:
        async with asyncio.timeout(timeout_s):
            return await changed.wait()
    except TimeoutError:
        return False


def _check_certificates(folder: Path) -> None:
    """Load the certificates once, for what is wrong with them.

    Raises:
        DiscoveryError: If they cannot be used.
    """
    ca, cert, key = (folder / name for name in ("ca.pem", "cert.pem", "key.pem"))
    try:
        context = ssl.create_default_context(cafile=str(ca))
        if cert.exists() or key.exists():
            context.load_cert_chain(cert, key, password=_no_password)
    except (OSError, ValueError) as error:
        msg = f"certPath {str(folder)!r} cannot be used: {error}; it needs ca.pem, and cert.pem with key.pem or neither"
        raise DiscoveryError(msg) from error


def _no_password() -> str:
    """Say that there is none; without this, OpenSSL would ask at the terminal and wait."""
    raise ValueError("key.pem is encrypted")


if TYPE_CHECKING:
    from gateway.interfaces import DiscoveryProvider

    _: type[DiscoveryProvider] = DockerProvider
