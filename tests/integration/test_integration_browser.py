"""A real browser through the gateway: EventSource and WebSocket, events one by one.

It needs Chromium (``apt-get install chromium``), and is skipped without; not in CI, where it must be there.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosedError
from websockets.typing import Subprotocol

from gateway.testing import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
BROWSER_TIMEOUT_S = 60.0
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--virtual-time-budget=15000",
)

PAGE = """<!doctype html><title>test</title><pre id="log"></pre><script>
const log = [], place = document.getElementById("log");
const say = (...each) => { log.push(each); place.textContent = JSON.stringify(log); };
const source = new EventSource("/events");
source.onmessage = (event) => { say("event", event.data, event.lastEventId); fetch("/seen/" + event.data); };
source.addEventListener("end", () => source.close());
const socket = new WebSocket("ws://" + location.host + "/echo", ["chat"]);
socket.onopen = () => { say("open", socket.protocol, socket.extensions.split(";")[0]); socket.send("hello"); };
socket.onmessage = (event) => { say("message", event.data); socket.close(4000, "bye"); };
socket.onclose = (event) => { say("close", event.code, event.reason, event.wasClean); fetch("/done"); };
</script>"""


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def chromium() -> str:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed; in CI it must be: apt-get install chromium")
        pytest.skip("Chromium is not installed; apt-get install chromium")
    return CHROMIUM


async def test_a_browser_gets_events_one_by_one_and_talks_over_a_websocket(
    chromium, gateway_factory, upstream, tmp_path
):
    seen: dict[str, asyncio.Event] = {str(number): asyncio.Event() for number in range(4)}

    async def events() -> AsyncIterator[bytes]:
        for number, event in enumerate(seen.values()):
            yield b"id: n%d\ndata: %d\n\n" % (number, number)
            # The next one only when the browser had this one: nothing on the way waits for more.
            await asyncio.wait_for(event.wait(), BROWSER_TIMEOUT_S)
        yield b"event: end\ndata: .\n\n"

    def answer(request):
        if request.target == "/events":
            return Reply(headers={"content-type": "text/event-stream"}, body=events())
        if request.target.startswith("/seen/"):
            seen[request.target.removeprefix("/seen/")].set()
        return Reply(headers={"content-type": "text/html"}, body=PAGE if request.target == "/" else b"")

    async def echo(connection):
        with contextlib.suppress(ConnectionClosedError):  # as it does for every code but 1000 and 1001
            async for message in connection:
                await connection.send(message)

    upstream.answer = answer
    async with serve(echo, "127.0.0.1", 0, subprotocols=[Subprotocol("chat")], close_timeout=1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        services = [
            {"name": "pages", "instances": [upstream.instance]},
            {"name": "echo", "instances": [{"address": "127.0.0.1", "port": port}]},
        ]
        rules = [
            {"path": "/*", "serviceName": "pages"},
            {"path": "/events", "serviceName": "pages", "protocol": "sse"},
            {"path": "/echo", "serviceName": "echo", "protocol": "websocket"},
        ]
        gateway = await gateway_factory({"registry": {"static": {"services": services}}, "router": {"rules": rules}})
        log = await _log_of(chromium, gateway.url, tmp_path)
        if ["close", 4000, "bye", True] not in log:
            # The page was taken before its WebSocket was done, which does not hold a headless browser's clock.
            upstream.requests.clear()
            for event in seen.values():
                event.clear()
            log = await _log_of(chromium, gateway.url, tmp_path)
    assert [each[1:] for each in log if each[0] == "event"] == [[str(n), f"n{n}"] for n in range(4)]
    assert [each for each in log if each[0] != "event"] == [
        ["open", "chat", "permessage-deflate"],
        ["message", "hello"],
        ["close", 4000, "bye", True],
    ]
    paths = [request.target for request in upstream.requests if request.target.startswith(("/events", "/seen"))]
    assert paths == ["/events", "/seen/0", "/seen/1", "/seen/2", "/seen/3"]


async def _log_of(chromium, url, folder):
    """Open the page, and return what it has written when it came to rest."""
    browser = await asyncio.create_subprocess_exec(
        chromium,
        *FLAGS,
        f"--user-data-dir={folder / 'profile'}",
        "--dump-dom",
        url,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        page, _ = await asyncio.wait_for(browser.communicate(), BROWSER_TIMEOUT_S)
    finally:
        if browser.returncode is None:
            browser.kill()
            await browser.wait()
    found = re.search(r'<pre id="log">(.*?)</pre>', page.decode(), re.DOTALL)
    assert found is not None, page
    return json.loads(html.unescape(found[1]) or "[]")
