from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib.util
import socket
import ssl
from typing import Any

import pytest
import trustme

from gateway.errors import ConfigurationError
from gateway.interfaces import Listener
from gateway.runtime.listeners import Listeners, bind
from gateway.testing import free_port

pytestmark = pytest.mark.anyio

LOOPS = [("asyncio", {"debug": True})]
if importlib.util.find_spec("uvloop") is not None:
    LOOPS.append(("asyncio", {"use_uvloop": True}))


@pytest.fixture(params=LOOPS, ids=lambda loop: "uvloop" if "use_uvloop" in loop[1] else "asyncio")
def anyio_backend(request):
    """Sockets change hands on the loop that operators have, too."""
    return request.param


class Adapter:
    """Greets with its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def connection(self, listener: Listener) -> asyncio.Protocol:
        name = self.name

        class Greeting(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                transport.write(name.encode())
                transport.close()

        return Greeting()


@pytest.fixture
async def listeners():
    made = Listeners()
    yield made
    await made.close()
    await asyncio.sleep(0.01)


async def serve(listeners: Listeners, *wanted: tuple[Any, Listener]) -> None:
    await listeners.prepare(wanted)
    await listeners.commit()


async def greeting(address: tuple[str, int], *, tls: ssl.SSLContext | None = None) -> str:
    reader, writer = await asyncio.wait_for(asyncio.open_connection(*address, ssl=tls), 30)
    try:
        return (await asyncio.wait_for(reader.read(), 30)).decode()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def is_listening(address: tuple[str, int]) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(address) == 0


ANY = Listener(host="127.0.0.1", port=0)


async def test_what_is_committed_is_served(listeners):
    await serve(listeners, (Adapter("one"), ANY))
    (address,) = listeners.addresses()
    assert address[1] != 0
    assert listeners.wanted() == [("127.0.0.1", 0)]
    assert await greeting(address) == "one"


async def test_nothing_is_served_before(listeners):
    await listeners.prepare([(Adapter("one"), ANY)])
    assert listeners.addresses() == []


async def test_a_socket_that_is_wanted_again_changes_hands(listeners):
    await serve(listeners, (Adapter("one"), ANY))
    before = listeners.addresses()
    await serve(listeners, (Adapter("two"), ANY))
    assert listeners.addresses() == before
    assert await greeting(before[0]) == "two"


async def test_connections_that_wait_while_it_changes_hands_are_served(listeners):
    await serve(listeners, (Adapter("old"), ANY))
    (address,) = listeners.addresses()
    asking = [asyncio.ensure_future(greeting(address)) for _ in range(20)]
    for number in range(20):
        await serve(listeners, (Adapter(f"new{number}"), ANY))
        asking += [asyncio.ensure_future(greeting(address)) for _ in range(5)]
    answers = await asyncio.gather(*asking)
    assert all(answer.startswith(("old", "new")) for answer in answers)


async def test_another_certificate_needs_another_server_and_nobody_is_lost(listeners):
    authority = trustme.CA()
    client = ssl.create_default_context()
    authority.configure_trust(client)

    def secure() -> Listener:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        return Listener(host="127.0.0.1", port=0, tls=context)

    await serve(listeners, (Adapter("0"), secure()))
    (address,) = listeners.addresses()
    asking = []
    for number in range(1, 6):
        asking += [asyncio.ensure_future(greeting(address, tls=client)) for _ in range(5)]
        await asyncio.sleep(0)
        await serve(listeners, (Adapter(str(number)), secure()))
        assert listeners.addresses() == [address]
    assert await greeting(address, tls=client) == "5"
    assert {len(answer) for answer in await asyncio.gather(*asking)} == {1}


async def test_whoever_was_accepted_when_it_is_closed_is_served(listeners):
    await serve(listeners, (Adapter("one"), ANY))
    (address,) = listeners.addresses()
    with socket.create_connection(address, 5) as client:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await listeners.close()
        await asyncio.sleep(0.01)
        client.setblocking(False)  # noqa: FBT003 - positional only
        answer = client.recv(100)
    assert answer in (b"one", b"")


async def test_the_same_adapter_on_the_same_listener_goes_on(listeners):
    adapter = Adapter("one")
    await serve(listeners, (adapter, ANY))
    (address,) = listeners.addresses()
    await serve(listeners, (adapter, ANY))
    assert await greeting(address) == "one"


async def test_a_socket_that_is_not_wanted_any_more_is_closed(listeners):
    await serve(listeners, (Adapter("one"), ANY), (Adapter("two"), Listener(host="127.0.0.1", port=0, backlog=7)))
    first, second = listeners.addresses()
    await serve(listeners, (Adapter("one"), ANY))
    assert len(listeners.addresses()) == 1
    await asyncio.sleep(0.01)
    assert [is_listening(first), is_listening(second)].count(True) == 1


async def test_what_is_discarded_is_closed_and_the_rest_goes_on(listeners):
    await serve(listeners, (Adapter("one"), ANY))
    (address,) = listeners.addresses()
    free = ("127.0.0.1", free_port())
    await listeners.prepare([(Adapter("two"), ANY), (Adapter("two"), Listener(host=free[0], port=free[1]))])
    listeners.discard()
    await asyncio.sleep(0.01)
    assert not is_listening(free)
    assert await greeting(address) == "one"


async def test_a_failure_closes_what_was_opened_before_it(listeners):
    """A socket that listens and is not served lets clients wait for ever."""
    free = ("127.0.0.1", free_port())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(ConfigurationError, match="another process has the port"):
            await listeners.prepare(
                [
                    (Adapter("one"), Listener(host=free[0], port=free[1])),
                    (Adapter("two"), Listener(host="127.0.0.1", port=taken.getsockname()[1])),
                ]
            )
        await asyncio.sleep(0.01)
        assert not is_listening(free)


async def test_preparing_again_forgets_what_was_prepared_before(listeners):
    await listeners.prepare([(Adapter("one"), ANY)])
    await serve(listeners, (Adapter("two"), ANY))
    assert await greeting(listeners.addresses()[0]) == "two"


async def test_one_address_cannot_be_served_twice(listeners):
    port = free_port()
    listener = Listener(host="127.0.0.1", port=port)
    with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port} is asked for twice"):
        await listeners.prepare([(Adapter("one"), listener), (Adapter("two"), listener)])
    await asyncio.sleep(0.01)
    assert not is_listening(("127.0.0.1", port))


async def test_when_it_is_closed_nobody_is_accepted(listeners):
    await serve(listeners, (Adapter("one"), ANY))
    (address,) = listeners.addresses()
    await listeners.close()
    await asyncio.sleep(0.01)
    assert not is_listening(address)
    assert listeners.addresses() == []


async def test_sockets_may_come_from_elsewhere():
    with socket.create_server(("127.0.0.1", 0)) as given:

        async def obtain(address: tuple[str, int], backlog: int) -> socket.socket:
            assert (address, backlog) == (("127.0.0.1", 0), 2048)
            return given.dup()

        listeners = Listeners(obtain)
        await serve(listeners, (Adapter("one"), ANY))
        assert listeners.addresses() == [given.getsockname()]
        assert await greeting(given.getsockname()) == "one"
        await listeners.close()
        await asyncio.sleep(0.01)


async def test_a_listener_that_cannot_be_served_closes_its_socket(listeners, monkeypatch):
    opened: list[socket.socket] = []

    async def obtain(address: tuple[str, int], backlog: int) -> socket.socket:
        opened.append(bind(address))
        return opened[0]

    async def create_server(*arguments: object, **options: object) -> None:
        raise OSError

    refusing = type("Loop", (), {"create_server": staticmethod(create_server)})
    monkeypatch.setattr("gateway.runtime.listeners.asyncio.get_running_loop", refusing)
    with pytest.raises(OSError):  # noqa: PT011 - the one from above
        await Listeners(obtain).prepare([(Adapter("one"), ANY)])  # type: ignore[list-item]  # the part of an adapter that is asked for
    monkeypatch.undo()
    assert opened[0].fileno() == -1


# What is wrong with an address.


def refusal(host: str, port: int) -> str:
    with pytest.raises(ConfigurationError) as refused:
        bind((host, port))
    (problem,) = refused.value.problems
    return str(problem)


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refusal("127.0.0.1", port) == (
            f"cannot listen on 127.0.0.1:{port}: Address already in use; another process has the port: stop it, or "
            "choose another port"
        )


def test_an_address_of_another_machine():
    assert "this machine does not have the address" in refusal("192.0.2.1", 0)


def test_a_host_that_is_none():
    assert refusal("no such host!", 0).endswith("; check the address")


@pytest.mark.parametrize("port", [65536, -1])
def test_a_port_that_is_none(port):
    """The system would take 65536 for 0, which is any free port."""
    assert "a port is a number from 0 to 65535" in refusal("127.0.0.1", port)


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.EACCES, "grant CAP_NET_BIND_SERVICE"), (errno.ENOBUFS, "No buffer space")]
)
def test_other_refusals_of_the_system(monkeypatch, number, remedy):
    def refuse(self, address):
        raise OSError(number, "No buffer space available" if number == errno.ENOBUFS else "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert remedy in refusal("::1", 80)
    assert "[::1]:80" in refusal("::1", 80)


def test_all_addresses_of_both_families():
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with bind(("::", 0)) as listening, socket.create_connection(("127.0.0.1", listening.getsockname()[1]), 2):
        assert listening.family is socket.AF_INET6


def test_an_ipv6_address_is_ipv6_only():
    try:
        listening = bind(("::1", 0))
    except ConfigurationError:
        pytest.skip("this machine has no IPv6")
    with listening:
        assert listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_workers_share_a_port():
    with bind(("127.0.0.1", 0), reuse_port=True) as one, bind(one.getsockname(), reuse_port=True) as two:
        assert one.getsockname() == two.getsockname()
