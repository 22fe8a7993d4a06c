from __future__ import annotations

import json
import logging
import types

import pytest

from gateway import ErrorType, Exchange, GatewayError, Headers, RateLimited, Request, Route, Unauthorized
from gateway.pipeline import Containment
from gateway.pipeline.compiled import accepts_json

pytestmark = pytest.mark.anyio


def an_exchange(accept: str | None = None) -> Exchange:
    headers = Headers.of([("accept", accept)] if accept is not None else [])
    exchange = Exchange(Request("GET", "/a", query="token=secret", headers=headers, id="r-1"), None)  # type: ignore[arg-type]  # never answered
    exchange.route = Route(id="orders", path="/a", service="orders")
    return exchange


def contain(error, *, accept=None, blame=lambda traceback: None, **options):
    exchange = an_exchange(accept)
    response = Containment(blame, **options).response(exchange, error)
    return response, exchange


@pytest.mark.parametrize("error_type", list(ErrorType))
def test_every_refusal_has_its_status_and_a_problem_document(error_type):
    response, exchange = contain(GatewayError(error_type, "public", detail="secret"))
    assert response.status == error_type.status
    assert response.headers["content-type"] == "application/problem+json"
    problem = json.loads(response.body)
    assert (problem["detail"], problem["code"], problem["requestId"]) == ("public", error_type.code, "r-1")
    assert b"secret" not in response.body
    assert exchange.error.type is error_type


def test_upstream_timeouts_may_be_answered_as_the_original_gateway_did():
    error = GatewayError(ErrorType.UPSTREAM_TIMEOUT, "slow")
    assert contain(error)[0].status == 504
    response, _ = contain(error, upstream_timeout_status=408)
    assert (response.status, json.loads(response.body)["status"]) == (408, 408)


def test_the_fields_of_a_refusal_are_sent():
    assert contain(Unauthorized(challenge="Basic"))[0].headers["www-authenticate"] == "Basic"
    assert contain(RateLimited(3))[0].headers["retry-after"] == "3"


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [
        (None, True),
        ("*/*", True),
        ("application/json", True),
        ("Application/Problem+JSON", True),
        ("text/html, application/*;q=0.5", True),
        ("text/html", False),
        ("text/plain", False),
        ("", True),
    ],
)
def test_clients_that_take_no_json_get_text(accept, is_json):
    assert accepts_json(accept) is is_json
    response, _ = contain(GatewayError(ErrorType.NOT_FOUND, "route not found"), accept=accept)
    assert (response.body == b"route not found\n") is not is_json


def test_a_bug_is_500_that_says_nothing(caplog):
    def plugin_code():
        raise KeyError("the secret")

    with pytest.raises(KeyError) as raised:
        plugin_code()
    response, exchange = contain(raised.value, blame=lambda traceback: "cache")
    assert response.status == 500
    assert json.loads(response.body)["detail"] == "internal error"
    assert b"secret" not in response.body
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("plugin 'cache' failed on route orders: KeyError: 'the secret'\n")
    assert "plugin_code" in record.getMessage()
    assert (record.request_id, record.route, record.plugin) == ("r-1", "orders", "cache")
    assert exchange.error is raised.value


def test_a_bug_of_nobodys_is_the_gateways_own(caplog):
    contain(KeyError("x"))
    assert caplog.records[0].getMessage().startswith("the gateway failed on route orders")


def test_the_cores_frames_at_the_beginning_are_left_out(caplog):
    module = types.ModuleType("gateway.pipeline.invented")
    exec("def call(function):\n    function()", module.__dict__)  # noqa: S102 - a frame of the core's

    def plugin_code():
        raise KeyError("x")

    with pytest.raises(KeyError) as raised:
        module.call(plugin_code)
    error = raised.value.with_traceback(raised.value.__traceback__.tb_next)  # type: ignore[union-attr]  # it was raised
    contain(error)
    text = caplog.records[0].getMessage()
    assert "plugin_code" in text
    assert "in call" not in text


def test_failures_are_logged_and_refusals_only_for_debugging(caplog):
    caplog.set_level(logging.INFO, "gateway")
    contain(GatewayError(ErrorType.FORBIDDEN, "no"))
    assert caplog.records == []
    contain(GatewayError(ErrorType.BAD_GATEWAY, "no", detail="10.0.0.7 refused"))
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.WARNING, "GET /a: bad_gateway: 10.0.0.7 refused")
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        GatewayError("not_found", "a text is no ErrorType"),  # type: ignore[arg-type]  # what a plugin may do
        GatewayError(ErrorType.FORBIDDEN, b"bytes"),  # type: ignore[arg-type]  # as above
    ],
    ids=["type", "message"],
)
def test_an_error_that_cannot_be_rendered_is_500(error, caplog):
    response, _ = contain(error)
    assert response.status == 500
    assert json.loads(response.body)["code"] == "internal"


def test_who_is_to_blame_may_be_hard_to_say(caplog):
    def blame(traceback):
        raise RuntimeError("no idea")

    response, _ = contain(KeyError("x"), blame=blame)
    assert response.status == 500
    assert "no idea" in caplog.text


# Observers.


class Watcher:
    def __init__(self, *, fails: bool = False) -> None:
        self.seen: list[object] = []
        self._fails = fails

    def exchange_finished(self, exchange):
        self.seen.append(exchange)
        if self._fails:
            raise ValueError("bad label")

    def attempt_finished(self, exchange, attempt):
        self.seen.append(attempt)
        if self._fails:
            raise ValueError("bad label")


async def test_observers_are_told_and_cannot_change_anything(gateway, caplog):
    broken, watcher = Watcher(fails=True), Watcher()
    exchange = await gateway.ask(observers=[broken, watcher])
    assert exchange.response.status == 200
    assert broken.seen == watcher.seen == [exchange]
    assert gateway.finished == 1
    (record,) = caplog.records
    assert record.getMessage() == "plugin 'culprit' failed in the observer Watcher: ValueError: bad label"


async def test_an_observer_that_always_fails_does_not_fill_the_log(gateway, caplog):
    broken = Watcher(fails=True)
    compiled = gateway.compile(observers=[broken])
    for _ in range(20):
        await gateway.ask(compiled=compiled)
    assert len(broken.seen) == 20
    assert len(caplog.records) == 1


async def test_observers_of_attempts_are_contained_too(gateway, caplog):
    broken, watcher = Watcher(fails=True), Watcher()
    observers = gateway.observers(broken, watcher)
    assert observers
    observers.attempt_finished(an_exchange(), "attempt")
    assert watcher.seen == ["attempt"]
    assert not gateway.observers()


async def test_a_compiled_route_shows_itself(gateway):
    assert repr(gateway.compile()) == "<CompiledRoute orders>"
