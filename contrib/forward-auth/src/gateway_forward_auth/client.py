"""Asking the service: the only place that speaks HTTP."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import anyio
import httpcore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import BuildContext
    from gateway_forward_auth.config import ForwardAuthConfig, TlsConfig

__all__ = ["AuthAnswer", "AuthClient", "AuthFailed", "is_success"]

KEEP_ALIVE_S = 30.0
"""How long an idle connection is kept; shorter than the 60 s or more that servers usually keep theirs."""
FIRST_FINAL = 200
FIRST_FAILURE = 500
"""Answers from here on say that the service failed, not that it refused (as Envoy's ``ext_authz`` reads them)."""

_HOP_BY_HOP = frozenset(
    (b"connection", b"content-length", b"keep-alive", b"proxy-authenticate", b"proxy-authorization")
) | {b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}


class AuthFailed(Exception):
    """The service gave no decision.

    Attributes:
        outcome: ``timeout`` or ``error``, for the metric.
    """

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class AuthAnswer:
    """What the service said.

    Attributes:
        status: The status.
        pairs: Its end-to-end fields, names in lower case.
        body: The body; empty if it let pass.
    """

    status: int
    pairs: Sequence[tuple[bytes, bytes]]
    body: bytes = b""

    def all(self, name: bytes) -> list[bytes]:
        """Return every value of a field."""
        return [value for key, value in self.pairs if key == name]


def is_success(status: int) -> bool:
    """Say whether an answer lets pass."""
    return 200 <= status < 300


class AuthClient:
    """Asks the service over connections that are kept. Redirects are not followed: they are for the client.

    Args:
        config: The block.
        context: The gateway.
    """

    def __init__(self, config: ForwardAuthConfig, context: BuildContext) -> None:
        self._url = httpcore.URL(config.url)
        self._timeout_s = config.timeout
        self._max_bytes = config.max_response_size
        self._max_connections = config.max_connections
        self._tls = _trust(config.tls, context) if self._url.scheme == b"https" else None
        self._pool: httpcore.AsyncConnectionPool
        self._asking: set[asyncio.Task[AuthAnswer]] = set()

    async def __aenter__(self) -> Self:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=self._tls,
            max_connections=self._max_connections,
            max_keepalive_connections=self._max_connections,
            keepalive_expiry=KEEP_ALIVE_S,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._asking:
            await asyncio.wait(self._asking)
        await self._pool.aclose()

    async def ask(self, method: str, fields: list[tuple[bytes, bytes]], body: bytes) -> AuthAnswer:
        """Return what the service answers.

        Raises:
            AuthFailed: If it gives no decision in time.
        """
        scope = anyio.CancelScope(deadline=anyio.current_time() + self._timeout_s)
        task = asyncio.get_running_loop().create_task(self._ask_in(scope, method, fields, body))
        self._asking.add(task)
        task.add_done_callback(self._has_asked)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # The pool cleans up behind a cancellation of anyio's, and of no other: one of asyncio's that comes while it
            # does so would leave a connection in use for good.
            scope.cancel()
            raise

    def _has_asked(self, task: asyncio.Task[AuthAnswer]) -> None:
        self._asking.discard(task)
        if not task.cancelled():
            task.exception()  # seen; whoever waited for it may be gone

    async def _ask_in(
        self, scope: anyio.CancelScope, method: str, fields: list[tuple[bytes, bytes]], body: bytes
    ) -> AuthAnswer:
        try:
            with scope:
                return await self._ask_again_if_stale(method, fields, body)
        except AuthFailed:
            raise
        except Exception as error:  # whatever the network or a library has to say: there is no decision
            raise AuthFailed("error", f"{type(error).__name__}: {error}") from error
        raise AuthFailed("timeout", f"no answer within {self._timeout_s:g} s")

    async def _ask_again_if_stale(self, method: str, fields: list[tuple[bytes, bytes]], body: bytes) -> AuthAnswer:
        try:
            return await self._exchange(method, fields, body)
        except (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError):
            # A kept connection may be closed at the moment it is used; asking again asks for no more than was asked.
            return await self._exchange(method, fields, body)

    async def _exchange(self, method: str, fields: list[tuple[bytes, bytes]], body: bytes) -> AuthAnswer:
        # A body that is empty is said to be so, which some servers insist on.
        content = None if method in ("GET", "HEAD") else body
        async with self._pool.stream(method, self._url, headers=fields, content=content) as response:
            if not FIRST_FINAL <= response.status < FIRST_FAILURE:
                raise AuthFailed("error", f"it answered {response.status}")
            said = await self._read(response)
            pairs = _end_to_end(response.headers)
        return AuthAnswer(response.status, pairs, b"" if is_success(response.status) else said)

    async def _read(self, response: httpcore.Response) -> bytes:
        content = bytearray()
        async for chunk in response.aiter_stream():
            content += chunk
            if len(content) > self._max_bytes:
                raise AuthFailed("error", f"its answer is larger than {self._max_bytes} bytes (maxResponseSize)")
        return bytes(content)


def _end_to_end(fields: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    pairs = [(name.lower(), value) for name, value in fields]
    # RFC 9110 section 7.6.1: those that Connection names belong to the connection, too.
    named = {each.strip().lower() for name, value in pairs if name == b"connection" for each in value.split(b",")}
    return [pair for pair in pairs if pair[0] not in _HOP_BY_HOP and pair[0] not in named]


def _trust(tls: TlsConfig, context: BuildContext) -> ssl.SSLContext:
    trust = ssl.create_default_context(cafile=str(context.resolve(tls.ca_file)) if tls.ca_file else None)
    if tls.cert_file is not None and tls.key_file is not None:
        trust.load_cert_chain(context.resolve(tls.cert_file), context.resolve(tls.key_file))
    return trust
