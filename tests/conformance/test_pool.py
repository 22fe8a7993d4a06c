"""Connections to services: how many there are, how long they are kept, and what bodies cost in memory."""

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest
from tests.conformance.client import Client
from tests.conformance.service import Service

GET = b"GET /x HTTP/1.1\r\nHost: gw\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: gw\r\n\r\n"
MIB = 1024 * 1024
LARGE_BYTES = 64 * MIB
GIGABYTE = 1024 * MIB
MOST_GROWTH_BYTES = 16 * MIB


class Scripts:
    """Scripts of the service, and what they saw."""

    def __init__(self):
        self.may_answer = threading.Event()
        self.under_way = 0
        self.most_under_way = 0
        self.taken_bytes = 0
        self._lock = threading.Lock()

    def slow(self, connection, request):
        connection.read_body(request)
        with self._lock:
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        self.may_answer.wait(5)
        with self._lock:
            self.under_way -= 1
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    @staticmethod
    def large(connection, request):
        connection.read_body(request)
        piece = bytes(MIB)
        size = GIGABYTE if request.path == b"/gigabyte" else LARGE_BYTES
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // MIB):
            connection.send(piece)

    def sip(self, connection, request):
        """Take the body slowly."""
        length = int(request.values(b"content-length")[0])
        self.taken_bytes = 0
        while self.taken_bytes < length:
            self.taken_bytes += len(connection.receive_some())
            time.sleep(0.005)
        request.is_complete = True
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@pytest.fixture
def scripts():
    return Scripts()


@pytest.fixture
def service(scripts):
    service = Service({"/slow": scripts.slow, "/large": Scripts.large, "/gigabyte": Scripts.large, "/sip": scripts.sip})
    service.max_recorded_bytes = 0
    yield service
    scripts.may_answer.set()
    service.close()


def settings_for(service, http=None, **settings):
    """Return those of a gateway with these settings of ``backend.http``."""
    instances = [{"address": "127.0.0.1", "port": service.port}]
    return {
        "http": http or {},
        "backend": {"http": settings},
        "registry": {"static": {"services": [{"name": "up", "instances": instances}]}},
        "router": {"rules": [{"path": "/*", "serviceName": "up"}]},
    }


@pytest.fixture
def started(start_gateway, service):
    """Start a gateway with these settings of ``backend.http``."""
    return lambda **settings: start_gateway(**settings_for(service, **settings))


@pytest.fixture
def started_process(start_gateway_process, service):
    """Start it in a process of its own."""
    return lambda **settings: start_gateway_process(**settings_for(service, **settings))


def wait_for(condition, timeout_s=20):
    give_up = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.01)
    return True


def is_closed(connection):
    return connection.is_closed.is_set()


def test_requests_beyond_the_limit_wait(started, service, scripts):
    with started(maxConnsPerHost=1) as port, Client(port, 5) as first, Client(port, 5) as second:
        first.send(SLOW)
        assert wait_for(lambda: scripts.under_way == 1)
        second.send(SLOW)
        time.sleep(0.2)
        assert len(service.requests_to("/slow")) == 1
        scripts.may_answer.set()
        assert (first.read_answer().body, second.read_answer().body) == (b"ok", b"ok")
        assert scripts.most_under_way == 1
        assert len(service.connections) == 1


def test_a_request_does_not_wait_longer_than_a_dial(started, scripts):
    with started(maxConnsPerHost=1, dialTimeout=0.3) as port, Client(port, 5) as first, Client(port, 5) as second:
        first.send(SLOW)
        assert wait_for(lambda: scripts.under_way == 1)
        assert second.ask(SLOW).status == 504
        scripts.may_answer.set()
        assert first.read_answer().status == 200
        assert second.ask(GET).status == 200


def test_a_client_that_leaves_while_it_waits_leaves_its_place(started, service, scripts):
    with started(maxConnsPerHost=1) as port, Client(port, 5) as first, Client(port, 5) as third:
        first.send(SLOW)
        assert wait_for(lambda: scripts.under_way == 1)
        with Client(port) as second:
            second.send(SLOW)
            time.sleep(0.1)
        time.sleep(0.1)
        third.send(GET)
        scripts.may_answer.set()
        assert first.read_answer().status == 200
        assert third.read_answer().status == 200
        assert len(service.requests_to("/slow")) == 1


def test_without_a_limit_nobody_waits(started, service, scripts):
    with started() as port, Client(port, 5) as first, Client(port, 5) as second:
        first.send(SLOW)
        second.send(SLOW)
        assert wait_for(lambda: scripts.under_way == 2)
        scripts.may_answer.set()
        assert (first.read_answer().status, second.read_answer().status) == (200, 200)
        assert len(service.connections) == 2


def test_a_kept_connection_is_used_again(started, service):
    with started() as port:
        for _ in range(3):
            with Client(port) as client:
                assert client.ask(GET).status == 200
        assert len(service.connections) == 1


def test_idle_connections_are_closed(started, service):
    with started(idleConnTimeout=0.3) as port, Client(port) as client:
        assert client.ask(GET).status == 200
        (connection,) = service.connections
        assert not is_closed(connection)
        assert wait_for(lambda: is_closed(connection), 3)
        assert client.ask(GET).status == 200
        assert len(service.connections) == 2


@pytest.mark.parametrize("settings", [{"keepAlive": False}, {"maxIdleConns": 0}, {"maxIdleConnsPerHost": 0}])
def test_nothing_is_kept(started, service, settings):
    with started(**settings) as port, Client(port) as client:
        for _ in range(3):
            assert client.ask(GET).status == 200
        assert len(service.connections) == 3
        assert wait_for(lambda: all(is_closed(connection) for connection in service.connections))


def test_no_more_idle_connections_than_allowed(started, service, scripts):
    with started(maxIdleConnsPerHost=1) as port, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(port, 5)) for _ in range(3)]
        for client in clients:
            client.send(SLOW)
        assert wait_for(lambda: scripts.under_way == 3)
        scripts.may_answer.set()
        assert [client.read_answer().status for client in clients] == [200] * 3
        assert wait_for(lambda: [is_closed(connection) for connection in service.connections].count(True) == 2)
        time.sleep(0.1)
        assert [is_closed(connection) for connection in service.connections].count(True) == 2


def test_large_bodies_both_ways(started):
    body = os.urandom(MIB)
    request = b"POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with started() as port, Client(port, 5) as client:
        for _ in range(2):
            assert client.ask(request).body == body


class Memory:
    """The resident memory of the gateway on a port; where /proc does not tell, the test is skipped."""

    def __init__(self, port):
        marker = f"gateway-{port}.yaml".encode()
        self._paths = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if marker in (folder / "cmdline").read_bytes():
                    self._paths.append(folder / "statm")
        if not self._paths:
            pytest.skip("the operating system does not tell what memory a process has")
        self.at_first = self.most = self.look()

    def look(self):
        pages = sum(int(path.read_text().split()[1]) for path in self._paths)
        self.most = max(getattr(self, "most", 0), pages * os.sysconf("SC_PAGE_SIZE"))
        return self.most

    @property
    def growth(self):
        return self.most - self.at_first


def test_a_slow_client_bounds_the_memory(started_process):
    with started_process() as port, Client(port, 5) as client:
        assert client.ask(GET).status == 200
        memory = Memory(port)
        client.send(b"GET /large HTTP/1.1\r\nHost: gw\r\n\r\n")
        time.sleep(0.5)
        received = 0
        while received < LARGE_BYTES:
            memory.look()
            data = client.sock.recv(MIB)
            assert data, "the answer broke off"
            received += len(data)
            time.sleep(0.002)
        assert memory.growth < MOST_GROWTH_BYTES


def test_a_slow_service_bounds_the_memory(started_process, scripts):
    with started_process(http={"maxRequestSize": 0}) as port, Client(port, 10) as client:
        assert client.ask(GET).status == 200
        memory = Memory(port)
        client.send(b"POST /sip HTTP/1.1\r\nHost: gw\r\nContent-Length: %d\r\n\r\n" % LARGE_BYTES)
        piece = bytes(MIB)
        for _ in range(LARGE_BYTES // MIB):
            client.send(piece)
            memory.look()
        while scripts.taken_bytes < LARGE_BYTES and not client.buffer:
            memory.look()
            time.sleep(0.02)
        assert client.read_answer().status == 200
        assert memory.growth < MOST_GROWTH_BYTES


def test_a_gigabyte_passes_in_bounded_memory(started_process):
    with started_process() as port, Client(port, 10) as client:
        assert client.ask(GET).status == 200
        memory = Memory(port)
        client.send(b"GET /gigabyte HTTP/1.1\r\nHost: gw\r\n\r\n")
        client.receive()
        head, _, beginning = client.buffer.partition(b"\r\n\r\n")
        assert b"content-length: %d" % GIGABYTE in head.lower()
        received = len(beginning)
        while received < GIGABYTE:
            data = client.sock.recv(4 * MIB)
            assert data, "the answer broke off"
            received += len(data)
            memory.look()
        assert received == GIGABYTE
        assert memory.growth < MOST_GROWTH_BYTES
