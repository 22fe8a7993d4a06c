"""Calls with one message each way, through a gateway to a service of grpcio."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gateway.testing import GatewayFactory

pytestmark = pytest.mark.anyio

Service = Any
"""The one of conftest.py, which cannot be imported."""

BOOK = {"name": "Emma", "pageCount": 474, "isbn": "9780141439587", "kind": "NOVEL", "author": {"name": "Austen"}}
PATIENCE_S = 10.0
UNAVAILABLE = 14


async def test_a_method_is_called_with_json(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings())
    answer = await service.call(gateway, "Echo", BOOK)
    assert (answer.status, answer["content-type"], answer.json()) == (200, "application/json", BOOK)
    assert service.received[0].author.name == "Austen"


async def test_no_body_is_an_empty_message(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings())
    answer = await gateway.ask("POST", "/library.v1.Library/Echo")
    assert (answer.status, answer.json()) == (200, {})


async def test_fields_without_presence_are_printed_if_wanted(gateway_factory: GatewayFactory, service: Service) -> None:
    options = {"alwaysPrintPrimitiveFields": True, "addWhitespace": True}
    gateway = await gateway_factory(service.settings({"jsonTranscoding": {"printOptions": options}}))
    answer = await service.call(gateway, "Echo")
    assert answer.json()["isbn"] == "0"
    assert answer.json()["tags"] == []
    assert "\n" in answer.text


async def test_well_known_types_have_their_own_json(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings())
    book = {
        "printed": "2024-02-29T12:00:00Z",
        "cover": "AAE=",
        "rating": 5,
        "extra": {"a": [1.5, None, {"b": True}]},
        "isRare": False,
        "readIn": "1.500s",
        "mask": "name,pageCount",
        "anything": {"@type": "type.googleapis.com/library.v1.Author", "name": "Austen"},
    }
    answer = await service.call(gateway, "Echo", book)
    assert answer.json() == book


async def test_a_service_may_answer_with_any_content(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings())
    answer = await service.call(gateway, "Page", {"name": "Emma"})
    assert (answer["content-type"], answer.body) == ("text/html", b"<p>Emma")


# Bad requests.


async def test_a_body_that_is_no_message_is_refused_with_400(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings())
    answer = await service.call(gateway, "Echo", {"author": {"nme": "Austen"}})
    assert (answer.status, answer["content-type"]) == (400, "application/problem+json")
    assert answer.json()["detail"] == "library.v1.Author has no field 'nme'"
    assert not service.received


async def test_unknown_fields_may_be_ignored(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings({"ignoreUnknownFields": True}))
    answer = await service.call(gateway, "Echo", {"name": "Emma", "nme": {"a": 1}})
    assert answer.json() == {"name": "Emma"}


async def test_unknown_methods_are_not_found(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings())
    assert (await service.call(gateway, "Burn")).status == 404
    assert (await gateway.ask("POST", "/other.v1.Service/Get")).status == 404
    answer = await gateway.ask("GET", "/library.v1.Library/Echo")
    assert (answer.status, answer["allow"]) == (405, "POST")


async def test_only_json_is_taken(gateway_factory: GatewayFactory, service: Service) -> None:
    """A form of a foreign page can send text/plain without asking the browser first; JSON it cannot."""
    gateway = await gateway_factory(service.settings())
    assert (await service.call(gateway, "Echo", {}, content_type="text/plain")).status == 415
    assert (await service.call(gateway, "Echo", {}, content_type="application/vnd.books+json")).status == 200


async def test_large_bodies_are_refused_before_they_are_read(gateway_factory: GatewayFactory, service: Service) -> None:
    frontend = {"frontend": {"http": {"maxRequestSize": 0}}}
    gateway = await gateway_factory(service.settings({"maxBodySize": "1KB"}, gateway=frontend))
    async with gateway.client() as client:
        head = {"content-type": "application/json", "content-length": str(100 * 1024 * 1024), "expect": "100-continue"}
        with pytest.raises(Exception, match="Too little data"):  # h11's: this client never sends what it announced
            await client.begin("POST", "/library.v1.Library/Echo", headers=head)
    answer = await service.call(gateway, "Echo", {"name": "x" * 2000})
    assert (answer.status, answer.json()["code"]) == (413, "payload_too_large")
    assert not service.received


async def test_messages_have_limits_both_ways(gateway_factory: GatewayFactory, service: Service) -> None:
    backend = {"backend": {"grpc": {"maxMessageSize": "1KB"}}}
    gateway = await gateway_factory(service.settings(gateway=backend))
    assert (await service.call(gateway, "Echo", {"name": "x" * 2000})).status == 413
    answer = await service.call(gateway, "Grow", {"pageCount": 100_000})
    assert (answer.status, answer.json()["detail"]) == (502, "the answer of the service is too large")
    assert (await service.call(gateway, "Grow", {"pageCount": 100})).status == 200


async def test_large_messages_pass_within_the_limits(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings())
    answer = await service.call(gateway, "Echo", {"name": "x" * 1_000_000})
    assert len(answer.json()["name"]) == 1_000_000


# Metadata.


async def test_fields_become_metadata_and_metadata_fields(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings())
    fields = {
        "authorization": "Bearer x",
        "traceparent": "00-1-2-01",
        "x_raw_bin": "AAE",
        "te": "trailers",
        "accept": "*/*",
    }
    answer = await service.call(gateway, "Metadata", {}, **fields, grpc_encoding="gzip", cookie="a=b")
    sent = service.metadata
    assert (sent["authorization"], sent["traceparent"], sent["x-raw-bin"]) == ("Bearer x", "00-1-2-01", b"\0\1")
    assert sent["x-request-id"] == answer["x-request-id"]
    assert sent["x-forwarded-for"] == "127.0.0.1"
    assert not {"te", "host", "grpc-encoding", "accept", "content-type"} & set(sent)
    assert (answer["x-first"], answer["x-last"]) == ("1", "2")
    assert base64.b64decode(answer["x-raw-bin"] + "==") == b"\0\1"
    assert "grpc-private" not in answer


async def test_metadata_may_be_listed(gateway_factory: GatewayFactory, service: Service) -> None:
    block = {"requestMetadata": ["x-a*", "authorization"], "responseMetadata": ["x-last"]}
    gateway = await gateway_factory(service.settings(block))
    answer = await service.call(gateway, "Metadata", {}, authorization="1", x_able="2", x_b="3")
    assert (service.metadata["authorization"], service.metadata["x-able"]) == ("1", "2")
    assert not {"x-b", "x-forwarded-for"} & set(service.metadata)
    assert ("x-last" in answer, "x-first" in answer) == (True, False)


# Deadlines and cancellation.


async def test_the_time_of_the_route_is_the_deadline(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings(timeout="100ms"))
    answer = await service.call(gateway, "Sleep")
    assert answer.status == 504  # the service may notice first, which was told
    assert answer.json()["code"] in ("upstream_timeout", "deadline_exceeded")
    assert service.deadline_s < 0.2
    async with asyncio.timeout(PATIENCE_S):
        await service.cancelled.wait()


async def test_a_client_may_have_less_time(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings())
    answer = await service.call(gateway, "Sleep", {}, grpc_timeout="50m")
    assert answer.status == 504
    assert service.deadline_s < 0.1
    answer = await service.call(gateway, "Echo", {}, grpc_timeout="soon")
    assert (answer.status, answer.json()["detail"]) == (400, "'soon' is no grpc-timeout; write such as 500m or 5S")


async def test_a_client_that_goes_cancels_the_call(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings(timeout=0))
    client = gateway.client()
    async with client:
        asking = asyncio.create_task(client.ask("POST", "/library.v1.Library/Sleep"))
        await gateway.eventually(lambda: service.received)
        assert service.deadline_s is None
        asking.cancel()
    async with asyncio.timeout(PATIENCE_S):
        await service.cancelled.wait()


# What services answer.


async def test_statuses_of_services_are_statuses_of_http(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings())
    for code, status in ((1, 499), (3, 400), (5, 404), (6, 409), (7, 403), (8, 429), (12, 501), (14, 503), (16, 401)):
        answer = await service.call(gateway, "Fail", {"pageCount": code, "name": "so it is"})
        problem = answer.json()
        assert (answer.status, answer["content-type"]) == (status, "application/problem+json")
        assert (problem["status"], problem["detail"]) == (status, "so it is")
        assert (problem["grpc"]["code"], problem["grpc"]["message"]) == (code, "so it is")
        assert problem["requestId"] == answer["x-request-id"]


async def test_details_of_an_error_reach_the_client(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings())
    answer = await service.call(gateway, "Fail", {"pageCount": UNAVAILABLE, "isLent": True})
    violation, retry, private = answer.json()["grpc"]["details"]
    assert violation["fieldViolations"] == [{"field": "name", "description": "too long"}]
    assert retry["retryDelay"] == "3s"
    assert private == {"@type": "type.googleapis.com/private.Type", "value": "AQ=="}
    assert (answer["retry-after"], answer["x-reason"]) == ("3", "none")
    assert "grpc-status-details-bin" not in answer


async def test_a_service_that_is_away_is_a_bad_gateway(gateway_factory: GatewayFactory, service: Service) -> None:
    service.port = 1
    gateway = await gateway_factory(service.settings())
    answer = await service.call(gateway, "Echo")
    assert (answer.status, answer.json()["detail"]) == (502, "the service cannot be reached")
    assert "127.0.0.1" not in answer.text


async def test_another_instance_is_asked_if_one_cannot_be_reached(
    gateway_factory: GatewayFactory, service: Service
) -> None:
    settings = service.settings()
    settings["registry"]["static"]["services"][0]["instances"].insert(0, {**service.instance, "port": 1})
    gateway = await gateway_factory(settings)
    assert [(await service.call(gateway, "Echo")).status for _ in range(4)] == [200] * 4


async def test_calls_are_balanced_one_by_one(gateway_factory: GatewayFactory, service: Service, serve: Any) -> None:
    other = await serve()
    settings = service.settings()
    settings["registry"]["static"]["services"][0]["instances"].append(other.instance)
    gateway = await gateway_factory(settings)
    for _ in range(6):
        await service.call(gateway, "Echo")
    assert (len(service.received), len(other.received)) == (3, 3)


async def test_a_service_may_have_another_port_for_grpc(gateway_factory: GatewayFactory, service: Service) -> None:
    settings = service.settings()
    instance = {"address": "127.0.0.1", "port": 1, "metadata": {"grpcPort": service.port}}
    settings["registry"]["static"]["services"][0]["instances"] = [instance]
    gateway = await gateway_factory(settings)
    assert (await service.call(gateway, "Echo")).status == 200
