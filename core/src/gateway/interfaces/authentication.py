"""Authentication: who is calling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.deprecation import since

if TYPE_CHECKING:
    from gateway.messages import Request
    from gateway.principal import Principal

__all__ = ["Authenticator"]


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
