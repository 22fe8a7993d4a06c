"""The discovery provider ``compose-file``."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway import Endpoint
from gateway.blocking import BlockingCalls
from gateway_docker.compose import ONE_OFF_LABEL, PROJECT_LABEL, SERVICE_LABEL
from gateway_docker.compose_file import ComposeFiles
from gateway_docker.labels import LabelError, is_enabled, own_labels, parse_labels
from gateway_docker.problems import DiscoveryError, ProblemLog
from gateway_docker.provider import DockerProvider
from gateway_docker.routes import RouteLabels, RuleBoard, rules_of, unread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway import BuildContext
    from gateway.interfaces import DiscoveryProvider, Publish
    from gateway_docker.compose_file import ComposeProject, ComposeService
    from gateway_docker.config import ComposeFileConfig
    from gateway_docker.containers import Container
    from gateway_docker.labels import Exposed

__all__ = ["ServiceNameProvider", "build_compose_file_provider"]

READ_TIMEOUT_S = 10.0
"""For files, which may stand on a network."""


def build_compose_file_provider(config: ComposeFileConfig, context: BuildContext) -> DiscoveryProvider:
    """Return the provider that the configuration means."""
    files = ComposeFiles(
        [context.resolve(path) for path in config.compose_files], context.resolve(config.env_file), dict(os.environ)
    )
    if config.use_service_names:
        return ServiceNameProvider(config, context, files)
    exposure = _FileExposure(config, files)
    return DockerProvider(
        config, context, exposure=exposure, filters={"label": [PROJECT_LABEL]}, prepare=exposure.prepare
    )


class ServiceNameProvider:
    """Publishes what the files list, each service under its name as the address; asks no engine.

    Args:
        config: The validated block.
        context: The gateway.
        files: The files.

    Attributes:
        rules: The routes that labels ask for.
    """

    def __init__(self, config: ComposeFileConfig, context: BuildContext, files: ComposeFiles) -> None:
        self._config = config
        self._context = context
        self._files = files
        self.rules = RuleBoard()
        self._calls = BlockingCalls(f"gateway {context.name}")
        self._problems = ProblemLog(context.logger)
        self._sizes: dict[str, int] = {}
        context.expose(context.name, self.status)

    async def watch(self, publish: Publish) -> None:
        """Publish now and whenever the files changed.

        Raises:
            DiscoveryError: If they cannot be read.
        """
        while True:
            try:
                project = await self._calls.run(self._files.load, READ_TIMEOUT_S, lambda: None)
            except TimeoutError:
                msg = f"the files could not be read within {READ_TIMEOUT_S:g} s"
                raise DiscoveryError(msg) from None
            snapshot, problems = self._snapshot(project)
            publish(snapshot)
            self._problems.replace([*problems, *self._put_routes(project)])
            self._sizes = {service: len(instances) for service, instances in snapshot.items()}
            await asyncio.sleep(self._config.refresh_interval)

    def status(self) -> dict[str, object]:
        """Return how it is doing, for ``/_gateway/docker``."""
        return {
            "provider": self._context.name,
            "files": list(self._config.compose_files),
            "services": self._sizes,
            "problems": list(self._problems.current),
        }

    def _put_routes(self, project: ComposeProject) -> list[str]:
        """Hand over the routes that labels ask for; returns what is odd about them."""
        labelled = []
        for service in project.services.values():
            with contextlib.suppress(LabelError):  # has been said
                exposed = _exposed(service, self._config)
                if exposed is not None and exposed.routes:
                    owner = f"service {service.name} of the file"
                    labelled.append(RouteLabels(owner=owner, service=exposed.service, labels=exposed.routes))
        rules, oddities = rules_of(labelled, self._config.label_prefix)
        self.rules.put(rules)
        return oddities if self.rules.has_readers else unread(labelled, self._context.name)

    def _snapshot(self, project: ComposeProject) -> tuple[Mapping[str, Sequence[Endpoint]], list[str]]:
        services: dict[str, list[Endpoint]] = {}
        problems: list[str] = []
        for service in project.services.values():
            try:
                exposed = _exposed(service, self._config)
            except LabelError as error:
                problems.append(f"service {service.name} is left out: {error}")
                continue
            if exposed is not None:
                problems.extend(f"service {service.name}: {oddity}" for oddity in exposed.oddities)
                services.setdefault(exposed.service, []).append(_endpoint(service, exposed))
        return services, problems


class _FileExposure:
    """Exposes the containers of the services that the files list, as the files say.

    Their labels count rather than those of the containers: who changes the file need not make the containers anew.
    """

    def __init__(self, config: ComposeFileConfig, files: ComposeFiles) -> None:
        self._config = config
        self._files = files
        self._project: ComposeProject | None = None

    def prepare(self) -> None:
        """Read the files again if they changed; blocks."""
        self._project = self._files.load()

    def __call__(self, container: Container, prefix: str) -> Exposed | None:
        labels, project = container.labels, self._project
        if project is None or labels.get(PROJECT_LABEL) != (self._config.project_name or project.name):
            return None
        service = project.services.get(labels.get(SERVICE_LABEL, ""))
        if service is None or labels.get(ONE_OFF_LABEL, "").lower() == "true":
            return None
        exposed = _exposed(service, self._config)
        if exposed is None:
            return None
        compose = {"compose.project": labels[PROJECT_LABEL], "compose.service": service.name}
        return replace(exposed, metadata={**exposed.metadata, **compose})


def _exposed(service: ComposeService, config: ComposeFileConfig) -> Exposed | None:
    """Return what a service of the files offers.

    It does if its label ``enabled`` says so; without one, if it has a label ``service`` or publishes a port.

    Raises:
        LabelError: If its labels cannot be used.
    """
    prefix = config.label_prefix
    own = own_labels(service.labels, prefix)
    is_on = is_enabled(own, prefix)
    if is_on is None:
        is_on = bool(own.get("service", "").strip() or service.published)
    if not is_on or not service.name.startswith(config.service_prefix):
        return None
    name = f"{config.project_name}_{service.name}" if config.project_name else service.name
    # The first port in the file, not the lowest.
    ports = (*service.published, *service.exposed)[:1]
    return parse_labels(own, prefix, service=own.get("service", "").strip() or name, ports=ports)


def _endpoint(service: ComposeService, exposed: Exposed) -> Endpoint:
    return Endpoint(
        address=service.name,
        port=exposed.port,
        scheme=exposed.scheme,
        weight=exposed.weight,
        is_healthy=exposed.is_healthy,
        metadata={**exposed.metadata, "compose.service": service.name},
    )


if TYPE_CHECKING:
    _: type[DiscoveryProvider] = ServiceNameProvider
