"""Decisions on their way to one Redis server: many in one round trip, none for longer than its deadline.

What is asked in one turn of the event loop, and while all connections are busy, travels together. After a failure the
lane is closed: decisions are answered at once with "no idea", while a probe in the background finds out when the server
is back. So an outage costs the requests that met it first one deadline, and the others nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from redis.exceptions import RedisClusterException, RedisError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway_ratelimit.scripts import Script

__all__ = ["UNAVAILABLE", "Command", "Lane", "LaneOptions", "Reply"]

Reply: TypeAlias = "Sequence[int] | None"
"""What a script returned; ``None`` if there is no answer."""

UNAVAILABLE = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What redis-py raises when there is no answer to be had."""
MAX_BATCH = 512
"""A server that runs more scripts in a row keeps others waiting for more than a few milliseconds."""
MAX_WAITING = 16 * MAX_BATCH
PROBE_DELAY_S = 0.02
"""Short at first: what looked like an outage may have been a moment in which this process itself stood still."""
MAX_PROBE_DELAY_S = 2.0


class Command(NamedTuple):
    """A script to run for a key.

    Attributes:
        script: The script.
        key: The key.
        arguments: What else it gets.
    """

    script: Script
    key: bytes
    arguments: tuple[bytes, ...]


class _Waiting(NamedTuple):
    command: Command
    answer: asyncio.Future[Reply] | None
    deadline_s: float


class LaneOptions(NamedTuple):
    """What lanes have in common.

    Attributes:
        send: Runs scripts and returns what each returned, or the error it caused.
        probe: Returns if the server that has a key works; raises otherwise.
        outage: Told when the lane is closed, and why.
        recovery: Told when it is open again.
        timeout_s: How long a decision may take.
        max_flights: How many round trips may be under way.
    """

    send: Callable[[Sequence[Command]], Awaitable[list[object]]]
    probe: Callable[[bytes], Awaitable[object]]
    outage: Callable[[BaseException], None]
    recovery: Callable[[], None]
    timeout_s: float
    max_flights: int


class Lane:
    """See the top of this module. Used from one event loop.

    Attributes:
        is_closed: Whether the server is taken to be down.
    """

    def __init__(self, options: LaneOptions) -> None:
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Waiting] = []
        self._flights = 0
        self._is_scheduled = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_closed = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing would be missed if it were gone."""
        return not self._tasks and not self._waiting

    async def ask(self, command: Command) -> Reply:
        """Run a script and return what it returned; ``None`` if there is no answer in time."""
        if self.is_closed or len(self._waiting) >= MAX_WAITING:
            return None
        answer: asyncio.Future[Reply] = self._loop.create_future()
        self._add(_Waiting(command, answer, self._loop.time() + self._options.timeout_s))
        return await answer

    def tell(self, command: Command) -> None:
        """Run a script of which nobody waits for the result; dropped if the server is down."""
        if not self.is_closed and len(self._waiting) < MAX_WAITING:
            self._add(_Waiting(command, None, self._loop.time() + self._options.timeout_s))

    def close(self, error: BaseException, key: bytes) -> None:
        """Answer nothing until the server that has ``key`` works."""
        if self.is_closed:
            return
        self.is_closed = True
        waiting, self._waiting = self._waiting, []
        _answer(waiting, [None] * len(waiting))
        self._options.outage(error)
        self._start(self._probe(key))

    async def aclose(self) -> None:
        """End what is under way."""
        self.is_closed = True
        _answer(self._waiting, [None] * len(self._waiting))
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _add(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled and self._flights < self._options.max_flights:
            self._is_scheduled = True
            # At the end of this turn, so that what is asked in it travels together.
            self._loop.call_soon(self._take_off)

    def _take_off(self) -> None:
        self._is_scheduled = False
        if not self._waiting:
            return
        batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        self._flights += 1
        self._start(self._fly(batch))
        if self._waiting:
            self._schedule()

    async def _fly(self, batch: list[_Waiting]) -> None:
        replies: list[Reply] = [None] * len(batch)
        try:
            async with asyncio.timeout_at(batch[0].deadline_s):
                results = await self._options.send([each.command for each in batch])
        except UNAVAILABLE as error:
            self.close(error, batch[0].command.key)
        else:
            replies = [result if isinstance(result, list) else None for result in results]
            errors = [result for result in results if isinstance(result, BaseException)]
            if len(errors) == len(results):
                self.close(errors[0], batch[0].command.key)
        finally:
            self._flights -= 1
            _answer(batch, replies)
        if self._waiting:
            self._schedule()

    async def _probe(self, key: bytes) -> None:
        delay_s = PROBE_DELAY_S
        while True:
            await asyncio.sleep(delay_s)
            try:
                async with asyncio.timeout(max(self._options.timeout_s, delay_s)):
                    await self._options.probe(key)
            except UNAVAILABLE:
                delay_s = min(2 * delay_s, MAX_PROBE_DELAY_S)
            else:
                break
        self.is_closed = False
        self._options.recovery()

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _answer(batch: Sequence[_Waiting], replies: Sequence[Reply]) -> None:
    for waiting, reply in zip(batch, replies, strict=True):
        # It is done already if the exchange was cancelled.
        if waiting.answer is not None and not waiting.answer.done():
            waiting.answer.set_result(reply)
