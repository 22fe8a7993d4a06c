"""A request goes to another instance when the first saw nothing of it."""

from __future__ import annotations

import socket

import pytest
from tests.conformance.client import Client
from tests.conformance.service import Service


@pytest.fixture(scope="module")
def service():
    service = Service()
    yield service
    service.close()


@pytest.fixture(scope="module")
def port(start_gateway, service):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        refusing = nobody.getsockname()[1]
    instances = [{"address": "127.0.0.1", "port": refusing}, {"address": "127.0.0.1", "port": service.port}]
    with start_gateway(
        registry={"static": {"services": [{"name": "up", "instances": instances}]}},
        router={"rules": [{"path": "/*", "serviceName": "up"}]},
    ) as port:
        yield port


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_instance_that_refuses_connections_costs_nobody_an_answer(port, method):
    with Client(port) as client:
        for number in range(8):
            line = f"{method} /{number} HTTP/1.1\r\nHost: gw\r\nContent-Length: 3\r\n\r\nabc"
            assert client.ask(line.encode()).status == 200
