"""Sends the requests: wrk for full load, `pace.py` for a fixed rate, plain sockets for one request or idle connections.

Whatever sends them checks every answer, and a run with a wrong one is an error, not a figure.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import resource
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import process
import upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CONNECTIONS = 64
_HERE = Path(__file__).resolve().parent
_ANSWER_TIMEOUT_S = 20
_SPARE_S = 30.0

BROWSER_HEADERS = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.7,de;q=0.3",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: http://localhost/catalogue?page=2",
    "Cookie: session=4f9c2b7e1d8a4c35b6f0e2a97c1d5b83; theme=dark; consent=1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
    "Upgrade-Insecure-Requests: 1",
)


class AnswerError(Exception):
    """A proxy answered something else than the service did, or not at all."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent, and how its answers are checked.

    Attributes:
        path: The path of the request's target.
        tls: Whether to speak HTTPS; certificates are not verified.
        client_certificate: A certificate with its key that `probe` shows; what wrk and h2load cannot do.
        body_bytes: More than 0 makes it a POST with that many bytes.
        body: If there is any, it is POSTed.
        headers: Further header lines.
        check: What to look at in each answer, see `check.lua`.
        expected_bytes: The length of the answer's body, or of the body that has to arrive at the service.
        answer: The body of right answers.
        tokens: A file of bearer tokens, one in a line, that are sent in turn; `None` sends none.
        http2: Whether to speak HTTP/2, by ALPN with TLS and by prior knowledge without, see `h2.py`.
        streams: Requests under way on each connection of HTTP/2.
        grpc: Whether it is a call of gRPC, see `calls.py`.
    """

    path: str = "/"
    tls: bool = False
    client_certificate: Path | None = None
    body_bytes: int = 0
    body: bytes = b""
    headers: tuple[str, ...] = ()
    check: Literal["body", "received", "total"] = "body"
    expected_bytes: int = len(upstream.SMALL_BODY)
    answer: bytes = upstream.SMALL_BODY
    tokens: Path | None = None
    http2: bool = False
    streams: int = 10
    grpc: bool = False

    @property
    def method(self) -> str:
        """GET, or POST when there is a body."""
        return "POST" if self.body_bytes or self.body else "GET"


SMALL = Request()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a run of load came to.

    Attributes:
        requests: Answers received in full.
        seconds: How long it took.
        p50_s: Median latency.
        p99_s: 99th percentile of the latency.
        lag_s: 99th percentile of how much later than planned the driver itself sent; 0 where nothing is planned.
    """

    requests: int
    seconds: float
    p50_s: float
    p99_s: float
    lag_s: float = 0.0


def full(port: int, request: Request, *, seconds: int, cores: Sequence[int], threads: int = 1) -> Load:
    """Sends requests with wrk as fast as they are answered, over `CONNECTIONS` keep-alive connections.

    Raises:
        StartError: If wrk is not installed or fails.
        AnswerError: If any answer had another status, length or body, or a connection failed.
    """
    wrk = process.find_program("wrk")
    if wrk is None:
        message = "wrk is not installed; try: apt-get install wrk"
        raise process.StartError(message)
    scheme = "https" if request.tls else "http"
    command = [str(wrk), f"-t{threads}", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", f"{_ANSWER_TIMEOUT_S}s"]
    command += ["-s", str(_HERE / "check.lua")]
    for header in request.headers:
        command += ["-H", header]
    command += [f"{scheme}://127.0.0.1:{port}{request.path}", "--"]
    command += [request.method, str(request.body_bytes), request.check, str(request.expected_bytes)]
    command += [request.answer.decode(), str(request.tokens or ""), request.body.decode()]
    figures = run_program(command, cores=cores, mark="FIGURES ", within_s=seconds + _SPARE_S)
    _check(figures, request)
    return Load(
        requests=figures["requests"],
        seconds=figures["duration_us"] / 1e6,
        p50_s=figures["p50_us"] / 1e6,
        p99_s=figures["p99_us"] / 1e6,
    )


def paced(port: int, *, rate: float, seconds: float, cores: Sequence[int]) -> Load | None:
    """Sends small requests at a fixed mean rate, whatever the answers do; see `pace.py` for the method.

    Returns:
        What came of it; `None` if the schedule could not be kept and requests were left over at its end.

    Raises:
        StartError: If the driver fails.
        AnswerError: If any answer had another status or body.
    """
    command = [sys.executable, str(_HERE / "pace.py"), str(port), f"{rate:.1f}", f"{seconds:g}", str(CONNECTIONS)]
    figures = run_program(command, cores=cores, mark="FIGURES ", within_s=seconds + _SPARE_S)
    wrong, unsent = figures.pop("wrong"), figures.pop("unsent")
    if wrong or not figures["requests"]:
        message = f"{wrong} wrong or missing answers besides {figures['requests']} right ones"
        raise AnswerError(message)
    return None if unsent else Load(**figures)


def probe(port: int, request: Request, *, expected: bytes | None = None, timeout_s: float = 10.0) -> None:
    """Sends one request and looks at the whole answer.

    Args:
        port: Where to send it.
        request: What to send.
        expected: The body that the answer must have; `None` leaves it unchecked.
        timeout_s: How long each wait for the network may take.

    Raises:
        AnswerError: If the status is not 200 or the body differs.
        OSError: If the connection fails.
    """
    connection = _connection(port, request, timeout_s=timeout_s)
    with contextlib.closing(connection):
        headers = dict(header.split(": ", 1) for header in request.headers)
        body = request.body or b"x" * request.body_bytes
        connection.request(request.method, request.path, body=body or None, headers=headers)
        response = connection.getresponse()
        body = response.read()
    if response.status != http.HTTPStatus.OK or (expected is not None and body != expected):
        message = f"{request.method} {request.path}: status {response.status}, {len(body)} bytes: {body[:200]!r}"
        raise AnswerError(message)


def wait_for_answer(ask: Callable[[], None], running: subprocess.Popen[bytes], *, within_s: float) -> float:
    """Asks again and again until the first right answer.

    Args:
        ask: Sends a request, and raises if the answer is not right.
        running: The process that is to answer.
        within_s: After how long it is given up.

    Returns:
        When it arrived, by `time.perf_counter`.

    Raises:
        StartError: If the process ends, or the time is over.
    """
    deadline = time.monotonic() + within_s
    last: Exception | None = None
    while time.monotonic() < deadline and running.poll() is None:
        try:
            ask()
            return time.perf_counter()
        except (OSError, http.client.HTTPException, AnswerError) as error:
            last = error
            time.sleep(0.002)
    code = running.poll()
    waited = f"within {within_s:g} s" if code is None else f"before it ended with {code}"
    message = f"gave no right answer {waited} (last: {last})"
    raise process.StartError(message)


@contextlib.contextmanager
def idle_connections(port: int, count: int) -> Iterator[int]:
    """Opens connections, has one request answered on each, and keeps them open for as long as the block lasts.

    Yields:
        How many are open: `count`, or fewer where the limit on open files is lower.

    Raises:
        AnswerError: If an answer is not the service's.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with contextlib.ExitStack() as stack:
        allowed = min(count, (soft - 500) // 2)  # a proxy's limit is ours, and it may need a second socket for each
        for number in range(allowed):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10.0))
            client.sendall(request)
            answer = b""
            while not answer.endswith(upstream.SMALL_BODY):
                received = client.recv(4096)
                if not received or not (answer + received).startswith(b"HTTP/1.1 200 "):
                    message = f"connection {number + 1} of {allowed}: {answer + received!r}"
                    raise AnswerError(message)
                answer += received
        yield allowed


def raise_file_limit() -> None:
    """Raises the limit on open files as far as this user may; the proxies inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run_program(command: Sequence[str], *, cores: Sequence[int], mark: str, within_s: float) -> Any:
    """Runs a program to its end, and returns the JSON in the line that begins with `mark`.

    Raises:
        StartError: If it printed no such line.
    """
    done = subprocess.run(process.pinned(command, cores), capture_output=True, text=True, timeout=within_s, check=False)
    for line in done.stdout.splitlines():
        if line.startswith(mark):
            return json.loads(line.removeprefix(mark))
    message = f"{Path(command[0]).name} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}"
    raise process.StartError(message)


def _connection(port: int, request: Request, *, timeout_s: float) -> http.client.HTTPConnection:
    if not request.tls:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the certificate is one of our own, made for this run
    if request.client_certificate is not None:
        context.load_cert_chain(request.client_certificate)
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout_s, context=context)


def _check(figures: dict[str, int], request: Request) -> None:
    problems = {name: figures[name] for name in ("wrong", "status", "socket", "timeout") if figures[name]}
    if request.check == "total":  # answers that broke off would show as bytes that belong to no complete answer
        least = figures["requests"] * request.expected_bytes
        most = (figures["requests"] + CONNECTIONS) * (request.expected_bytes + 4096)
        if not least <= figures["bytes"] <= most:
            problems["bytes"] = figures["bytes"]
    if problems or not figures["requests"]:
        message = f"{request.method} {request.path}: {figures['requests']} complete answers; failures: {problems}"
        raise AnswerError(message)
