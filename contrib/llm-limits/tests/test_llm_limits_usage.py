"""How many tokens messages say that they were."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_llm_limits.meters import MAX_LINE_BYTES, JsonMeter, StreamMeter
from gateway_llm_limits.usage import MAX_COUNT, Question, Usage, letters_of, read_question, tokens_in, usage_of

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["usage", "content", "text", "delta", "x"]), inner),
    max_leaves=20,
)

OPENAI = [
    {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
    {"choices": [{"delta": {"content": "Hello"}}]},
    {"choices": [{"delta": {"content": " there"}}]},
    {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}},
]
ANTHROPIC = [
    {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 25, "cache_read_input_tokens": 5, "output_tokens": 1}},
    },
    {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 15}},
    {"type": "message_stop"},
]
RESPONSES = [
    {"type": "response.output_text.delta", "delta": "Hello"},
    {"type": "response.output_text.done", "text": "Hello"},
    {"type": "response.completed", "response": {"usage": {"input_tokens": 7, "output_tokens": 9}}},
]


def stream(events, end=b"\n"):
    lines = b"".join(b"event: x%bdata: %b%b%b" % (end, json.dumps(event).encode(), end, end) for event in events)
    return lines + b"data: [DONE]" + end + end


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize(
    ("events", "usage", "letters"),
    [(OPENAI, Usage(12, 3), 11), (ANTHROPIC, Usage(30, 15), 5), (RESPONSES, Usage(7, 9), 5)],
)
def test_streams_of_all_formats_whatever_the_pieces(events, usage, letters, end):
    data = stream(events, end)
    for size in (1, 3, 7, 100, len(data)):
        meter = StreamMeter()
        for start in range(0, len(data), size):
            meter.feed(data[start : start + size])
        assert meter.finish() == (usage, letters)


def test_a_stream_that_says_nothing_of_tokens_is_counted_by_its_letters():
    grown = []
    meter = StreamMeter(lambda letters, usage: grown.append(letters))
    meter.feed(stream(OPENAI[:3]))
    assert meter.finish() == (Usage(), 11)
    assert grown == [5, 11]


def test_running_totals_are_not_added_up():
    usage = Usage()
    for output in (1, 5, 15, 3):
        usage.learn(usage_of({"usage": {"output_tokens": output}}))
    assert usage.output == 15


def test_a_line_without_end_is_not_kept():
    meter = StreamMeter()
    for _ in range(100):
        meter.feed(b"data: " + b"x" * 10_000)
        assert len(meter._line) <= MAX_LINE_BYTES
    assert meter.finish() == (Usage(), 1_000_600)


def test_an_answer_of_one_object():
    meter = JsonMeter(10_000)
    answer = json.dumps(
        {"choices": [{"message": {"content": "Hello"}}], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    )
    meter.feed(answer[:20].encode())
    meter.feed(answer[20:].encode())
    assert meter.finish() == (Usage(9, 2), 5)


@pytest.mark.parametrize("answer", [b"", b"not json", b"[" * 100_000, b"x" * 20_000])
def test_what_cannot_be_read_is_counted_by_its_length(answer):
    meter = JsonMeter(10_000)
    meter.feed(answer)
    assert meter.finish() == (Usage(), len(answer))


@given(anything)
def test_whatever_is_said_counts_are_counts(message):
    usage = usage_of(message)
    for count in (usage.input, usage.output):
        assert count is None or 0 <= count <= 3 * MAX_COUNT
    assert letters_of(message) >= 0
    body = json.dumps(message).encode()
    assert read_question(body).letters >= 0


@given(st.lists(st.binary(max_size=50)))
def test_whatever_streams_by_is_read(chunks):
    meter = StreamMeter()
    for chunk in chunks:
        meter.feed(chunk)
    usage, letters = meter.finish()
    assert (usage, letters >= 0) == (Usage(), True)


@pytest.mark.parametrize("count", [-1, 1.5, "3", None, True, {}])
def test_what_is_no_count_says_nothing(count):
    assert usage_of({"usage": {"prompt_tokens": count, "completion_tokens": count}}) == Usage()


def test_counts_are_bounded():
    assert usage_of({"usage": {"output_tokens": 10**30}}).output == MAX_COUNT


@pytest.mark.parametrize(
    ("asked", "question"),
    [
        ({"model": "m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 7}, Question("m", 5, 7)),
        ({"model": "m", "prompt": ["ab", "cd"], "n": 3, "max_tokens": 2}, Question("m", 4, 6)),
        ({"model": "m", "input": "abc", "instructions": "de", "max_output_tokens": 9}, Question("m", 5, 9)),
        ({"system": [{"type": "text", "text": "abc"}], "messages": [], "max_completion_tokens": 0}, Question("", 3, 0)),
        (
            {"messages": [{"content": [{"type": "image_url", "image_url": {"url": "x" * 9999}}, {"text": "ab"}]}]},
            Question("", 2, None),
        ),
        ({"model": 5, "max_tokens": "many"}, Question("", 0, None)),
        ([1, 2], Question("", 6, None)),
    ],
)
def test_what_a_request_asks(asked, question):
    assert read_question(json.dumps(asked).encode()) == question


def test_letters_are_taken_for_tokens_rounded_up():
    assert [tokens_in(letters, 4.0) for letters in (0, 1, 4, 5)] == [0, 1, 1, 2]
