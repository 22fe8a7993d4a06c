"""Containers that Docker Compose made: their labels say which project and service they belong to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway_docker.labels import Exposed, is_enabled, own_labels, parse_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway_docker.containers import Container

__all__ = ["ONE_OFF_LABEL", "PROJECT_LABEL", "SERVICE_LABEL", "ComposeExposure", "qualify_collisions"]

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
ONE_OFF_LABEL = "com.docker.compose.oneoff"
"""``True`` on containers of ``docker compose run``, which are no instances."""


class ComposeExposure:
    """Exposes containers whose label ``enable`` is true, or that have no such label but a label ``port``.

    Args:
        project: Only this project's; empty takes those of all.

    Attributes:
        filters: What the engine is to list.
    """

    def __init__(self, project: str) -> None:
        self.filters = {"label": [f"{PROJECT_LABEL}={project}" if project else PROJECT_LABEL]}
        self._project = project

    def __call__(self, container: Container, prefix: str) -> Exposed | None:
        """Return what ``container`` offers, ``None`` if nothing."""
        labels = container.labels
        own = own_labels(labels, prefix)
        is_on = is_enabled(own, prefix)
        # Asked again, although the engine filters: not every engine does it right.
        is_ours = PROJECT_LABEL in labels and self._project in {"", labels[PROJECT_LABEL]}
        if not is_ours or labels.get(ONE_OFF_LABEL, "").lower() == "true":
            return None
        if not (is_on or (is_on is None and "port" in own)):
            return None
        chosen = own.get("service", "").strip()
        exposed = parse_labels(
            own,
            prefix,
            service=chosen or labels.get(SERVICE_LABEL, ""),
            ports=container.ports,
            is_service_derived=not chosen,
        )
        return replace(exposed, metadata=_with_compose(exposed.metadata, labels))


def qualify_collisions(found: Sequence[tuple[Container, Exposed]]) -> tuple[list[tuple[Container, Exposed]], list[str]]:
    """Put the project before the names of services that several projects have.

    One project's requests must not reach another's containers because both have a service ``api``; which of them was
    meant is not for us to guess.
    """
    projects: dict[str, set[str]] = {}
    for container, exposed in found:
        if exposed.is_service_derived:
            projects.setdefault(exposed.service, set()).add(_project_of(container))
    ambiguous = {service: sorted(names) for service, names in projects.items() if len(names) > 1}
    problems = [
        f"service {service} exists in the projects {', '.join(names)}; it is called "
        f"{', '.join(f'{name}_{service}' for name in names)}, until 'projectName' says which one is meant"
        for service, names in sorted(ambiguous.items())
    ]
    qualified = [
        (container, replace(exposed, service=f"{_project_of(container)}_{exposed.service}"))
        if exposed.is_service_derived and exposed.service in ambiguous
        else (container, exposed)
        for container, exposed in found
    ]
    return qualified, problems


def _project_of(container: Container) -> str:
    return container.labels.get(PROJECT_LABEL, "")


def _with_compose(metadata: Mapping[str, object], labels: Mapping[str, str]) -> dict[str, object]:
    return {
        **metadata,
        "compose.project": labels.get(PROJECT_LABEL, ""),
        "compose.service": labels.get(SERVICE_LABEL, ""),
    }
