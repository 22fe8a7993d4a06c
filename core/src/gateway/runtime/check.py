"""``gateway check``: everything a start does, up to building the components."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import ConfigurationError, ErrorType, GatewayError
from gateway.runtime.components import ComponentStore
from gateway.runtime.context import Surroundings
from gateway.runtime.control import build_control
from gateway.runtime.deadlines import DeadlineSweep
from gateway.runtime.generation import Generation
from gateway.runtime.outbox import Outbox
from gateway.runtime.supervision import Supervisor
from gateway.services.directory import ServiceDirectory

if TYPE_CHECKING:
    from gateway.config import Configuration
    from gateway.errors import Problem
    from gateway.exchange import Exchange
    from gateway.interfaces import AdminRequest
    from gateway.messages import Response

__all__ = ["check"]


def check(configuration: Configuration) -> None:
    """Build everything that ``configuration`` needs, and start nothing.

    Raises:
        ConfigurationError: With everything that cannot be built.
    """
    directory = ServiceDirectory()
    surroundings = Surroundings(
        directory=directory,
        deadlines=DeadlineSweep(),
        outbox=Outbox(),
        supervisor=Supervisor(),
        serve=_serve,
        refuse=_refuse,
        folder=configuration.folder,
        configuration=configuration,
    )
    store = ComponentStore(surroundings)
    services = {rule.route.service: directory.service(rule.route.service) for rule in configuration.rules}
    problems: list[Problem] = []
    for build in (
        lambda: build_control(configuration, store),
        lambda: Generation(configuration, store, services, _answer_admin, surroundings.metrics),
    ):
        try:
            build()
        except ConfigurationError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigurationError(problems)


def _serve(exchange: Exchange) -> None:
    """Serve nothing: no connection is accepted during a check."""


def _refuse(exchange: Exchange, error: GatewayError) -> None:
    """Refuse nothing: no connection is accepted during a check."""


async def _answer_admin(request: AdminRequest, authorization: str | None) -> Response:
    raise GatewayError(ErrorType.UNAVAILABLE, "this is a check")
