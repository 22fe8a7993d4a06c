"""What may stand in the configuration, and origins."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.errors import ConfigurationError
from gateway_websocket.config import BackendWebSocketConfig, WebSocketConfig
from gateway_websocket.limits import ServiceLimits, client_limits, keep_alive_times
from gateway_websocket.origins import OriginCheck, parse_allowed_origin
from gateway_websocket.refused import REFUSED, REFUSED_BACKEND, REFUSED_IN_RULES

REFUSED_KEYS = {
    "websocket": REFUSED,
    "rule": {**REFUSED, **{key.rpartition(".")[2]: reason for key, reason in REFUSED_IN_RULES.items()}},
    "backend": REFUSED_BACKEND,
}


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "gw.test", True),
        ("https://gw.test", "gw.test", True),
        ("https://gw.test:443", "gw.test", True),
        ("https://gw.test", "gw.test:443", True),
        ("HTTPS://GW.test", "gw.test", True),
        ("https://gw.test:8443", "gw.test", False),
        ("http://gw.test:8080", "gw.test:8080", True),
        ("https://app.example.com", "gw.test", True),
        ("https://app.example.com:443", "gw.test", True),
        ("http://app.example.com", "gw.test", False),
        ("https://a.shop.example", "gw.test", True),
        ("https://a.b.shop.example", "gw.test", True),
        ("https://shop.example", "gw.test", False),
        ("https://evilshop.example", "gw.test", False),
        ("https://.shop.example", "gw.test", False),
        ("https://app.example.com.evil", "gw.test", False),
        ("null", "gw.test", False),
        ("", "gw.test", False),
        ("gw.test", "gw.test", False),
    ],
)
def test_origins(origin, host, allowed):
    check = OriginCheck(
        [parse_allowed_origin(each) for each in ("https://App.example.com:443", "https://*.shop.example")]
    )
    assert check.allows([] if origin is None else [origin], host) is allowed


def test_a_star_lets_all_in_and_null_can_be_named():
    assert OriginCheck(["*"]).allows(["https://any.example"], "gw")
    assert OriginCheck(["null"]).allows(["null"], "gw")
    assert not OriginCheck(["null"]).allows(["null", "null"], "gw")


@pytest.mark.parametrize("text", ["example.com", "https://", "https://a/path", "https://*", "ftp://a", "https://u@a"])
def test_what_is_no_origin_is_refused(text):
    with pytest.raises(ValidationError, match="is not an origin"):
        WebSocketConfig.model_validate({"allowedOrigins": [text]})


def test_tls_needs_the_port():
    with pytest.raises(ValidationError, match="add 'port'"):
        WebSocketConfig.model_validate({"tls": {"certFile": "a", "keyFile": "b"}})


@pytest.mark.parametrize(
    ("period", "wait", "expected"),
    [(54, 60, (54, 60)), (30, 10, (30, 40)), (0, 60, (math.inf, math.inf)), (30, 0, (30, math.inf))],
)
def test_keep_alive_times(period, wait, expected):
    assert keep_alive_times(period, wait) == expected


def test_the_period_follows_the_wait():
    assert WebSocketConfig(pong_wait=30).effective_ping_period == 27
    assert WebSocketConfig(pong_wait=30, ping_period=5).effective_ping_period == 5


def test_services_are_not_limited_by_default():
    assert ServiceLimits.of(BackendWebSocketConfig()) == ServiceLimits()


@pytest.mark.anyio
async def test_aliases_are_understood(websocket_gateway, raw_service):
    gateway = await websocket_gateway(
        raw_service, {"messageLimit": "2MB", "pingInterval": 5}, backend={"handshakeTimeout": 3, "pingPeriod": 7}
    )
    (rule,) = gateway.gateway.configuration.rules
    assert rule.route.timeout_s == 3
    assert rule.route.allow_upgrade == {"websocket"}
    (policy,) = [each.config for each in rule.policies if each.name == "websocket"]
    assert (policy.max_message_size, policy.ping_period) == (2 * 1024 * 1024, 5)


@pytest.mark.parametrize(("where", "key"), [(where, key) for where, keys in REFUSED_KEYS.items() for key in keys])
@pytest.mark.anyio
async def test_what_means_nothing_is_refused_with_the_reason(websocket_gateway, raw_service, where, key):
    blocks: dict[str, dict[str, Any]] = {"websocket": {}, "rule": {}, "backend": {}}
    blocks[where] = {key: 1} if where != "rule" else {"websocket": {key: 1}}
    with pytest.raises(ConfigurationError) as refused:
        await websocket_gateway(raw_service, blocks["websocket"], rule=blocks["rule"], backend=blocks["backend"])
    (problem,) = refused.value.problems
    assert problem.path.endswith(f"websocket.{key}")
    assert problem.message == REFUSED_KEYS[where][key]


@pytest.mark.parametrize("name", ["", "two words", "a,b"])
def test_what_is_no_subprotocol_is_refused(name):
    with pytest.raises(ValidationError, match="is not the name of a subprotocol"):
        WebSocketConfig.model_validate({"subprotocols": [name]})


def test_services_have_the_write_timeout_of_clients_unless_they_have_their_own():
    clients = WebSocketConfig(write_timeout=20)

    def seconds(**keys: float) -> float:
        service = ServiceLimits.of(BackendWebSocketConfig.model_validate(keys))
        return client_limits(clients, service, has_extensions=False).service_write_timeout_s

    assert (seconds(), seconds(writeTimeout=5), seconds(writeTimeout=0)) == (20, 5, math.inf)
