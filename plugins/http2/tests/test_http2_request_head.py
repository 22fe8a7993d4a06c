"""The header block of a request to a service."""

from __future__ import annotations

from typing import Any

import hpack

from gateway import Exchange, Headers, Request, Section
from gateway.interfaces import Endpoint, Instance, Route
from gateway_http2.engine.encoder import Encoder
from gateway_http2.request_head import request_block


def test_lines_behind_the_fields_that_requests_share_are_sent_too() -> None:
    headers = Headers.shared(Section([(b"host", b"gw.test"), (b"x-a", b"1")]))
    headers.extend_lines(frozenset({b"x-b", b"connection"}), b"x-b: 2\r\nconnection: close\r\n")
    responder: Any = None
    exchange = Exchange(Request("GET", "/", headers=headers, host="gw.test", id="r"), responder)
    exchange.route = Route(id="route", path="/*", service="service")
    instance = Instance("service", Endpoint(address="10.0.0.1", port=80))
    fields = hpack.Decoder().decode(request_block(Encoder(), exchange, instance, "http", None))
    assert [(str(name), str(value)) for name, value in fields][4:] == [
        ("x-a", "1"),
        ("x-b", "2"),
        ("x-request-id", "r"),
    ]
