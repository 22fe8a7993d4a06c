from http import HTTPStatus

import pytest

from gateway_http.fields import (
    BODILESS_METHODS,
    HOP_BY_HOP,
    IDEMPOTENT_METHODS,
    METHODS,
    STATUS_LINES,
    status_line,
)


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (100, b"HTTP/1.1 100 Continue"),
        (200, b"HTTP/1.1 200 OK"),
        (404, b"HTTP/1.1 404 Not Found"),
        (299, b"HTTP/1.1 299 "),  # unregistered: the space stays (RFC 9112 section 4)
        (599, b"HTTP/1.1 599 "),
    ],
)
def test_status_line(status, line):
    assert status_line(status).removesuffix(b"\r\n") == line


def test_every_registered_status_has_its_line():
    assert set(STATUS_LINES) == {status.value for status in HTTPStatus}
    assert all(b"\n" not in line.removesuffix(b"\r\n") for line in STATUS_LINES.values())


def test_method_names_match_their_bytes():
    assert all(name.encode() == raw for raw, name in METHODS.items())


@pytest.mark.parametrize("method", ["POST", "PATCH", "CONNECT"])
def test_methods_that_must_not_be_repeated(method):
    assert method not in IDEMPOTENT_METHODS


def test_methods_without_content_may_be_repeated():
    assert BODILESS_METHODS <= IDEMPOTENT_METHODS
    assert not {"POST", "PUT", "PATCH"} & BODILESS_METHODS


def test_connection_fields_are_lower_case_and_end_to_end_ones_are_not_among_them():
    assert all(name == name.lower() for name in HOP_BY_HOP)
    assert {b"connection", b"te", b"transfer-encoding", b"upgrade"} <= HOP_BY_HOP
    assert not {b"host", b"via", b"content-length", b"authorization", b"cookie"} & HOP_BY_HOP
