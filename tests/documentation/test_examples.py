"""The example plugins of the documentation, each of them at work in a real gateway."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
EXAMPLES = HERE / "examples"
DEMO = """
gateway:
  plugins: {{demo: {{}}, {plugins}}}
  router: {{rules: [{{path: /*, serviceName: demo, {rule}}}]}}
"""


def demo(plugins="", rule=""):
    """Return the configuration of a gateway in front of the demo service."""
    return DEMO.format(plugins=plugins, rule=rule)


def services(**instances):
    """Return the configuration of a gateway with services of one instance or more, each below its own name."""
    listed = [
        {"name": name, "instances": [{"address": "127.0.0.1", "port": each.port, "id": f"{name}-{number}"}]}
        for name, running in instances.items()
        for number, each in enumerate([running])
    ]
    rules = [{"path": f"/{name}/*", "serviceName": name} for name in instances]
    return {"gateway": {"registry": {"static": {"services": listed}}, "router": {"rules": rules}}}


def answering(text):
    return lambda request, connection: b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text)


def wait_until(condition):
    deadline_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_hello_is_a_plugin_in_ten_lines(start_gateway_process):
    code = (HERE / "hello.py").read_text().splitlines()
    assert len([line for line in code if line.strip()]) <= 10

    gateway = start_gateway_process(plugins=[HERE / "hello.py"])
    answer = gateway.ask("/get")
    assert (answer.status, answer.headers["x-hello"]) == (200, "Hello, 127.0.0.1!")


def test_policy_adds_a_header_field_also_where_no_route_matches(start_gateway):
    rules = "path: /get, serviceName: demo, plugins: {security_headers: {frameOptions: SAMEORIGIN}}"
    configuration = f"gateway: {{plugins: {{demo: {{}}, security_headers: {{}}}}, router: {{rules: [{{{rules}}}]}}}}"
    gateway = start_gateway(configuration, plugins=[EXAMPLES / "security_headers.py"])
    assert gateway.ask("/get").headers["x-frame-options"] == "SAMEORIGIN"
    missed = gateway.ask("/nothing")
    assert (missed.status, missed.headers["x-frame-options"]) == (404, "DENY")


def test_authenticator_tells_who_is_calling(start_gateway):
    configuration = """
gateway:
  auth:
    requiredScopes: [read]
    teamTokens: {tokens: {red: abc, blue: xyz}, scopes: [read]}
  plugins: {demo: {}}
  router: {rules: [{path: /*, serviceName: demo}]}
"""
    gateway = start_gateway(configuration, plugins=[EXAMPLES / "team_tokens.py"])
    assert gateway.ask("/get", headers={"authorization": "Bearer xyz"}).status == 200
    wrong = gateway.ask("/get", headers={"authorization": "Bearer x"})
    assert (wrong.status, json.loads(wrong.text)["plugin"]) == (401, "team_tokens")
    assert wrong.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert gateway.ask("/get").headers["www-authenticate"] == "Bearer"


def test_limiter_refuses_what_is_too_much(start_gateway):
    configuration = demo("burst: {rate: 0.01, burst: 2}")
    gateway = start_gateway(configuration, plugins=[EXAMPLES / "burst.py"])
    answers = [gateway.ask("/get") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[0].headers["x-ratelimit-limit"] == "2"
    assert 99 <= int(answers[2].headers["retry-after"]) <= 100


def test_limiter_is_on_where_a_rule_has_its_key(start_gateway):
    gateway = start_gateway(demo(rule="burstRate: 0.01"), plugins=[EXAMPLES / "burst.py"])
    assert [gateway.ask("/get").status for _ in range(11)] == [200] * 10 + [429]


def test_balancer_chooses_the_first_instance(start_gateway, start_service):
    first, second = start_service(answering(b"first")), start_service(answering(b"second"))
    configuration = f"""
gateway:
  registry:
    static:
      services:
        - name: service
          instances: [{{address: 127.0.0.1, port: {first.port}}}, {{address: 127.0.0.1, port: {second.port}}}]
  router: {{rules: [{{path: /*, serviceName: service, loadBalance: primary_first}}]}}
"""
    gateway = start_gateway(configuration, plugins=[EXAMPLES / "primary_first.py"])
    assert {gateway.ask().text for _ in range(4)} == {"first"}


def test_observer_is_told_what_took_long(start_gateway):
    gateway = start_gateway(demo("slow_requests: {threshold: 50ms}"), plugins=[EXAMPLES / "slow_requests.py"])
    gateway.ask("/get")
    gateway.ask("/delay/0.1")
    assert "slow: GET /delay/0.1" in gateway.wait_for_line("slow: ")


def replace(file, text):
    """Put a text in the place of a file's at once: who reads it meanwhile must not find it empty."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.rename(file)


def test_discovery_provider_follows_its_file(start_gateway, start_service, tmp_path):
    one, two = start_service(answering(b"one")), start_service(answering(b"two"))
    file = tmp_path / "instances.txt"
    file.write_text(f"orders 127.0.0.1:{one.port}\n")
    configuration = """
gateway:
  registry: {file: {path: instances.txt, interval: 20ms}}
  router: {rules: [{path: /*, serviceName: orders}]}
"""
    gateway = start_gateway(configuration, plugins=[EXAMPLES / "instances_file.py"])
    assert gateway.ask().text == "one"
    replace(file, f"orders 127.0.0.1:{two.port}\n")
    wait_until(lambda: gateway.ask().text == "two")
    replace(file, "nonsense\n")
    gateway.wait_for_line("crashed and is restarted")
    assert gateway.ask().text == "two"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_route_source_brings_routes_to_every_worker(start_gateway, start_service, tmp_path, workers):
    service = start_service(answering(b"shop"))
    file = tmp_path / "routes.json"
    file.write_text("[]")
    configuration = services(orders=service)
    configuration["gateway"]["router"]["sources"] = {"file": {"path": "routes.json", "interval": "20ms"}}
    configuration["gateway"]["workers"] = int(workers)
    gateway = start_gateway(json.dumps(configuration), plugins=[EXAMPLES / "routes_file.py"])
    assert (gateway.ask("/shop").status, gateway.ask("/orders/").status) == (404, 200)
    replace(file, json.dumps([{"path": "/shop", "serviceName": "orders"}, {"path": "/orders/*"}]))
    # A dozen connections of their own reach both workers.
    wait_until(lambda: {gateway.ask("/shop").text for _ in range(12)} == {"shop"})
    assert "routes.json 2: serviceName: the key is missing" in gateway.wait_for_line("route source routes_file")
    replace(file, "nonsense")
    gateway.wait_for_line("crashed and is restarted")
    assert gateway.ask("/shop").text == "shop"


def test_health_checker_takes_an_instance_out(start_gateway, start_service):
    service = start_service(answering(b"up"))
    configuration = services(orders=service)
    configuration["gateway"]["health"] = {"tcp": {"interval": 0.02}}
    gateway = start_gateway(json.dumps(configuration), plugins=[EXAMPLES / "tcp_check.py"])
    assert gateway.ask("/orders/").status == 200
    service.close()
    wait_until(lambda: gateway.ask("/orders/").status == 503)
    assert "no connection" in gateway.wait_for_line("is unhealthy")


def test_admin_endpoint_drains_an_instance(start_gateway, start_service):
    configuration = services(orders=start_service(answering(b"up")))
    configuration["gateway"]["admin"] = {"token": "s3cret"}
    gateway = start_gateway(json.dumps(configuration), plugins=[EXAMPLES / "drain_instance.py"])
    path, token = "/_gateway/services/orders/drain/orders-0", {"authorization": "Bearer s3cret"}
    assert gateway.ask(path, "POST").status == 401
    assert gateway.ask("/orders/").status == 200
    assert json.loads(gateway.ask(path, "POST", headers=token).text) == {"drained": "orders-0"}
    assert gateway.ask("/orders/").status == 503


def test_command_prints_a_token(tmp_path):
    gateway = str(Path(sys.executable).with_name("gateway"))
    command = [gateway, "--plugin", str(EXAMPLES / "new_token.py"), "new-token", "--bytes", "8"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert len(done.stdout.strip()) == 11


def test_connector_answers_with_files(start_gateway, tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "a.txt").write_text("hello")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "pages" / "b.txt").symlink_to(tmp_path / "secret.txt")
    configuration = """
gateway:
  registry:
    static:
      services:
        - name: pages
          instances: [{address: localhost, port: 1, scheme: file, metadata: {folder: pages}}]
  router: {rules: [{path: /*, serviceName: pages}]}
"""
    gateway = start_gateway(configuration, plugins=[EXAMPLES / "folder.py"])
    assert gateway.ask("/a.txt").text == "hello"
    assert [gateway.ask(path).status for path in ("/b.txt", "/../secret.txt", "/%2e%2e/secret.txt")] == [404, 400, 400]


def test_the_gateway_is_an_asgi_application(tmp_path, free_tcp_port):
    (tmp_path / "gateway.yaml").write_text(
        """
gateway:
  frontend: {http: {enabled: false}, asgi: {}}
  plugins: {demo: {}}
  router: {rules: [{path: /*, serviceName: demo}]}
"""
    )
    module = (EXAMPLES / "asgi_application.py").stem
    command = [sys.executable, "-m", "uvicorn", "--no-proxy-headers", "--port", str(free_tcp_port), f"{module}:app"]
    server = subprocess.Popen([*command, "--app-dir", str(EXAMPLES)], cwd=tmp_path)
    try:
        wait_until(lambda: server.poll() is not None or answers(free_tcp_port))
        with urllib.request.urlopen(f"http://127.0.0.1:{free_tcp_port}/status/201", timeout=5) as answer:
            assert answer.status == 201
    finally:
        server.terminate()
        server.wait(10)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
