"""Policies: what wraps an exchange, and where it stands."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

from gateway.deprecation import since

if TYPE_CHECKING:
    from gateway.exchange import Handler
    from gateway.interfaces.routes import Route

__all__ = ["SHADOW_STATE", "Policy", "Stage"]


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
class Policy(Protocol):
    """Wraps an exchange.

    Attributes:
        waits: Optional; ``False`` promises that the handlers made by ``wrap`` await nothing but the next handler.
    """

    def wrap(self, next: Handler, route: Route, /) -> Handler:  # noqa: A002 - the field's word for it
        """Return the handler that stands before ``next`` on ``route``.

        Called once per compiled route. Returning ``next`` itself makes the policy free on that route.
        """


SHADOW_STATE = "gateway.shadow"
"""The key of ``Exchange.state`` under which observers find what plugins in shadow mode would have done, if anything:
``list[str]``."""
