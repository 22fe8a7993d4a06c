"""What an endpoint under ``/_gateway/`` promises."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, cast

from gateway.errors import GatewayError
from gateway.interfaces import AdminRequest, Endpoint
from gateway.messages import Response
from gateway.registrations import AdminRouteRegistration, Registration
from gateway.routing import parse_pattern
from gateway.testing.contracts.cancelling import cancel_everywhere
from gateway.testing.contracts.component import ComponentContract
from gateway.testing.contracts.expectation import expect, in_time
from gateway.testing.contracts.growth import expect_bounded
from gateway.testing.contracts.models import secrets_of
from gateway.testing.contracts.standstill import expect_a_running_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence

    from gateway.testing.workbench import Workbench

    Answer = Callable[[AdminRequest], Awaitable[Response]]

__all__ = ["AdminRouteContract"]

_MIB = 1024 * 1024
_SAFE = ("GET", "HEAD", "OPTIONS")
"""RFC 9110 section 9.2.1."""
FAILURE = 500


class AdminRouteContract(ComponentContract):
    """Extend it and name it ``Test...``; say what its path captures, and what it shows, if there must be such.

    The workbench has a service ``orders`` with two instances, ``orders-1`` and ``orders-2``.

    Attributes:
        expected_status: What it answers to ``asked()``.
        remembered: How many different requests it may remember.
    """

    kind: ClassVar[type[Registration]] = AdminRouteRegistration
    expected_status: ClassVar[int] = 200
    remembered: ClassVar[int] = 200

    # To be overridden.

    def params(self) -> Mapping[str, str]:
        """Return what its path captures, for each of its parameters."""
        return MappingProxyType({})

    def asked(self) -> AdminRequest:
        """Return a request that it serves."""
        return self.request(params=self.params())

    async def prepare(self, bench: Workbench) -> None:
        """Build what it asks or shows, such as other components of the plugin; nothing by itself."""

    # What is promised.

    def test_its_path_is_one(self) -> None:
        """Below ``/_gateway``, with parameters that ``params`` names; and those outside begin with a slash."""
        registration = self._registration
        parse_pattern(registration.admin_path)
        captured = set(re.findall(r"\{(\w+)", registration.admin_path))
        expect(captured == set(self.params()), f"its path captures {sorted(captured)}; say what, by 'params'")
        for path in registration.paths(registration.config.model_validate(self.config())):
            expect(path.startswith("/"), f"it is also to be answered at {path!r}; begin it with a slash")
            parse_pattern(path)

    async def test_it_answers(self) -> None:
        """With a whole response, which can be sent from the control plane to a worker."""
        async with self._built() as (answer, _):
            response = await answer(self.asked())
            expect(isinstance(response, Response), f"it returned {response!r} instead of a Response")
            is_expected = response.status == self.expected_status
            expect(is_expected, f"it answered {response!r}, not {self.expected_status}: {str(response.body)[:200]}")
            expect(isinstance(response.body, bytes), "its body streams; return bytes, for it is sent on as one message")
            expect(not response.body or "content-type" in response.headers, "its body has no content-type")
            pickle.loads(pickle.dumps(response))  # noqa: S301 - our own

    async def test_whatever_it_is_asked_is_answered_or_refused(self) -> None:
        """Whoever has the token may mistype: that is a response, or a ``GatewayError`` that is no failure."""
        async with self._built() as (answer, _):
            for what, request in self._requests():
                try:
                    async with in_time(f"an answer to {what}"):
                        response = await answer(request)
                except GatewayError as error:
                    expect(error.type.status < FAILURE, f"{what} failed with {error.type.code}; refuse it")
                except Exception as error:
                    raise AssertionError(
                        f"{what} raised {error!r}; raise a GatewayError, such as bad_request"
                    ) from error
                else:
                    expect(isinstance(response, Response), f"{what} was answered {response!r}, which is no Response")

    async def test_safe_methods_change_nothing(self) -> None:
        """Browsers and monitors ask as often as they like (RFC 9110 section 9.2.1)."""
        async with self._built() as (answer, bench):
            if self._registration.method not in _SAFE:
                return
            before = _state_of(bench)
            for _ in range(2):
                response = await answer(self.asked())
                expect(response.status == self.expected_status, f"asked once more, it answered {response!r}")
            expect(_state_of(bench) == before, f"{self._registration.method} changed services: use POST for that")

    async def test_secrets_are_not_told(self) -> None:
        """Whoever may look need not know how the gateway proves who it is."""
        config = self.registration.config.model_validate(self.config())
        async with self._built() as (answer, _):
            response = await answer(self.asked())
            told = sum(secret.encode() in cast("bytes", response.body) for secret in secrets_of(config))
            expect(not told, f"{told} secrets of its configuration stand in what it answers")

    async def test_many_may_ask_at_once(self) -> None:
        """Each gets an answer of its own."""
        async with self._built() as (answer, _):
            async with in_time("answers to many at once"):
                responses = await asyncio.gather(*(answer(self.asked()) for _ in range(20)), return_exceptions=True)
            failed = [each for each in responses if isinstance(each, Exception) and not isinstance(each, GatewayError)]
            expect(not failed, f"asked by 20 at once, it raised {failed[:1]}")
            headers = {id(each.headers) for each in responses if isinstance(each, Response)}
            shared = len(headers) < sum(isinstance(each, Response) for each in responses)
            expect(
                not shared, "the same response was returned to several; the gateway adds fields to each: make new ones"
            )

    async def test_cancellation_leaves_it_working(self) -> None:
        """Who asked may be gone; the next one is answered."""
        async with self._built() as (answer, _):

            async def after() -> None:
                async with in_time("an answer, after another one was cancelled,"):
                    await answer(self.asked())

            await cancel_everywhere(lambda: cast("Any", answer(self.asked())), "the endpoint", after)

    async def test_it_does_not_block(self) -> None:
        """It runs beside discovery and health checks."""
        async with self._built() as (answer, _):
            await expect_a_running_loop(lambda: answer(self.asked()), "the endpoint")

    async def test_requests_do_not_fill_the_memory(self) -> None:
        """Each with another query."""
        async with self._built() as (answer, _):

            async def use(number: int) -> None:
                with contextlib.suppress(GatewayError):
                    await answer(self.request(params=self.params(), query=f"number={number}"))

            await expect_bounded(use, self.remembered, "requests")

    # Underneath.

    def request(
        self, *, params: Mapping[str, str], query: str = "", accept: str = "", body: bytes = b""
    ) -> AdminRequest:
        """Return a request whose path has what is captured."""
        path = self._registration.admin_path
        for name, value in params.items():
            before, _, rest = path.partition(f"{{{name}")
            path = before + value + rest.partition("}")[2]
        method = self._registration.method
        return AdminRequest(method=method, path=path, query=query, accept=accept, body=body, params=params)

    @property
    def _registration(self) -> AdminRouteRegistration:
        return cast("AdminRouteRegistration", self.registration)

    @contextlib.asynccontextmanager
    async def _built(self) -> AsyncIterator[tuple[Answer, Workbench]]:
        async with self.bench() as bench:
            endpoints = [Endpoint(address=f"10.9.9.{number}", port=80, id=f"orders-{number}") for number in (1, 2)]
            bench.directory.publish("test", {"orders": endpoints})
            await self.prepare(bench)
            answer: Answer = await bench.build(self.registration, self.config())
            yield answer, bench

    def _requests(self) -> Iterator[tuple[str, AdminRequest]]:
        """Yield what may be asked, each with what it is called."""
        params, asked = self.params(), self.asked()
        for what, query in (
            ("a query without values", "&&=&a&=b"),
            ("a query in any bytes", "%FF%00=%zz&\x00\xff\ud800"),
            ("a long query", "a=" + "b" * 60_000),
            ("the same key again and again", "&".join(["name=a"] * 2000)),
            ("numbers that are none", "limit=-1&limit=1e999&page=NaN&number=" + "9" * 5000),
        ):
            yield what, self.request(params=params, query=query, body=asked.body)
        for what, body in (
            ("no body", b""),
            ("a body that is no text", b"\xff\xfe\x00\x80"),
            ("a body that is no JSON", b"{nonsense"),
            ("JSON of another kind", b'[1, null, "a"]'),
            ("JSON with other values", b'{"name": [], "key": {"a": 1}, "prefix": 7, "tag": null}'),
            ("very deep JSON", b"[" * 100_000),
            ("a large number", b"1" * 10_000),
            ("a body of 1 MiB", b" " * _MIB),
        ):
            yield what, self.request(params=params, query=asked.query, body=body)
        for accept in ("text/plain", "application/json;q=x, */*;q=\xff", ",;,;" * 5000):
            yield f"Accept: {accept[:30]!r}", self.request(params=params, accept=accept, body=asked.body)
        if params:
            for value in ("", "unheard-of", "%2F..", "\x00\xff\ud800", "a" * 60_000):
                strange = self.request(params=dict.fromkeys(params, value), body=asked.body)
                yield f"a path with {value[:30]!r} in it", strange


def _state_of(bench: Workbench) -> Sequence[object]:
    return [
        (name, each.id, each.is_healthy, each.weight, dict(bench.directory.marks(each)))
        for name in bench.directory.services()
        for each in bench.directory.instances(name)
    ]
