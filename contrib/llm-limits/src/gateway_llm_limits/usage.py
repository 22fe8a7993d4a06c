"""How many tokens: what messages say of it, and what may be guessed.

The formats are those of OpenAI (chat completions, completions, responses), which most others speak, and of Anthropic.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Question", "Usage", "letters_of", "read_question", "tokens_in", "usage_of"]

MAX_COUNT = 1_000_000_000
MAX_DEPTH = 32

_WRITTEN = frozenset(
    ("arguments", "content", "delta", "input", "instructions", "partial_json", "prompt", "reasoning_content")
) | {"system", "text", "thinking"}
"""Members whose text is written or read by a model."""
_INPUT = ("prompt_tokens", "input_tokens")
_OUTPUT = ("completion_tokens", "output_tokens")
_CACHED = ("cache_creation_input_tokens", "cache_read_input_tokens")
"""Anthropic's ``input_tokens`` leaves these out."""
_ALLOWED = ("max_completion_tokens", "max_tokens", "max_output_tokens")


@dataclass(slots=True)
class Usage:
    """Tokens of an exchange, as far as they are known.

    Attributes:
        input: Those that were read; ``None`` while nobody has said.
        output: Those that were written; likewise.
    """

    input: int | None = None
    output: int | None = None

    def learn(self, other: Usage) -> None:
        """Take over what a later message says: counts in streams are running totals."""
        if other.input is not None:
            self.input = max(self.input or 0, other.input)
        if other.output is not None:
            self.output = max(self.output or 0, other.output)


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks of a model.

    Attributes:
        model: Its name; empty if the request does not say.
        letters: How long what it has to read is.
        max_output: How many tokens it may write; ``None`` if the request does not say.
    """

    model: str
    letters: int
    max_output: int | None


def read_question(body: bytes) -> Question:
    """Return what a request asks; a body that is no JSON object is taken as text."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        return Question("", len(body), None)
    model = asked.get("model")
    allowed = [count for name in _ALLOWED if (count := _count(asked.get(name))) is not None]
    choices = max(1, _count(asked.get("n")) or 1)
    max_output = min(max(allowed) * choices, MAX_COUNT) if allowed else None
    return Question(model if isinstance(model, str) else "", letters_of(asked), max_output)


def usage_of(message: object) -> Usage:
    """Return what a message says of tokens: by itself, or in its ``message`` or ``response``."""
    found = Usage()
    if not isinstance(message, dict):
        return found
    for holder in (message, message.get("message"), message.get("response")):
        usage = holder.get("usage") if isinstance(holder, dict) else None
        if isinstance(usage, dict):
            found.learn(Usage(_input(usage), _first(usage, _OUTPUT)))
    return found


def letters_of(message: object) -> int:
    """Return how long the text in a message is that a model reads or writes; pictures and sounds do not count."""
    return sum(map(len, _texts(message, is_text=False, depth=0)))


def tokens_in(letters: int, chars_per_token: float) -> int:
    """Return how many tokens so many letters may be."""
    return math.ceil(letters / chars_per_token)


def _texts(value: Any, *, is_text: bool, depth: int) -> Iterator[str]:  # noqa: ANN401 - any JSON
    if depth > MAX_DEPTH:
        return
    if isinstance(value, str):
        if is_text:
            yield value
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry, is_text=is_text, depth=depth + 1)
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from _texts(entry, is_text=name in _WRITTEN, depth=depth + 1)


def _input(usage: dict[str, Any]) -> int | None:
    read = _first(usage, _INPUT)
    return None if read is None else read + sum(_count(usage.get(name)) or 0 for name in _CACHED)


def _first(usage: dict[str, Any], names: tuple[str, ...]) -> int | None:
    return next((count for name in names if (count := _count(usage.get(name))) is not None), None)


def _count(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return min(value, MAX_COUNT)
    return None
