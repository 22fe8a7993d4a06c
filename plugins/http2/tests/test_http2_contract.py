"""What every adapter and every connector promises, kept by these with peers of the library h2."""

from __future__ import annotations

import asyncio
import contextlib

import h2.config
import h2.connection
import h2.events
from plugins.http2.tests.conftest import services

from gateway import Endpoint, Headers, Request
from gateway.testing import AdapterContract, ConnectorContract

GOAWAY = 7


class TestAdapter(AdapterContract):
    """Clients with prior knowledge, on the address of HTTP/1.1."""

    plugin = "gateway_http2.plugin"
    carrier = "gateway_http.plugin"

    def request(self, number):
        client = Client()
        client.ask(number, b"")
        return client.protocol.data_to_send()

    async def ask(self, address, number, body=b""):
        reader, writer = await asyncio.open_connection(*address)
        client = Client()
        client.ask(number, body)
        try:
            while not client.is_over:
                client.send_what_fits()
                writer.write(client.protocol.data_to_send())
                received = await reader.read(65536)
                if not received:
                    raise EOFError
                client.take(received)
            return bytes(client.answer)
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class Client:
    """One request on one connection."""

    def __init__(self):
        self.protocol = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.answer = bytearray()
        self.is_over = False
        self._body = b""
        self._received = b""

    def ask(self, number, body):
        self.protocol.initiate_connection()
        method = "POST" if body else "GET"
        fields = [(":method", method), (":scheme", "http"), (":authority", "gw.test"), (":path", f"/{number}")]
        self.protocol.send_headers(1, fields, end_stream=not body)
        self._body = body

    def send_what_fits(self):
        while self._body and (room := self.protocol.local_flow_control_window(1)):
            piece = self._body[: min(room, self.protocol.max_outbound_frame_size)]
            self._body = self._body[len(piece) :]
            self.protocol.send_data(1, piece, end_stream=not self._body)

    def take(self, data):
        for event in self.protocol.receive_data(self._without_notice(data)):
            match event:
                case h2.events.ResponseReceived(headers=headers):
                    if (":status", "200") not in [(str(name), str(value)) for name, value in headers or []]:
                        raise ConnectionError(str(headers))
                case h2.events.DataReceived():
                    self.answer += event.data or b""
                    self.protocol.acknowledge_received_data(event.flow_controlled_length or 0, 1)
                case h2.events.StreamEnded():
                    self.is_over = True
                case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                    raise ConnectionError(str(event))
                case _:
                    pass

    def _without_notice(self, data):
        """Return whole frames, but no graceful GOAWAY, after which the library takes nothing (RFC 9113 section 6.8)."""
        self._received += data
        kept = b""
        while len(self._received) >= 9 and len(self._received) >= (end := 9 + int.from_bytes(self._received[:3])):
            frame, self._received = self._received[:end], self._received[end:]
            is_notice = frame[3] == GOAWAY and not any(frame[13:17])
            kept += b"" if is_notice else frame
        return kept


class TestConnector(ConnectorContract):
    plugin = "gateway_http2.plugin"

    @contextlib.asynccontextmanager
    async def serving(self):
        async with services() as start:
            service = await start()
            service.answer = lambda asked: asked.reply(asked[":path"].encode())
            yield Endpoint(address="127.0.0.1", port=service.port, scheme="h2c")

    def request(self, number):
        return Request("GET", f"/{number}", host="service.test", headers=Headers.of([("host", "service.test")]))

    def answer(self, number):
        return f"/{number}".encode()
