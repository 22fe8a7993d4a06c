"""Who may use a route: the decision, then what the configuration says of it."""

from __future__ import annotations

import pytest

from gateway.config.access import AccessError, RouteAuth, Wish, decide, parse_skip_path
from gateway.routing import parse_pattern

NOBODY_SAYS = Wish()


def decided(wish=NOBODY_SAYS, *, is_required=False, scopes=(), skip_paths=(), path="/api/*", path_type="template"):
    return decide(
        wish,
        is_required=is_required,
        scopes=frozenset(scopes),
        skip_paths=[parse_skip_path(skipped) for skipped in skip_paths],
        pattern=parse_pattern(path, path_type),
    )


def test_without_a_word_credentials_are_optional():
    assert decided() == RouteAuth(required=False, scopes=frozenset(), skip=False, skip_paths=())


@pytest.mark.parametrize(
    "wish",
    [Wish(required=True), Wish(scopes=frozenset({"admin"})), Wish(types=("jwt",)), Wish(required=True, types=("a",))],
)
def test_whatever_asks_for_credentials_requires_them(wish):
    assert decided(wish).required
    assert not decided(wish).skip


def test_the_gateway_requires_credentials_everywhere():
    assert decided(is_required=True) == RouteAuth(required=True)


def test_scopes_of_gateway_and_rule_add_up_and_require_credentials():
    assert decided(Wish(scopes=frozenset({"b"})), scopes=["a"]) == RouteAuth(
        required=True, scopes=frozenset({"a", "b"})
    )
    assert decided(scopes=["a"]).required


def test_a_rule_can_ask_for_nothing_where_the_gateway_does_not():
    assert decided(Wish(required=False)) == RouteAuth(skip=True)


@pytest.mark.parametrize("gateway", [{"is_required": True}, {"scopes": ["a"]}])
def test_a_rule_cannot_ask_for_less_than_the_gateway(gateway):
    auth = decided(Wish(required=False), **gateway)
    assert auth.required
    assert not auth.skip


@pytest.mark.parametrize("wish", [Wish(required=False, types=("jwt",)), Wish(required=False, scopes=frozenset({"a"}))])
def test_asking_and_not_asking_is_a_contradiction(wish):
    with pytest.raises(AccessError, match="remove one or the other"):
        decided(wish)


# skipPaths


@pytest.mark.parametrize("skipped", ["/public", "/public/", "/public/*", "/public*", "/%70ublic"])
@pytest.mark.parametrize("path", ["/public", "/public/", "/public/*", "/public/:id", "/public/a/b"])
def test_a_route_below_a_skipped_path_is_skipped(skipped, path):
    assert decided(is_required=True, skip_paths=[skipped], path=path) == RouteAuth(skip=True)


@pytest.mark.parametrize("path", ["/", "/publicity", "/publicity/*", "/pub", "/other/*", "/Public", "/a*"])
def test_a_route_beside_a_skipped_path_is_not(path):
    auth = decided(is_required=True, skip_paths=["/public/x"], path=path)
    assert auth == RouteAuth(required=True)


@pytest.mark.parametrize("path", ["/*", "/:id/*", "/:id", "/p*", "/{name}ic/*"])
def test_a_route_that_holds_a_skipped_path_asks_elsewhere(path):
    auth = decided(is_required=True, skip_paths=["/public"], path=path)
    assert auth == RouteAuth(required=True, skip_paths=("/public",))


def test_a_regex_may_hold_any_skipped_path():
    auth = decided(is_required=True, skip_paths=["/public"], path="/[a-z]+/.*", path_type="regex")
    assert auth.skip_paths == ("/public",)


def test_skipping_the_root_skips_everything():
    assert decided(is_required=True, skip_paths=["/"], path="/[a-z]+", path_type="regex").skip


@pytest.mark.parametrize("wish", [Wish(required=True), Wish(scopes=frozenset({"a"})), Wish(types=("jwt",))])
def test_a_rule_that_asks_must_not_lie_below_a_skipped_path(wish):
    with pytest.raises(AccessError, match=r"gateway\.auth\.skipPaths has '/public'"):
        decided(wish, skip_paths=["/public"], path="/public/admin")
    with pytest.raises(AccessError, match=r"gateway\.auth\.skipPaths has '/'"):
        decided(wish, skip_paths=["/"])


@pytest.mark.parametrize(
    ("path", "is_skipped"),
    [
        ("/public", True),
        ("/public/", True),
        ("/public/a", True),
        ("/publicity", False),
        ("/", False),
        ("/a/public", False),
        ("/Public", False),
        ("/job:run", True),
        ("/job%3Arun/x", True),
    ],
)
def test_paths_are_compared_segment_by_segment(path, is_skipped):
    auth = decided(is_required=True, skip_paths=["/public", "/job:run"], path="/*")
    assert auth.skips(path) is is_skipped


def test_a_skipped_route_skips_every_path():
    assert RouteAuth(skip=True).skips("/anything")
    assert not RouteAuth(required=True).skips("/anything")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("public", "'public' is not a path; begin it with '/'"),
        ("/a/*/b", "'/a/*/b' has a '*' elsewhere than at its end"),
        ("/a b", "'/a b' is not a path: ' ' may not stand in a path"),
    ],
)
def test_paths_that_cannot_be_skipped(text, problem):
    with pytest.raises(ValueError, match="^" + problem.replace("*", r"\*")):
        parse_skip_path(text)


# In a configuration.


class Secured:
    """Loads one rule with keys of its own below keys of the gateway's ``auth``."""

    def __init__(self, load):
        self._load = load
        self.warnings: list[str] = []

    def __call__(self, auth, keys=""):
        configuration = self._load(self._text(auth, keys))
        self.warnings = [str(warning) for warning in configuration.warnings]
        return configuration.rules[0]

    def problems(self, auth, keys=""):
        return self._load.problems(self._text(auth, keys))

    def _text(self, auth, keys):
        lines = "".join(f"      {line}\n" for line in keys.splitlines())
        return f"{self._load.one_rule}{lines}  auth: {auth}\n"


@pytest.fixture
def secured(load, index):
    """With JWT and API keys installed."""
    index.add("jwt", "apikey")
    return Secured(load)


def names(rule):
    return [authenticator.name for authenticator in rule.authenticators]


def test_authenticators_that_are_on_are_tried_by_name(secured):
    rule = secured("{jwt: {}, apikey: {}}")
    assert names(rule) == ["apikey", "jwt"]
    assert not rule.auth.required


def test_providers_are_tried_in_their_order_and_no_others(secured):
    assert names(secured("{providers: [jwt, apikey, jwt], apikey: {}, jwt: {}}")) == ["jwt", "apikey"]
    assert names(secured("{providers: jwt, apikey: {}, jwt: {}}")) == ["jwt"]
    assert names(secured("{providers: [], apikey: {}}")) == []


def test_naming_a_provider_turns_it_on(secured):
    assert names(secured("{required: true, providers: [jwt]}")) == ["jwt"]


def test_a_provider_that_is_turned_off_is_left_out_with_a_warning(secured):
    assert names(secured("{providers: [jwt, apikey], jwt: {enabled: false}, apikey: {}}")) == ["apikey"]
    assert secured.warnings == [
        "gateway.yaml:11:22: gateway.auth.providers[0]: names 'jwt', which 'enabled: false' turns off"
    ]


def test_a_provider_that_is_missing(secured):
    assert secured.problems("{providers: [jwt, oauth2, ldap]}") == [
        (
            "gateway.yaml:11:27: gateway.auth.providers[1]: no installed plugin provides the authenticator 'oauth2'; "
            "it ships in gateway-oauth2:  pip install 'gateway[oauth2]'"
        ),
        (
            "gateway.yaml:11:35: gateway.auth.providers[2]: no installed plugin provides the authenticator 'ldap'; "
            "installed are 'apikey', 'jwt'"
        ),
    ]


def test_a_single_provider_that_is_missing(secured):
    (problem,) = secured.problems("{providers: ldap}")
    assert problem.startswith("gateway.yaml:11:21: gateway.auth.providers: no installed plugin provides the")


def test_a_rule_chooses_among_what_is_configured(secured):
    assert names(secured("{providers: [jwt], jwt: {}, apikey: {}}", "  authType: apikey")) == ["apikey"]
    assert names(secured("{providers: [jwt, apikey]}", "  auth: {type: [apikey, jwt]}")) == ["jwt", "apikey"]


def test_a_rule_cannot_choose_what_is_not_configured(secured):
    assert secured.problems("{jwt: {}}", "  authType: [apikey, ldap]") == [
        (
            "gateway.yaml:11:19: gateway.router.rules[0].authType: the authenticator 'apikey' is not configured; "
            "add gateway.auth.apikey"
        ),
        (
            "gateway.yaml:11:19: gateway.router.rules[0].authType: no installed plugin provides the authenticator "
            "'ldap'; installed are 'apikey', 'jwt'"
        ),
    ]


def test_a_rule_can_configure_an_authenticator_of_its_own(secured):
    rule = secured("{jwt: {issuer: a}, apikey: {}, providers: [apikey]}", "  auth: {jwt: {secret: x}}")
    assert names(rule) == ["apikey", "jwt"]
    assert (rule.authenticators[1].config.issuer, rule.authenticators[1].config.secret.get_secret_value()) == ("a", "x")


@pytest.mark.parametrize(
    ("auth", "keys", "place"),
    [
        ("{required: true}", "", "11:10: gateway.auth.required"),
        ("{requiredScopes: [a]}", "", "11:10: gateway.auth.requiredScopes"),
        ("{required: true, providers: []}", "", "11:10: gateway.auth.required"),
        ("{required: true, providers: [jwt], jwt: {enabled: false}}", "", "11:10: gateway.auth.required"),
        ("{required: true, jwt: {}}", "  auth: {jwt: {enabled: false}}", "12:10: gateway.auth.required"),
        ("{}", "  authRequired: true", "11:9: gateway.router.rules[0].authRequired"),
        ("{}", "  auth: {required: true}", "11:16: gateway.router.rules[0].auth.required"),
        ("{}", "  auth: {scopes: [a]}", "11:16: gateway.router.rules[0].auth.scopes"),
    ],
)
def test_credentials_that_nobody_could_check_cannot_be_required(secured, auth, keys, place):
    assert secured.problems(auth, keys) == [
        (
            f"gateway.yaml:{place}: credentials are required and no authenticator is on that could check them; "
            "configure 'apikey' or 'jwt'"
        )
    ]


def test_an_authenticator_that_is_wrong_is_reported_once(secured):
    assert secured.problems("{required: true, jwt: {issuer: [1]}}") == [
        "gateway.yaml:11:40: gateway.auth.jwt.issuer: this list is not text; write a single value"
    ]


def test_credentials_are_required_also_where_there_is_no_rule(load):
    assert load.problems("gateway: {auth: {required: true}}") == [
        (
            "gateway.yaml:1:18: gateway.auth.required: credentials are required and no authenticator is on that could "
            "check them; install and configure one, such as gateway-jwt"
        )
    ]


def test_credentials_that_somebody_could_check_can_be_required_without_a_rule(load, index):
    index.add("jwt")
    assert load("gateway: {auth: {required: true, jwt: {}}}").gateway.auth.required


def test_a_rule_that_asks_for_nothing_has_no_authenticators(secured):
    rule = secured("{jwt: {}}", "  authRequired: false")
    assert rule.auth == RouteAuth(skip=True)
    assert rule.authenticators == ()


def test_asking_for_nothing_has_no_effect_where_the_gateway_asks(secured):
    rule = secured("{required: true, jwt: {}}", "  authRequired: false")
    assert rule.auth.required
    assert names(rule) == ["jwt"]
    assert secured.warnings == [
        (
            "gateway.yaml:11:9: gateway.router.rules[0].authRequired: has no effect, because gateway.auth asks "
            "everybody for credentials; name the path in its skipPaths"
        )
    ]


def test_skipped_paths_of_a_configuration(secured):
    rule = secured("{required: true, jwt: {}, skipPaths: [/public/*, /health]}")
    assert rule.auth.skip_paths == ("/public", "/health")
    assert secured("{required: true, jwt: {}, skipPaths: /}").auth.skip
    assert secured.warnings == [
        "gateway.yaml:11:35: gateway.auth.skipPaths: nobody is asked for credentials anywhere, because of '/'"
    ]
    assert secured.problems("{skipPaths: [public]}") == [
        "gateway.yaml:11:22: gateway.auth.skipPaths[0]: 'public' is not a path; begin it with '/'"
    ]


def test_both_spellings_must_agree(secured):
    (problem,) = secured.problems("{jwt: {}}", "  authRequired: true\n  auth: {required: false}")
    assert problem.endswith("rules[0].authRequired: authRequired and auth.required differ; remove one of them")
    assert secured.problems("{jwt: {}}", "  authType: jwt\n  auth: {type: apikey}")[0].endswith(
        "authType and auth.type differ; remove one of them"
    )
    assert secured("{jwt: {}}", "  authRequired: true\n  auth: {required: true}").auth.required


def test_the_original_gateway_wrote_access_into_the_metadata(secured):
    rule = secured("{jwt: {}}", "  metadata: {authRequired: true, requiredScopes: [a], team: b}")
    assert rule.auth == RouteAuth(required=True, scopes=frozenset({"a"}))
    assert rule.route.metadata == {"team": "b"}
