"""What somebody sees who has just installed it."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.anyio

QUICK_START = """\
gateway:
  router:
    rules:
      - path: /*
        serviceName: httpbin
  registry:
    static:
      services:
        - name: httpbin
          instances:
            - address: httpbin.org
              port: 443
"""


async def test_without_a_file_it_serves_the_demo_service_on_this_machine(gateway):
    started = await gateway(None)
    line = await started.says("listening on")
    assert f"listening on 127.0.0.1:{started.port}: 1 routes, " in line
    assert "no configuration file" in line

    got = await started.ask("/get?a=1")
    assert (got.status, got.json["args"]) == (200, {"a": "1"})
    assert got.headers["x-request-id"]

    posted = await started.ask("/post", method="POST", body=b'{"a": 1}', content_type="application/json")
    assert (posted.status, posted.json["json"]) == (200, {"a": 1})

    assert (await started.ask("/status/418")).status == 418

    streamed = await started.ask("/stream/3")
    assert [json.loads(line)["id"] for line in streamed.body.splitlines()] == [0, 1, 2]
    assert streamed.headers["transfer-encoding"] == "chunked"

    health = await started.ask("/_gateway/health")
    assert (health.status, health.json["status"], health.json["service"]) == (200, "healthy", "gateway")
    assert (await started.ask("/_gateway/config")).status == 404
    assert await started.stop() == 0


@pytest.mark.parametrize("flag", ["-c", "-config", "--config"])
async def test_the_quick_start_of_the_readme_starts_and_speaks_tls_to_port_443(gateway, write, flag):
    """As it is printed: no ids, no type, no port to listen on, no scheme."""
    started = await gateway(
        None, flag, str(write("f.yaml", QUICK_START)), environment={"GATEWAY__ADMIN__TOKEN": "secret"}
    )
    (route,) = (await started.admin("/routes"))["routes"]
    assert (route["path"], route["service"]) == ("/*", "httpbin")
    (service,) = (await started.admin("/services"))["services"]
    (instance,) = service["instances"]
    assert (instance["scheme"], instance["address"], instance["port"]) == ("https", "httpbin.org", 443)


async def test_requests_reach_a_service_and_its_answers_come_back(gateway, service, routes):
    orders = await service("orders")
    started = await gateway(routes({"orders": [orders.port]}))
    answer = await started.ask("/a/../b?c=d", method="PUT", body=b"x" * 200_000)
    assert (answer.status, answer.body) == (200, b"x" * 200_000)
    assert orders.requests == ["PUT /b?c=d"]


async def test_a_service_without_a_healthy_instance_is_503(gateway, service, routes):
    settings = routes({"orders": [1]})
    settings["registry"]["static"]["services"][0]["instances"][0]["health"] = "unhealthy"
    started = await gateway(settings)
    answer = await started.ask("/")
    assert (answer.status, answer.json["code"], answer.json["detail"]) == (503, "unavailable", "no healthy instances")
    assert "127.0.0.1" not in answer.body.decode()


async def test_a_service_that_is_down_is_502(gateway, routes, port):
    started = await gateway(routes({"orders": [port()]}))
    answer = await started.ask("/")
    assert (answer.status, answer.json["code"]) == (502, "bad_gateway")
    await started.says("cannot be reached")


async def test_ten_thousand_rules(gateway, service):
    orders = await service("orders")
    rules = [
        {"id": f"r{number}", "path": f"/r{number}/:id", "methods": ["GET"], "serviceName": "orders"}
        for number in range(10_000)
    ]
    static = [{"name": "orders", "instances": [{"address": "127.0.0.1", "port": orders.port}]}]
    started = await gateway({"router": {"rules": rules}, "registry": {"static": {"services": static}}})
    assert "10000 routes" in await started.says("listening on")
    assert (await started.ask("/r9999/7")).body == b"orders"
    refused = await started.ask("/r0/1", method="DELETE")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
    assert (await started.ask("/r10000/1")).status == 404
