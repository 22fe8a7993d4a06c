"""The contract of adapters: one that keeps it, which is the one of ``gateway new-plugin``, and those that do not."""

# What is written from templates has no types here.
# mypy: disable-error-code="valid-type,misc,has-type"

import asyncio
import gc
import re
import time
from dataclasses import replace

import pytest
from core.tests.testing.broken.harness import breach, told_in_the_end, written

from gateway import AdapterRegistration
from gateway.interfaces import Listener
from gateway.testing import AdapterContract

Lines = written("adapter", "lines", "adapter").LinesAdapter
Connection = written("adapter", "lines", "connection").Connection
LinesConfig = written("adapter", "lines", "config").LinesConfig


def build(config, context):
    return Lines(config, context)


class LineContract(AdapterContract):
    plugin = AdapterRegistration(name="lines", summary="Requests of one line", config=LinesConfig, build=build)
    has_bodies = False

    def config(self):
        return {"port": 0}

    def request(self, number):
        return b"/%d\n" % number

    async def ask(self, address, number, body=b""):
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(self.request(number))
            status = await reader.readuntil()
            if status != b"200\n":
                raise ConnectionError(status)
            answer = b""
            while length := int(await reader.readuntil()):
                answer += await reader.readexactly(length)
            return answer
        finally:
            writer.transport.abort()


class TestLines(LineContract):
    """The reference."""


def with_connection(**methods):
    """Return an adapter whose connections do some things otherwise."""
    return type("Otherwise", (Lines,), {"connection_class": type("OtherConnection", (Connection,), methods)})


class MovesAbout(Lines):
    def listeners(self):
        return [replace(each, reuse_key=object()) for each in super().listeners()]


class ListsPairs(Lines):
    def listeners(self):
        return [(each.host, each.port) for each in super().listeners()]


class KeepsTheIdle(Lines):
    def drain(self):
        pass


class CutsTheBusy(Lines):
    def drain(self):
        self.close()


class CountsForever(Lines):
    count = 0

    def opened(self, connection):
        super().opened(connection)
        self.count += 1

    def connections(self):
        return self.count


class NeverCuts(Lines):
    def close(self):
        pass


class MixesUp(Lines):
    def opened(self, connection):
        super().opened(connection)
        self.last = connection

    def serve_last(self, exchange):
        exchange.responder = self.last
        self.genuine(exchange)

    def __init__(self, config, context):
        super().__init__(config, context)
        self.genuine, self.serve = self.serve, self.serve_last


class Anonymous(Lines):
    def __init__(self, config, context):
        super().__init__(config, context)
        genuine = self.serve

        def serve(exchange):
            exchange.request.id = "always the same"
            genuine(exchange)

        self.serve = serve


class Blocks(Lines):
    def connection(self, listener: Listener):
        time.sleep(0.15)
        return super().connection(listener)


def only_whole_lines(self, data):
    self._received = b""
    Connection.data_received(self, data)


def no_longest_line(self, data):
    self.__dict__.setdefault("kept", []).append(data)
    if b"\n" in data:
        Connection.data_received(self, b"".join(self.kept))


def reads_anything(self, data):
    self.begin(data.decode("ascii").strip())


def leaves_it_running(self, exc):
    self._adapter.gone(self)


def says_nothing(self, error):
    self._transport.close()


def ends_well(self, error):
    self.body_end(())


# What leaks, leaks.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("adapter", "check", "said"),
    [
        (MovesAbout, "test_its_addresses_are_the_same_each_time", "asked again"),
        (ListsPairs, "test_its_addresses_are_the_same_each_time", "are no gateway.interfaces.Listener"),
        (Anonymous, "test_requests_arrive_and_answers_return", "one of its own"),
        (MixesUp, "test_exchanges_do_not_mix", "an answer did not happen|the body of the answer is"),
        (with_connection(data_received=only_whole_lines), "test_requests_may_arrive_in_any_pieces", "byte by byte"),
        (with_connection(data_received=no_longest_line), "test_who_never_ends_fills_no_memory", "bytes were kept"),
        (with_connection(data_received=reads_anything), "test_nonsense_harms_nobody", "where nobody catches it"),
        (with_connection(finish=says_nothing), "test_every_exchange_is_finished", "of ConnectionReset|told of 0"),
        (with_connection(connection_lost=leaves_it_running), "test_who_leaves_is_not_waited_for", "exchange.cancel()"),
        (
            with_connection(connection_lost=leaves_it_running),
            "test_who_leaves_in_the_middle_frees_the_service",
            "abort",
        ),
        (with_connection(body_error=ends_well), "test_an_answer_that_breaks_off_does_not_end_well", "as if all was"),
        (with_connection(pause_writing=lambda self: None), "test_a_slow_client_slows_the_service_down", "taken off"),
        (KeepsTheIdle, "test_draining_ends_what_is_idle_and_nothing_else", "the end of an idle connection"),
        (CutsTheBusy, "test_draining_ends_what_is_idle_and_nothing_else", "cancelled what was under way"),
        (CountsForever, "test_who_leaves_is_not_waited_for", "counts it"),
        (NeverCuts, "test_closing_cuts_what_is_open", "a client waits still"),
        (Blocks, "test_it_does_not_block", "blocked the event loop"),
    ],
)
def test_it_is_caught(adapter, check, said, monkeypatch):
    patience = {
        "expectation.PATIENCE_S": 0.5,
        "adapter.PATIENCE_S": 0.5,
        "adapter_serving.PATIENCE_S": 0.5,
        "answering.PATIENCE_S": 0.5,
        "leaks.SETTLE_S": 0.02,
    }
    told = told_in_the_end(said, lambda: breach(LineContract, adapter, check), patience, monkeypatch)
    gc.collect()
    assert re.search(said, told)
