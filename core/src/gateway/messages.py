"""What the client asks for and what it is answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gateway.body import Body
from gateway.headers import Headers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.interfaces import Tunnel

__all__ = ["Forwarding", "Origin", "Request", "Response"]


class Forwarding:
    """What services are told about the client's connection: ``X-Forwarded-*``, ``Forwarded`` (RFC 7239) and ``Via``.

    Made by the adapter, sent by every connector. Usually one object serves all requests of a connection.

    Attributes:
        pairs: The fields.
        block: The same as lines of an HTTP/1.1 head.
    """

    __slots__ = ("block", "pairs")

    def __init__(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        self.pairs = tuple(pairs)
        self.block = b"".join([b"%b: %b\r\n" % pair for pair in pairs])


NO_FORWARDING = Forwarding(())


class Origin:
    """Where requests come from: what those of one connection have in common. Shared by them, so never changed.

    Attributes:
        client: The address of the client, behind trusted proxies the forwarded one; without port.
        scheme: ``http`` or ``https``, as the client sees it.
        host: The authority the client asked, lower-case, with the port if it sent one.
        forwarding: What services are told about the client's connection.
        http_version: ``1.0``, ``1.1`` or ``2``.
        peer_certificate: The verified client certificate as ``ssl`` describes it, or ``None``.
    """

    __slots__ = ("client", "forwarding", "host", "http_version", "peer_certificate", "scheme")

    def __init__(
        self,
        *,
        client: str = "",
        scheme: str = "http",
        host: str = "",
        forwarding: Forwarding = NO_FORWARDING,
        http_version: str = "1.1",
        peer_certificate: Mapping[str, object] | None = None,
    ) -> None:
        self.client = client
        self.scheme = scheme
        self.host = host
        self.forwarding = forwarding
        self.http_version = http_version
        self.peer_certificate = peer_certificate

    def __repr__(self) -> str:
        return f"<Origin {self.client} {self.scheme}://{self.host}>"


class Request:
    """What the client asked for.

    Attributes:
        method: The method, as sent.
        path: The normalised path, percent-encoded; it is what is matched, authorised, limited and forwarded.
        query: The query without ``?``, as sent; empty when there is none.
        headers: End-to-end fields, with ``host``. Framing (``content-length``, ``transfer-encoding``) and hop-by-hop
            fields are not among them: ``body`` says it all; nor are forwarding fields: see ``forwarding``.
        body: ``bytes`` when it arrived whole, else a ``Body``.
        origin: Where it came from; ``client``, ``scheme``, ``host``, ``forwarding``, ``http_version`` and
            ``peer_certificate`` are read through it.
        id: The request id: the client's ``X-Request-ID`` if well-formed, else a new one. It is sent and logged as it
            is, so whoever sets another one keeps to ``gateway.semantics.REQUEST_ID``.
        upgrade: The protocol the client wants to change to (``websocket``), lower-case, or ``None``.
    """

    __slots__ = ("body", "headers", "id", "method", "origin", "path", "query", "upgrade")

    def __init__(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        headers: Headers | None = None,
        body: bytes | Body = b"",
        scheme: str = "http",
        host: str = "",
        client: str = "",
        id: str = "",  # noqa: A002 - the name everybody knows it by
        http_version: str = "1.1",
        upgrade: str | None = None,
        peer_certificate: Mapping[str, object] | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers if headers is not None else Headers()
        self.body = body
        self.origin = Origin(
            client=client, scheme=scheme, host=host, http_version=http_version, peer_certificate=peer_certificate
        )
        self.id = id
        self.upgrade = upgrade

    @property
    def client(self) -> str:
        """The address of the client, behind trusted proxies the forwarded one; without port."""
        return self.origin.client

    @property
    def scheme(self) -> str:
        """``http`` or ``https``, as the client sees it."""
        return self.origin.scheme

    @property
    def host(self) -> str:
        """The authority the client asked, lower-case, with the port if it sent one."""
        return self.origin.host

    @property
    def forwarding(self) -> Forwarding:
        """What services are told about the client's connection."""
        return self.origin.forwarding

    @property
    def http_version(self) -> str:
        """``1.0``, ``1.1`` or ``2``."""
        return self.origin.http_version

    @property
    def peer_certificate(self) -> Mapping[str, object] | None:
        """The verified client certificate as ``ssl`` describes it, or ``None``."""
        return self.origin.peer_certificate

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path} id={self.id}>"


class Response:
    """What the client is answered.

    Attributes:
        status: The status code.
        headers: End-to-end fields. Framing is derived from ``body``; only in an answer to HEAD, or a 304, is a
            ``content-length`` field sent as it stands here.
        body: ``bytes``, or a ``Body`` for what streams.
        tunnel: With status 101, the byte stream to the service; else ``None``.
    """

    __slots__ = ("body", "headers", "status", "tunnel")

    def __init__(
        self,
        status: int = 200,
        *,
        headers: Headers | None = None,
        body: bytes | Body = b"",
        tunnel: Tunnel | None = None,
    ) -> None:
        self.status = status
        self.headers = headers if headers is not None else Headers()
        self.body = body
        self.tunnel = tunnel

    @classmethod
    def text(cls, text: str, *, status: int = 200) -> Response:
        """Answer with plain text in UTF-8."""
        headers = Headers([(b"content-type", b"text/plain; charset=utf-8")])
        return cls(status, headers=headers, body=text.encode())

    @classmethod
    def json(cls, value: object, *, status: int = 200) -> Response:
        """Answer with ``value`` as JSON.

        Raises:
            TypeError: If ``value`` has no JSON form.
        """
        headers = Headers([(b"content-type", b"application/json")])
        return cls(status, headers=headers, body=json.dumps(value).encode())

    def discard(self) -> None:
        """Give the response up, so that whatever produces its body is released."""
        if self.tunnel is not None:
            self.tunnel.abort()
        if isinstance(self.body, Body):
            self.body.abort()

    def __repr__(self) -> str:
        return f"<Response {self.status}>"
