"""The contract of authenticators: one that keeps it, and those that do not."""

# ruff: noqa: ASYNC110, BLE001 - what is done badly here is done so on purpose

import asyncio
import re
import socket
import threading
import time

import pytest
from core.tests.testing.broken.harness import breach, told_in_the_end
from pydantic import Field, SecretStr

from gateway import AuthenticatorRegistration, Config, Headers, Principal, Request, Unauthorized
from gateway.testing import AuthenticatorContract

SECRET = "open sesame"
SCHEME = "Word "


class WordConfig(Config):
    word: SecretStr = Field(description="Who says it is let in.")


class Words:
    """Asks for a word, and takes a moment to look it up."""

    def __init__(self, config, context):
        self.word = config.word.get_secret_value()
        self.met: dict[str, int] = {}

    async def authenticate(self, request):
        said = self.said(request)
        if said is None:
            return None
        await asyncio.sleep(0)
        return self.judge(said)

    def said(self, request):
        field = request.headers.get("authorization")
        return field[len(SCHEME) :] if field is not None and field.startswith(SCHEME) else None

    def judge(self, said):
        if said != self.word:
            raise Unauthorized("wrong word")
        return Principal(subject="somebody")

    def conceal(self, request):
        request.headers.remove("authorization")


def build(config, context):
    return Words(config, context)


class WordContract(AuthenticatorContract):
    plugin = AuthenticatorRegistration(
        name="words", summary="Asks for a word", config=WordConfig, build=build, challenge="Word"
    )

    def config(self):
        return {"word": SECRET}

    def valid_request(self):
        return self.saying(SECRET)

    def invalid_request(self, number):
        return self.saying(f"wrong word {number}")

    def saying(self, word):
        request = self.anonymous_request()
        request.headers.add("authorization", SCHEME + word)
        return request


class TestWords(WordContract):
    """The reference."""


class LetsAnybodyIn(Words):
    def judge(self, said):
        return Principal(subject="somebody")


class PassesTheWrongOver(Words):
    def judge(self, said):
        return super().judge(said) if said == self.word else None


class ComparesBeginnings(Words):
    def judge(self, said):
        return Principal(subject="somebody") if self.word.startswith(said) else super().judge(said)


class RefusesTheUnknown(Words):
    async def authenticate(self, request):
        return self.judge(request.headers.get("authorization") or "")


class QuotesTheWord(Words):
    def judge(self, said):
        if said != self.word:
            raise Unauthorized(f"{said!r} is wrong")
        return super().judge(said)


class FailsForOddBytes(Words):
    def said(self, request):
        said = super().said(request)
        return said.encode("latin-1").decode("utf-8") if said is not None else None


class HasNoSubject(Words):
    def judge(self, said):
        super().judge(said)
        return Principal(subject="")


class TakesTheField(Words):
    def said(self, request):
        said = super().said(request)
        self.conceal(request)
        return said


class TakesTheBody(Words):
    async def authenticate(self, request):
        if not isinstance(request.body, bytes):
            request.body.abort()
        return await super().authenticate(request)


class ConcealsTooMuch(Words):
    def conceal(self, request):
        request.headers = Headers()


class ConcealsNothing(Words):
    def conceal(self, request):
        pass


class Mixes(Words):
    async def authenticate(self, request):
        self.now = self.said(request)
        await asyncio.sleep(0)
        return self.judge(self.now) if self.now is not None else None


class Swallows(Words):
    async def authenticate(self, request):
        try:
            return await super().authenticate(request)
        except BaseException:
            raise Unauthorized("no") from None


class NeverRecovers(Words):
    is_busy = False

    async def authenticate(self, request):
        while self.is_busy:
            await asyncio.sleep(0.01)
        self.is_busy = True
        found = await asyncio.gather(super().authenticate(request), return_exceptions=True)
        self.is_busy = False
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]


class WaitsAfterAll(Words):
    waits = False


class Blocks(Words):
    def judge(self, said):
        time.sleep(0.12)
        return super().judge(said)


class RemembersEverybody(Words):
    def judge(self, said):
        self.met[said] = self.met.get(said, 0) + 1
        return super().judge(said)


class Recalls(Words):
    """Recalls who said a word before."""

    def __init__(self, config, context):
        super().__init__(config, context)
        self.known = {}

    def recall(self, request):
        return self.known.get(self.about(request))

    async def authenticate(self, request):
        principal = await super().authenticate(request)
        if principal is not None:
            self.known[self.about(request)] = principal
        return principal

    def about(self, request):
        return self.said(request)


class RecallsTheClient(Recalls):
    def about(self, request):
        return request.origin.client


class RecallsBeginnings(Recalls):
    def about(self, request):
        said = self.said(request)
        return said[:4] if said is not None else None


class RecallsTheSection(Recalls):
    """Takes the word from the query too, which is not in the section."""

    def said(self, request):
        return request.query or super().said(request)

    def about(self, request):
        return request.headers.section


class RecallsTheRequest(Recalls):
    def about(self, request):
        return request


class RecallsTheRefused(Recalls):
    async def authenticate(self, request):
        said = self.said(request)
        if said is not None:
            self.known[said] = Principal(subject="somebody")
        return await super().authenticate(request)


class RecallsWhatWasConcealed(Recalls):
    def said(self, request):
        said = super().said(request)
        return said if said is not None else request.headers.get("x-said")

    def conceal(self, request):
        request.headers.add("x-said", self.said(request))
        super().conceal(request)

    async def authenticate(self, request):
        return await super().authenticate(request) if request.headers.get("authorization") else None


class RecallsOthers(Recalls):
    def recall(self, request):
        recalled = super().recall(request)
        return Principal(subject="everybody") if recalled is not None else None


class RecallsEverybody(Recalls):
    def recall(self, request):
        said = self.said(request)
        self.met[said] = self.met.get(said, 0) + 1
        return super().recall(request)


class RecallsInACoroutine(Recalls):
    async def recall(self, request):
        return super().recall(request)


class RecallsYesAndNo(Recalls):
    def recall(self, request):
        return super().recall(request) is not None


class RecallsOrRefuses(Recalls):
    def recall(self, request):
        return self.judge(self.said(request))


class RecallsAndTakesTheField(Recalls):
    def recall(self, request):
        recalled = super().recall(request)
        self.conceal(request)
        return recalled


class RecallsSlowly(Recalls):
    def recall(self, request):
        recalled = super().recall(request)
        if recalled is not None:
            time.sleep(0.12)
        return recalled


class QueryContract(WordContract):
    """Its words stand in the query, so that all requests have the same fields."""

    def saying(self, word):
        request = self.anonymous_request()
        request.query = word
        return request


class LeavesATask(Words):
    async def __aenter__(self):
        self.task = asyncio.ensure_future(asyncio.sleep(100))
        return self

    async def __aexit__(self, *error):
        pass


class LeavesASocket(Words):
    sockets: list[socket.socket] = []  # noqa: RUF012 - so that the test can close it

    async def __aenter__(self):
        self.sockets.append(socket.socket())
        return self

    async def __aexit__(self, *error):
        pass


class LeavesAThread(Words):
    over = threading.Event()

    async def __aenter__(self):
        threading.Thread(target=self.over.wait).start()
        return self

    async def __aexit__(self, *error):
        pass


class FailsAtTheEnd(Words):
    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        raise OSError("no such file")


@pytest.mark.parametrize(
    ("authenticator", "check", "said"),
    [
        (LetsAnybodyIn, "test_invalid_credentials_are_refused", "wrong credentials gave Principal"),
        (PassesTheWrongOver, "test_invalid_credentials_are_refused", "wrong credentials gave None"),
        (ComparesBeginnings, "test_malformed_credentials_are_no_bug", "were let in"),
        (RefusesTheUnknown, "test_no_credentials_are_none", "return None"),
        (QuotesTheWord, "test_refusals_quote_no_credentials", "quotes the credentials"),
        (FailsForOddBytes, "test_malformed_credentials_are_no_bug", "raised UnicodeDecodeError"),
        (HasNoSubject, "test_valid_credentials_tell_who_is_calling", "no subject"),
        (TakesTheField, "test_the_request_stays_as_it_is", "it changed the request"),
        (TakesTheBody, "test_the_request_stays_as_it_is", "it took the request's body"),
        (ConcealsTooMuch, "test_what_it_conceals_is_its_credentials", "took other fields"),
        (ConcealsNothing, "test_what_it_conceals_is_its_credentials", "still are credentials"),
        (Mixes, "test_callers_do_not_mix", "at once, one got"),
        (Swallows, "test_cancellation_leaves_it_working", "let CancelledError pass"),
        (NeverRecovers, "test_cancellation_leaves_it_working", "did not happen within"),
        (WaitsAfterAll, "test_it_waits_only_if_it_says_so", "says waits = False"),
        (Blocks, "test_it_does_not_block", "blocked the event loop"),
        (RemembersEverybody, "test_strangers_do_not_fill_the_memory", "bound what is kept"),
        (RecallsTheClient, "test_it_recalls_nobody_whom_it_would_refuse", "from a request with wrong credentials"),
        (RecallsBeginnings, "test_it_recalls_those_whom_it_would_let_in", "when asked it says Unauthorized"),
        (RecallsTheRequest, "test_it_recalls_nobody_by_what_a_request_was", "were taken off or replaced"),
        (RecallsTheRefused, "test_it_recalls_nobody_whom_it_would_refuse", "from a request with wrong credentials"),
        (RecallsWhatWasConcealed, "test_what_it_conceals_is_its_credentials", "still are credentials"),
        (
            RecallsOthers,
            "test_it_recalls_those_whom_it_would_let_in",
            "'everybody'.* it says .*'somebody'",
        ),
        (RecallsEverybody, "test_strangers_do_not_fill_the_memory", "bound what is kept"),
        (RecallsInACoroutine, "test_it_recalls_those_whom_it_would_let_in", "recall is a coroutine function"),
        (RecallsYesAndNo, "test_it_recalls_those_whom_it_would_let_in", "instead of a Principal or None"),
        (RecallsOrRefuses, "test_it_recalls_nobody_whom_it_would_refuse", "recall raised Unauthorized"),
        (RecallsAndTakesTheField, "test_the_request_stays_as_it_is", "it changed the request"),
        (RecallsSlowly, "test_it_does_not_block", "blocked the event loop"),
        (LeavesATask, "test_its_life_leaves_nothing_behind", "left behind: task"),
        (LeavesASocket, "test_its_life_leaves_nothing_behind", "left behind: socket"),
        (LeavesAThread, "test_its_life_leaves_nothing_behind", "left behind: thread"),
        (FailsAtTheEnd, "test_its_life_leaves_nothing_behind", "failed while it stopped"),
    ],
)
def test_it_is_caught(authenticator, check, said, monkeypatch):
    patience = {"expectation.PATIENCE_S": 0.2, "leaks.SETTLE_S": 0.05}
    LeavesAThread.over.clear()
    told = told_in_the_end(said, lambda: breach(WordContract, authenticator, check), patience, monkeypatch)
    LeavesAThread.over.set()
    while LeavesASocket.sockets:
        LeavesASocket.sockets.pop().close()
    assert re.search(said, told)


def test_recalling_by_the_fields_is_caught_where_they_are_not_all():
    said = breach(QueryContract, RecallsTheSection, "test_it_recalls_nobody_whom_it_would_refuse")
    assert "from a request with wrong credentials" in said


@pytest.mark.parametrize(
    "check",
    [name for name in dir(WordContract) if name.startswith(("test_it_recalls", "test_what_it", "test_the_request"))],
)
def test_one_that_recalls_keeps_the_contract(check):
    assert breach(WordContract, Recalls, check) == ""


def test_a_request_needs_credentials():
    with pytest.raises(NotImplementedError, match="override valid_request"):
        AuthenticatorContract().valid_request()
    with pytest.raises(NotImplementedError, match="override invalid_request"):
        AuthenticatorContract().invalid_request(0)
    assert isinstance(AuthenticatorContract().anonymous_request(), Request)
