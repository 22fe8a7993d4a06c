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

    It may have two functions more, both synchronous. ``conceal(request)`` takes its credentials off a request that is
    let in, so that no service sees them; where it is ``None`` they are forwarded. ``recall(request)`` returns the
    principal where that is known at once, as that of a caller who was here a moment ago, and ``None`` in all other
    cases, wrong credentials among them: then ``authenticate`` is asked. It saves such requests a coroutine.
    """

    async def authenticate(self, request: Request, /) -> Principal | None:
        """Return the principal, or ``None`` if the request carries no credentials of this kind.

        Raises:
            Unauthorized: If it carries credentials of this kind that are not valid.
        """
