"""The provider and an engine that does what the test says, over a unix socket."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from typing import TYPE_CHECKING

import pytest
from plugins.docker.tests.fake_engine import answer, container
from plugins.docker.tests.watched import eventually

from gateway_docker import engine, provider
from gateway_docker.events import EventLines
from gateway_docker.problems import DiscoveryError

if TYPE_CHECKING:
    from plugins.docker.tests.fake_engine import Behaviour

pytestmark = pytest.mark.anyio


async def test_containers_are_published_by_their_labels(fake_engine, watch_engine):
    fake_engine.containers = [
        container(1),
        container(2, labels={"gateway.port": "9000", "gateway.scheme": "https", "gateway.weight": "3"}),
        container(3, labels={"gateway.service": "users", "gateway.meta.region": "eu"}),
    ]
    watched = watch_engine(fake_engine)
    await watched.until(lambda: watched.snapshots)
    first, second = watched.snapshots[0]["orders"]
    assert (first.address, first.port, first.scheme, first.weight, first.id) == ("10.0.0.1", 8080, "http", 1, "0" * 12)
    assert (second.address, second.port, second.scheme, second.weight) == ("10.0.0.2", 9000, "https", 3)
    (user,) = watched.snapshots[0]["users"]
    assert user.metadata == {
        "region": "eu",
        "container.id": f"{3:064x}",
        "container.name": "orders-3",
        "container.image": "orders:1",
    }


async def test_an_event_causes_a_look_at_once(fake_engine, watch_engine):
    watched = watch_engine(fake_engine, refreshInterval="1h")
    await watched.until(lambda: watched.status["events"] == "streaming" and watched.services == {})
    await asyncio.sleep(0.3)
    fake_engine.containers = [container(1)]
    began_s = time.monotonic()
    fake_engine.emit("start")
    await watched.until(lambda: watched.services == {"orders": ["10.0.0.1:8080"]})
    assert time.monotonic() - began_s < 5


async def test_an_event_that_comes_before_the_list_shows_it_is_not_lost(fake_engine, watch_engine):
    watched = watch_engine(fake_engine, refreshInterval="1h")
    await watched.until(lambda: watched.status["events"] == "streaming")
    await asyncio.sleep(1.2)
    seen = len(watched.snapshots)
    fake_engine.emit("pause")
    await watched.until(lambda: len(watched.snapshots) == seen + 1)
    fake_engine.containers = [container(1)]
    began_s = time.monotonic()
    await watched.until(lambda: watched.services == {"orders": ["10.0.0.1:8080"]})
    assert time.monotonic() - began_s < 5


async def test_without_events_changes_are_found_by_polling(fake_engine, watch_engine, caplog):
    def refuse(reader, writer):
        answer(writer, {"message": "the proxy says no"}, status=403)
        return asyncio.sleep(0)

    fake_engine.behaviours["/events"] = refuse
    watched = watch_engine(fake_engine, refreshInterval="1s")
    await watched.until(lambda: "no events" in caplog.text)
    assert "403" in caplog.text
    assert "the proxy says no" in caplog.text
    fake_engine.containers = [container(1)]
    await watched.until(lambda: watched.services == {"orders": ["10.0.0.1:8080"]})
    assert watched.status["state"] == "connected"
    assert watched.status["events"] == "polling"


async def test_a_stream_that_ends_is_opened_again(fake_engine, watch_engine):
    watched = watch_engine(fake_engine, refreshInterval="1h")
    await watched.until(lambda: fake_engine.streams == 1)
    fake_engine._streams[0].transport.abort()
    await watched.until(lambda: fake_engine.count("/events") == 2 and fake_engine.streams == 1)
    fake_engine.containers = [container(1)]
    fake_engine.emit("start")
    await watched.until(lambda: watched.services == {"orders": ["10.0.0.1:8080"]})
    assert fake_engine.count("/version") == 1


async def test_a_stream_that_is_silent_for_long_is_opened_anew_without_ado(
    fake_engine, watch_engine, monkeypatch, caplog
):
    monkeypatch.setattr("gateway_docker.events.SILENCE_S", 0.2)
    watched = watch_engine(fake_engine, refreshInterval="1h")
    await watched.until(lambda: fake_engine.count("/events") >= 3)
    assert watched.status["events"] == "streaming"
    assert "no events" not in caplog.text


async def test_what_nobody_thought_of_does_not_end_the_reading_of_events(fake_engine, watch_engine, monkeypatch):
    """The thread was gone, and every change was found a refresh later, though it was said that events arrive."""
    monkeypatch.setattr("gateway_docker.events.FIRST_DELAY_S", 0.05)
    feed = EventLines.feed

    def broken(lines, piece):
        monkeypatch.setattr(EventLines, "feed", feed)
        raise KeyError("odd")

    monkeypatch.setattr(EventLines, "feed", broken)
    watched = watch_engine(fake_engine, refreshInterval="1h")
    await watched.until(lambda: fake_engine.streams == 1)
    fake_engine.emit("start")
    await watched.until(lambda: fake_engine.count("/events") == 2)
    fake_engine.containers = [container(1)]
    fake_engine.emit("start")
    await watched.until(lambda: watched.services == {"orders": ["10.0.0.1:8080"]})


async def test_paused_and_unhealthy_containers_stay_known_and_get_nothing(fake_engine, watch_engine):
    fake_engine.containers = [
        container(1, State="paused", Status="Up 2 minutes (Paused)"),
        container(2, Status="Up 2 minutes (unhealthy)"),
        container(3, Status="Up 2 seconds (health: starting)"),
        container(4, Status="Up 2 minutes (healthy)"),
        container(5, labels={"gateway.health": "sick"}),
        container(6, labels={"gateway.health": "TRUE"}),
        container(7, State="restarting"),
        container(8, State="exited"),
    ]
    watched = watch_engine(fake_engine)
    await watched.until(lambda: watched.snapshots)
    assert watched.services == {
        "orders": [
            "!10.0.0.1:8080", "!10.0.0.2:8080", "!10.0.0.3:8080", "10.0.0.4:8080", "!10.0.0.5:8080", "10.0.0.6:8080",
        ]
    }  # fmt: skip


async def test_an_engine_that_is_down_is_an_error_that_says_where(fake_engine, watch_engine):
    await fake_engine.stop()
    watched = watch_engine(fake_engine)
    error = await watched.error()
    assert error.startswith(f"DiscoveryError: {fake_engine.host}: ")
    assert "No such file" in error
    assert watched.status["state"] == "unavailable"
    assert not watched.snapshots


async def test_an_engine_that_goes_away_publishes_nothing_more(fake_engine, watch_engine):
    fake_engine.containers = [container(1)]
    watched = watch_engine(fake_engine, refreshInterval="1h")
    await watched.until(lambda: watched.status["events"] == "streaming" and watched.services)
    await fake_engine.stop()
    assert "DiscoveryError" in await watched.error()
    assert watched.services == {"orders": ["10.0.0.1:8080"]}


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def half_a_list(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{"Id": "')
    writer.close()
    await asyncio.sleep(0)


async def half_a_list_and_silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{"Id": "')
    await reader.read()


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b" ")
        await asyncio.sleep(0.1)


async def trickle_the_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"100000\r\n%s\r\n" % (b" " * 0x100000))
        await writer.drain()


async def no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    writer.close()
    await asyncio.sleep(0)


def says(value: object, status: int = 200) -> Behaviour:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer(writer, value, status=status)

    return behave


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        pytest.param(hang, "no answer within 0.3 s|Timeout|timed out", id="hangs"),
        pytest.param(half_a_list, "IncompleteRead", id="half a list"),
        pytest.param(half_a_list_and_silence, "no answer within|imed out", id="half a list and silence"),
        pytest.param(trickle, "no answer within", id="trickles"),
        pytest.param(trickle_the_head, "no answer within", id="trickles the head"),
        pytest.param(no_http, "BadStatusLine", id="no http"),
        pytest.param(says(b"not json"), "is no JSON: b'not json'", id="no json"),
        pytest.param(says({"message": "no"}), "list of containers is {'message': 'no'}", id="no list"),
        pytest.param(says([1, None]), "no entry .* can be read; .* without an id: 1", id="no containers"),
        pytest.param(says(b"[" * 100_000), "is no JSON", id="deep"),
        pytest.param(says({"message": "forbidden"}, 403), "answers 403 to /containers/json: 'forbidden'", id="403"),
        pytest.param(says(b"\xff oops", 500), "answers 500 to /containers/json", id="500"),
        pytest.param(says(b"", 302), "answers 302", id="redirects"),
    ],
)
async def test_a_list_that_goes_wrong_is_an_error_within_the_deadline(fake_engine, watch_engine, behaviour, reason):
    fake_engine.containers = [container(1)]
    watched = watch_engine(fake_engine, refreshInterval="1h", timeout="300ms")
    await watched.until(lambda: watched.services)
    await asyncio.sleep(0.3)
    fake_engine.behaviours["/containers/json"] = behaviour
    began_s = time.monotonic()
    fake_engine.emit("start")
    assert re.search(reason, await watched.error())
    assert time.monotonic() - began_s < 8
    assert watched.services == {"orders": ["10.0.0.1:8080"]}


async def test_a_list_without_end_is_cut(fake_engine, watch_engine, monkeypatch):
    monkeypatch.setattr("gateway_docker.engine.MAX_ANSWER_BYTES", 4 * 1024 * 1024)
    fake_engine.behaviours["/containers/json"] = flood
    assert "is longer than 4194304 bytes" in await watch_engine(fake_engine, timeout="5s").error()


async def test_hanging_calls_that_were_given_up_are_bounded(fake_tcp_engine, watch_engine):
    engine = fake_tcp_engine
    engine.behaviours["/version"] = trickle_the_head
    watched = watch_engine(engine, timeout="100ms")
    provider = watched.provider
    assert "no answer within 0.1 s" in await watched.error()
    for _ in range(3):
        with pytest.raises(DiscoveryError, match=r"no answer within"):
            await provider.watch(lambda snapshot: None)
    before = threading.active_count()
    with pytest.raises(DiscoveryError, match=r"4 earlier calls still hang"):
        await provider.watch(lambda snapshot: None)
    assert threading.active_count() <= before
    await engine.stop()
    await eventually(lambda: threading.active_count() <= before - 4)
    with pytest.raises(DiscoveryError, match=r"refused"):
        await provider.watch(lambda snapshot: None)


async def test_a_flood_of_events_causes_few_looks(fake_engine, watch_engine):
    watched = watch_engine(fake_engine, refreshInterval="1h")
    await watched.until(lambda: watched.status["events"] == "streaming")
    before = fake_engine.count("/containers/json")
    for _ in range(50):
        for _ in range(200):
            fake_engine.emit("health_status: healthy")
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    assert 1 <= fake_engine.count("/containers/json") - before <= 12


async def test_events_that_change_nothing_cause_no_look(fake_engine, watch_engine):
    watched = watch_engine(fake_engine, refreshInterval="1h")
    await watched.until(lambda: watched.status["events"] == "streaming")
    await asyncio.sleep(1.2)
    before = fake_engine.count("/containers/json")
    for action in ("exec_start: /bin/sh -c true", "exec_create: x", "exec_die", "attach", "top", "create"):
        fake_engine.emit(action)
    fake_engine.emit("pull", kind="image")
    await asyncio.sleep(0.3)
    assert fake_engine.count("/containers/json") == before


async def test_half_an_event_and_rubbish_do_no_harm(fake_engine, watch_engine):
    watched = watch_engine(fake_engine, refreshInterval="1h")
    await watched.until(lambda: watched.status["events"] == "streaming")
    fake_engine.emit_bytes(b'\xff\xfe[[[\n"text"\n{"Type": 1}\n' + b"x" * 1_000_000)
    fake_engine.emit_bytes(b'\n{"Type":"container",')
    fake_engine.containers = [container(1)]
    fake_engine.emit_bytes(b'"Action":"start"}\n')
    await watched.until(lambda: watched.services == {"orders": ["10.0.0.1:8080"]})


async def test_the_event_loop_is_never_blocked(fake_engine, watch_engine, monkeypatch):
    threads = {}

    def noted(module, name):
        function = getattr(module, name)

        def note(*arguments, **options):
            threads[name] = threading.current_thread()
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, note)

    noted(engine, "parse_listing")
    noted(provider, "expose")
    noted(provider, "snapshot_of")
    fake_engine.containers = [container(1)]
    watched = watch_engine(fake_engine)
    await watched.until(lambda: watched.snapshots)
    # Asking the engine, and whatever takes longer the more containers there are.
    assert threads.keys() == {"parse_listing", "expose", "snapshot_of"}
    assert threading.current_thread() not in threads.values()


async def test_stopping_does_not_wait_for_an_engine_that_hangs(fake_engine, watch_engine):
    fake_engine.behaviours["/containers/json"] = hang
    watched = watch_engine(fake_engine, timeout="60s")
    await eventually(lambda: fake_engine.count("/containers/json"))
    began_s = time.monotonic()
    watched.task.cancel()
    await asyncio.wait([watched.task])
    assert time.monotonic() - began_s < 5


async def test_the_thread_that_reads_events_ends_with_the_watch(fake_engine, watch_engine):
    watched = watch_engine(fake_engine)
    await watched.until(lambda: fake_engine.streams == 1)
    watched.task.cancel()
    await eventually(lambda: not any("events" in thread.name for thread in threading.enumerate()), 2)
    await eventually(lambda: fake_engine.streams == 0)


async def test_what_the_list_does_not_tell_is_looked_up(fake_engine, watch_engine):
    """Podman's list has neither network modes nor health."""
    silent = {"HostConfig": None, "NetworkSettings": {"Networks": None}}
    fake_engine.containers = [container(1, **silent), container(2, **silent), container(3, **silent)]
    fake_engine.inspections = {
        f"{1:064x}": {"HostConfig": {"NetworkMode": "host"}, "State": {"Health": {"Status": "unhealthy"}}},
        f"{2:064x}": {
            "HostConfig": {"NetworkMode": "bridge"},
            "State": {},
            "NetworkSettings": {"Networks": {"podman": {"IPAddress": "10.88.0.2"}}},
        },
    }
    watched = watch_engine(fake_engine, refreshInterval="1h")
    await watched.until(lambda: watched.services == {"orders": ["!127.0.0.1:8080", "10.88.0.2:8080"]})
    assert any("orders-3 is left out: it has no address" in problem for problem in watched.status["problems"])
    fake_engine.inspections[f"{1:064x}"]["State"]["Health"]["Status"] = "healthy"
    fake_engine.emit("health_status")
    await watched.until(lambda: watched.services["orders"][0] == "127.0.0.1:8080")


async def test_problems_are_logged_once_while_they_last(fake_engine, watch_engine, caplog):
    fake_engine.containers = [container(1, labels={"gateway.port": "http"})]
    watched = watch_engine(fake_engine, refreshInterval="1h")
    await watched.until(lambda: watched.snapshots)
    for _ in range(2):
        seen = len(watched.snapshots)
        fake_engine.emit("start")
        await watched.until(lambda seen=seen: len(watched.snapshots) > seen)
    message = "container orders-1 is left out: gateway.port is 'http'; write a number from 1 to 65535"
    assert caplog.text.count(message) == 1
    assert watched.status["problems"] == [message]
    assert watched.services == {}
