from __future__ import annotations

import json
import pickle

import pytest

from gateway import ErrorType, GatewayError, RateLimited, Unauthorized
from gateway.errors import ConfigurationError, Problem, problem_body


@pytest.mark.parametrize(
    ("error_type", "code", "status"),
    [
        (ErrorType.NOT_FOUND, "not_found", 404),
        (ErrorType.METHOD_NOT_ALLOWED, "method_not_allowed", 405),
        (ErrorType.UNAVAILABLE, "unavailable", 503),
        (ErrorType.TIMEOUT, "timeout", 408),
        (ErrorType.BAD_REQUEST, "bad_request", 400),
        (ErrorType.UNAUTHORIZED, "unauthorized", 401),
        (ErrorType.FORBIDDEN, "forbidden", 403),
        (ErrorType.PAYLOAD_TOO_LARGE, "payload_too_large", 413),
        (ErrorType.URI_TOO_LONG, "uri_too_long", 414),
        (ErrorType.MISDIRECTED, "misdirected", 421),
        (ErrorType.RATE_LIMIT, "rate_limit", 429),
        (ErrorType.HEADERS_TOO_LARGE, "headers_too_large", 431),
        (ErrorType.INTERNAL, "internal", 500),
        (ErrorType.NOT_IMPLEMENTED, "not_implemented", 501),
        (ErrorType.BAD_GATEWAY, "bad_gateway", 502),
        (ErrorType.UPSTREAM_TIMEOUT, "upstream_timeout", 504),
    ],
)
def test_every_kind_of_failure_has_its_code_and_status(error_type, code, status):
    assert (error_type.code, error_type.status) == (code, status)


def test_no_kind_of_failure_is_left_out_above():
    assert len(ErrorType) == 16


def test_an_error_has_a_public_and_a_logged_text():
    error = GatewayError(ErrorType.BAD_GATEWAY, "the service failed", detail="10.0.0.7:80 refused")
    assert error.message == "the service failed"
    assert error.detail == str(error) == "10.0.0.7:80 refused"


def test_without_a_detail_the_public_text_is_logged():
    assert GatewayError(ErrorType.NOT_FOUND, "no such thing").detail == "no such thing"


@pytest.mark.parametrize(
    "error",
    [
        GatewayError(ErrorType.FORBIDDEN, "no", detail="really no", headers=[(b"a", b"b")], plugin="rbac"),
        Unauthorized("token expired", challenge='Bearer error="invalid_token"', detail="exp 12", plugin="jwt"),
        RateLimited(2.5, headers=[(b"x-ratelimit-limit", b"3")], plugin="bucket"),
    ],
)
def test_an_error_survives_the_journey_between_processes(error):
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - what the channel between our processes does
    assert type(copy) is type(error)
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


def test_configuration_problems_survive_the_journey_between_processes():
    error = ConfigurationError([Problem("is wrong", path="gateway.a", where="g.yaml:1:2"), Problem("too")])
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - what the channel between our processes does
    assert list(map(str, copy.problems)) == ["g.yaml:1:2: gateway.a: is wrong", "too"]
    assert str(copy) == "g.yaml:1:2: gateway.a: is wrong\ntoo"


def test_a_problem_shows_itself_in_a_debugger():
    assert repr(Problem("is wrong", where="g.yaml:1:2")) == "Problem('g.yaml:1:2: is wrong')"


def test_a_challenge_becomes_www_authenticate():
    error = Unauthorized(challenge='Bearer realm="x"')
    assert error.headers == ((b"www-authenticate", b'Bearer realm="x"'),)
    assert Unauthorized().headers == ()


def test_a_challenge_cannot_split_the_response():
    error = Unauthorized(challenge='Bearer error_description="bad\r\nset-cookie: a=b\0 ☃"')
    ((_, value),) = error.headers
    assert value == b'Bearer error_description="bad  set-cookie: a=b  ?"'


@pytest.mark.parametrize(
    ("delay_s", "sent"),
    [
        (0.0, b"1"),
        (-3.0, b"1"),
        (1.01, b"2"),
        (60, b"60"),
        (float("inf"), b"31536000"),
        (float("nan"), b"1"),
    ],
)
def test_retry_after_is_whole_seconds_and_at_least_one(delay_s, sent):
    assert (b"retry-after", sent) in RateLimited(delay_s).headers


def test_a_client_that_takes_json_gets_a_problem_document():
    """RFC 9457."""
    error = GatewayError(ErrorType.FORBIDDEN, "insufficient permissions", detail="lacks admin", plugin="rbac")
    content_type, body = problem_body(error, status=403, request_id="r-1")
    assert content_type == b"application/problem+json"
    assert json.loads(body) == {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": "insufficient permissions",
        "code": "forbidden",
        "requestId": "r-1",
        "plugin": "rbac",
    }


def test_the_core_is_not_named_as_a_plugin():
    _, body = problem_body(GatewayError(ErrorType.NOT_FOUND, "no route"), status=404, request_id="r")
    assert "plugin" not in json.loads(body)


def test_a_client_that_does_not_take_json_gets_text():
    error = GatewayError(ErrorType.NOT_FOUND, "route not found", detail="secret")
    assert problem_body(error, status=404, request_id="r", accepts_json=False) == (
        b"text/plain; charset=utf-8",
        b"route not found\n",
    )
