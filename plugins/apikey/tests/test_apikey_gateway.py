"""API keys through a whole gateway."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from gateway.errors import ConfigurationError

pytestmark = pytest.mark.anyio

RED = "red-3b1f8e3f2d6c4a5b"
BLUE = "blue-91c2d0e47a6b5f38"


def auth(*, rest=None, **block):
    block.setdefault("keys", {"red": {"key": RED}, "blue": {"key": BLUE, "scopes": ["read", "write"]}})
    return {"auth": {"required": True, "apiKey": block, **(rest or {})}}


async def test_the_holder_of_a_key_may_pass_and_the_service_learns_who_it_is(gateway_factory, upstream):
    key = {"key": RED, "subject": "team-red", "type": "user", "scopes": ["write", "read"]}
    gateway = await gateway_factory(auth(keys={"red": key}), upstream=upstream)
    answer = await gateway.ask("GET", "/", headers={"x-api-key": RED})
    assert answer.status == 200
    (request,) = upstream.requests
    assert request["x-auth-subject"] == "team-red"
    assert request["x-auth-type"] == "user"
    assert request["x-auth-provider"] == "apikey"
    assert request["x-auth-scopes"] == "read write"
    assert request["x-api-key"] == RED, "forwarded unless stripKey says otherwise"


async def test_without_a_key_it_is_401_with_a_challenge(gateway_factory, upstream):
    gateway = await gateway_factory(auth(), upstream=upstream)
    answer = await gateway.ask("GET", "/")
    assert (answer.status, answer["www-authenticate"]) == (401, "ApiKey")
    assert not upstream.requests


@pytest.mark.parametrize("key", ["", "wrong", RED.upper(), RED[:-1], f"{RED}x", "x" * 7000, f"{RED},{RED}"])
async def test_a_wrong_key_is_401_with_a_challenge_also_where_none_is_required(gateway_factory, upstream, key):
    settings = auth()
    settings["auth"]["required"] = False
    gateway = await gateway_factory(settings, upstream=upstream)
    answer = await gateway.ask("GET", "/", headers=[("x-api-key", key)])
    assert (answer.status, answer["www-authenticate"]) == (401, "ApiKey")
    assert RED not in answer.text
    assert (await gateway.ask("GET", "/")).status == 200
    assert len(upstream.requests) == 1
    assert "x-auth-subject" not in upstream.requests[0]


async def test_a_field_that_is_there_twice_is_refused_even_if_one_is_right(gateway_factory, upstream):
    gateway = await gateway_factory(auth(), upstream=upstream)
    for fields in ([RED, "wrong"], ["wrong", RED], [RED, RED]):
        answer = await gateway.ask("GET", "/", headers=[("x-api-key", value) for value in fields])
        assert answer.status == 401
        assert answer.json()["detail"] == "the API key is malformed"
    assert not upstream.requests


async def test_disabled_and_expired_keys_are_refused(gateway_factory, upstream):
    keys = {
        "off": {"key": "off-key", "disabled": True},
        "old": {"key": "old-key", "expiresAt": "2020-01-01T00:00:00Z"},
        "new": {"key": "new-key", "expiresAt": "2999-01-01T00:00:00+01:00"},
    }
    gateway = await gateway_factory(auth(keys=keys), upstream=upstream)

    async def ask(key):
        answer = await gateway.ask("GET", "/", headers={"x-api-key": key})
        return answer.status, answer.json()["detail"] if answer.status == 401 else ""

    assert await ask("off-key") == (401, "the API key is disabled")
    assert await ask("old-key") == (401, "the API key has expired")
    assert await ask("new-key") == (200, "")


async def test_hashed_keys_are_found_by_the_key_and_not_by_its_hash(gateway_factory, upstream):
    digest = sha256(RED.encode()).hexdigest()
    keys = {"red": {"key": digest.upper()}, "blue": {"hash": f"sha256:{sha256(BLUE.encode()).hexdigest()}"}}
    gateway = await gateway_factory(auth(keys=keys, hashKeys=True), upstream=upstream)
    assert (await gateway.ask("GET", "/", headers={"x-api-key": RED})).status == 200
    assert (await gateway.ask("GET", "/", headers={"x-api-key": BLUE})).status == 200
    assert (await gateway.ask("GET", "/", headers={"x-api-key": digest})).status == 401


async def test_keys_are_taken_from_every_configured_place(gateway_factory, upstream):
    settings = auth(headerName="X-Key", scheme="ApiKey", queryParam="api key", cookieName="key")
    gateway = await gateway_factory(settings, upstream=upstream)
    for target, headers in (
        ("/", {"x-key": RED}),
        ("/", {"authorization": f"apikey {RED}"}),
        ("/", {"authorization": f"ApiKey   {RED}"}),
        (f"/?a=1&api+key={RED}", {}),
        (f"/?api%20key={RED.replace('-', '%2D')}&a=1", {}),
        ("/", {"cookie": f"a=1; key={RED}; b=2"}),
        ("/", {"cookie": f'key="{RED}"'}),
    ):
        assert (await gateway.ask("GET", target, headers=headers)).status == 200, (target, headers)
    wrong: list[tuple[str, Any]] = [
        ("/", {"x-api-key": RED}),
        ("/", {"authorization": f"Bearer {RED}"}),
        ("/", {"authorization": "ApiKey"}),
        ("/", [("authorization", f"ApiKey {RED}"), ("authorization", "Basic YTpi")]),
        (f"/?api+key={RED}&api%20key={RED}", {}),
        ("/", {"cookie": f"key={RED}; key={RED}"}),
        ("/", [("cookie", f"key={RED}"), ("cookie", "key=other")]),
        ("/", {"cookie": f"notkey={RED}"}),
    ]
    for target, headers in wrong:
        assert (await gateway.ask("GET", target, headers=headers)).status == 401, (target, headers)


async def test_a_key_that_is_stripped_is_nowhere_in_what_is_forwarded(gateway_factory, upstream):
    settings = auth(scheme="ApiKey", queryParam="key", cookieName="key", stripKey=True)
    gateway = await gateway_factory(settings, upstream=upstream)
    headers = [
        ("x-api-key", RED),
        ("authorization", f"ApiKey {RED}"),
        ("cookie", f"a=1; key={RED}; b=2"),
        ("cookie", f"key={RED}"),
        ("x-other", "stays"),
    ]
    assert (await gateway.ask("GET", f"/p?a=1&key={RED}&k%65y={RED}&b=2", headers=headers)).status == 200
    (request,) = upstream.requests
    assert RED not in repr((request.target, request.fields))
    assert request.target == "/p?a=1&b=2"
    assert request["cookie"] == "a=1; b=2"
    assert request["x-other"] == "stays"
    assert "authorization" not in request


async def test_stripping_a_key_leaves_other_credentials(gateway_factory, upstream):
    gateway = await gateway_factory(auth(scheme="ApiKey", stripKey=True), upstream=upstream)
    headers = {"x-api-key": RED, "authorization": "Bearer for-the-service"}
    assert (await gateway.ask("GET", "/", headers=headers)).status == 200
    assert upstream.requests[0]["authorization"] == "Bearer for-the-service"


async def test_scopes_of_a_key_decide_with_those_of_the_route(gateway_factory, upstream):
    settings = auth(defaultScopes=["ping"])
    gateway = await gateway_factory(settings, upstream=upstream, rule={"auth": {"scopes": ["ping", "write"]}})
    assert (await gateway.ask("GET", "/", headers={"x-api-key": BLUE})).status == 200
    assert (await gateway.ask("GET", "/", headers={"x-api-key": RED})).status == 403


async def test_a_rule_may_look_elsewhere(gateway_factory, upstream):
    gateway = await gateway_factory(auth(), upstream=upstream, rule={"auth": {"apiKey": {"headerName": "X-Rule"}}})
    assert (await gateway.ask("GET", "/", headers={"x-rule": RED})).status == 200
    assert (await gateway.ask("GET", "/", headers={"x-api-key": RED})).status == 401


async def test_metadata_is_for_plugins_and_for_identity_headers(gateway_factory, upstream):
    settings = auth(keys={"red": {"key": RED, "metadata": {"plan": "gold", "limits": {"a": 1}}}})
    settings["auth"]["identityHeaders"] = {
        "claims": {"plan": "X-Plan", "limits": "X-Limits", "keyId": "X-Key-Id", "none": "X-None"}
    }
    gateway = await gateway_factory(settings, upstream=upstream)
    await gateway.ask("GET", "/", headers={"x-api-key": RED, "x-none": "forged"})
    (request,) = upstream.requests
    assert (request["x-plan"], request["x-limits"], request["x-key-id"]) == ("gold", '{"a": 1}', "red")
    assert "x-none" not in request


async def test_the_spellings_of_the_original_are_taken(gateway_factory, upstream):
    block = {
        "enabled": True,
        "keys": [
            {"name": "red", "hashedKey": sha256(RED.encode()).hexdigest()},
            {"id": "blue", "key": sha256(BLUE.encode()).hexdigest()},
        ],
        "hashAlgorithm": "sha256",
        "header": "X-Key",
        "query": "k",
        "cookie": "c",
    }
    settings = {"auth": {"required": True, "providers": ["apikey"], "apikey": block}}
    gateway = await gateway_factory(settings, upstream=upstream)
    assert (await gateway.ask("GET", "/", headers={"x-key": RED})).status == 200
    assert (await gateway.ask("GET", f"/?k={BLUE}")).status == 200
    assert (await gateway.ask("GET", "/", headers={"cookie": f"c={BLUE}"})).status == 200


async def test_no_keys_at_all_refuse_everybody(gateway_factory, upstream, caplog):
    gateway = await gateway_factory(auth(keys=None), upstream=upstream)
    assert (await gateway.ask("GET", "/", headers={"x-api-key": "a"})).status == 401
    assert "auth.apiKey has no keys" in caplog.text


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"keys": {"a": {"key": ""}}}, "visible ASCII"),
        ({"keys": {"a": {"key": "two words"}}}, "visible ASCII"),
        ({"keys": {"a": {"key": "x" * 1025}}}, "visible ASCII"),
        ({"keys": {"a": {}}}, "give either 'key' or 'hash'"),
        ({"keys": {"a": {"key": "s3cret", "hash": "0" * 64}}}, "give either 'key' or 'hash'"),
        ({"keys": {"a": {"hash": "s3cret"}}}, "not a SHA-256"),
        ({"keys": {"a": {"key": "s3cret"}}, "hashKeys": True}, "the key 'a': hashKeys is true"),
        ({"keys": {"a": {"key": "s3cret"}, "b": {"key": "s3cret"}}}, "'a' and 'b' are the same key"),
        ({"keys": {"a": {"key": "s3cret", "expiresAt": "2027-01-01"}}}, "is not a time with its zone"),
        ({"keys": {"a": {"key": "s3cret", "expiresAt": 17}}}, "is not a time"),
        ({"keys": {"a": {"key": "s3cret", "typ": "user"}}}, "unknown key; did you mean 'type'?"),
        ({"keys": [{"key": "s3cret"}]}, "entry 0 has no id"),
        ({"keys": [{"id": "a", "key": "s3cret"}, {"name": "a", "key": "s3cret2"}]}, "entry 1 has no id or that of"),
        ({"keys": ["s3cret"]}, "entry 0 is not a block"),
        ({"headerName": None}, "no request could carry a key"),
        ({"headerName": "a b"}, "is not the name of a field"),
        ({"headerName": "Authorization"}, "is read otherwise"),
        ({"cookieName": "a=b"}, "is not the name of a cookie"),
        ({"scheme": "a b"}, "is not the name of a scheme"),
        ({"keysFile": "absent.yaml"}, "absent.yaml' cannot be read"),
        ({"onError": "allow"}, "would let anybody in"),
    ],
)
async def test_what_cannot_be_honoured_stops_the_start_and_shows_no_secret(gateway_factory, upstream, block, message):
    with pytest.raises(ConfigurationError) as caught:
        await gateway_factory(auth(**block), upstream=upstream)
    assert message in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_keys_do_not_show_in_the_configuration(gateway_factory, upstream):
    for keys in (
        {"red": {"key": RED}},
        [{"id": "red", "key": RED}],
        {"red": {"hash": sha256(RED.encode()).hexdigest()}},
    ):
        gateway = await gateway_factory(auth(keys=keys), upstream=upstream)
        answer = await gateway.admin("/config")
        assert answer.status == 200
        assert RED not in answer.text
        assert sha256(RED.encode()).hexdigest() not in answer.text


# Keys from a file.


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("keys.yaml", f"red:\n  key: {RED}\n  expiresAt: 2999-01-01T00:00:00Z\n"),
        ("keys.yaml", f"keys:\n  - id: red\n    key: {RED}\n"),
        ("keys.json", json.dumps({"keys": {"red": {"key": RED}}})),
        ("keys.json", json.dumps([{"name": "red", "hashedKey": sha256(RED.encode()).hexdigest()}])),
    ],
)
async def test_keys_come_from_a_file_beside_those_of_the_configuration(
    gateway_factory, upstream, tmp_path, name, content
):
    (tmp_path / name).write_text(content)
    gateway = await gateway_factory(auth(keys={"blue": {"key": BLUE}}, keysFile=name), upstream=upstream)
    assert (await gateway.ask("GET", "/", headers={"x-api-key": RED})).status == 200
    assert (await gateway.ask("GET", "/", headers={"x-api-key": BLUE})).status == 200


async def test_a_changed_file_is_read_again_and_a_broken_one_changes_nothing(
    gateway_factory, upstream, tmp_path, caplog
):
    caplog.set_level("INFO")
    file = tmp_path / "keys.yaml"
    file.write_text(f"red: {{key: {RED}}}")
    gateway = await gateway_factory(auth(keys={}, keysFile="keys.yaml", reloadInterval=0.1), upstream=upstream)

    async def status(key):
        return (await gateway.ask("GET", "/", headers={"x-api-key": key})).status

    assert (await status(RED), await status(BLUE)) == (200, 401)
    file.write_text(f"blue: {{key: {BLUE}, disabled: maybe}}")
    await gateway.eventually(lambda: "the API keys stay as they were" in caplog.text)
    assert (await status(RED), await status(BLUE)) == (200, 401)
    file.write_text(f"blue: {{key: {BLUE}}}  # by another hand")
    await gateway.eventually(lambda: "read 1 API keys" in caplog.text)
    assert (await status(RED), await status(BLUE)) == (401, 200)
    file.unlink()
    await gateway.eventually(lambda: "cannot be read" in caplog.text)
    assert await status(BLUE) == 200
    assert RED not in caplog.text
    assert BLUE not in caplog.text


@pytest.mark.parametrize("block", [{}, {"stripKey": True}, {"scheme": "Token"}], ids=["plain", "stripped", "scheme"])
async def test_every_request_of_a_connection_is_told_alike(gateway_factory, upstream, block):
    """What was found out for the fields of one request serves those that bring the same."""
    gateway = await gateway_factory(auth(**block), upstream=upstream)
    field = {"authorization": f"Token {RED}"} if "scheme" in block else {"x-api-key": RED}
    async with gateway.client() as client:
        for _ in range(3):
            assert (await client.ask("GET", "/", headers=field | {"x-auth-subject": "forged"})).status == 200
        assert (await client.ask("GET", "/", headers=field)).status == 200
        assert (await client.ask("GET", "/", headers={"x-api-key": BLUE})).status == 200
        assert (await client.ask("GET", "/", headers={"x-auth-subject": "forged"})).status == 401
    assert [request.all("x-auth-subject") for request in upstream.requests] == [["red"]] * 4 + [["blue"]]
    assert any("x-api-key" in request for request in upstream.requests) is ("stripKey" not in block)


async def test_a_key_that_ends_while_its_connection_stays_is_refused(gateway_factory, upstream, tmp_path, caplog):
    caplog.set_level("INFO")
    file = tmp_path / "keys.yaml"
    file.write_text(f"red: {{key: {RED}}}")
    gateway = await gateway_factory(auth(keys={}, keysFile="keys.yaml", reloadInterval=0.1), upstream=upstream)
    async with gateway.client() as client:
        for _ in range(3):
            assert (await client.ask("GET", "/", headers={"x-api-key": RED})).status == 200
        ends_at = datetime.now(UTC) + timedelta(seconds=0.5)
        file.write_text(f"red: {{key: {RED}, expiresAt: {ends_at.isoformat()}}}")
        await gateway.eventually(lambda: "read 1 API keys" in caplog.text)
        await gateway.eventually(lambda: datetime.now(UTC) >= ends_at)
        assert (await client.ask("GET", "/", headers={"x-api-key": RED})).status == 401
        file.write_text(f"red: {{key: {RED}, disabled: true}}")
        await gateway.eventually(lambda: caplog.text.count("read 1 API keys") > 1)
        assert (await client.ask("GET", "/", headers={"x-api-key": RED})).status == 401


async def test_a_reload_reads_a_changed_file_at_once(gateway_factory, upstream, tmp_path):
    file = tmp_path / "keys.yaml"
    file.write_text(f"red: {{key: {RED}}}")
    gateway = await gateway_factory(auth(keys={}, keysFile="keys.yaml", reloadInterval="1h"), upstream=upstream)
    file.write_text(f"blue: {{key: {BLUE}}}  # longer")
    await gateway.admin("/reload", method="POST")
    assert (await gateway.ask("GET", "/", headers={"x-api-key": BLUE})).status == 200
