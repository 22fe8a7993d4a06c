"""The W3C trace context, and who is recorded."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import Exchange, Headers, Request, Response, Route, Section
from gateway_otel.config import TracingConfig
from gateway_otel.context import Ids, Sampler, parse_traceparent
from gateway_otel.tracing import Tracing

if TYPE_CHECKING:
    from gateway_otel.spans import Span

HEX = "0123456789abcdef"
EVERY = 1 << 56
"""The bound of whoever records every trace."""


def hexadecimal(length: int) -> st.SearchStrategy[str]:
    return st.text(HEX, min_size=length, max_size=length).filter(lambda text: set(text) != {"0"})


@given(hexadecimal(32), hexadecimal(16), st.integers(0, 255))
def test_what_is_valid_is_read(trace_id: str, parent_id: str, flags: int) -> None:
    value = f"00-{trace_id}-{parent_id}-{flags:02x}".encode()
    assert parse_traceparent(value) == (trace_id.encode(), parent_id.encode(), flags)


@given(st.binary(max_size=80))
def test_whatever_is_sent_is_read_or_refused(value: bytes) -> None:
    found = parse_traceparent(value)
    assert found is None or (len(found[0]), len(found[1])) == (32, 16)


@settings(max_examples=50)
@given(st.integers(0, 54), st.characters(codec="latin-1", exclude_characters=HEX + "-"))
def test_one_wrong_character_is_refused(position: int, character: str) -> None:
    value = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    wrong = value[:position] + character + value[position + 1 :]
    assert parse_traceparent(wrong.encode("latin-1")) is None


def test_ids_differ() -> None:
    ids = Ids()
    traces = {ids.trace_id(EVERY) for _ in range(1000)}
    spans = {ids.span_id() for _ in range(1000)}
    unrecorded = set(islice(ids.new_traces(0), 1000))
    assert (len(traces), len(spans), len(unrecorded)) == (1000, 1000, 1000)
    assert ({len(each) for each in traces}, {len(each) for each in spans}) == ({32}, {16})


@pytest.mark.parametrize("bound", [0, 1, EVERY // 3, EVERY - 1, EVERY])
def test_a_new_trace_is_decided_as_its_id_would_be_elsewhere(bound: int) -> None:
    ids, sampler = Ids(), Sampler("ratio", bound / EVERY)
    recorded = 0
    for line in islice(ids.new_traces(bound), 1000):
        if line is None:
            recorded += 1
            continue
        name, _, value = line.removesuffix(b"\r\n").partition(b": ")
        parsed = parse_traceparent(value)
        assert name == b"traceparent"
        assert parsed is not None
        assert (parsed[2], sampler.is_sampled(parsed[0], 0)) == (0, False)
    assert recorded / 1000 == pytest.approx(bound / EVERY, abs=0.1)
    if bound:
        assert all(sampler.is_sampled(ids.trace_id(bound), 0) for _ in range(1000))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 1.0])
def test_the_share_that_is_recorded_is_the_rate(rate: float) -> None:
    spans: list[Span] = []
    tracing = Tracing(TracingConfig(sample_rate=rate), spans.append)
    sampler, ids = Sampler("ratio", rate), Ids()
    for _ in range(5000):
        made = exchange()
        tracing.exchange_started(made)
        tracing.exchange_finished(made)
    assert len(spans) / 5000 == pytest.approx(rate, abs=0.04)
    share = sum(sampler.is_sampled(ids.trace_id(EVERY), 0) for _ in range(20_000)) / 20_000
    assert share == pytest.approx(rate, abs=0.02)


def test_a_trace_is_decided_alike_everywhere() -> None:
    """What is recorded at a small rate is recorded at every larger one."""
    ids = Ids()
    few, many = Sampler("ratio", 0.2), Sampler("ratio", 0.6)
    for _ in range(1000):
        trace_id = ids.trace_id(EVERY)
        assert few.is_sampled(trace_id, 0) <= many.is_sampled(trace_id, 1)


def exchange(*fields: tuple[str, str]) -> Exchange:
    responder: Any = None
    headers = Headers.of([("host", "a"), *((f"x-field-{number}", "value") for number in range(8)), *fields])
    made = Exchange(Request("GET", "/", headers=headers, id="r"), responder)
    made.route = Route(id="orders", path="/*", service="orders")
    made.response = Response()
    return made


def test_nothing_is_kept_of_what_is_over() -> None:
    spans: list[Span] = []
    tracing = Tracing(TracingConfig(), spans.append)
    for _ in range(10):
        made = exchange()
        tracing.exchange_started(made)
        assert tracing.by_request_id
        tracing.exchange_finished(made)
    assert not tracing.by_request_id
    assert not tracing._traces
    assert len(spans) == 10


@pytest.mark.parametrize("rate", [0, 1])
def test_it_says_whether_it_wants_to_know_more(rate: float) -> None:
    tracing = Tracing(TracingConfig(sample_rate=rate), lambda span: None)
    context = ("traceparent", f"00-{'a' * 32}-{'b' * 16}-00")
    assert [tracing.exchange_started(exchange()), tracing.exchange_started(exchange(context))] == [bool(rate), False]


def test_fields_that_are_shared_stay_as_they_are() -> None:
    tracing = Tracing(TracingConfig(sample_rate=0), lambda span: None)
    section, made = Section([(b"host", b"a")]), [exchange(), exchange()]
    for each in made:
        each.request.headers = Headers.shared(section)
        assert not tracing.exchange_started(each)
        assert each.request.headers.section is section
    contexts = {each.request.headers["traceparent"] for each in made}
    assert len(contexts) == 2
    # Whoever else put one there, there is only one in the end.
    assert not tracing.exchange_started(made[0])
    assert len(made[0].request.headers.get_all("traceparent")) == 1


def test_a_context_in_shared_fields_is_replaced() -> None:
    tracing = Tracing(TracingConfig(sampler="ratio", sample_rate=0), lambda span: None)
    for flags, told in (("01", f"00-{'a' * 32}-{'b' * 16}-00"), ("x", None)):
        section = Section([(b"traceparent", f"00-{'a' * 32}-{'b' * 16}-{flags}".encode()), (b"tracestate", b"a=1")])
        for _ in range(2):
            made = exchange()
            made.request.headers = Headers.shared(section)
            assert not tracing.exchange_started(made)
            (found,) = made.request.headers.get_all("traceparent")
            assert found == told or (told is None and "a" * 32 not in found)
            assert ("tracestate" in made.request.headers) == (told is not None)


def test_two_requests_with_one_id_do_not_take_each_others_trace() -> None:
    """The id is the client's to choose."""
    tracing = Tracing(TracingConfig(), lambda span: None)
    one, two = exchange(), exchange()
    tracing.exchange_started(one)
    tracing.exchange_started(two)
    of_two = tracing.by_request_id["r"]
    tracing.exchange_finished(one)
    assert tracing.by_request_id["r"] is of_two
    tracing.exchange_finished(two)
    assert not tracing.by_request_id
