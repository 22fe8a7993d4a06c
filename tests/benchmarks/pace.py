"""Sends small requests at a fixed mean rate and measures latency without co-ordinated omission.

A program of its own, so that it can be pinned: `python pace.py PORT RATE SECONDS CONNECTIONS`.

The load is open: requests are due at times drawn beforehand (a Poisson process, always the same one), however slow
the answers are. A request takes an idle connection, last used first. If there is none, its wait for one counts as
latency, from the time when it was due. If the driver itself comes late while a connection is free, latency counts
from when the request was sent, and the delay is reported as lag: it is this program's share of one core that was
busy, not the proxy. The other direction cannot be told apart: when an answer waits for this program to be scheduled,
that is latency. Hence the row `direct`, the same load without a proxy, which is the floor of the method.
"""

from __future__ import annotations

import collections
import gc
import json
import random
import select
import socket
import sys
import time

from upstream import SMALL_BODY

_REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_LAST_ANSWER_WITHIN_S = 2.0
_SETTLE_S = 0.3


class Pacer:
    """One run: a schedule, the connections, and what was seen."""

    def __init__(self, port: int, connections: int) -> None:
        self._poller = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._idle: list[int] = []
        self._waiting: collections.deque[float] = collections.deque()
        self._begun: dict[int, float] = {}
        self._partial: dict[int, bytes] = {}
        self.latencies_s: list[float] = []
        self.lags_s: list[float] = []
        self.wrong = 0
        self.unsent = 0
        for _ in range(connections):
            self._connect(port)

    def run(self, rate: float, seconds: float) -> None:
        """Sends the whole schedule and waits for the last answers."""
        draw = random.Random(2)  # noqa: S311 - a load, not a secret
        due: collections.deque[float] = collections.deque()
        moment = 0.0
        while moment < seconds:
            due.append(moment)
            moment += draw.expovariate(rate)
        start = time.perf_counter()
        end = start + seconds + _LAST_ANSWER_WITHIN_S
        while (now := time.perf_counter()) < end and (due or self._begun):
            while due and start + due[0] <= now:
                self._send_or_queue(start + due.popleft())
            self._answers(start + due[0] if due else end)
        self.unsent = len(self._waiting) + len(due)
        if not self.unsent:
            self.wrong += len(self._begun)  # there was time to answer these

    def figures(self) -> dict[str, float]:
        """Returns the counts and percentiles of the run."""
        latencies = sorted(self.latencies_s)
        return {
            "requests": len(latencies),
            "p50_s": percentile(latencies, 0.50),
            "p99_s": percentile(latencies, 0.99),
            "lag_s": percentile(sorted(self.lags_s), 0.99),
            "wrong": self.wrong,
            "unsent": self.unsent,
        }

    def _connect(self, port: int) -> None:
        client = socket.create_connection(("127.0.0.1", port))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(0)
        self._sockets[client.fileno()] = client
        self._poller.register(client, select.EPOLLIN)
        self._idle.append(client.fileno())

    def _send_or_queue(self, due: float) -> None:
        if not self._idle:
            self._waiting.append(due)
            return
        now = time.perf_counter()
        self.lags_s.append(now - due)
        self._send(self._idle.pop(), now)

    def _send(self, descriptor: int, begun: float) -> None:
        self._begun[descriptor] = begun
        self._sockets[descriptor].send(_REQUEST)

    def _answers(self, until: float) -> None:
        """Takes what has arrived, waiting for it no longer than until the next request is due.

        `select` on the epoll object, because epoll itself waits in whole milliseconds.
        """
        select.select([self._poller], [], [], max(0.0, until - time.perf_counter()))
        for descriptor, _ in self._poller.poll(0):
            self._answer(descriptor)

    def _answer(self, descriptor: int) -> None:
        data = self._sockets[descriptor].recv(65536)
        if not data:
            raise ConnectionResetError
        data = self._partial.pop(descriptor, b"") + data
        if not data.endswith(SMALL_BODY):
            self._partial[descriptor] = data
            return
        now = time.perf_counter()
        if data.startswith(b"HTTP/1.1 200 ") and data.count(SMALL_BODY) == 1:
            self.latencies_s.append(now - self._begun.pop(descriptor))
        else:
            self.wrong += 1
            del self._begun[descriptor]
        if self._waiting:
            self._send(descriptor, self._waiting.popleft())
        else:
            self._idle.append(descriptor)


def percentile(ordered: list[float], share: float) -> float:
    """Returns the value below which this share of an ordered list lies; 0 for an empty list."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def main() -> None:
    """Runs once and prints one line of figures."""
    port, rate, seconds, connections = (float(argument) for argument in sys.argv[1:])
    gc.disable()
    Pacer(int(port), int(connections)).run(rate / 2, _SETTLE_S)
    pacer = Pacer(int(port), int(connections))
    start = time.perf_counter()
    pacer.run(rate, seconds)
    figures = {**pacer.figures(), "seconds": time.perf_counter() - start}
    sys.stdout.write(f"FIGURES {json.dumps(figures)}\n")


if __name__ == "__main__":
    main()
