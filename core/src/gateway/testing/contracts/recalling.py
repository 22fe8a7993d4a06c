"""What an authenticator recalls of its callers, which must be what it says when it is asked."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from gateway.headers import Headers, Section
from gateway.principal import Principal
from gateway.testing.contracts.expectation import expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.messages import Request

__all__ = ["Connection", "Recalls"]


class Connection:
    """Gives requests their fields as a kept connection does: the same ones are the same section again."""

    def __init__(self) -> None:
        self._sections: dict[tuple[tuple[bytes, bytes], ...], Section] = {}

    def bring(self, request: Request) -> Request:
        """Return the request with the fields as they would arrive here."""
        pairs = tuple(request.headers.pairs)
        request.headers = Headers.shared(self._sections.setdefault(pairs, Section(pairs)))
        return request


class Recalls:
    """Compares what an authenticator recalls with what it says when it is asked.

    Args:
        recall: Its ``recall``.
        ask: Returns what its ``authenticate`` returns or raises.
    """

    def __init__(self, recall: Callable[[Request], Any], ask: Callable[[Request], Awaitable[Any]]) -> None:
        expect(not inspect.iscoroutinefunction(recall), "recall is a coroutine function, and not awaited; write def")
        self._recall = recall
        self._ask = ask

    async def expect_agreement(self, request: Request) -> None:
        """Fail the test unless it recalls, before and after it is asked, nobody or whom it names."""
        before = self._recalled(request)
        said = await self._ask(request)
        for recalled in (before, self._recalled(request)):
            expect(recalled is None or recalled == said, f"it recalls {recalled!r}, and when asked it says {said!r}")

    async def expect_nobody(self, request: Request, why: str) -> None:
        """Fail the test if it recalls somebody, before or after it is asked.

        Args:
            request: Whoever sends it must not be let in.
            why: What is wrong with it, for the message.
        """
        before = self._recalled(request)
        await self._ask(request)
        for recalled in (before, self._recalled(request)):
            expect(recalled is None, f"it recalls {recalled!r} from a request {why}")

    def _recalled(self, request: Request) -> Principal | None:
        try:
            recalled: object = self._recall(request)
        except Exception as error:
            raise AssertionError(f"recall raised {error!r}; return None, and authenticate is asked") from error
        if recalled is None or isinstance(recalled, Principal):
            return recalled
        raise AssertionError(f"recall returned {recalled!r} instead of a Principal or None")
