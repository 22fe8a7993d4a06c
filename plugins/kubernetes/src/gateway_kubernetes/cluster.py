"""The API server: its configuration and credentials by the Kubernetes client, its answers read here.

The client brings kubeconfig files, service accounts, rotating tokens, exec plugins and TLS. Its generated models are
left alone: they cost several times the memory of what is needed, and read answers without bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import re
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import urllib3
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config
from urllib3.exceptions import HTTPError

from gateway_kubernetes.problems import DiscoveryError, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from gateway.blocking import BlockingCalls

__all__ = ["PIECE_BYTES", "ApiError", "Cluster", "Connection", "parse_object"]

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Of a page of a list; etcd refuses objects above 1.5 MiB, and most take a few KiB."""
PIECE_BYTES = 65536
_POOL_SIZE = 4
_MAX_MESSAGE_LENGTH = 300

_KEEP_ALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    # A server that is gone without a word is noticed after half a minute. Not every system knows these three.
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
]


class ApiError(Exception):
    """The API server cannot be reached, or does not answer as it should.

    Attributes:
        status: The status of its answer; 0 is none.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Cluster:
    """Hands out a connection, and makes a new one, with fresh credentials, when the old one is of no use.

    Args:
        kubeconfig: The file; ``None`` is the service account of the pod.
        context: The context in it; empty is its current one.
        timeout_s: How long an answer may take.
        calls: Runs what blocks.
    """

    def __init__(self, kubeconfig: Path | None, context: str, timeout_s: float, calls: BlockingCalls) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._timeout_s = timeout_s
        self._calls = calls
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()

    @property
    def server(self) -> str:
        """Where the API server is; empty before the first connection."""
        return self._connection.server if self._connection is not None else ""

    async def connection(self) -> Connection:
        """Return a connection; its credentials may have to be fetched by another program first.

        Raises:
            DiscoveryError: If there is no configuration that could be used.
            TimeoutError: If it takes too long.
        """
        async with self._connecting:
            if self._connection is None:
                self._connection = await self._calls.run(self._connect, self._timeout_s)
            return self._connection

    def renew(self, connection: Connection) -> None:
        """Forget ``connection``: its credentials or certificates may be outdated."""
        if self._connection is connection:
            self._connection = None
            connection.close()

    def close(self) -> None:
        """Forget every connection."""
        if self._connection is not None:
            self.renew(self._connection)

    def _connect(self) -> Connection:
        configuration = Configuration()
        try:
            if self._kubeconfig is None:
                load_incluster_config(  # type: ignore[no-untyped-call]  # the client has no types there
                    client_configuration=configuration
                )
            else:
                load_kube_config(  # type: ignore[no-untyped-call]  # as above
                    config_file=str(self._kubeconfig),
                    context=self._context or None,
                    client_configuration=configuration,
                    persist_config=False,
                )
        except Exception as error:  # noqa: BLE001 - a file may hold anything, and the client raises whatever happens
            raise DiscoveryError(self._configuration_problem(error)) from None
        return Connection(configuration, self._timeout_s)

    def _configuration_problem(self, error: Exception) -> str:
        reason = f"{type(error).__name__}"
        if isinstance(error, ConfigException):
            # What follows the first " in " are parts of the file, which holds credentials.
            reason = re.split(r" in |\n", str(error))[0].strip().rstrip(".")[:_MAX_MESSAGE_LENGTH]
        if self._kubeconfig is None:
            return f"this is no pod of a cluster ({reason}); name a file in 'kubeconfig'"
        return f"kubeconfig {str(self._kubeconfig)!r} cannot be used: {reason}"


class Connection:
    """Speaks to an API server. Its methods block, and may be called from several threads.

    Args:
        configuration: Where it is, and what to show it.
        timeout_s: How long an answer may take.

    Attributes:
        server: Where it is.

    Raises:
        DiscoveryError: If it cannot be spoken to safely.
    """

    def __init__(self, configuration: Configuration, timeout_s: float) -> None:
        configuration.connection_pool_maxsize = _POOL_SIZE
        configuration.socket_options = [*urllib3.connection.HTTPConnection.default_socket_options, *_KEEP_ALIVE]
        self.server = configuration.host
        self._configuration = configuration
        self._timeout_s = timeout_s
        if not _is_server(self.server):
            # Not quoted if it holds '@': what stands before that is often a password.
            what = "the server of the kubeconfig" if "@" in self.server else quoted(self.server)
            msg = f"{what} is not the address of an API server; write 'https://host:port'"
            raise DiscoveryError(msg)
        if self._token() and self.server.startswith("http:") and not _is_loopback(self.server):
            msg = f"the token would be sent to {self.server!r} for everybody to read; write 'https://'"
            raise DiscoveryError(msg)
        if self.server.startswith("https:"):
            _check_certificates(configuration)
        self._pool: urllib3.PoolManager = ApiClient(configuration).rest_client.pool_manager

    @property
    def is_verified(self) -> bool:
        """Whether the server must prove who it is, or is on this machine."""
        if self.server.startswith("https:"):
            return bool(self._configuration.verify_ssl)
        return _is_loopback(self.server)

    def get(self, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        """Return the JSON object at ``path``.

        Raises:
            ApiError: If there is none.
        """
        deadline_s = time.monotonic() + self._timeout_s
        pieces: list[bytes] = []
        size = 0
        with self.open(path, params) as response, _translated(self._timeout_s):
            while piece := response.read1(PIECE_BYTES, decode_content=False):
                size += len(piece)
                if size > MAX_ANSWER_BYTES:
                    msg = f"its answer to {path} is longer than {MAX_ANSWER_BYTES} bytes"
                    raise ApiError(msg)
                if time.monotonic() > deadline_s:
                    msg = f"its answer to {path} took longer than {self._timeout_s:g} s"
                    raise ApiError(msg)
                pieces.append(piece)
        return parse_object(b"".join(pieces), f"its answer to {path}")

    def merge(self, path: str, body: bytes) -> None:
        """Change the object at ``path``: a JSON merge patch (RFC 7386).

        Raises:
            ApiError: If it is not changed.
        """
        with self.open(path, body=body) as response, _translated(self._timeout_s):
            response.read1(PIECE_BYTES, decode_content=False)

    @contextlib.contextmanager
    def open(
        self, path: str, params: Mapping[str, str] | None = None, *, body: bytes | None = None
    ) -> Iterator[urllib3.response.BaseHTTPResponse]:
        """Give the answer to a request, as soon as its head is there.

        Args:
            path: What it is about.
            params: The query.
            body: A merge patch for it; ``None`` only reads.

        Raises:
            ApiError: If there is none, or it says no.
        """
        with _translated(self._timeout_s):
            headers = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "gateway"}
            if token := self._token():
                headers["authorization"] = token
            if body is not None:
                headers["content-type"] = "application/merge-patch+json"
            response = self._pool.request(
                "GET" if body is None else "PATCH",
                f"{self.server}{path}",
                fields=dict(params) if body is None and params else None,
                body=body,
                headers=headers,
                timeout=self._timeout_s,
                preload_content=False,
                # Credentials go nowhere else, and whoever asks decides when to ask again.
                redirect=False,
                retries=False,
            )
        try:
            if response.status != 200:
                with _translated(self._timeout_s):
                    body = response.read1(PIECE_BYTES, decode_content=False)
                raise _refusal(response.status, path, body)
            yield response
        finally:
            response.close()

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._pool.clear()

    def _token(self) -> str:
        """Return the value for ``Authorization``, fetched anew if it is due; empty if there is none."""
        try:
            setting = self._configuration.auth_settings().get("BearerToken")
        except Exception as error:  # noqa: BLE001 - the file of a token may be gone, or a program fail
            message = f"its credentials cannot be fetched: {type(error).__name__}"
            raise ApiError(message) from None
        return str(setting["value"] or "").strip() if setting else ""


def parse_object(text: bytes, what: str) -> dict[str, Any]:
    """Return the JSON object that ``text`` is.

    Raises:
        ApiError: If it is none.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        msg = f"{what} is no JSON object: {quoted(text[:40])}"
        raise ApiError(msg)
    return value


def _check_certificates(configuration: Configuration) -> None:
    """Load the certificates once, for what is wrong with them.

    Raises:
        DiscoveryError: If they cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data)
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file, password=_no_password)
    except (OSError, ValueError) as error:
        msg = f"the certificates for {configuration.host} cannot be used: {_reason(error)}"
        raise DiscoveryError(msg) from None


def _no_password() -> str:
    """Say that there is none; without this, OpenSSL would ask at the terminal and wait."""
    raise ValueError("the key is encrypted")


def _is_server(server: str) -> bool:
    try:
        parts = urlsplit(server)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in server and parts.port != 0
    except ValueError:
        return False


def _is_loopback(server: str) -> bool:
    host = urlsplit(server).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refusal(status: int, path: str, body: bytes) -> ApiError:
    try:
        said = json.loads(body)
        message = str(said.get("message", "")) if isinstance(said, dict) else ""
    except (ValueError, RecursionError):
        message = body.decode("utf-8", "replace")
    return ApiError(f"it answers {status} to {path}: {quoted(message[:_MAX_MESSAGE_LENGTH])}", status)


@contextlib.contextmanager
def _translated(timeout_s: float) -> Iterator[None]:
    """Turn what the libraries below raise into ``ApiError``, in one line and without the URL of the request."""
    try:
        yield
    except (HTTPError, OSError, ValueError, AttributeError) as error:
        # AttributeError: a connection that another thread has closed has lost its parts.
        is_late = isinstance(_innermost(error), TimeoutError)
        raise ApiError(f"no answer within {timeout_s:g} s" if is_late else _reason(error)) from error


def _reason(error: BaseException) -> str:
    """Return the innermost reason: what stands around it repeats the URL of the request."""
    innermost = _innermost(error)
    return f"{type(innermost).__name__}: {str(innermost)[:_MAX_MESSAGE_LENGTH]}"


def _innermost(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error
