"""How long a refresh of a large service holds up the event loop: ``python tests/benchmarks/directory.py [COUNT]``.

Prints for each kind of refresh how long it took from publishing to the last instance, and the longest time between two
turns of the loop meanwhile, in CPU time of this thread, so that other processes do not count. First what the process
of the control plane does, or the only one; then what a worker does that is told of the change over the channel.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import pickle
import sys
import time
from typing import TYPE_CHECKING

from gateway import Endpoint
from gateway.services import Change, ServiceDirectory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from gateway import Instance
    from gateway.services import Service

MESSAGE_ENDPOINTS = 1000
"""As in the control plane."""


def endpoints(count: int, *, weight: int = 1, port: int = 80) -> list[Endpoint]:
    """Make new objects for so many addresses, as a provider does for each snapshot."""
    return [
        Endpoint(
            address=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", port=port, id=str(number), weight=weight
        )
        for number in range(count)
    ]


async def held_up_s(work: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """Run ``work``; returns how long it took, and the longest time between two turns of the loop."""
    gc.collect()
    gc.freeze()
    task = asyncio.ensure_future(work())
    begun_s = time.perf_counter()
    longest_s, before_s = 0.0, time.thread_time()
    while not task.done():
        await asyncio.sleep(0)
        now_s = time.thread_time()
        longest_s, before_s = max(longest_s, now_s - before_s), now_s
    await task
    return time.perf_counter() - begun_s, longest_s


async def main(count: int) -> None:
    """Measure and print."""
    messages: list[bytes] = []

    def tell(service: Service, instance: Instance | None) -> Iterator[None]:
        for piece in service.changes(MESSAGE_ENDPOINTS) if instance is None else ():
            messages.append(pickle.dumps(piece))
            yield

    directory = ServiceDirectory(tell)
    alone, worker = ServiceDirectory(), ServiceDirectory()

    def publishing(into: ServiceDirectory, published: list[Endpoint]) -> Callable[[], Awaitable[None]]:
        async def publish() -> None:
            into.publish("static", {"orders": published})
            await into.settled()

        return publish

    async def follow() -> None:
        pieces: list[Change] = []
        for message in messages:
            piece = pickle.loads(message)  # noqa: S301 - made above
            pieces.append(piece)
            await asyncio.sleep(0)
            if piece.is_last:
                worker.take_change("orders", Change.of(pieces))
        await worker.settled()

    one_less = endpoints(count, weight=2)[1:]
    cases = {
        "all new": endpoints(count),
        "all the same": endpoints(count),
        "all otherwise": endpoints(count, weight=2),
        "one gone": one_less,
        "all others": endpoints(count, port=81),
        "all gone": [],
    }
    print(f"{count} instances    one process: took, longest      control plane      worker")
    for name, published in cases.items():
        messages.clear()
        figures = [
            await held_up_s(publishing(alone, published)),
            await held_up_s(publishing(directory, published)),
            await held_up_s(follow),
        ]
        print(f"{name:<16}" + "".join(f"{took * 1e3:>12.1f} ms{longest * 1e3:>8.1f} ms" for took, longest in figures))
    service = directory.service("orders")
    service.publish("static", endpoints(count))
    logging.disable()
    begun_s = time.thread_time()
    directory.mark(service.instances[count // 2], is_healthy=False, reason="measured")
    print(f"one that fails: {(time.thread_time() - begun_s) * 1e3:.1f} ms")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
