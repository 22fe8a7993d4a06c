from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.runtime.outbox import Outbox

pytestmark = pytest.mark.anyio


class Transport:
    def __init__(self, *, is_closed: bool = False) -> None:
        self.written: list[bytes] = []
        self._is_closed = is_closed

    def write(self, data: bytes) -> None:
        if self._is_closed:
            raise RuntimeError("the handler is closed")
        self.written.append(data)


@pytest.fixture
def transport() -> Any:
    return Transport()


async def test_small_messages_of_one_turn_go_together(transport):
    outbox = Outbox()
    outbox.write(transport, b"1")
    outbox.write(transport, b"2")
    assert transport.written == []
    await asyncio.sleep(0)
    assert transport.written == [b"1", b"2"]
    outbox.write(transport, b"3")
    await asyncio.sleep(0)
    assert transport.written == [b"1", b"2", b"3"]


async def test_they_can_be_sent_at_once(transport):
    outbox = Outbox()
    outbox.write(transport, b"1")
    outbox.flush()
    assert transport.written == [b"1"]
    await asyncio.sleep(0)
    assert transport.written == [b"1"]


async def test_a_transport_that_was_closed_keeps_no_other_from_its_message(transport):
    outbox = Outbox()
    closed: Any = Transport(is_closed=True)
    outbox.write(closed, b"1")
    outbox.write(transport, b"2")
    await asyncio.sleep(0)
    assert transport.written == [b"2"]
