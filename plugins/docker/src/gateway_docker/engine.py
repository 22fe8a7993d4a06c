"""An engine's API, by the Docker SDK: negotiated, bounded, with a deadline on everything.

The SDK brings the transports (unix sockets, TCP, TLS) and the requests; the answers are read here, because the SDK
reads them without bound and its event stream without a deadline.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests
from docker import APIClient
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.errors import DockerException
from docker.tls import TLSConfig
from docker.types import CancellableStream
from docker.utils import parse_host
from urllib3.exceptions import HTTPError, ReadTimeoutError

from gateway_docker.containers import Container, ListingError, network_addresses, parse_listing
from gateway_docker.problems import quoted
from gateway_docker.unix_transport import UnixTransport

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["MAX_ANSWER_BYTES", "Engine", "EngineError", "EngineRefusal", "Inspection", "negotiate"]

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""An entry of the list takes 1 to 3 KB, so this is more than 20,000 containers."""
_PIECE_BYTES = 65536
_MAX_MESSAGE_LENGTH = 300
_POOL_SIZE = 4

_VERSION = re.compile(r"([0-9]{1,2})\.([0-9]{1,3})")


class EngineError(Exception):
    """The engine cannot be reached, or does not answer as it should."""


class EngineRefusal(EngineError):
    """The engine, or a proxy before it, does not allow this."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What only a look at the single container tells, in engines whose list does not.

    Attributes:
        network_mode: ``host``, ``bridge`` ...
        health: What its health check says; empty if it has none.
        addresses: Its address on each network.
    """

    network_mode: str
    health: str
    addresses: Mapping[str, str]


@dataclass(slots=True)
class Engine:
    """A session with an engine. Its methods block; ``close`` may be called from any thread and ends them.

    Args:
        host: Where it is, as ``docker.APIClient`` has it.
        certificates: The folder with ``ca.pem`` and perhaps ``cert.pem`` and ``key.pem``; ``None`` is the system's
            authorities, or no TLS.
        wanted_version: The version of the API; empty negotiates.
        timeout_s: How long an answer may take.

    Attributes:
        version: The version of the API that is spoken.
        product: What the engine says it is.
    """

    host: str
    certificates: Path | None
    wanted_version: str
    timeout_s: float
    version: str = field(default="", init=False)
    product: str = field(default="", init=False)
    _client: APIClient | None = field(default=None, init=False)
    _unix: UnixTransport | None = field(default=None, init=False)
    _open: set[CancellableStream[bytes]] = field(default_factory=set, init=False)
    _is_closed: bool = field(default=False, init=False)

    def connect(self) -> None:
        """Find out what the engine is and which version of the API to speak.

        Raises:
            EngineError: If it cannot be reached, or none is common.
        """
        with _translated():
            # A version that is given keeps the SDK from asking by itself.
            client = self._client = APIClient(
                self.host,
                version=DEFAULT_DOCKER_API_VERSION,
                timeout=max(1, round(self.timeout_s)),
                tls=_tls(self.certificates),
                max_pool_size=_POOL_SIZE,
            )
            if self.host.startswith("unix:"):
                self._unix = UnixTransport(str(parse_host(self.host)), self.timeout_s)
                client.mount("http+docker://", self._unix)
        # Neither proxies nor credentials of the environment are meant for an engine.
        client.trust_env = False
        client.headers["Accept-Encoding"] = "identity"
        said = _parse_object(self._get("/version", is_versioned=False), "its version")
        self.version = negotiate(said, self.wanted_version)
        self.product = _product(said)

    def containers(self, filters: Mapping[str, Sequence[str]]) -> tuple[list[Container], list[str]]:
        """List what runs; returns the containers, oldest first, and what could not be read.

        Raises:
            EngineError: If they cannot be listed.
        """
        try:
            return parse_listing(self._get("/containers/json", filters=json.dumps(filters)))
        except ListingError as error:
            raise EngineError(str(error)) from error

    def inspect(self, container_id: str) -> Inspection | None:
        """Look at a single container; ``None`` if it is gone.

        Raises:
            EngineError: If it cannot be looked at.
        """
        try:
            said = _parse_object(self._get(f"/containers/{container_id}/json"), "a container")
        except _NotFoundError:
            return None
        mode = _object(said.get("HostConfig")).get("NetworkMode")
        state = _object(said.get("State"))
        health = _object(state.get("Health") or state.get("Healthcheck")).get("Status")
        return Inspection(
            network_mode=mode if isinstance(mode, str) else "",
            health=health.lower() if isinstance(health, str) and health.lower() != "none" else "",
            addresses=network_addresses(_object(said.get("NetworkSettings")).get("Networks")),
        )

    def events(self, silence_s: float) -> Generator[bytes]:
        """Yield pieces of the event stream as they arrive, the first one empty once it is open.

        Args:
            silence_s: Ends when nothing arrives for this long, so that a connection that died unnoticed does too.

        Raises:
            EngineError: If there is no stream, or the engine ends it.
        """
        with self._request("/events") as response, _translated():
            connection = response.raw.connection
            if connection is not None and connection.sock is not None:
                connection.sock.settimeout(silence_s)
            yield b""
            try:
                yield from response.raw.stream(_PIECE_BYTES, decode_content=False)
            except ReadTimeoutError:
                return
            raise EngineError("the event stream ended")

    def close(self) -> None:
        """End everything, from whichever thread."""
        self._is_closed = True
        if self._unix is not None:
            self._unix.cut()
        for stream in list(self._open):
            # Whatever state its connection is in: it is over.
            with contextlib.suppress(OSError, AttributeError, ValueError, UnboundLocalError):
                stream.close()
        if self._client is not None:
            self._client.close()

    def _get(self, path: str, *, is_versioned: bool = True, **params: str) -> bytes:
        deadline_s = time.monotonic() + self.timeout_s
        pieces: list[bytes] = []
        size = 0
        with self._request(path, is_versioned=is_versioned, **params) as response, _translated():
            for piece in response.raw.stream(_PIECE_BYTES, decode_content=False):
                size += len(piece)
                if size > MAX_ANSWER_BYTES:
                    msg = f"its answer to {path} is longer than {MAX_ANSWER_BYTES} bytes"
                    raise EngineError(msg)
                if time.monotonic() > deadline_s:
                    msg = f"its answer to {path} took longer than {self.timeout_s:g} s"
                    raise EngineError(msg)
                pieces.append(piece)
        return b"".join(pieces)

    @contextlib.contextmanager
    def _request(self, path: str, *, is_versioned: bool = True, **params: str) -> Iterator[requests.Response]:
        client = self._client
        if client is None or self._is_closed:
            raise EngineError("the session is over")
        version = f"/v{self.version}" if is_versioned else ""
        with _translated():
            response = client.get(
                f"{client.base_url}{version}{path}",
                params=params,
                stream=True,
                timeout=self.timeout_s,
                allow_redirects=False,
            )
        stream: CancellableStream[bytes] = CancellableStream(iter(()), response)
        self._open.add(stream)
        try:
            if self._is_closed:
                raise EngineError("the session is over")
            if response.status_code != requests.codes.ok:
                raise _refusal(path, response)
            yield response
        finally:
            self._open.discard(stream)
            response.close()


class _NotFoundError(EngineRefusal):
    """There is no such thing."""


def negotiate(said: Mapping[str, Any], wanted: str) -> str:
    """Return the version of the API to speak: the newest that both sides know.

    An engine that has dropped everything this SDK knows is spoken to in its oldest version rather than not at all: what
    is asked here is the same in all of them, and Docker 29 ended discovery in gateways that insisted (traefik#12253).

    Args:
        said: The engine's answer to ``GET /version``.
        wanted: The version that the configuration insists on; empty has no wish.

    Raises:
        EngineError: If the engine does not speak ``wanted``, or does not say what it speaks.
    """
    newest, oldest = _parse_version(said.get("ApiVersion")), _parse_version(said.get("MinAPIVersion"))
    if newest is None:
        msg = f"it does not say which API it speaks: {quoted(said.get('ApiVersion'))}; is it a Docker engine?"
        raise EngineError(msg)
    oldest = oldest or (0, 0)
    if (chosen := _parse_version(wanted)) is not None:
        if not oldest <= chosen <= newest:
            msg = (
                f"it speaks versions {_text(oldest)} to {_text(newest)} of the API, not {wanted}; "
                "leave 'version' out to negotiate"
            )
            raise EngineError(msg)
        return wanted
    ours = _parse_version(DEFAULT_DOCKER_API_VERSION) or newest
    return _text(max(min(ours, newest), oldest))


def _parse_version(value: object) -> tuple[int, int] | None:
    match = _VERSION.fullmatch(value) if isinstance(value, str) else None
    return (int(match[1]), int(match[2])) if match is not None else None


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _product(said: Mapping[str, Any]) -> str:
    components = said.get("Components")
    first = _object(components[0]) if isinstance(components, list) and components else {}
    name, version = first.get("Name", "Engine"), first.get("Version") or said.get("Version", "")
    return re.sub(r"[^A-Za-z0-9 .+~_-]", "", f"{name} {version}")[:80].strip()


def _tls(certificates: Path | None) -> TLSConfig | bool:
    if certificates is None:
        return False
    cert, key = certificates / "cert.pem", certificates / "key.pem"
    return TLSConfig(
        ca_cert=str(certificates / "ca.pem"),
        client_cert=(str(cert), str(key)) if cert.exists() else None,
        verify=True,
    )


def _parse_object(body: bytes, what: str) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        msg = f"what it says about {what} is no JSON: {quoted(body[:40])}"
        raise EngineError(msg) from error
    if not isinstance(said, dict):
        msg = f"what it says about {what} is {quoted(said)}"
        raise EngineError(msg)
    return said


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _refusal(path: str, response: requests.Response) -> EngineRefusal:
    with _translated():
        body = response.raw.read(_PIECE_BYTES, decode_content=False)
    try:
        message = str(_object(json.loads(body)).get("message", ""))
    except (ValueError, RecursionError):
        message = body.decode("utf-8", "replace")
    kind = _NotFoundError if response.status_code == requests.codes.not_found else EngineRefusal
    return kind(f"it answers {response.status_code} to {path}: {quoted(message[:_MAX_MESSAGE_LENGTH])}")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn what the SDK and the libraries below it raise into ``EngineError``, in one line."""
    try:
        yield
    except (requests.RequestException, HTTPError, DockerException, OSError, ValueError, AttributeError) as error:
        # AttributeError: a connection that another thread has closed has lost its parts.
        raise EngineError(_reason(error)) from error


def _reason(error: BaseException) -> str:
    """Return the innermost reason: what stands around it repeats the URL of the request."""
    innermost = error
    while (cause := innermost.__cause__ or innermost.__context__) is not None:
        innermost = cause
    return f"{type(innermost).__name__}: {str(innermost)[:_MAX_MESSAGE_LENGTH]}"
