"""``gateway check``: everything a start does, up to building the components."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import ErrorType, GatewayError
from gateway.runtime.components import ComponentStore
from gateway.runtime.context import Surroundings
from gateway.runtime.deadlines import DeadlineSweep
from gateway.runtime.generation import Generation
from gateway.runtime.outbox import Outbox
from gateway.runtime.supervision import Supervisor
from gateway.services.directory import ServiceDirectory

if TYPE_CHECKING:
    from gateway.config import Configuration
    from gateway.exchange import Exchange, Response
    from gateway.interfaces import AdminRequest

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
    )
    store = ComponentStore(surroundings)
    for configured in (*configuration.discovery, *configuration.health_checkers, *configuration.admin_routes):
        store.obtain(configured)
    for adapter in Generation(configuration, store, directory, _answer_admin).adapters:
        adapter.listeners()


def _serve(exchange: Exchange) -> None:
    """Serve nothing: no connection is accepted during a check."""


def _refuse(exchange: Exchange, error: GatewayError) -> None:
    """Refuse nothing: no connection is accepted during a check."""


async def _answer_admin(request: AdminRequest, authorization: str | None) -> Response:
    raise GatewayError(ErrorType.UNAVAILABLE, "this is a check")
