from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway import Exchange, Headers, Principal, Request, Response, Stage, Unauthorized
from gateway.config.access import RouteAuth, parse_skip_path
from gateway.pipeline.authentication import AppliedAuthenticator, AuthenticationPolicy, ScopePolicy

pytestmark = pytest.mark.anyio


class Token:
    """Knows who carries ``<name> <subject>``; ``<name> bad`` is refused."""

    def __init__(self, name: str, *, challenge: str | None = None, scopes: frozenset[str] = frozenset()) -> None:
        self.name = name
        self.asked = 0
        self._challenge = challenge
        self._scopes = scopes

    async def authenticate(self, request: Request) -> Principal | None:
        self.asked += 1
        scheme, _, credentials = (request.headers.get("authorization") or "").partition(" ")
        if scheme != self.name:
            return None
        if credentials == "bad":
            raise Unauthorized("the token is not valid", challenge=self._challenge, detail="signature")
        return Principal(subject=credentials, provider=self.name, scopes=self._scopes)


@pytest.fixture
def auth(place, shadow_record):
    def make(*authenticators: Token, is_required: bool = True, skips=None, shadow=()):
        applied = [
            AppliedAuthenticator(
                name=each.name,
                challenge=f'{each.name.title()} realm="gateway"',
                authenticator=each,
                is_shadow=each.name in shadow,
            )
            for each in authenticators
        ]
        policy = AuthenticationPolicy(applied, shadow_record, is_required=is_required, skips=skips)
        return place(policy, Stage.AUTHENTICATE)

    return make


def bearing(credentials: str):
    return {"headers": [("authorization", credentials)]}


async def test_valid_credentials_name_the_caller(gateway, auth):
    exchange = await gateway.ask(auth(Token("jwt")), **bearing("jwt jo"))
    assert exchange.response.status == 200
    assert exchange.principal == Principal(subject="jo", provider="jwt")


async def test_missing_credentials_are_401_with_every_challenge(gateway, auth):
    """RFC 9110 section 11.6.1."""
    exchange = await gateway.ask(auth(Token("jwt"), Token("key"), Token("jwt")))
    assert exchange.response.status == 401
    assert exchange.response.headers["www-authenticate"] == 'Jwt realm="gateway", Key realm="gateway"'
    assert gateway.service.asked == []


async def test_refused_credentials_are_401_with_the_challenge_of_who_refused(gateway, auth):
    exchange = await gateway.ask(auth(Token("jwt"), Token("key")), **bearing("key bad"))
    assert exchange.response.status == 401
    assert exchange.response.headers.get_all("www-authenticate") == ['Key realm="gateway"']
    assert (exchange.error.plugin, exchange.error.detail) == ("key", "signature")


async def test_an_authenticators_own_challenge_wins(gateway, auth):
    exchange = await gateway.ask(auth(Token("jwt", challenge='Bearer error="invalid_token"')), **bearing("jwt bad"))
    assert exchange.response.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_they_are_tried_in_order_until_one_decides(gateway, auth):
    jwt, key = Token("jwt"), Token("key")
    exchange = await gateway.ask(auth(jwt, key), **bearing("key jo"))
    assert exchange.principal.provider == "key"
    assert (jwt.asked, key.asked) == (1, 1)
    await gateway.ask(auth(jwt, key), **bearing("jwt jo"))
    assert (jwt.asked, key.asked) == (2, 1)


async def test_invalid_credentials_are_refused_where_none_are_required(gateway, auth):
    """Whoever sends credentials means them; to be taken for nobody would be a surprise."""
    exchange = await gateway.ask(auth(Token("jwt"), is_required=False), **bearing("jwt bad"))
    assert exchange.response.status == 401
    assert gateway.service.asked == []


async def test_nobody_may_ask_where_no_credentials_are_required(gateway, auth):
    exchange = await gateway.ask(auth(Token("jwt"), is_required=False))
    assert (exchange.response.status, exchange.principal) == (200, None)


async def test_nobody_may_ask_where_nobody_can_be_known_but_must_be(gateway, auth):
    assert (await gateway.ask(auth())).response.status == 401


async def test_with_nothing_to_try_it_is_free(gateway, auth):
    assert gateway.compile(auth(is_required=False)).handler is gateway.service


@pytest.mark.parametrize("answer", [False, True, "jo", {}], ids=repr)
async def test_what_is_no_principal_lets_nobody_in(gateway, auth, answer, caplog):
    """``return False`` must not mean yes."""

    class Confused(Token):
        async def authenticate(self, request):
            return answer

    exchange = await gateway.ask(auth(Confused("jwt")))
    assert exchange.response.status == 500
    assert gateway.service.asked == []
    assert "instead of a Principal or None" in caplog.text


async def test_an_authenticator_that_fails_lets_nobody_in(gateway, auth, caplog):
    class Broken(Token):
        async def authenticate(self, request):
            raise ConnectionError("no keys")

    # Also where those who were asked before have nothing to say.
    for authenticators in ([Broken("jwt")], [Token("key"), Broken("jwt")], [Broken("jwt"), Token("key")]):
        exchange = await gateway.ask(auth(*authenticators, is_required=False))
        assert exchange.response.status == 500
    assert gateway.service.asked == []


async def test_a_task_is_needed_only_if_an_authenticator_waits(gateway, auth):
    token = Token("jwt")
    assert gateway.compile(auth(token)).needs_task
    token.waits = False  # type: ignore[attr-defined]  # what a component may say
    assert not gateway.compile(auth(token)).needs_task


# skipPaths.

SKIPPING = RouteAuth(
    required=True, skip_paths=(parse_skip_path("/orders/public/*"), parse_skip_path("/orders/caf%c3%a9"))
)


@pytest.mark.parametrize("path", ["/orders/public", "/orders/public/", "/orders/public/a/b", "/orders/caf%C3%A9/x"])
async def test_on_skipped_paths_nobody_is_asked(gateway, auth, path):
    token = Token("jwt")
    exchange = await gateway.ask(auth(token, skips=SKIPPING.skips), path=path, **bearing("jwt bad"))
    assert exchange.response.status == 200
    assert token.asked == 0


@pytest.mark.parametrize("path", ["/orders/publicity", "/orders/publi", "/orders", "/orders/x/orders/public"])
async def test_skipping_goes_by_whole_segments(gateway, auth, path):
    assert (await gateway.ask(auth(Token("jwt"), skips=SKIPPING.skips), path=path)).response.status == 401


# Scopes.


@pytest.fixture
def scopes(place):
    def make(*wanted: str, skips=None):
        return place(ScopePolicy(frozenset(wanted), skips=skips), Stage.AUTHORIZE)

    return make


async def test_whoever_has_all_scopes_may_pass(gateway, auth, scopes):
    token = Token("jwt", scopes=frozenset({"read", "write", "more"}))
    assert (await gateway.ask(auth(token), scopes("read", "write"), **bearing("jwt jo"))).response.status == 200


async def test_whoever_lacks_a_scope_is_forbidden(gateway, auth, scopes):
    token = Token("jwt", scopes=frozenset({"read"}))
    exchange = await gateway.ask(auth(token), scopes("read", "write"), **bearing("jwt jo"))
    assert exchange.response.status == 403
    assert exchange.error.detail == "'jo' lacks the scopes ['write']"
    assert b"jo" not in exchange.response.body
    assert gateway.service.asked == []


async def test_nobody_has_no_scopes(gateway, scopes):
    exchange = await gateway.ask(scopes("read"))
    assert exchange.response.status == 403
    assert "nobody" in exchange.error.detail


async def test_without_scopes_the_check_is_free(gateway, scopes):
    assert gateway.compile(scopes()).handler is gateway.service


async def test_on_skipped_paths_no_scope_is_needed(gateway, scopes):
    wanted = scopes("read", skips=SKIPPING.skips)
    assert (await gateway.ask(wanted, path="/orders/public/a")).response.status == 200
    assert (await gateway.ask(wanted, path="/orders/publicity")).response.status == 403


async def test_cancelled_authentication_reaches_nobody(gateway, auth):
    class Slow(Token):
        async def authenticate(self, request):
            await asyncio.Event().wait()

    asking = asyncio.ensure_future(gateway.ask(auth(Slow("jwt"))))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    assert gateway.service.asked == []


async def test_the_service_learns_who_calls(gateway, auth):
    gateway.service.answer = lambda exchange: Response.text(exchange.principal.subject)
    assert (await gateway.ask(auth(Token("jwt")), **bearing("jwt jo"))).response.body == b"jo"


# Authenticators that are only watched.


async def test_one_that_is_only_watched_refuses_nobody_and_lets_nobody_in(gateway, auth, metrics):
    exchange = await gateway.ask(auth(Token("jwt"), shadow=["jwt"]), **bearing("jwt bad"))
    assert exchange.response.status == 200
    (family,) = [each for each in metrics.snapshot() if each.name == "gateway_shadow_decisions_total"]
    assert family.series == {("orders", "jwt", "refuse 401"): 1.0}
    exchange = await gateway.ask(auth(Token("jwt"), shadow=["jwt"]), **bearing("jwt jo"))
    assert exchange.principal is None


async def test_the_others_decide_as_ever(gateway, auth):
    both = auth(Token("jwt"), Token("key"), shadow=["jwt"])
    assert (await gateway.ask(both, **bearing("jwt jo"))).response.status == 401
    assert (await gateway.ask(both, **bearing("key jo"))).principal.subject == "jo"


# Credentials that services do not see.


class Concealing(Token):
    def conceal(self, request):
        request.headers.remove("authorization")


async def test_an_authenticator_may_take_its_credentials_off(gateway, auth):
    await gateway.ask(auth(Token("key"), Concealing("jwt")), **bearing("key jo"))
    assert "authorization" not in gateway.service.asked[0].request.headers


async def test_it_does_not_where_it_is_only_watched(gateway, auth):
    await gateway.ask(auth(Concealing("jwt"), shadow=["jwt"]), **bearing("jwt jo"))
    assert gateway.service.asked[0].request.headers["authorization"] == "jwt jo"


async def test_what_has_nothing_to_conceal_says_none(gateway, auth):
    token = Token("jwt")
    token.conceal = None  # type: ignore[attr-defined]  # what a component may say
    assert (await gateway.ask(auth(token), **bearing("jwt jo"))).response.status == 200


# Callers who are known at once.


class Recalling(Token):
    """Remembers who was let in, by what they sent."""

    waits = False

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self.known: dict[str | None, Any] = {}
        self.recalled = 0

    def recall(self, request: Request) -> Principal | None:
        self.recalled += 1
        return self.known.get(request.headers.get("authorization"))

    async def authenticate(self, request: Request) -> Principal | None:
        principal = await super().authenticate(request)
        if principal is not None:
            self.known[request.headers.get("authorization")] = principal
        return principal


async def test_whom_an_authenticator_recalls_it_is_not_asked_about(gateway, auth):
    token = Recalling("jwt")
    compiled = gateway.compile(auth(token))
    first = await gateway.ask(compiled=compiled, **bearing("jwt jo"))
    again = await gateway.ask(compiled=compiled, **bearing("jwt jo"))
    assert (token.recalled, token.asked) == (2, 1)
    assert again.response.status == 200
    assert again.principal is first.principal


async def test_recalling_needs_no_coroutine(gateway, auth):
    token = Recalling("jwt")
    token.known["jwt jo"] = Principal(subject="jo")
    answer = object()
    handler = auth(token).policy.wrap(lambda exchange: answer, gateway.route)
    request = Request("GET", "/", headers=Headers.of([("authorization", "jwt jo")]))
    exchange = Exchange(request, None)  # type: ignore[arg-type]  # never answered
    assert handler(exchange) is answer


async def test_whom_it_does_not_recall_it_is_asked_about(gateway, auth):
    token = Recalling("jwt")
    compiled = gateway.compile(auth(token))
    await gateway.ask(compiled=compiled, **bearing("jwt jo"))
    wrong = await gateway.ask(compiled=compiled, **bearing("jwt bad"))
    assert (wrong.response.status, wrong.principal) == (401, None)
    assert wrong.response.headers["www-authenticate"] == 'Jwt realm="gateway"'
    assert (await gateway.ask(compiled=compiled)).response.status == 401
    assert (token.recalled, token.asked) == (3, 3)
    assert len(gateway.service.asked) == 1


async def test_nobody_may_ask_where_nobody_is_recalled_or_required(gateway, auth):
    exchange = await gateway.ask(auth(Recalling("jwt"), is_required=False))
    assert (exchange.response.status, exchange.principal) == (200, None)


@pytest.mark.parametrize("answer", [False, True, "jo", {"subject": "jo"}], ids=repr)
async def test_what_is_recalled_and_no_principal_lets_nobody_in(gateway, auth, answer):
    token = Recalling("jwt")
    token.known["jwt bad"] = answer
    assert (await gateway.ask(auth(token), **bearing("jwt bad"))).response.status == 401
    assert token.asked == 1
    assert gateway.service.asked == []


@pytest.mark.parametrize("waits", [False, True])
async def test_a_recall_that_fails_lets_nobody_in(gateway, auth, caplog, waits):
    class Broken(Recalling):
        def recall(self, request):
            raise KeyError("no table")

    token = Broken("jwt")
    token.waits = waits
    exchange = await gateway.ask(auth(token, is_required=False), **bearing("jwt jo"))
    assert (exchange.response.status, exchange.principal) == (500, None)
    assert gateway.service.asked == []
    assert "plugin 'culprit' failed" in caplog.text


async def test_policies_further_out_see_a_failing_recall_as_a_response(gateway, auth, place, policy_of, caplog):
    class Broken(Recalling):
        def recall(self, request):
            raise KeyError("no table")

    async def sign(exchange, call_next):
        response = await call_next(exchange)
        response.headers.add("x-signed", "yes")
        return response

    exchange = await gateway.ask(place(policy_of(sign), Stage.EDGE), auth(Broken("jwt")))
    assert (exchange.response.status, exchange.response.headers["x-signed"]) == (500, "yes")


async def test_credentials_that_are_recalled_are_concealed_too(gateway, auth):
    class Both(Recalling, Concealing):
        pass

    compiled = gateway.compile(auth(Both("jwt")))
    for _ in range(2):
        await gateway.ask(compiled=compiled, **bearing("jwt jo"))
    assert ["authorization" in exchange.request.headers for exchange in gateway.service.asked] == [False, False]


async def test_scopes_are_asked_of_those_who_are_recalled(gateway, auth, scopes):
    compiled = gateway.compile(auth(Recalling("jwt", scopes=frozenset({"read"}))), scopes("read", "write"))
    for _ in range(2):
        assert (await gateway.ask(compiled=compiled, **bearing("jwt jo"))).response.status == 403


async def test_one_that_is_only_watched_recalls_nobody(gateway, auth):
    token = Recalling("jwt")
    token.known["jwt bad"] = Principal(subject="jo")
    exchange = await gateway.ask(auth(token, shadow=["jwt"]), **bearing("jwt bad"))
    assert (exchange.response.status, exchange.principal) == (200, None)
    assert token.recalled == 0


async def test_of_several_each_is_asked_in_its_turn(gateway, auth):
    """Who comes later must not let in whom an earlier one refuses."""
    first, second = Token("jwt"), Recalling("key")
    second.known["jwt bad"] = Principal(subject="jo")
    assert (await gateway.ask(auth(first, second), **bearing("jwt bad"))).response.status == 401
    assert (first.asked, second.asked, second.recalled) == (1, 0, 0)


async def test_on_skipped_paths_nobody_is_recalled(gateway, auth):
    token = Recalling("jwt")
    token.known["jwt jo"] = Principal(subject="jo")
    exchange = await gateway.ask(auth(token, skips=SKIPPING.skips), path="/orders/public", **bearing("jwt jo"))
    assert (exchange.response.status, exchange.principal, token.recalled) == (200, None, 0)
