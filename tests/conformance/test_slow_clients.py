"""Five hundred clients that are slow with their head, with their body, or with taking the answer harm nobody else."""

import time

import pytest
from tests.conformance.client import Client
from tests.conformance.service import Service

SLOW_CLIENTS = 500
GET = b"GET /x HTTP/1.1\r\nHost: gw\r\n\r\n"
MIB = 1024 * 1024


def large(connection, request):
    connection.read_body(request)
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
    piece = bytes(MIB)
    for _ in range(64):
        connection.send(piece)


@pytest.fixture(scope="module")
def service():
    service = Service({"/large": large})
    service.max_recorded_bytes = 0
    yield service
    service.close()


@pytest.fixture(scope="module")
def gateway(start_gateway_process, service):
    instances = [{"address": "127.0.0.1", "port": service.port}]
    with start_gateway_process(
        http={"readTimeout": 1, "writeTimeout": 1},
        registry={"static": {"services": [{"name": "up", "instances": instances}]}},
        router={"rules": [{"path": "/*", "serviceName": "up"}]},
    ) as port:
        yield port


@pytest.mark.parametrize(
    ("request_begun", "status"),
    [
        (b"GET /x HTTP/1.1\r\nHost:", 408),
        (b"POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 100\r\n\r\nx", 408),
        (b"POST /x HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", 408),
        (b"GET /large HTTP/1.1\r\nHost: gw\r\n\r\n", 200),
    ],
    ids=["head", "body", "chunks", "reading"],
)
def test_slow_clients_are_cut_off_while_others_are_served(gateway, request_begun, status):
    count = SLOW_CLIENTS if status != 200 else SLOW_CLIENTS // 10  # each of these holds 4 MiB of the kernel's buffers
    slow = [Client(gateway, 5) for _ in range(count)]
    try:
        for client in slow:
            client.send(request_begun)
        with Client(gateway, 10) as quick:  # its service is a thread among as many as there are slow clients
            assert [quick.ask(GET).status for _ in range(20)] == [200] * 20
        if status == 200:
            time.sleep(2)
        for client in slow:
            answer = client.read_answer()
            assert answer.status == status
            assert answer.is_whole == (status != 200)
            assert client.read_to_end() == b""
    finally:
        for client in slow:
            client.sock.close()
