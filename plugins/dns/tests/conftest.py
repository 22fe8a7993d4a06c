"""A small DNS server on loopback, over UDP and TCP, that answers from a table."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from gateway.metrics import Metrics


class NameServer(asyncio.DatagramProtocol):
    """Attributes:
    records: Lines such as ``orders.test. 60 IN A 10.0.0.1``.
    behave: Replaces the answer to a query, as bytes; ``None`` says nothing. The answer itself is given too.
    questions: What was asked: name and type.
    """

    def __init__(self) -> None:
        self.records: list[str] = []
        self.behave: Any = lambda query, wire: wire
        self.questions: list[tuple[str, str]] = []
        self.port = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, address: Any) -> None:
        wire = self.answer(data, over_tcp=False)
        for each in wire if isinstance(wire, list) else [wire]:
            if each is not None:
                self.transport.sendto(each, address)

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        wire = self.answer(data, over_tcp=True)
        writer.write(len(wire).to_bytes(2, "big") + wire)
        await writer.drain()
        writer.close()

    def answer(self, data: bytes, *, over_tcp: bool) -> Any:
        query = dns.message.from_wire(data)
        (question,) = query.question
        kind = dns.rdatatype.to_text(question.rdtype)
        name = question.name.to_text()
        self.questions.append((name, kind))
        reply = dns.message.make_response(query)
        lines = [line.split(" ", 4) for line in self.records]
        names = {line[0] for line in lines}
        for alias in [line for line in lines if line[0] == name and line[3] == "CNAME"]:
            reply.answer.append(dns.rrset.from_text(alias[0], int(alias[1]), "IN", "CNAME", alias[4]))
            name = alias[4]
        found = [line for line in lines if line[0] == name and line[3] == kind]
        if found:
            reply.answer.append(dns.rrset.from_text(name, int(found[0][1]), "IN", kind, *[line[4] for line in found]))
        elif name not in names:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        if not over_tcp and len(reply.to_wire(max_size=65535)) > 1200:
            reply.answer.clear()
            reply.flags |= dns.flags.TC
        return self.behave(query, reply.to_wire(max_size=65535))


async def listen(server: NameServer) -> tuple[asyncio.Server, asyncio.BaseTransport]:
    """Serve over TCP, and over UDP on the same port, which something else may have at first."""
    while True:
        over_tcp = await asyncio.start_server(server.serve_tcp, "127.0.0.1", 0)
        try:
            place = over_tcp.sockets[0].getsockname()
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: server, local_addr=place)
        except OSError:
            over_tcp.close()
        else:
            return over_tcp, transport


@pytest.fixture
async def name_server():
    server = NameServer()
    over_tcp, transport = await listen(server)
    yield server
    transport.close()
    over_tcp.close()


@pytest.fixture
def context() -> Any:
    kept: dict[str, Any] = {}
    return SimpleNamespace(
        metrics=Metrics(),
        logger=logging.getLogger("gateway.plugins.gateway-dns"),
        keep=lambda key, make: kept.setdefault(key, make()),
    )
