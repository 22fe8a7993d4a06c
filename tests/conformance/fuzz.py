"""Mutations of good and bad requests, and what must hold for all of them: ``make fuzz``, and for seconds in the suite.

Whatever bytes a client sends:

- what it is answered reads as responses, of which none is an error of the gateway's own;
- the service sees well-formed requests only, and as many whole ones as it gave answers that reached the client;
- the gateway goes on to serve.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.conformance.client import Client, MalformedAnswer, cut_at, send_pieces
from tests.conformance.corpus import CASES

if TYPE_CHECKING:
    from tests.conformance.service import Service

__all__ = ["Finding", "Fuzzer", "mutations"]

SILENCE_S = 0.25
"""After so much silence the gateway waits for more: what was sent is no whole request."""
RIGHT_STATUSES = frozenset({100, 200, 400, 404, 405, 408, 413, 414, 417, 431, 501, 505})

GOOD = (
    b"GET /a HTTP/1.1\r\nHost: gw\r\n\r\n",
    b"POST /b?c=d HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT /e HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;a=b\r\nyou\r\n0\r\nx: 1\r\n\r\n",
    b"GET http://gw/f HTTP/1.1\r\nHost: gw\r\nAccept: */*\r\nCookie: a=b\r\n\r\n",
    b"GET /g HTTP/1.0\r\nHost: gw\r\nConnection: keep-alive\r\n\r\n",
    b"POST /h HTTP/1.1\r\nHost: gw\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
)
TOKENS = (
    *(b"\r\n", b"\r", b"\n", b"\0", b" ", b"\t", b":", b";", b",", b"=", b'"', b"0", b"-1", b"+5", b"0x5", b"\xff"),
    *(b"\x0b", b"\r\n\r\n", b"\r\n ", b"\n\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"ffffffffffffffff\r\n", b"1" * 30),
    *(b"%00", b"%2f", b"..", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n"),
    *(b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Content-Length : 3\r\n", b"content-length: 5, 5\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"transfer-encoding:\tchunked\r\n"),
    *(b"Transfer-Encoding: identity\r\n", b"Transfer_Encoding: chunked\r\n", b"Host: other\r\n", b"TE: trailers\r\n"),
    *(b"Connection: close\r\n", b"Connection: Host, Content-Length\r\n", b"Upgrade: websocket\r\n"),
    *(b"Expect: 100-continue\r\n", b"X: " + b"a" * 3000 + b"\r\n"),
)
MAX_SEED_BYTES = 5000
"""Longer cases are about their length."""
# No HEAD: by the answer alone nobody could tell whether its body is still to come.
SEEDS = (*GOOD, *(case.data for case in CASES if len(case.data) < MAX_SEED_BYTES and b"HEAD" not in case.data))


@dataclass
class Finding:
    """Something that must not be.

    Attributes:
        what: What it is.
        pieces: What was sent.
    """

    what: str
    pieces: list[bytes]

    def __str__(self) -> str:
        return f"{self.what}: {self.pieces!r}"


def _seed(randomly: random.Random) -> bytes:
    # Good ones more often than not: what is wrong from the beginning says little about what is changed in it.
    return randomly.choice(GOOD if randomly.randrange(5) < 3 else SEEDS)


def mutations(randomly: random.Random) -> bytes:
    """Return a good or bad request, or two, with a few changes."""
    data = bytearray(_seed(randomly))
    if randomly.randrange(5) < 2:
        data += _seed(randomly)
    for _ in range(randomly.randint(0, 4)):
        at = randomly.randrange(len(data) + 1)
        end = min(len(data), at + randomly.randint(1, 12))
        match randomly.randrange(6):
            case 0:
                data[at:at] = randomly.choice(TOKENS)
            case 1:
                data[at:end] = randomly.choice(TOKENS)
            case 2:
                del data[at:end]
            case 3:
                data[at:at] = data[at:end]
            case 4 if data:
                data[at - 1] ^= 1 << randomly.randrange(8)
            case _:
                line_end = data.find(b"\r\n", at)
                if line_end >= 0:
                    data[line_end + 2 : line_end + 2] = randomly.choice(TOKENS)
    return bytes(data)


@dataclass
class Fuzzer:
    """Sends mutations to a gateway.

    Attributes:
        port: Where the gateway is.
        service: The only service behind it, which answers everything with 200.
        seed: Where the random numbers begin.
        findings: What must not be.
        sent: How many mutations were sent.
        answers: How many answers there were, by status.
    """

    port: int
    service: Service
    seed: int
    findings: list[Finding] = field(default_factory=list)
    sent: int = 0
    answers: dict[int, int] = field(default_factory=dict)

    def run(self, seconds: float) -> None:
        """Send mutations for so long."""
        randomly = random.Random(self.seed)  # noqa: S311 - reproducible, not secret
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            data = mutations(randomly)
            count = min(randomly.choice((0, 0, 1, 5)), len(data) - 1)
            self.check(cut_at(data, sorted(randomly.sample(range(1, len(data)), max(0, count)))) if data else [])

    def check(self, pieces: list[bytes]) -> None:
        """Send one mutation and see what becomes of it."""
        self.sent += 1
        self.service.forget()
        statuses: list[int] = []
        try:
            with Client(self.port, timeout_s=SILENCE_S) as client:
                send_pieces(client, pieces)
                self._read(client, statuses)
        except MalformedAnswer as malformed:
            self.findings.append(Finding(f"malformed answer ({malformed})", pieces))
        except TimeoutError:
            self.findings.append(Finding("an answer without end", pieces))
        except ConnectionRefusedError:
            self.findings.append(Finding("the gateway does not accept any more", pieces))
        for status in statuses:
            self.answers[status] = self.answers.get(status, 0) + 1
            if status not in RIGHT_STATUSES:
                self.findings.append(Finding(f"status {status}", pieces))
        if self.service.violations:
            self.findings.append(Finding(f"the service saw {self.service.violations}", pieces))
        whole = sum(request.is_complete for request in self.service.requests)
        if whole != statuses.count(200):
            self.findings.append(Finding(f"{whole} requests reached the service, {statuses} came back", pieces))

    @staticmethod
    def _read(client: Client, statuses: list[int]) -> None:
        while True:
            try:
                if not client.buffer and not client.receive():
                    return
            except TimeoutError:
                return  # it waits for more
            answer = client.read_answer()
            statuses.append(answer.status)
            if not answer.is_whole:
                raise MalformedAnswer("cut short")
