from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Body, ErrorType, Exchange, GatewayError, Headers, Request, Response
from gateway_demo.connector import DemoConnector
from gateway_demo.echo import MAX_BODY_BYTES
from gateway_demo.pages import PATTERN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Answer:
    """A response with its body collected."""

    def __init__(self, response: Response, body: bytes, *, is_streamed: bool) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = body
        self.is_streamed = is_streamed

    @property
    def json(self):
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)


def ask(method="GET", target="/get", *, body: bytes | list[bytes] = b"", connector=None, **fields: str) -> Answer:
    """Ask the demo service; a ``body`` in pieces streams."""
    path, _, query = target.partition("?")
    headers = Headers.of([("host", "example.org")])
    for name, value in fields.items():
        headers.add(name.replace("_", "-"), value)
    request = Request(method, path, query=query, headers=headers, host="example.org", client="192.0.2.7")
    return asyncio.run(answer(request, body, connector or DemoConnector()))


async def answer(request: Request, body: bytes | list[bytes], connector: DemoConnector) -> Answer:
    request.body = body if isinstance(body, bytes) else Body.from_iterable(pieces(body))
    exchange = Exchange(request, cast("Any", None))
    response = await connector.open(cast("Any", None), exchange)
    if isinstance(response.body, bytes):
        return Answer(response, response.body, is_streamed=False)
    length = response.body.length
    collected = await response.body.read(20 * 1024 * 1024)
    assert length in {None, len(collected)}
    return Answer(response, collected, is_streamed=True)


async def pieces(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def test_get_describes_the_request():
    found = ask("GET", "/get?a=1&b=2&b=3&c=&d%20e=%C3%A9", x_request_id="r-1", accept="*/*")
    assert found.status == 200
    assert found.json == {
        "args": {"a": "1", "b": ["2", "3"], "c": "", "d e": "é"},
        "headers": {"Host": "example.org", "X-Request-Id": "r-1", "Accept": "*/*"},
        "origin": "192.0.2.7",
        "url": "http://example.org/get?a=1&b=2&b=3&c=&d%20e=%C3%A9",
    }


def test_answers_end_with_a_line_break_and_are_indented_for_people():
    assert ask("GET", "/ip").body == b'{\n  "origin": "192.0.2.7"\n}\n'


def test_large_answers_are_not_indented():
    found = ask("POST", "/post", body=b"x" * 10_000)
    assert found.body.count(b"\n") == 1
    assert found.json["data"] == "x" * 10_000


def test_repeated_fields_are_joined():
    request = Request("GET", "/headers", headers=Headers.of([("accept", "a"), ("accept", "b")]))
    assert asyncio.run(answer(request, b"", DemoConnector())).json == {"headers": {"Accept": "a, b"}}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("body", [b'{"a": [1, null]}', [b'{"a": ', b"[1, null]}"]])
def test_bodies_are_described(method, body):
    found = ask(method, f"/{method.lower()}?q=1", body=body, content_type="application/json").json
    assert found["data"] == '{"a": [1, null]}'
    assert found["json"] == {"a": [1, None]}
    assert (found["form"], found["args"], found["url"]) == ({}, {"q": "1"}, f"http://example.org/{method.lower()}?q=1")


def test_forms_are_taken_apart():
    found = ask(
        "POST", "/post", body=b"a=1&b=2&b=%20&c", content_type="application/x-www-form-urlencoded; charset=utf-8"
    )
    assert found.json["form"] == {"a": "1", "b": ["2", " "], "c": ""}
    assert (found.json["data"], found.json["json"]) == ("", None)


def test_a_form_of_too_many_fields_is_refused():
    found = ask("POST", "/post", body=b"a&" * 2000, content_type="application/x-www-form-urlencoded")
    assert (found.status, found.json) == (400, {"error": "the form has more than 1000 fields"})


def test_a_body_that_is_not_text_is_given_as_a_data_url():
    assert ask("PUT", "/put", body=b"\xff\x00").json["data"] == "data:application/octet-stream;base64,/wA="


@pytest.mark.parametrize(
    "body", [b"", b"{", b"NaN", b"[Infinity]", b"1e999", b"[" * 100_000, b"[" * 200_000 + b"]" * 200_000, b"9" * 5000]
)
def test_what_is_not_json_is_null(body):
    found = ask("POST", "/post", body=body).json
    assert found["json"] is None
    assert found["data"] == body.decode()


@pytest.mark.parametrize("depth", [300, 3000])
def test_deep_json_is_answered_however_deep_this_python_can_go(depth):
    found = ask("POST", "/post", body=b"[" * depth + b"]" * depth)
    assert found.status == 200
    assert b"[" * depth in found.body


@given(st.binary(max_size=200))
def test_whatever_the_body_the_answer_is_json(body):
    found = ask("POST", "/anything", body=body).json
    assert set(found) == {"args", "data", "form", "headers", "json", "method", "origin", "url"}


@pytest.mark.parametrize("body", [b"x" * (MAX_BODY_BYTES + 1), [b"x" * 65536] * 17])
def test_a_body_of_more_than_a_mebibyte_is_refused_with_413(body):
    with pytest.raises(GatewayError) as refusal:
        ask("POST", "/post", body=body)
    assert refusal.value.type is ErrorType.PAYLOAD_TOO_LARGE


def test_a_body_of_a_mebibyte_is_echoed():
    assert len(ask("POST", "/post", body=[b"x" * 65536] * 16).json["data"]) == MAX_BODY_BYTES


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"])
@pytest.mark.parametrize("target", ["/anything", "/anything/", "/anything/a/b?c=d"])
def test_anything_goes_with_any_method_and_path(method, target):
    found = ask(method, target, body=b"hello")
    assert found.status == 200
    assert (found.json["method"], found.json["data"]) == (method, "hello")
    assert found.json["url"] == f"http://example.org{target}"


def test_the_url_is_that_of_the_rewritten_path():
    exchange = Exchange(Request("GET", "/demo/get", scheme="https", host="h"), cast("Any", None))
    exchange.upstream_path = "/get"
    response = asyncio.run(DemoConnector().open(cast("Any", None), exchange))
    assert json.loads(cast("bytes", response.body))["url"] == "https://h/get"


def test_ip_and_uuid():
    assert ask("GET", "/ip").json == {"origin": "192.0.2.7"}
    one, other = (UUID(ask("GET", "/uuid").json["uuid"]) for _ in range(2))
    assert one != other


def test_the_index_lists_the_pages():
    found = ask("GET", "/")
    assert found.headers["content-type"] == "text/plain; charset=utf-8"
    for name in DemoConnector()._pages:
        assert f"/{name}".encode() in found.body


# Statuses.


@pytest.mark.parametrize("status", [200, 201, 204, 205, 304, 400, 404, 418, 500, 503, 599])
def test_status_answers_it_without_a_body(status):
    found = ask("GET", f"/status/{status}")
    assert (found.status, found.body, found.headers.items()) == (status, b"", [])


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_status_has_every_method(method):
    assert ask(method, "/status/202").status == 202


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirections_lead_to_get(status):
    assert ask("GET", f"/status/{status}").headers.items() == [("location", "../get")]


def test_statuses_that_require_a_field_have_it():
    assert ask("GET", "/status/401").headers["www-authenticate"] == 'Basic realm="demo"'
    assert "GET" in ask("GET", "/status/405").headers["allow"]


@pytest.mark.parametrize(("chance", "status"), [(0.0, 200), (0.5, 500), (0.999, 503)])
def test_one_of_several_statuses_is_drawn(chance, status):
    assert ask("GET", "/status/200,500,503", connector=DemoConnector(chance=lambda: chance)).status == status


@pytest.mark.parametrize(
    "code", ["100", "101", "199", "600", "1000", "20", "0", "-200", "abc", "", "200,", "200,1", "٢٠٠"]
)
def test_other_statuses_are_refused(code):
    found = ask("GET", f"/status/{code}")
    assert found.status == 400
    assert "use 200 to 599" in found.json["error"]


# Delays.


def test_delay_waits_and_then_describes_the_request():
    waited: list[float] = []

    async def sleep(delay_s: float) -> None:
        waited.append(delay_s)

    connector = DemoConnector(sleep=sleep)
    for target in ("/delay/0", "/delay/1.5?a=1", "/delay/10"):
        assert ask("POST", target, body=b"x", connector=connector).json["data"] == "x"
    assert waited == [0, 1.5, 10]


@pytest.mark.parametrize("delay", ["10.1", "11", "-1", "nan", "inf", "1e1", "", "."])
def test_other_delays_are_refused(delay):
    found = ask("GET", f"/delay/{delay}")
    assert found.status == 400
    assert "use seconds from 0 to 10" in found.json["error"]


# Bytes and lines.


@pytest.mark.parametrize("count", [0, 1, 255, 65536, 65537, 131072, 200_000])
def test_bytes_are_as_many_as_asked_for_and_always_the_same(count):
    found = ask("GET", f"/bytes/{count}")
    assert found.body == (PATTERN * 4)[:count]
    assert found.is_streamed is (count > 65536)
    assert found.headers["content-type"] == "application/octet-stream"


def test_the_most_bytes():
    assert len(ask("GET", "/bytes/10485760").body) == 10485760
    assert ask("GET", "/bytes/10485761").status == 400


@pytest.mark.parametrize("count", ["-1", "1.5", "x", "", "1" * 10, "1" * 5000])
def test_other_numbers_of_bytes_are_refused(count):
    found = ask("GET", f"/bytes/{count}")
    assert found.status == 400
    assert "use 0 to 10485760" in found.json["error"]


def test_stream_answers_lines_of_json():
    found = ask("GET", "/stream/3?a=1")
    assert found.is_streamed
    assert found.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in found.body.splitlines()]
    assert [(line["id"], line["args"]) for line in lines] == [(0, {"a": "1"}), (1, {"a": "1"}), (2, {"a": "1"})]
    assert ask("GET", "/stream/0").body == b""


def test_no_more_than_a_hundred_lines():
    assert ask("GET", "/stream/100").body.count(b"\n") == 100
    assert ask("GET", "/stream/101").status == 400


# HEAD, other methods, other pages.


@pytest.mark.parametrize("target", ["/", "/get", "/headers", "/ip", "/anything/x", "/bytes/100", "/bytes/1000000"])
def test_head_has_the_fields_of_get_and_no_body(target):
    get, head = ask("GET", target), ask("HEAD", target)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    # The answer to /anything holds the method: HEAD is a letter longer.
    assert int(head.headers["content-length"]) - len(get.body) == (1 if target == "/anything/x" else 0)


def test_head_of_what_has_no_known_length_has_none():
    assert "content-length" not in ask("HEAD", "/stream/3").headers
    assert "content-length" not in ask("HEAD", "/status/204").headers


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("POST", "/get", "GET, HEAD"),
        ("GET", "/post", "POST"),
        ("HEAD", "/put", "PUT"),
        ("OPTIONS", "/ip", "GET, HEAD"),
        ("OPTIONS", "/status/200", "GET, POST, PUT, PATCH, DELETE, HEAD"),
    ],
)
def test_other_methods_are_refused_with_405(method, target, allow):
    found = ask(method, target)
    assert (found.status, found.headers["allow"]) == (405, allow)


@pytest.mark.parametrize(
    "target", ["/no", "/get/", "/get/x", "/status", "/bytes", "/status/200/x", "//get", "*", "/<script>"]
)
def test_other_pages_are_refused_with_404(target):
    found = ask("GET", target)
    assert found.status == 404
    assert found.json == {"error": "the demo service has no such page; / lists them"}


@pytest.mark.parametrize("target", ["/anything/<script>", "/get?<script>", "/status/<script>", "/no/<script>"])
def test_nothing_is_reflected_as_html(target):
    assert ask("GET", target).headers["content-type"] == "application/json"
