"""What stands in a line, and that nothing that is sent can break it."""

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import (
    Body,
    Endpoint,
    ErrorType,
    Exchange,
    GatewayError,
    Headers,
    Instance,
    Principal,
    Request,
    Response,
    Route,
    Section,
)
from gateway.interfaces import SHADOW_STATE
from gateway.semantics import REQUEST_ID
from gateway.testing import ManualClock
from gateway_jsonlog.combined_format import CombinedFormat
from gateway_jsonlog.config import AccessLogConfig
from gateway_jsonlog.json_format import MAX_DETAIL_LENGTH, JsonFormat
from gateway_jsonlog.query import redact_query
from gateway_jsonlog.recurring import MAX_PARTS
from gateway_jsonlog.timestamps import CombinedTime, IsoTime

NOW_S = 1_795_411_252.1239  # 2026-11-23 05:20:52 UTC
ROUTE = Route(id="orders", path="/orders/{id}", service="orders")


def exchange_of(method="GET", path="/orders/1", *, headers=(), client="192.0.2.7", host="api.example", **attributes):
    request = Request(method, path, client=client, host=host, id="id-1", headers=Headers(list(headers)))
    for name in ("query", "body"):
        if name in attributes:
            setattr(request, name, attributes.pop(name))
    exchange = Exchange(request, cast("Any", None))
    exchange.route = ROUTE
    exchange.response = Response(attributes.pop("status", 200))
    exchange.duration_s = 0.25
    for name, value in attributes.items():
        setattr(exchange, name, value)
    return exchange


def line_of(lines_format, exchange, *, is_drawn=False):
    lines: list[str] = []
    lines_format.add_lines(lines, [exchange], is_drawn=is_drawn)
    (line,) = lines
    return line


def json_line(exchange, *, is_drawn=False, **block):
    config = AccessLogConfig.model_validate(block)
    text = line_of(JsonFormat(config, IsoTime(ManualClock(NOW_S))), exchange, is_drawn=is_drawn)
    assert text.endswith("\n")
    assert text[:-1].isascii()
    assert text[:-1].isprintable() or "\x7f" in text
    return json.loads(text)


def combined_line(exchange, **block):
    config = AccessLogConfig.model_validate({"format": "combined", **block})
    return line_of(CombinedFormat(config, CombinedTime(ManualClock(NOW_S))), exchange)


def test_a_line_says_what_happened():
    instance = Instance("orders", Endpoint(address="10.0.0.1", port=3000))
    exchange = exchange_of(
        "POST",
        headers=[(b"user-agent", b"curl/8.5")],
        body=b"hello",
        instance=instance,
        attempts=2,
        service_s=0.125,
        sent_bytes=7,
        status=201,
    )
    assert json_line(exchange) == {
        "time": "2026-11-23T05:20:52.123Z",
        "request_id": "id-1",
        "client": "192.0.2.7",
        "host": "api.example",
        "method": "POST",
        "path": "/orders/1",
        "protocol": "HTTP/1.1",
        "status": 201,
        "bytes_in": 5,
        "bytes_out": 7,
        "duration_s": 0.25,
        "route": "orders",
        "path_template": "/orders/{id}",
        "service": "orders",
        "user_agent": "curl/8.5",
        "instance": "10.0.0.1:3000",
        "attempts": 2,
        "first_byte_s": 0.125,
    }


def test_waiting_is_told_only_where_there_was_some():
    instance = Instance("orders", Endpoint(address="10.0.0.1", port=3000, id="one"))
    line = json_line(exchange_of(instance=instance, attempts=1, connect_s=0.001, queue_s=0.002))
    assert (line["instance"], line["connect_s"], line["queue_s"]) == ("one", 0.001, 0.002)


def test_streamed_bodies_count_as_far_as_they_came():
    class Producer:
        def pause_body(self):
            pass

        def resume_body(self):
            pass

        def abort_body(self):
            pass

    body = Body(Producer(), 100)
    body.feed(b"hello")
    assert json_line(exchange_of(body=body))["bytes_in"] == 5


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        (b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c"),
        (b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later", "0af7651916cd43dd8448eb211c80319c"),
        (b"00-00000000000000000000000000000000-b7ad6b7169203331-01", None),
        (b"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", None),
        (b'00-"}', None),
    ],
)
def test_the_trace_is_that_of_traceparent(traceparent, trace_id):
    """W3C Trace Context section 3.2."""
    assert json_line(exchange_of(headers=[(b"traceparent", traceparent)])).get("trace_id") == trace_id


def test_fields_that_the_gateway_adds_are_logged_as_those_of_the_client_are():
    section = Section([(b"x-team", b"a")])
    lines_format = JsonFormat(AccessLogConfig(request_headers=("x-team", "x-plan")))
    origin = exchange_of().request.origin
    logged = []
    for plan in (b"free", b"gold"):
        exchange = exchange_of()
        exchange.request.origin = origin
        exchange.request.headers = Headers.shared(section)
        exchange.request.headers.extend_lines(frozenset({b"x-plan"}), b"x-plan: %b\r\n" % plan)
        logged.append(json.loads(line_of(lines_format, exchange))["request_headers"])
    assert logged == [{"x-team": "a", "x-plan": "free"}, {"x-team": "a", "x-plan": "gold"}]


def test_a_trace_that_the_gateway_began_is_that_of_its_request_alone():
    """Its context stands behind the fields that requests of a connection share."""
    section = Section([(b"user-agent", b"curl")])
    lines_format = JsonFormat(AccessLogConfig.model_validate({}))
    trace_ids = []
    origin = exchange_of().request.origin
    for number in (b"a", b"b"):
        exchange = exchange_of()
        exchange.request.origin = origin
        exchange.request.headers = Headers.shared(section)
        line = b"traceparent: 00-%b-%b-00\r\n" % (number * 32, number * 16)
        exchange.request.headers.extend_lines(frozenset({b"traceparent"}), line)
        trace_ids.append(json.loads(line_of(lines_format, exchange))["trace_id"])
    assert trace_ids == ["a" * 32, "b" * 32]


def test_refusals_name_the_plugin():
    error = GatewayError(ErrorType.FORBIDDEN, "no", detail='the "key" is\nold' + "x" * 1000, plugin="apikey")
    line = json_line(exchange_of(error=error, status=403))
    assert (line["error"], line["plugin"]) == ("forbidden", "apikey")
    assert line["detail"].startswith('the "key" is\nold')
    assert len(line["detail"]) == MAX_DETAIL_LENGTH


def test_what_broke_off_is_named():
    assert json_line(exchange_of(error=ConnectionResetError("gone")))["error"] == "ConnectionResetError"


def test_who_called_and_what_would_have_been_done():
    exchange = exchange_of(principal=Principal(subject='ada "the" first'))
    exchange.state[SHADOW_STATE] = ["ratelimit: refuse 429", "guard: fail"]
    line = json_line(exchange)
    assert line["principal"] == 'ada "the" first'
    assert line["shadow"] == ["ratelimit: refuse 429", "guard: fail"]


def test_values_of_the_operator_are_on_every_line():
    line = json_line(exchange_of(), fields={"environment": "production", "shard": 3, "is_canary": True})
    assert (line["environment"], line["shard"], line["is_canary"]) == ("production", 3, True)


def test_a_line_that_was_drawn_says_for_how_many_it_stands():
    assert json_line(exchange_of(), is_drawn=True, sample=0.01)["sample"] == 0.01
    assert "sample" not in json_line(exchange_of(), is_drawn=False, sample=0.01)


def test_headers_are_written_if_asked_and_secrets_never():
    exchange = exchange_of(
        headers=[(b"accept", b"a"), (b"accept", b"b"), (b"authorization", b"Bearer x"), (b"x", b"1")]
    )
    exchange.response = Response(headers=Headers([(b"set-cookie", b"id=1"), (b"x-cache", b"hit")]))
    line = json_line(
        exchange,
        requestHeaders=["Accept", "Authorization", "X-Absent"],
        responseHeaders=["Set-Cookie", "X-Cache"],
    )
    assert line["request_headers"] == {"accept": "a, b", "authorization": "***"}
    assert line["response_headers"] == {"set-cookie": "***", "x-cache": "hit"}
    assert "request_headers" not in json_line(exchange, responseHeaders=["x-cache"])
    assert json_line(exchange, requestHeaders=["x"], redactHeaders=["X"])["request_headers"] == {"x": "***"}


def test_queries_are_left_out_unless_asked_for():
    exchange = exchange_of(query="page=2&token=abc")
    assert "query" not in json_line(exchange)
    assert json_line(exchange, query="redact")["query"] == "page=2&token=***"
    assert '"GET /orders/1 HTTP/1.1"' in combined_line(exchange)
    assert '"GET /orders/1?page=2&token=*** HTTP/1.1"' in combined_line(exchange, query="redact")


@pytest.mark.parametrize(
    ("query", "redacted"),
    [
        ("token=abc", "token=***"),
        ("a=1&TOKEN=abc&b=2", "a=1&TOKEN=***&b=2"),
        ("%74oken=abc", "%74oken=***"),
        ("to%6ben=a=b", "to%6ben=***"),
        ("+token=abc", "+token=***"),
        ("token[]=abc&token[]=d", "token[]=***&token[]=***"),
        ("user[token]=abc", "user[token]=***"),
        ("user%5Btoken%5D=abc", "user%5Btoken%5D=***"),
        ("a=1;token=abc", "a=1;token=***"),
        ("tokens=abc", "tokens=abc"),
        ("token", "token"),
        ("=token&", "=token&"),
    ],
)
def test_secret_parameters_are_found_however_they_are_written(query, redacted):
    assert redact_query(query, frozenset({"token"})) == redacted


@given(st.text(max_size=40), st.binary(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_no_input_breaks_a_line_of_json(path, agent, subject, host):
    """A line that could be ended from outside would let anybody write the log."""
    exchange = exchange_of(path=path, host=host, headers=[(b"user-agent", agent)], principal=Principal(subject=subject))
    line = json_line(exchange)
    assert (line["path"], line["host"], line["principal"]) == (path, host, subject)


@given(st.text(max_size=40), st.binary(max_size=40), st.text(max_size=40))
def test_no_input_breaks_a_combined_line(path, agent, subject):
    exchange = exchange_of(path=path, headers=[(b"user-agent", agent)], principal=Principal(subject=subject))
    line = combined_line(exchange)
    assert line.endswith("\n")
    assert line[:-1].isascii()
    assert line[:-1].isprintable()
    assert line.count('"') == 6
    assert line.split(" ")[1] == "-"
    assert line.split(" ")[3].startswith("[")


def test_a_combined_line():
    exchange = exchange_of(
        headers=[(b"user-agent", b'curl "8"\n'), (b"referer", b"https://shop.example/")],
        principal=Principal(subject="ada lovelace"),
        sent_bytes=12,
    )
    assert combined_line(exchange) == (
        '192.0.2.7 - ada\\x20lovelace [23/Nov/2026:05:20:52 +0000] "GET /orders/1 HTTP/1.1" 200 12 '
        '"https://shop.example/" "curl \\x228\\x22\\x0A"\n'
    )
    assert combined_line(exchange_of(client="")).startswith("- - - [")


def test_a_route_that_changed_is_not_taken_for_the_old_one():
    lines = JsonFormat(AccessLogConfig())
    exchange = exchange_of()
    line_of(lines, exchange)
    exchange.route = Route(id="orders", path="/other")
    line = json.loads(line_of(lines, exchange))
    assert line["path_template"] == "/other"
    assert "service" not in line


def test_an_instance_that_got_another_name_is_not_written_with_the_old_one():
    lines = JsonFormat(AccessLogConfig())
    instance = Instance("orders", Endpoint(address="10.0.0.1", port=3000, id="blue"))
    assert json.loads(line_of(lines, exchange_of(instance=instance)))["instance"] == "blue"
    instance.endpoint = Endpoint(address="10.0.0.1", port=3000, id="green")
    assert json.loads(line_of(lines, exchange_of(instance=instance)))["instance"] == "green"


def test_lines_of_many_clients_are_told_apart():
    lines = JsonFormat(AccessLogConfig())
    asked = [
        {"client": client, "host": host, "method": method, "headers": [(b"user-agent", agent)]}
        for client in ("192.0.2.1", "192.0.2.2")
        for host in ("a.example", "b.example")
        for method in ("GET", "POST")
        for agent in (b"curl", b"wget")
    ]
    for _ in range(2):
        for each in asked:
            for status in (200, 404):
                line = json.loads(line_of(lines, exchange_of(status=status, **each)))
                seen = (line["client"], line["host"], line["method"], line["user_agent"].encode(), line["status"])
                assert seen == (each["client"], each["host"], each["method"], each["headers"][0][1], status)


def test_strangers_cannot_fill_the_memory():
    lines = JsonFormat(AccessLogConfig())
    remembered: tuple[dict[Any, Any], ...] = (lines._clients.parts, lines._answers.parts, lines._quoted.parts)
    for number in range(MAX_PARTS + 10):
        method, path, agent = f"M{number}", f"/{number}", b"agent %d" % number
        line_of(lines, exchange_of(method, path, headers=[(b"user-agent", agent)]))
        assert all(0 < len(parts) <= MAX_PARTS for parts in remembered)
    known = list(map(len, remembered))
    long = "a" * 10_000
    line = json.loads(line_of(lines, exchange_of(long, long, headers=[(b"user-agent", long.encode())])))
    assert (line["method"], line["path"], line["user_agent"]) == (long, long, long)
    assert list(map(len, remembered)) == known


def test_what_came_with_the_same_fields_is_told_apart_by_where_it_came_from():
    """Fields that are the same are shared, by whom an adapter likes."""
    lines = JsonFormat(AccessLogConfig(request_headers=("x-team",)))
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    section = Section([(b"user-agent", b"curl"), (b"x-team", b"a"), (b"traceparent", trace)])
    for client in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
        exchange = exchange_of(client=client)
        exchange.request.headers = Headers.shared(section)
        for _ in range(2):
            line = json.loads(line_of(lines, exchange))
            assert (line["client"], line["user_agent"], line["request_headers"]) == (client, "curl", {"x-team": "a"})
            assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
        exchange.request.headers.add("user-agent", "later")
        assert json.loads(line_of(lines, exchange))["user_agent"] == "curl"
    assert len(section.memo) == 1


def test_a_log_keeps_what_it_says_of_fields_apart_from_others():
    section = Section([(b"x-team", b"a")])
    exchange = exchange_of()
    exchange.request.headers = Headers.shared(section)
    with_field, without = JsonFormat(AccessLogConfig(request_headers=("x-team",))), JsonFormat(AccessLogConfig())
    for _ in range(2):
        assert "request_headers" in json.loads(line_of(with_field, exchange))
        assert "request_headers" not in json.loads(line_of(without, exchange))


def test_no_character_of_a_request_id_has_to_be_escaped():
    """It is written as it is."""
    for number in range(256):
        if REQUEST_ID.fullmatch(bytes([number])):
            assert json.dumps(chr(number)) == f'"{chr(number)}"'


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 12_345_678])
def test_bytes_are_counted(size):
    line = json_line(exchange_of(body=bytes(size), sent_bytes=size))
    assert (line["bytes_in"], line["bytes_out"]) == (size, size)


def test_lines_of_one_turn_are_made_together():
    lines: list[str] = []
    JsonFormat(AccessLogConfig()).add_lines(lines, [exchange_of(path=f"/{number}") for number in range(3)])
    assert [json.loads(line)["path"] for line in lines] == ["/0", "/1", "/2"]


@pytest.mark.parametrize(
    ("duration_s", "written"),
    [
        (0.0, "0.00000"),
        (0.001894, "0.00189"),
        (0.001896, "0.00190"),
        (0.0409549, "0.04095"),
        (0.0409551, "0.04096"),
        (0.999996, "1.00000"),
        (61.00203, "61.00203"),
        (86400.5, "86400.50000"),
    ],
)
def test_durations_are_written_to_ten_microseconds(duration_s, written):
    instance = Instance("orders", Endpoint(address="10.0.0.1", port=3000))
    exchange = exchange_of(instance=instance, attempts=1, service_s=duration_s)
    exchange.duration_s = duration_s
    line = line_of(JsonFormat(AccessLogConfig()), exchange)
    assert f'"duration_s":{written},' in line
    assert f'"first_byte_s":{written}}}' in line


def test_times_go_on(clock):
    clock.now_s = NOW_S
    combined = CombinedTime(clock)
    assert combined() == "23/Nov/2026:05:20:52 +0000"
    clock.advance(0.9)
    assert combined() == "23/Nov/2026:05:20:53 +0000"
    clock.advance(-10)
    assert combined() == "23/Nov/2026:05:20:43 +0000"


def test_times_in_json_go_on(clock):
    clock.now_s = NOW_S
    iso = IsoTime(clock)
    assert iso() == "2026-11-23T05:20:52.123Z"
    clock.advance(0.9)
    assert iso() == "2026-11-23T05:20:53.023Z"
    clock.advance(-10)
    assert iso() == "2026-11-23T05:20:43.023Z"
