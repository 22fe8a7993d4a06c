"""What an authenticator promises."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.errors import GatewayError, Unauthorized
from gateway.headers import Headers
from gateway.messages import Request
from gateway.principal import Principal
from gateway.registrations import AuthenticatorRegistration, Registration
from gateway.testing.contracts.bodies import Source
from gateway.testing.contracts.cancelling import cancel_everywhere, expect_no_waiting
from gateway.testing.contracts.component import ComponentContract
from gateway.testing.contracts.expectation import expect, in_time
from gateway.testing.contracts.growth import expect_bounded
from gateway.testing.contracts.models import MIN_SECRET_LENGTH
from gateway.testing.contracts.recalling import Connection, Recalls
from gateway.testing.contracts.standstill import expect_a_running_loop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.interfaces import Authenticator

__all__ = ["AuthenticatorContract"]

MAX_VALUE_BYTES = 16 * 1024
"""As long a field as the gateway lets pass, about."""


class AuthenticatorContract(ComponentContract):
    """Extend it, name it ``Test...``, and say which requests are let in and which are not.

    Attributes:
        remembered: How many callers it may remember.
    """

    kind: ClassVar[type[Registration]] = AuthenticatorRegistration
    remembered: ClassVar[int] = 2000

    # To be overridden.

    def valid_request(self) -> Request:
        """Return a request with credentials that are right; another object each time."""
        raise NotImplementedError("say which request is let in: override valid_request")

    def invalid_request(self, number: int) -> Request:
        """Return a request with credentials of this kind that are wrong, others for each number."""
        raise NotImplementedError("say which requests are refused: override invalid_request")

    def anonymous_request(self) -> Request:
        """Return a request without credentials of this kind."""
        return Request("GET", "/", headers=Headers.of([("host", "gateway.test"), ("accept", "*/*")]), client="10.0.0.1")

    # What is promised.

    async def test_valid_credentials_tell_who_is_calling(self) -> None:
        """The principal has a subject."""
        async with self.built() as authenticator:
            await self._expect_let_in(authenticator)

    async def test_no_credentials_are_none(self) -> None:
        """So that the next authenticator is asked; also where the credentials are another's."""
        others = [("authorization", "Unheard-Of abc"), ("x-unheard-of", "abc"), ("cookie", "unheard=of")]
        async with self.built() as authenticator:
            for request in (self.anonymous_request(), *(_with(self.anonymous_request(), *each) for each in others)):
                found = await _outcome(authenticator, request)
                expect(found is None, f"a request without credentials of its kind gave {found!r}; return None")

    async def test_invalid_credentials_are_refused(self) -> None:
        """By ``Unauthorized``: ``None`` would let them pass where nobody has to be known."""
        async with self.built() as authenticator:
            for number in range(5):
                outcome = await _outcome(authenticator, self.invalid_request(number))
                expect(isinstance(outcome, Unauthorized), f"wrong credentials gave {outcome!r}; raise Unauthorized")

    async def test_refusals_quote_no_credentials(self) -> None:
        """The message goes to the client, and may be logged."""
        async with self.built() as authenticator:
            for number in range(3):
                request = self.invalid_request(number)
                outcome = await _outcome(authenticator, request)
                said = f"{getattr(outcome, 'message', '')} {getattr(outcome, 'detail', '')}"
                quoted = any(value in said for _, value in self._credentials(request))
                expect(not quoted, f"the refusal quotes the credentials: {said!r}")

    async def test_malformed_credentials_are_no_bug(self) -> None:
        """Strangers send anything; all of it is refused or passed over, and none of it is let in or raises."""
        async with self.built() as authenticator:
            for request, is_half in self._malformed():
                outcome = await _outcome(authenticator, request)
                is_fine = outcome is None or isinstance(outcome, Principal | GatewayError)
                expect(is_fine, f"malformed credentials raised {outcome!r}; raise Unauthorized")
                expect(not (is_half and isinstance(outcome, Principal)), "half of the credentials were let in")

    async def test_the_request_stays_as_it_is(self) -> None:
        """Other authenticators and the service get it, too; its body is not for authenticators."""
        async with self.built() as authenticator:
            await _outcome(authenticator, self.valid_request())  # so that it may recall the next
            for request in (self.valid_request(), self.invalid_request(0), self.anonymous_request()):
                source = Source([b"data"])
                request.body = source.body
                before = (request.method, request.path, request.query, list(request.headers.pairs))
                await _heard(authenticator, request)
                after = (request.method, request.path, request.query, list(request.headers.pairs))
                expect(before == after, f"it changed the request from {before[:3]} to {after[:3]}, or its fields")
                expect(request.body is source.body and not source.body.is_consumed, "it took the request's body")

    async def test_what_it_conceals_is_its_credentials(self) -> None:
        """After ``conceal``, no credentials of this kind are left, and everything else is."""
        async with self.built() as authenticator:
            conceal = getattr(authenticator, "conceal", None)
            if conceal is None:
                return
            here = Connection()
            request = here.bring(self.valid_request())
            await _outcome(authenticator, here.bring(self.valid_request()))
            conceal(request)
            found = await _heard(authenticator, request)
            expect(found is None, f"after conceal() there still are credentials: {found!r}")
            lost = [pair for pair in self._untouched() if pair not in request.headers.pairs]
            expect(not lost, f"conceal() took other fields, too: {[name for name, _ in lost]}")

    async def test_callers_do_not_mix(self) -> None:
        """Many at once get what each of them would get alone."""
        async with self.built() as authenticator:
            requests = [self.valid_request() if n % 2 else self.invalid_request(n) for n in range(40)]
            outcomes = await asyncio.gather(*(_outcome(authenticator, request) for request in requests))
            for number, outcome in enumerate(outcomes):
                expected = Principal if number % 2 else Unauthorized
                expect(isinstance(outcome, expected), f"at once, one got {outcome!r} instead of {expected.__name__}")

    async def test_cancellation_leaves_it_working(self) -> None:
        """Clients go away at any time."""
        async with self.bench() as bench:
            authenticator = await bench.build(self.registration, self.config())

            async def after() -> None:
                await self._expect_let_in(authenticator)

            await cancel_everywhere(lambda: _outcome(authenticator, self.valid_request()), "authenticate", after)
            await cancel_everywhere(lambda: _outcome(authenticator, self.invalid_request(1)), "authenticate", after)

    async def test_it_waits_only_if_it_says_so(self) -> None:
        """``waits = False`` is kept, once it has met the caller."""
        async with self.built() as authenticator:
            for request in (self.valid_request(), self.invalid_request(2), self.anonymous_request()):
                await expect_no_waiting(authenticator, _outcome(authenticator, request), "authenticate")

    async def test_it_does_not_block(self) -> None:
        """Not for a caller with wrong credentials either."""
        async with self.built() as authenticator:

            async def work() -> None:
                for number in range(4):
                    await _heard(authenticator, self.invalid_request(number))
                for _ in range(2):
                    await _heard(authenticator, self.valid_request())

            await expect_a_running_loop(work, "authenticate")

    async def test_strangers_do_not_fill_the_memory(self) -> None:
        """What is remembered of them is bounded."""
        async with self.built() as authenticator:

            async def use(number: int) -> None:
                await _heard(authenticator, self.invalid_request(number))

            await expect_bounded(use, self.remembered, "callers with wrong credentials")

    async def test_it_recalls_those_whom_it_would_let_in(self) -> None:
        """``recall`` spares it being asked and changes no answer: not here, nor on another connection."""
        async with self.built() as authenticator:
            recalls = self._recalls(authenticator)
            if recalls is None:
                return
            here, elsewhere = Connection(), Connection()
            for connection in (here, here, elsewhere):
                await recalls.expect_agreement(self.valid_request())
                await recalls.expect_agreement(connection.bring(self.valid_request()))
                for request, _ in self._malformed():
                    await recalls.expect_agreement(connection.bring(request))

    async def test_it_recalls_nobody_whom_it_would_refuse(self) -> None:
        """Whoever was let in may send something else next, and may share the connection with somebody else."""
        async with self.built() as authenticator:
            recalls = self._recalls(authenticator)
            if recalls is None:
                return
            here, elsewhere = Connection(), Connection()
            for connection in (here, here, elsewhere):
                await _outcome(authenticator, here.bring(self.valid_request()))
                for number in range(3):
                    wrong = connection.bring(self.invalid_request(number))
                    await recalls.expect_nobody(wrong, "with wrong credentials")
                nobody = connection.bring(self.anonymous_request())
                await recalls.expect_nobody(nobody, "without credentials")

    async def test_it_recalls_nobody_by_what_a_request_was(self) -> None:
        """A policy further out may have changed the request: what it carries now decides."""
        async with self.built() as authenticator:
            recalls = self._recalls(authenticator)
            if recalls is None:
                return
            here = Connection()
            for other in (self.invalid_request(0), self.anonymous_request()):
                request = here.bring(self.valid_request())
                await _heard(authenticator, request)
                await _heard(authenticator, request)
                request.headers.pairs = list(other.headers.pairs)
                request.query, request.origin = other.query, other.origin
                await recalls.expect_nobody(request, "whose credentials were taken off or replaced")

    # Underneath.

    def _recalls(self, authenticator: Authenticator) -> Recalls | None:
        recall = getattr(authenticator, "recall", None)
        return Recalls(recall, partial(_outcome, authenticator)) if recall is not None else None

    async def _expect_let_in(self, authenticator: Authenticator) -> None:
        async with in_time("a decision about right credentials"):
            found = await _outcome(authenticator, self.valid_request())
        expect(isinstance(found, Principal), f"right credentials gave {found!r}; return a Principal")
        expect(isinstance(found, Principal) and found.subject, "the principal has no subject")

    def _credentials(self, request: Request) -> list[tuple[str, str]]:
        """Return the fields and parameters that an anonymous request has not, with and without scheme or name."""
        known = self.anonymous_request().headers.items()
        pairs = [pair for pair in request.headers.items() if pair not in known]
        pairs += [("", value) for value in request.query.split("&")]
        return [
            (name, said)
            for name, value in pairs
            for said in (value, value.partition(" ")[2], value.partition("=")[2])
            if len(said) >= MIN_SECRET_LENGTH
        ]

    def _untouched(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the fields of a valid request that are no credentials."""
        anonymous = self.anonymous_request().headers.pairs
        yield from (pair for pair in self.valid_request().headers.pairs if pair in anonymous)

    def _malformed(self) -> Iterator[tuple[Request, bool]]:
        """Yield requests with one credential mutilated, and whether it is only half of one that is right."""
        known = self.anonymous_request().headers.pairs
        for index, pair in enumerate(self.valid_request().headers.pairs):
            if pair in known:
                continue
            value = pair[1]
            half = value[: len(value) // 2]
            long = value[:8] + b"a" * MAX_VALUE_BYTES
            for other in (
                half,
                b"",
                b" ",
                value + value,
                value + b"\xff",
                long,
                value.replace(b" ", b"  "),
                b"\xff" * 9,
            ):
                request = self.valid_request()
                request.headers.pairs[index] = (pair[0], other)
                yield request, other is half
            request = self.valid_request()
            request.headers.pairs.append((pair[0], half))
            yield request, False
        if query := self.valid_request().query:
            for other_query in (query[: len(query) // 2], f"{query}&{query}", f"{query}%ff%", query.replace("=", "==")):
                request = self.valid_request()
                request.query = other_query
                yield request, False


async def _outcome(authenticator: Authenticator, request: Request) -> Any:  # noqa: ANN401 - a principal, none or an error
    """Return what an authenticator returns or raises."""
    try:
        return await authenticator.authenticate(request)
    except Exception as error:  # noqa: BLE001 - that is what is looked at
        return error


async def _heard(authenticator: Authenticator, request: Request) -> Any:  # noqa: ANN401 - as above
    """Return what the gateway hears: whom it recalls, or else ``_outcome``."""
    recall = getattr(authenticator, "recall", None)
    recalled = recall(request) if recall is not None else None
    return recalled if recalled is not None else await _outcome(authenticator, request)


def _with(request: Request, name: str, value: str) -> Request:
    request.headers.add(name, value)
    return request
