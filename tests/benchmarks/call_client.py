"""The direct client of `grpc-json`: calls the service with grpcio, with the messages of protobuf, and no proxy between.

A program of its own, so that it can be pinned: `python call_client.py PORT SECONDS CALLS`. It is a closed loop with so
many calls at once on one channel, checks every answer, and prints its figures in one line.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time

import calls
from pace import percentile

_WARM_UP_S = 0.5


async def _measure(port: int, seconds: float, at_once: int) -> dict[str, float]:
    import grpc.aio  # type: ignore[import-untyped]  # noqa: PLC0415 - no types; only what runs as a program needs it
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: PLC0415 - as above

    pool = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(calls.descriptor_set())
    pool.Add(files.file[0])
    message = message_factory.GetMessageClass(pool.FindMessageTypeByName("bench.Text"))
    latencies: list[float] = []
    wrong = 0

    async def call_again_and_again(until: float) -> None:
        nonlocal wrong
        while (began := time.perf_counter()) < until:
            try:
                answer = await say(message(text=calls.TEXT))
            except grpc.RpcError:
                wrong += 1
                continue
            wrong += answer.text != calls.TEXT
            latencies.append(time.perf_counter() - began)

    async def load(for_s: float) -> float:
        began = time.perf_counter()
        await asyncio.gather(*(call_again_and_again(began + for_s) for _ in range(at_once)))
        return time.perf_counter() - began

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        say = channel.unary_unary(
            calls.PATH, request_serializer=message.SerializeToString, response_deserializer=message.FromString
        )
        await load(_WARM_UP_S)
        latencies.clear()
        before = resource.getrusage(resource.RUSAGE_SELF)
        took_s = await load(seconds)
        after = resource.getrusage(resource.RUSAGE_SELF)
    latencies.sort()
    user_s = after.ru_utime - before.ru_utime
    return {
        "requests": len(latencies),
        "seconds": took_s,
        "p50_s": percentile(latencies, 0.50),
        "p99_s": percentile(latencies, 0.99),
        "wrong": wrong,
        "user_s": user_s,
        "cpu_s": user_s + after.ru_stime - before.ru_stime,
    }


def main() -> None:
    """Measures, and prints the figures."""
    port, seconds, at_once = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    print("FIGURES " + json.dumps(asyncio.run(_measure(port, seconds, at_once))))


if __name__ == "__main__":
    main()
