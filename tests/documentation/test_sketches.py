"""The design sketches of docs/explanation/architecture.md, each of them run as a plugin of a real gateway."""

from __future__ import annotations

import contextlib
import hmac
import json
import socket
import threading
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SKETCHES = Path(__file__).parent / "sketches"

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BROKEN = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


@pytest.fixture
def start_gateway(start_gateway):
    """Start a gateway without the plugins that do for real what a sketch only sketches."""

    def start(configuration, **options):
        real = ("websocket", "sse", "grpc", "jwt", "ratelimit", "retry", "circuitbreaker", "docker")
        disabled = ", ".join(f"gateway-{name}" for name in real)
        return start_gateway(
            configuration.replace("gateway:\n", f"gateway:\n  disabledPlugins: [{disabled}]\n", 1), **options
        )

    return start


def proxy_to(*services, rule="", gateway=""):
    """Return the configuration of a gateway with one rule for everything."""
    instances = "".join(f"\n            - {{address: 127.0.0.1, port: {service.port}}}" for service in services)
    return f"""
gateway:
  {gateway}
  registry:
    static:
      services:
        - name: service
          instances:{instances}
  router:
    rules:
      - path: /*
        serviceName: service
        {rule}
"""


def receive(connection, count):
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        assert piece, data
        data += piece
    return data


def receive_until(connection, end):
    data = b""
    while not data.endswith(end):
        piece = connection.recv(1)
        assert piece, data
        data += piece
    return data


def wait_until(condition):
    deadline_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def masked_frame(payload):
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2)
    return b"\x82" + size + b"\0\0\0\0" + payload  # masked with zeros, which changes nothing


def test_websocket_frames_are_measured_on_the_tunnel(start_gateway, start_service):
    def echo(request, connection):
        connection.sendall(b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        while data := connection.recv(65536):
            connection.sendall(data)

    rule = "plugins: {frame_limit: {maxFrameBytes: 1KB}}\n        allowUpgrade: true"
    gateway = start_gateway(proxy_to(start_service(echo), rule=rule), plugins=[SKETCHES / "websocket.py"])
    with gateway.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        assert receive_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
        small = masked_frame(b"x" * 1000)
        client.sendall(small[:3])
        client.sendall(small[3:])
        assert receive(client, len(small)) == small
        client.sendall(masked_frame(b"x" * 1025))
        assert receive(client, 4) == b"\x88\x02\x03\xf1"
        assert client.recv(1) == b""


def test_sse_stream_gets_a_comment_while_the_service_is_silent(start_gateway, start_service):
    def stream(request, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n")
        connection.recv(1)

    rule = "plugins: {heartbeat: {interval: 50ms}}"
    gateway = start_gateway(proxy_to(start_service(stream), rule=rule), plugins=[SKETCHES / "sse.py"])
    with gateway.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert b"data: 1\n\n" in receive_until(client, b": still here\n\n")


def test_grpc_streams_both_ways_and_ends_with_trailers(start_gateway, start_service):
    service = start_service(lambda request, connection: OK)
    configuration = proxy_to(service, rule="protocol: grpc", gateway="plugins: {grpc_refusals: {}, grpc_echo: {}}")
    gateway = start_gateway(configuration, plugins=[SKETCHES / "grpc.py"])
    with gateway.connect() as client:
        client.sendall(b"POST /a.B/C HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        assert b"application/grpc" in receive_until(client, b"\r\n\r\n")
        for message in (b"one", b"two"):
            client.sendall(b"3\r\n%b\r\n" % message)
            assert receive(client, 8) == b"3\r\n%b\r\n" % message
        client.sendall(b"0\r\n\r\n")
        assert receive_until(client, b"\r\n\r\n") == b"0\r\ngrpc-status: 0\r\n\r\n"


def test_grpc_client_is_refused_in_its_own_terms(start_gateway, start_service):
    service = start_service(lambda request, connection: OK)
    service.close()
    configuration = proxy_to(service, gateway="plugins: {grpc_refusals: {}}")
    gateway = start_gateway(configuration, plugins=[SKETCHES / "grpc.py"])
    answer = gateway.ask("/a.B/C", "POST", body=b"", headers={"content-type": "application/grpc"})
    assert (answer.status, answer.headers["grpc-status"]) == (200, "14")
    assert gateway.ask().status == 502


def test_jwt_keys_are_rotated_without_a_restart(start_gateway, start_service, tmp_path):
    def header(key_id, key):
        signature = hmac.new(key.encode(), b"ann", "sha256").hexdigest()
        return {"authorization": f"Bearer {key_id}:ann:{signature}"}

    (tmp_path / "keys.json").write_text(json.dumps({"k1": "secret"}))
    settings = "auth: {required: true}\n  plugins: {token: {keys: keys.json}}"
    configuration = proxy_to(start_service(lambda request, connection: OK), gateway=settings)
    gateway = start_gateway(configuration, plugins=[SKETCHES / "jwt.py"])
    assert gateway.ask(headers=header("k1", "secret")).status == 200
    assert gateway.ask(headers=header("k1", "guess")).headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert gateway.ask().headers["www-authenticate"] == "Bearer"

    (tmp_path / "keys.json").write_text(json.dumps({"k2": "new secret"}))
    assert gateway.ask(headers=header("k2", "new secret")).status == 200

    (tmp_path / "keys.json").write_text("nonsense")
    assert gateway.ask(headers=header("k3", "unknown")).status == 401
    assert gateway.ask(headers=header("k2", "new secret")).status == 200
    assert "no new keys" in gateway.log


def count_in_memory(listening, served):
    """Be a Redis of which nothing but INCRBY is asked, for one client."""
    counts: dict[bytes, int] = {}
    connection, _ = listening.accept()
    with connection, contextlib.suppress(OSError):
        while line := connection.recv(1024):
            served.append(line)
            _, key, cost = line.split()
            counts[key] = counts.get(key, 0) + int(cost)
            connection.sendall(b":%d\r\n" % counts[key])
            if len(served) == 3:
                return


def test_redis_limit_is_counted_outside_and_survives_an_outage(start_gateway, start_service):
    service = start_service(lambda request, connection: OK)
    served: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as redis:
        thread = threading.Thread(target=count_in_memory, args=(redis, served))
        thread.start()
        settings = f"plugins: {{redis_limit: {{port: {redis.getsockname()[1]}, window: 1h}}}}"
        configuration = proxy_to(service, rule="rateLimit: 2", gateway=settings)
        gateway = start_gateway(configuration, plugins=[SKETCHES / "redis_limiter.py"])
        answers = [gateway.ask() for _ in range(3)]
        thread.join()
    assert [each.status for each in answers] == [200, 200, 429]
    assert [each.headers["x-ratelimit-remaining"] for each in answers] == ["1", "0", "0"]
    assert int(answers[2].headers["retry-after"]) > 0
    assert gateway.ask().status == 200  # nobody counts any more


def test_retry_sends_the_same_body_to_another_instance(start_gateway, start_service):
    broken = start_service(lambda request, connection: BROKEN)
    gone = start_service(lambda request, connection: None)
    good = start_service(lambda request, connection: OK)
    configuration = proxy_to(broken, gone, good, rule="plugins: {retry: {tries: 3}}")
    gateway = start_gateway(configuration, plugins=[SKETCHES / "retry.py"])
    for _ in range(4):
        assert gateway.ask("/", "PUT", body=b"x" * 20000).text == "ok"
    assert len(good.requests) == 4
    assert broken.requests
    assert gone.requests
    assert all(request.endswith(b"x" * 20000) for request in (*broken.requests, *good.requests))

    statuses = [gateway.ask("/", "POST", body=b"x").status for _ in range(3)]
    assert sorted(statuses) == [200, 502, 503]


def test_circuit_breaker_leaves_instances_alone_and_keeps_its_state_over_a_reload(
    start_gateway, start_service, tmp_path
):
    broken = start_service(lambda request, connection: BROKEN)
    good = start_service(lambda request, connection: OK)
    rule = "plugins: {breaker: {failures: 2, coolDown: 60}}"
    gateway = start_gateway(proxy_to(broken, good, rule=rule), plugins=[SKETCHES / "circuit_breaker.py"])
    statuses = [gateway.ask().status for _ in range(10)]
    assert statuses.count(503) == len(broken.requests) == 2
    assert statuses[4:] == [200] * 6

    file = tmp_path / "gateway.yaml"
    file.write_text(file.read_text().replace("coolDown: 60", "coolDown: 61"))
    gateway.reload()
    gateway.wait_for_line("configuration reloaded")
    assert [gateway.ask().status for _ in range(4)] == [200] * 4
    assert len(broken.requests) == 2


def test_circuit_breaker_refuses_when_every_instance_rests(start_gateway, start_service):
    broken = start_service(lambda request, connection: BROKEN)
    rule = "plugins: {breaker: {failures: 2, coolDown: 60}}"
    gateway = start_gateway(proxy_to(broken, rule=rule), plugins=[SKETCHES / "circuit_breaker.py"])
    assert [gateway.ask().status for _ in range(4)] == [503] * 4
    assert len(broken.requests) == 2
    assert "the service is resting" in gateway.ask().text


def test_docker_discovery_keeps_what_it_knew_last(start_gateway, start_service, tmp_path):
    def container(name, service):
        labels = {"gateway.service": "service", "gateway.port": str(service.port)}
        return {"name": name, "ip": "127.0.0.1", "labels": labels}

    one = start_service(lambda request, connection: b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none")
    two = start_service(lambda request, connection: b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntwo")
    source = tmp_path / "containers.json"
    source.write_text(json.dumps([container("a", one)]))
    configuration = """
gateway:
  registry: {containers: {source: containers.json, interval: 20ms}}
  router: {rules: [{path: /*, serviceName: service}]}
"""
    gateway = start_gateway(configuration, plugins=[SKETCHES / "docker.py"])
    assert gateway.ask().text == "one"

    (tmp_path / "new.json").write_text(json.dumps([container("b", two)]))
    (tmp_path / "new.json").replace(source)
    wait_until(lambda: gateway.ask().text == "two")

    source.write_text("the daemon is gone")
    gateway.wait_for_line("crashed and is restarted")
    assert gateway.ask().text == "two"
    assert json.loads(gateway.ask("/_gateway/health").text)["status"] == "degraded"
