"""Plugins of a few lines, and plugins that go wrong in every way there is."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

GREETING = """
from gateway import Config, policy

class Greeting(Config):
    text: str = "hello"

@policy
async def greet(exchange, call_next, config: Greeting):
    response = await call_next(exchange)
    response.headers["x-greeting"] = config.text
    return response
"""

TICKET = """
from gateway import Principal, Unauthorized, authenticator

@authenticator('Ticket realm="gateway"')
async def ticket(request):
    given = request.headers.get("x-ticket")
    if given is None:
        return None
    if given != "42":
        raise Unauthorized("this ticket is not valid")
    return Principal(subject="jo")
"""

DEMO: dict[str, Any] = {
    "router": {"rules": [{"id": "demo", "path": "/*", "serviceName": "demo"}]},
    "plugins": {"demo": {}},
}


def with_demo(**plugins):
    return {**DEMO, "plugins": {**DEMO["plugins"], **plugins}}


@pytest.mark.parametrize("source", [GREETING, TICKET])
def test_they_take_ten_lines(source):
    assert len([line for line in source.splitlines() if line.strip()]) <= 10


async def test_a_policy_in_a_file_given_on_the_command_line(gateway, write):
    started = await gateway(None, "--plugin", str(write("greeting.py", GREETING)))
    assert (await started.ask("/get")).headers["x-greeting"] == "hello"
    assert "greeting" in await started.says("listening on")


async def test_a_policy_in_a_file_named_by_the_configuration(gateway, write):
    write("plugins/greeting.py", GREETING)
    started = await gateway(with_demo(files=["./plugins/greeting.py"], greet={"text": "moin"}))
    assert (await started.ask("/get")).headers["x-greeting"] == "moin"


async def test_an_authenticator_in_a_file(gateway, write):
    write("ticket.py", TICKET)
    started = await gateway(with_demo(files=["ticket.py"]) | {"auth": {"required": True}})
    missing = await started.ask("/get")
    assert (missing.status, missing.headers["www-authenticate"]) == (401, 'Ticket realm="gateway"')
    wrong = await started.ask("/get", x_ticket="43")
    assert (wrong.status, wrong.json["detail"], wrong.json["plugin"]) == (401, "this ticket is not valid", "ticket")
    assert (await started.ask("/get", x_ticket="42")).status == 200


# What goes wrong before anything serves: exit code 2, and a line that names it.

AT_IMPORT = "import gateway\nraise RuntimeError('no luck')\n"

IN_A_HOOK = """
from gateway import hookimpl

@hookimpl
def gateway_register_policies():
    raise RuntimeError("no luck")
"""

IN_BUILD = """
from gateway import PolicyRegistration

def build(config, context):
    raise RuntimeError("no luck")

broken = PolicyRegistration(name="broken", build=build)
"""

IN_ENTER = """
from gateway import PolicyRegistration

class Broken:
    def __init__(self, config, context):
        pass
    async def __aenter__(self):
        raise RuntimeError("no luck")
    async def __aexit__(self, *error):
        pass
    def wrap(self, next, route):
        return next

broken = PolicyRegistration(name="broken", build=Broken)
"""

IN_WRAP = """
from gateway import PolicyRegistration

class Broken:
    def __init__(self, config, context):
        pass
    def wrap(self, next, route):
        raise RuntimeError("no luck")

broken = PolicyRegistration(name="broken", build=Broken)
"""


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (AT_IMPORT, "broken.py:2"),
        (IN_A_HOOK, "gateway_register_policies raised RuntimeError: no luck"),
        (IN_BUILD, "policy 'broken' (plugin 'broken' of broken.py) could not be built: RuntimeError: no luck"),
        (IN_ENTER, "policy 'broken' (plugin 'broken' of broken.py) could not start: RuntimeError: no luck"),
        (IN_WRAP, "plugin 'broken' failed: RuntimeError: no luck"),
    ],
    ids=["import", "hook", "build", "enter", "wrap"],
)
async def test_a_broken_plugin_that_is_wanted_stops_the_start(gateway, write, source, said):
    path = write("broken.py", source)
    started = await gateway(None, "--plugin", str(path), is_ready=False)
    assert await started.ended() == 2
    assert said in started.log
    assert "no luck" in started.log
    assert "Traceback" not in started.log


async def test_the_same_with_workers(gateway, write, children):
    path = write("broken.py", IN_ENTER)
    started = await gateway(None, "--plugin", str(path), "--workers", "2", is_ready=False)
    assert await started.ended() == 2
    assert "policy 'broken' (plugin 'broken' of broken.py) could not start: RuntimeError: no luck" in started.log


@pytest.mark.parametrize("source", [AT_IMPORT, IN_A_HOOK], ids=["import", "hook"])
async def test_a_broken_plugin_that_nobody_wants_is_a_warning(gateway, install, source):
    started = await gateway(None, environment=install("broken", source))
    assert "plugin 'broken' of gateway-broken 1.0 cannot be used" in await started.says("no luck")
    assert (await started.ask("/get")).status == 200


# What goes wrong while it serves.

PER_REQUEST = """
from gateway import policy

@policy
async def fragile(exchange, call_next):
    if exchange.request.path == "/anything/break":
        raise KeyError("the secret")
    return await call_next(exchange)
"""


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_plugin_that_fails_per_request_is_500_and_named(gateway, write, workers):
    started = await gateway(None, "--plugin", str(write("fragile.py", PER_REQUEST)), "--workers", workers)
    broken = await started.ask("/anything/break")
    assert (broken.status, broken.json["detail"]) == (500, "internal error")
    assert b"secret" not in broken.body
    line = await started.says("failed on route demo")
    assert "plugin 'fragile' failed on route demo: KeyError: 'the secret'" in line
    await started.says("fragile.py")
    assert (await started.ask("/anything/else")).status == 200


@pytest.mark.parametrize("on_error", ["deny", "allow"])
async def test_a_policy_may_be_left_out_when_it_fails(gateway, write, on_error):
    write("fragile.py", PER_REQUEST)
    started = await gateway(with_demo(files=["fragile.py"], fragile={"onError": on_error}))
    assert (await started.ask("/anything/break")).status == (200 if on_error == "allow" else 500)


IN_THE_BACKGROUND = """
from gateway import PolicyRegistration

class Restless:
    def __init__(self, config, context):
        context.background.start("refresh", self.refresh)
    async def refresh(self):
        raise RuntimeError("no luck")
    def wrap(self, next, route):
        return next

restless = PolicyRegistration(name="restless", build=Restless)
"""


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_plugin_that_fails_in_the_background_is_restarted_and_shows(gateway, write, until, workers):
    write("restless.py", IN_THE_BACKGROUND)
    started = await gateway(with_demo(files=["restless.py"]), "--workers", workers)
    await started.says("policy restless: refresh crashed and is restarted in 0.5 s")
    assert (await started.ask("/get")).status == 200

    async def is_degraded():
        return (await started.ask("/_gateway/health")).json["status"] == "degraded"

    await until(is_degraded)
    status = await started.admin("/status")
    work = [each for each in status["work"] if each["name"].endswith("policy restless: refresh")]
    assert len(work) == int(workers)
    assert work[0]["lastError"] == "RuntimeError: no luck"


BLOCKING = """
import time
from gateway import policy

@policy
async def sleepy(exchange, call_next):
    if exchange.request.path == "/anything/sleep":
        time.sleep(0.6)
    return await call_next(exchange)
"""


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_plugin_that_blocks_the_event_loop_is_named(gateway, write, workers):
    started = await gateway(None, "--plugin", str(write("sleepy.py", BLOCKING)), "--workers", workers)
    assert (await started.ask("/anything/sleep")).status == 200
    line = await started.says("blocked the event loop for")
    assert "plugin 'sleepy' (sleepy at " in line
    assert "sleepy.py:7" in line
