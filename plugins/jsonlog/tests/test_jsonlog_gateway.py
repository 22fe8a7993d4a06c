"""The access log of a whole gateway."""

import asyncio
import json

import pytest

from gateway.errors import ConfigurationError
from gateway.testing import Reply

pytestmark = pytest.mark.anyio


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def path(tmp_path):
    return tmp_path / "access.log"


@pytest.fixture
def start(gateway_factory, upstream, path):
    async def start(rule=None, gateway=None, **block):
        block = {"output": "access.log", "flushInterval": "5ms", **block}
        return await gateway_factory({"plugins": {"jsonlog": block}, **(gateway or {})}, upstream=upstream, rule=rule)

    return start


async def test_each_request_has_a_line(start, upstream, path):
    upstream.answer = lambda request: Reply(201, body=b"hello")
    gateway = await start(rule={"id": "things", "path": "/things/{id}"})
    await gateway.ask("POST", "/things/1", body=b"abc", headers={"x-request-id": "mine", "user-agent": "test"})
    await gateway.ask("GET", "/nothing")
    await gateway.eventually(lambda: len(lines_of(path)) == 2)
    first, second = lines_of(path)
    assert first["request_id"] == "mine"
    assert (first["method"], first["path"], first["status"]) == ("POST", "/things/1", 201)
    assert (first["route"], first["path_template"], first["service"]) == ("things", "/things/{id}", "service")
    assert (first["bytes_in"], first["bytes_out"], first["client"]) == (3, 5, "127.0.0.1")
    assert first["instance"] == f"127.0.0.1:{upstream.port}"
    assert first["attempts"] == 1
    assert 0 < first["connect_s"] < first["first_byte_s"] < first["duration_s"] < 10
    assert (second["status"], second["error"], second["route"]) == (404, "not_found", "gateway.unmatched")
    assert "instance" not in second


async def test_a_kept_connection_is_not_waited_for(start, path):
    gateway = await start()
    async with gateway.client() as client:
        await client.ask("GET", "/")
        await client.ask("GET", "/")
    await gateway.eventually(lambda: len(lines_of(path)) == 2)
    assert ["connect_s" in line for line in lines_of(path)] == [True, False]


async def test_who_waits_for_a_connection_waits_in_the_queue(start, upstream, path):
    upstream.answer = lambda request: Reply(delay_s=0.05)
    gateway = await start(gateway={"backend": {"http": {"maxConnsPerHost": 1}}})
    await asyncio.gather(gateway.ask("GET", "/"), gateway.ask("GET", "/"))
    await gateway.eventually(lambda: len(lines_of(path)) == 2)
    first, second = lines_of(path)
    assert "queue_s" not in first
    assert 0.01 < second["queue_s"] < second["first_byte_s"]


async def test_failures_are_told(start, upstream, path):
    gateway = await start()
    await upstream.stop()
    await gateway.ask("GET", "/")
    await gateway.eventually(lambda: lines_of(path))
    (line,) = lines_of(path)
    assert (line["status"], line["error"], line["attempts"]) == (502, "bad_gateway", 1)
    assert "cannot be reached" in line["detail"]


async def test_an_answer_that_broke_off_is_told(start, upstream, path):
    upstream.answer = lambda request: Reply(drop=True, body=b"hello")
    gateway = await start(sample=0)
    with pytest.raises(ConnectionError):
        await gateway.ask("GET", "/")
    await gateway.eventually(lambda: lines_of(path))
    (line,) = lines_of(path)
    assert (line["status"], line["error"]) == (200, "bad_gateway")


async def test_a_client_that_went_away_is_told(start, upstream, path):
    upstream.answer = lambda request: Reply(delay_s=5)
    gateway = await start()
    async with gateway.client() as client:
        client._writer.write(b"GET / HTTP/1.1\r\nhost: gw\r\n\r\n")
        await gateway.eventually(lambda: upstream.requests)
    await gateway.eventually(lambda: lines_of(path))
    (line,) = lines_of(path)
    assert line["status"] == 499
    await upstream.stop()


async def test_a_stop_loses_no_line(gateway_factory, upstream, path):
    block = {"output": "access.log", "flushInterval": "1m"}
    gateway = await gateway_factory({"plugins": {"jsonlog": block}}, upstream=upstream)
    for _ in range(3):
        await gateway.ask("GET", "/")
    assert lines_of(path) == []
    await gateway.gateway.__aexit__(None, None, None)
    assert len(lines_of(path)) == 3
    await gateway.gateway.__aenter__()  # the fixture leaves it


@pytest.mark.parametrize(
    ("block", "statuses"),
    [
        ({"sample": 0}, [502]),
        ({"sample": 0, "keepStatus": 400}, [404, 502]),
        ({"sample": 0, "keepSlowerThan": 0}, [200, 404, 502]),
        ({"sample": 0, "keepStatus": 600}, []),
        ({"sample": 1}, [200, 404, 502]),
        ({"excludeRoutes": ["gateway.unmatched"]}, [200, 502]),
    ],
)
async def test_what_failed_or_was_slow_is_kept(start, upstream, path, block, statuses):
    gateway = await start(rule={"path": "/here"}, **block)
    await gateway.ask("GET", "/here")
    await gateway.ask("GET", "/nothing")
    await upstream.stop()
    await gateway.ask("GET", "/here")
    await gateway.gateway.reload(json.dumps({"gateway": {"frontend": {"http": {"host": "127.0.0.1", "port": 0}}}}))
    await gateway.eventually(lambda: [line["status"] for line in lines_of(path)] == statuses)


async def test_a_file_that_was_moved_away_is_opened_anew_by_a_reload(gateway_factory, upstream, path, tmp_path):
    """What logrotate does: move, then SIGHUP. No line is lost, and the old file is let go of."""
    gateway = await gateway_factory({"plugins": {"jsonlog": {"output": "access.log"}}}, upstream=upstream)
    await gateway.ask("GET", "/one")
    path.rename(tmp_path / "access.log.1")
    await gateway.gateway.reload()
    await gateway.eventually(path.exists)
    await gateway.ask("GET", "/two")
    await gateway.eventually(lambda: lines_of(path) and lines_of(path)[-1]["path"] == "/two")
    written = [line["path"] for file in (tmp_path / "access.log.1", path) for line in lines_of(file)]
    assert written == ["/one", "/two"]


async def test_lines_go_to_standard_output(gateway_factory, upstream, capfd):
    gateway = await gateway_factory({"plugins": {"jsonlog": {"flushInterval": "5ms"}}}, upstream=upstream)
    await gateway.ask("GET", "/")
    seen: list[str] = []

    def has_line():
        seen.append(capfd.readouterr().out)
        return "".join(seen).endswith("\n")

    await gateway.eventually(has_line)
    assert json.loads("".join(seen))["path"] == "/"


async def test_a_combined_log(start, path):
    gateway = await start(format="combined")
    await gateway.ask("GET", "/a?token=x", headers={"user-agent": "test", "referer": "https://shop.example/"})
    await gateway.eventually(path.read_text)
    line = path.read_text()
    assert line.startswith("127.0.0.1 - - [")
    assert line.endswith('+0000] "GET /a HTTP/1.1" 200 2 "https://shop.example/" "test"\n')


async def test_a_file_that_cannot_be_opened_refuses_the_start(start):
    with pytest.raises(ConfigurationError, match="No such file or directory"):
        await start(output="nowhere/access.log")


async def test_how_many_lines_there_were_is_measured(start, path):
    gateway = await start()
    await gateway.ask("GET", "/")
    await gateway.eventually(lambda: lines_of(path))
    metrics = {
        family.name: family.series for (families) in await gateway.gateway.plane.metrics() for family in families
    }
    assert metrics["gateway_access_log_dropped_lines_total"] == {(): 0.0}


async def test_it_may_be_called_access_log(gateway_factory, upstream, path):
    gateway = await gateway_factory({"accessLog": {"output": "access.log", "flushInterval": "5ms"}}, upstream=upstream)
    await gateway.ask("GET", "/")
    await gateway.eventually(lambda: lines_of(path))
