"""Checks over HTTP: a status, or the gRPC health protocol (grpc.health.v1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpcore

from gateway_healthcheck.probe import Failed

if TYPE_CHECKING:
    import ssl

    from gateway_healthcheck.config import ActiveConfig
    from gateway_healthcheck.probe import Place
    from gateway_healthcheck.tls import CheckTls

__all__ = ["GrpcProbe", "HttpProbe"]

MAX_GRPC_ANSWER_BYTES = 64
"""An answer has two bytes; a server may add fields that we do not know."""
_HTTP2_SCHEMES = frozenset({"h2", "h2c", "grpc", "grpcs"})


class HttpProbe:
    """Sends a request over a connection of its own: whether new ones are accepted is part of the question.

    It speaks what the instance speaks: HTTP/2 with prior knowledge, or over TLS what is agreed on.

    Redirects are not followed. What cannot be read as HTTP, or has a head of more than 100 KiB (h11's limit), fails;
    of a body only what is needed is read.

    Args:
        config: What to send, and what to expect.
        tls: What is believed and shown over TLS.
    """

    def __init__(self, config: ActiveConfig, tls: CheckTls) -> None:
        self._method = config.method.encode()
        self._target = config.path.encode()
        self._host = config.host
        self._headers = [(name.encode(), value.encode()) for name, value in config.headers.items()]
        self._http2 = config.http2
        # Another port may well speak something else.
        self._has_own_port = config.port is not None
        self._statuses = config.expected_statuses
        self._pattern = re.compile(config.expected_body.encode()) if config.expected_body is not None else None
        self._max_body_bytes = config.max_body
        self._tls = _Tls(config, tls, is_grpc=False)

    async def __call__(self, place: Place) -> None:
        """Return if the answer is one of those expected."""
        is_http2 = self._is_http2(place)
        headers = [
            (b"Host", (self._host or place.authority).encode()),
            (b"User-Agent", b"gateway-healthcheck"),
            # Which HTTP/2 does not know (RFC 9113 section 8.2.2).
            *([] if is_http2 else [(b"Connection", b"close")]),
            *self._headers,
        ]
        tls, name = await self._tls.towards(place, is_http2=is_http2)
        may_be_http1 = tls is not None or not is_http2
        try:
            async with (
                httpcore.AsyncConnectionPool(
                    ssl_context=tls, http1=may_be_http1, http2=is_http2, max_connections=1
                ) as pool,
                pool.stream(
                    self._method, _url(place, tls, self._target), headers=headers, extensions=_names(name)
                ) as response,
            ):
                if not any(low <= response.status <= high for low, high in self._statuses):
                    raise Failed(f"status {response.status}")
                if self._pattern is not None:
                    body = await _beginning(response, self._max_body_bytes)
                    if self._pattern.search(body) is None:
                        raise Failed("the body does not match expectedBody")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise Failed(f"{type(error).__name__}: {error}".rstrip(": ")) from error

    def _is_http2(self, place: Place) -> bool:
        if self._http2 is not None:
            return self._http2
        return place.scheme in _HTTP2_SCHEMES and not self._has_own_port


class GrpcProbe:
    """Calls ``grpc.health.v1.Health/Check`` over HTTP/2, and expects SERVING.

    Args:
        config: The service asked about.
        tls: What is believed and shown over TLS; without it HTTP/2 is spoken with prior knowledge.
    """

    def __init__(self, config: ActiveConfig, tls: CheckTls) -> None:
        name = config.grpc_service.encode()
        # HealthCheckRequest: field 1, a string; a message is preceded by a flag and its length.
        message = b"\x0a" + _varint(len(name)) + name if name else b""
        self._content = b"\x00" + len(message).to_bytes(4, "big") + message
        self._host = config.host
        self._headers = [(name.lower().encode(), value.encode()) for name, value in config.headers.items()]
        self._tls = _Tls(config, tls, is_grpc=True)

    async def __call__(self, place: Place) -> None:
        """Return if it is serving."""
        headers = [
            (b"host", (self._host or place.authority).encode()),
            (b"content-type", b"application/grpc"),
            (b"content-length", str(len(self._content)).encode()),
            (b"te", b"trailers"),
            (b"user-agent", b"gateway-healthcheck"),
            *self._headers,
        ]
        tls, name = await self._tls.towards(place, is_http2=True)
        try:
            async with (
                httpcore.AsyncConnectionPool(ssl_context=tls, http1=False, http2=True, max_connections=1) as pool,
                pool.stream(
                    b"POST",
                    _url(place, tls, b"/grpc.health.v1.Health/Check"),
                    headers=headers,
                    content=self._content,
                    extensions=_names(name),
                ) as response,
            ):
                if response.status != 200:
                    raise Failed(f"status {response.status}")
                # An error is a head that is a trailer at once (gRPC over HTTP2, "Trailers-Only").
                code = dict(response.headers).get(b"grpc-status", b"0")
                if code != b"0":
                    raise Failed(f"gRPC status {code.decode('latin-1')}")
                _check_serving(await _beginning(response, MAX_GRPC_ANSWER_BYTES))
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            raise Failed(f"{type(error).__name__}: {error}".rstrip(": ")) from error


class _Tls:
    """TLS as a check means it.

    Args:
        config: The check.
        tls: What is believed and shown.
        is_grpc: Whether it is by gRPC.
    """

    def __init__(self, config: ActiveConfig, tls: CheckTls, *, is_grpc: bool) -> None:
        self._own = config.tls
        # Who asks for a host expects its certificate.
        host = config.host
        self._name = self._own.server_name or (host and (host.rpartition(":")[0] or host))
        self._tls = tls
        self._is_grpc = is_grpc

    async def towards(self, place: Place, *, is_http2: bool) -> tuple[ssl.SSLContext | None, str | None]:
        """Return the context, ``None`` without TLS, and the name to verify, ``None`` for that of the address.

        Args:
            place: What is checked.
            is_http2: Whether it is asked by HTTP/2.
        """
        if not self._tls.is_spoken(place, is_grpc=self._is_grpc):
            return None, None
        tls = self._tls.of(self._own, place, is_http2=is_http2)
        return await tls.context.ready(), self._name or tls.server_name


def _url(place: Place, tls: ssl.SSLContext | None, target: bytes) -> httpcore.URL:
    scheme = b"http" if tls is None else b"https"
    return httpcore.URL(scheme=scheme, host=place.address.encode(), port=place.port, target=target)


def _names(server_name: str | None) -> dict[str, str]:
    return {} if server_name is None else {"sni_hostname": server_name}


async def _beginning(response: httpcore.Response, limit_bytes: int) -> bytes:
    body = b""
    async for piece in response.aiter_stream():
        body += piece
        if len(body) >= limit_bytes:
            break
    return body[:limit_bytes]


_STATES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


def _check_serving(body: bytes) -> None:
    """Read a HealthCheckResponse: field 1, a number."""
    if len(body) < 5 or body[0]:
        raise Failed("the answer is no gRPC message")
    message = body[5 : 5 + int.from_bytes(body[1:5], "big")]
    # A field that is 0 is left out.
    state = message[1] if message[:1] == b"\x08" and len(message) > 1 else 0
    if state != 1:
        raise Failed(_STATES.get(state, f"state {state}"))


def _varint(number: int) -> bytes:
    encoded = b""
    while number > 0x7F:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])
