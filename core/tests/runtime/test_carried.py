"""Adapters and connectors over those of another protocol: they share its connections and pools."""

from __future__ import annotations

import asyncio
import textwrap

import pytest

from gateway.errors import ConfigurationError

pytestmark = pytest.mark.anyio

PLUGIN = """
from gateway import AdapterRegistration, Config, ConnectorRegistration, ErrorType, GatewayError, hookimpl
from gateway.interfaces import Listener

class Marking:
    waits = False
    def __init__(self, carrier):
        self.carrier = carrier
    async def open(self, instance, exchange):
        exchange.request.headers.set("x-protocol", "shout")
        return await self.carrier.open(instance, exchange)

class Backend:
    def over(self, carrier):
        return Marking(carrier)

class Port:
    def __init__(self, context):
        self.context = context
    def over(self, carrier):
        self.carrier = carrier
        return self
    def listeners(self):
        return [Listener(host="127.0.0.1", port=0, serve=self.serve)]
    def connection(self, listener):
        return self.carrier.connection(listener)
    def serve(self, exchange):
        if exchange.request.method == "GET":
            self.context.serve(exchange)
        else:
            self.context.refuse(exchange, GatewayError(ErrorType.FORBIDDEN, "only questions here"))
    def drain(self): pass
    def connections(self): return 0
    def close(self): pass

def build_backend(config, context): return Backend()
def build_port(config, context): return Port(context)

@hookimpl
def gateway_register_protocols():
    return [
        ConnectorRegistration(name="shout", build=build_backend, protocol="shout", over="http", default_on=True),
        AdapterRegistration(name="port", build=build_port, over="http"),
    ]
"""


@pytest.fixture
def shout(tmp_path):
    path = tmp_path / "shout.py"
    path.write_text(textwrap.dedent(PLUGIN))
    return [path]


async def test_a_carried_connector_reaches_what_its_carrier_does(gateway_factory, upstream, shout):
    gateway = await gateway_factory(upstream=upstream, rule={"protocol": "shout"}, plugin_files=shout)
    assert (await gateway.ask("GET", "/")).status == 200
    (request,) = upstream.requests
    assert request["x-protocol"] == "shout"


async def test_a_carried_adapter_has_addresses_of_its_own(gateway_factory, upstream, shout):
    gateway = await gateway_factory({"plugins": {"port": {}}}, upstream=upstream, plugin_files=shout)
    assert (await gateway.ask("POST", "/")).status == 200
    assert (await gateway.ask("GET", "/", listener=1)).status == 200
    answer = await gateway.ask("POST", "/", listener=1)
    assert (answer.status, answer.json()["detail"]) == (403, "only questions here")
    assert len(upstream.requests) == 2


async def test_a_carried_adapter_stays_over_a_reload(gateway_factory, upstream, shout):
    gateway = await gateway_factory({"plugins": {"port": {}}}, upstream=upstream, plugin_files=shout)
    before = gateway.gateway.addresses
    await gateway.gateway.plane.prepare(gateway.gateway.configuration)
    await gateway.gateway.plane.commit()
    assert gateway.gateway.addresses == before
    assert (await gateway.ask("GET", "/", listener=1)).status == 200


async def test_a_carried_adapter_without_its_carrier_refuses_the_start(gateway_factory, upstream, shout):
    configuration = {"plugins": {"port": {}}, "frontend": {"http": {"enabled": False}}}
    with pytest.raises(ConfigurationError, match="the adapter 'port' needs the adapter 'http', which is off"):
        await gateway_factory(configuration, upstream=upstream, plugin_files=shout)


TAKING = """
import asyncio
from gateway import AdapterRegistration, hookimpl

class Echo(asyncio.Protocol):
    deadline_s = float("inf")
    def __init__(self, handover):
        self.handover = handover
        handover.transport.set_protocol(self)
    def data_received(self, data):
        self.handover.transport.write(data.upper())
    def connection_lost(self, exc):
        self.handover.forget(self)
    def deadline_passed(self): pass
    def drain(self): self.close()
    def close(self): self.handover.transport.abort()

class Taking:
    def over(self, carrier):
        return self
    def take(self, handover):
        return Echo(handover)
    def listeners(self): return []
    def connection(self, listener): raise NotImplementedError
    def drain(self): pass
    def connections(self): return 0
    def close(self): pass

def build(config, context): return Taking()

@hookimpl
def gateway_register_protocols():
    return [AdapterRegistration(name="echo", build=build, over="http", alpn=("echo",), opening=b"HELLO ")]
"""


@pytest.fixture
def echo(tmp_path):
    path = tmp_path / "echo.py"
    path.write_text(textwrap.dedent(TAKING))
    return [path]


async def test_a_carried_adapter_takes_over_what_begins_as_its_own(gateway_factory, upstream, echo):
    gateway = await gateway_factory({"plugins": {"echo": {}}}, upstream=upstream, plugin_files=echo)
    host, port = gateway.gateway.addresses[0]
    reader, writer = await asyncio.open_connection(host, port)
    for piece in (b"HEL", b"LO ", b"you"):
        writer.write(piece)
        await asyncio.sleep(0.01)
    assert await reader.readexactly(9) == b"HELLO YOU"
    (http, *_) = gateway.gateway.plane._adapters()
    assert http.connections() == 1
    assert (await gateway.ask("GET", "/")).status == 200  # others are not concerned
    writer.close()
    await gateway.eventually(lambda: not http.connections())


async def test_a_connection_that_was_taken_over_ends_with_the_gateway(gateway_factory, upstream, echo):
    gateway = await gateway_factory({"plugins": {"echo": {}}}, upstream=upstream, plugin_files=echo)
    reader, writer = await asyncio.open_connection(*gateway.gateway.addresses[0])
    writer.write(b"HELLO you")
    assert await reader.readexactly(9) == b"HELLO YOU"
    (http, *_) = gateway.gateway.plane._adapters()
    http.drain()
    assert await reader.read() == b""
    writer.close()
