"""An API server that goes away, forgets, lies, hangs, floods, or sends half a line."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import pytest
from plugins.kubernetes.tests.fake_api_server import answer, head, status_object
from plugins.kubernetes.tests.objects_for_tests import endpoint, endpoint_slice, port, service

pytestmark = pytest.mark.anyio

KNOWN = {"orders": ["10.0.0.1:8080"]}


@pytest.fixture
async def following(api, follow):
    """Give a provider that watches a service with one pod."""
    api.apply(service(), endpoint_slice("10.0.0.1"))
    following = await follow()
    await following.until(lambda: following.services == KNOWN and len(api.watchers) == 2)
    return following


async def still_works(api, following):
    """Assert that changes are still found."""
    api.apply(endpoint_slice("10.0.0.1", "10.0.0.7"))
    await following.until_services({"orders": ["10.0.0.1:8080", "10.0.0.7:8080"]})


async def test_a_watch_that_is_cut_goes_on_where_it_was(api, following):
    api.cut()
    api.apply(endpoint_slice("10.0.0.2"))
    await following.until_services({"orders": ["10.0.0.2:8080"]})
    assert api.count("list services") == api.count("list endpointslices") == 1
    assert not following.context.crashes


async def test_half_a_line_is_not_read(api, following):
    line = json.dumps({"type": "DELETED", "object": endpoint_slice("10.0.0.1")}).encode()
    api.cut(half=line[:-10])
    await following.until(lambda: api.count("watch endpointslices") == 2)
    assert following.services == KNOWN
    await still_works(api, following)


async def test_an_event_in_pieces_is_one_event(api, following):
    line = json.dumps({"type": "DELETED", "object": endpoint_slice("10.0.0.1")}).encode() + b"\n"
    (watcher,) = (each for each in api.watchers if each.asked.resource == "endpointslices")
    for begin in range(0, len(line), 50):
        watcher.writer.write(b"%x\r\n%s\r\n" % (len(line[begin : begin + 50]), line[begin : begin + 50]))
        await watcher.writer.drain()
        await asyncio.sleep(0.001)
    await following.until_services({"orders": []})


async def test_bookmarks_move_the_version_on(api, following):
    api.bookmark()
    versions = [each["resourceVersion"] for each in following.status["watches"]]
    await following.until(lambda: all(each["resourceVersion"] > versions[0] for each in following.status["watches"]))
    api.forget()
    api.oldest = api._version - 1
    api.cut()
    await following.until(lambda: api.count("watch services") == api.count("watch endpointslices") == 2)
    await still_works(api, following)
    assert api.count("list services") == 1


async def test_a_version_that_is_gone_is_listed_again(api, following):
    api.cut()
    api.delete(endpoint_slice())
    api.apply(endpoint_slice("10.0.0.3", name="orders-9"))
    api.forget()
    await following.until_services({"orders": ["10.0.0.3:8080"]})
    assert api.count("list endpointslices") == 2
    assert not following.context.crashes


async def test_a_version_that_is_gone_may_be_a_status_too(api, following):
    async def gone(asked, writer):
        del api.behaviours["watch endpointslices"]
        answer(writer, status_object(410, "Gone"), 410)

    api.behaviours["watch endpointslices"] = gone
    api.cut()
    await following.until(lambda: api.count("list endpointslices") == 2)
    await still_works(api, following)


async def test_everything_is_listed_again_now_and_then(api, follow):
    following = await follow(refreshInterval="10s")
    await following.until(lambda: len(api.watchers) == 2)
    # So that the watch ends when the list is due.
    assert all(int(each.asked.params["timeoutSeconds"]) <= 11 for each in api.watchers)
    for reflection in following.provider._reflections:
        assert 8.0 < reflection._list_due_s - time.monotonic() <= 11.0
        reflection._list_due_s = 0.0
    api.cut()
    await following.until(lambda: api.count("list services") == api.count("list endpointslices") == 2)
    await following.until(lambda: len(api.watchers) == 2)
    assert api.count("list services") == 2


async def test_a_server_that_is_down_leaves_what_is_known_and_is_found_again(api, following):
    await api.stop()
    await following.until(lambda: following.status["state"] == "unavailable")
    assert following.services == KNOWN
    assert "refused" in following.status["watches"][0]["error"]
    api.apply(endpoint_slice("10.0.0.2"))
    await api.start()
    await following.until_services({"orders": ["10.0.0.2:8080"]})
    await following.until(lambda: following.status["state"] == "connected")
    assert api.count("list services") == 1


async def test_a_server_that_is_down_at_the_start_publishes_nothing_until_it_comes(api, follow):
    await api.stop()
    following = await follow()
    await following.until(lambda: following.status["state"] == "unavailable")
    assert not following.snapshots
    api.apply(service(), endpoint_slice("10.0.0.1"))
    await api.start()
    await following.until_services(KNOWN)


async def test_a_token_is_shown_and_one_that_was_replaced_is_read_again(api, follow, kubeconfig, tmp_path):
    api.token = "first"
    (tmp_path / "token").write_text("first\n")
    api.apply(service(), endpoint_slice("10.0.0.1"))
    following = await follow(kubeconfig=kubeconfig(api.url, {"tokenFile": str(tmp_path / "token")}))
    await following.until_services(KNOWN)
    api.token = "second"
    api.cut()
    await following.until(lambda: following.status["state"] == "unavailable")
    assert "401" in following.status["watches"][0]["error"]
    assert following.services == KNOWN
    (tmp_path / "token").write_text("second")
    await following.until(lambda: following.status["state"] == "connected")
    await still_works(api, following)
    assert "first" not in str(following.status) + str(following.context.crashes)


async def test_a_program_that_gives_credentials_is_run(api, follow, kubeconfig):
    api.token = "from-a-program"
    api.apply(service(), endpoint_slice("10.0.0.1"))
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    said = json.dumps({**credential, "status": {"token": "from-a-program"}})
    program = {"apiVersion": credential["apiVersion"], "command": "echo", "args": [said]}
    following = await follow(kubeconfig=kubeconfig(api.url, {"exec": program}), timeout="5s")
    await following.until_services(KNOWN)


async def test_a_program_that_hangs_does_not_keep_anything_from_going_on(api, follow, kubeconfig):
    program = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sleep", "args": ["2"]}
    began_s = time.monotonic()
    following = await follow(kubeconfig=kubeconfig(api.url, {"exec": program}), timeout="0.2s")
    assert time.monotonic() - began_s < 1.9
    await following.until(lambda: following.status["state"] == "unavailable")
    assert not api.asked


async def test_a_namespace_that_is_forbidden_does_not_keep_others_from_being_followed(api, follow):
    api.forbidden = {"billing"}
    api.apply(service(), endpoint_slice("10.0.0.1"), service("bills", "billing"))
    following = await follow(namespaces=["shop", "billing"])
    await following.until_services(KNOWN)
    assert following.status["state"] == "degraded"
    states = {(each["namespace"], each["resource"]): each for each in following.status["watches"]}
    assert (
        "403 to /api/v1/namespaces/billing/services: 'cannot list resource \"services\"'"
        in (states["billing", "services"]["error"])
    )
    assert states["shop", "services"]["error"] == ""
    await still_works(api, following)
    api.forbidden = set()
    await following.until(lambda: following.services.get("bills") == [])
    assert {each.namespace for each in api.asked} == {"shop", "billing"}


async def test_services_whose_instances_cannot_be_listed_are_not_said_to_have_none(api, follow):
    """After a reload, that would take away what was found before."""
    api.forbidden = {"endpointslices"}
    api.apply(service(), endpoint_slice("10.0.0.1"))
    following = await follow()
    await following.until(lambda: following.status["state"] == "degraded")
    await following.until(following.provider.is_named.is_set)
    assert following.snapshots == []
    api.forbidden = set()
    await following.until_services(KNOWN)


@pytest.mark.parametrize("forbidden", [{"billing"}, {"endpointslices of billing"}])
async def test_a_namespace_that_cannot_be_listed_after_a_reload_keeps_what_was_found_before(api, follow, forbidden):
    api.apply(service(), endpoint_slice("10.0.0.1"))
    api.apply(service("bills", "billing"), endpoint_slice("10.0.0.2", of="bills", namespace="billing"))
    namespaces = ["shop", "billing"]
    before = await follow(namespaces=namespaces)
    known = {"orders": ["10.0.0.1:8080"], "bills": ["10.0.0.2:8080"]}
    await before.until_services(known)
    await before.stop()
    api.forbidden = forbidden
    after = await follow(before=before, namespaces=namespaces)
    await after.until(lambda: after.snapshots)
    assert after.services == known
    assert after.provider.names["billing", "bills"] == "bills"
    api.apply(endpoint_slice("10.0.0.3"))
    await after.until_services({"orders": ["10.0.0.3:8080"], "bills": ["10.0.0.2:8080"]})
    # What has gone meanwhile is gone once that is known, and where nobody asks any more.
    api.delete(service("bills", "billing"))
    api.forbidden = set()
    await after.until_services({"orders": ["10.0.0.3:8080"]})
    api.forbidden = {"shop"}
    other = await follow(before=after, namespaces=["shop", "empty"])
    await other.until(lambda: other.snapshots)
    assert other.services == {"orders": ["10.0.0.3:8080"]}


async def test_what_another_context_had_is_not_kept(api, follow):
    api.apply(service(), endpoint_slice("10.0.0.1"))
    before = await follow(namespaces=["shop", "billing"])
    await before.until_services(KNOWN)
    await before.stop()
    api.forbidden = {"shop"}
    after = await follow(before=before, context="here", namespaces=["shop", "billing"])
    await after.until(lambda: after.snapshots)
    assert after.services == {}


async def test_rights_that_are_taken_away_leave_what_is_known(api, following):
    api.forbidden = {"endpointslices"}
    api.cut()
    await following.until(lambda: following.status["state"] == "degraded")
    assert following.services == KNOWN


async def test_services_of_two_namespaces_are_never_mixed(api, follow, caplog):
    api.apply(service(), endpoint_slice("10.0.0.1"))
    following = await follow()
    await following.until_services(KNOWN)
    api.apply(service(namespace="test"), endpoint_slice("10.0.0.9", namespace="test"))
    both = {"orders.shop": ["10.0.0.1:8080"], "orders.test": ["10.0.0.9:8080"]}
    await following.until_services(both)
    await following.until(
        lambda: "2 namespaces have a service orders; they are called orders.shop, orders.test" in caplog.text
    )
    api.delete(service(namespace="test"))
    await following.until_services(KNOWN)
    await following.until(lambda: following.status["problems"] == [])


async def test_names_can_have_their_namespace_always(api, follow):
    api.apply(service(), endpoint_slice("10.0.0.1"))
    following = await follow(qualifiedNames=True)
    await following.until_services({"orders.shop": ["10.0.0.1:8080"]})


async def hang(asked, writer):
    await asyncio.sleep(30)


async def say_garbage(asked, writer):
    answer(writer, b"<html>not found</html>")


async def say_half(asked, writer):
    head(writer, length=1000)
    writer.write(b'{"items": [')
    writer.close()


async def drip(asked, writer):
    head(writer, length=1000)
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def flood(asked, writer):
    head(writer, length=1 << 40)
    while True:
        writer.write(b" " * 65536)
        await writer.drain()


async def redirect(asked, writer):
    writer.write(b"HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")


async def no_end(asked, writer):
    answer(writer, {"metadata": {"resourceVersion": "1", "continue": "again"}, "items": []})


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (hang, "no answer within 0.3 s"),
        (say_garbage, "is no JSON object: b'<html>not found</html>'"),
        (say_half, "IncompleteRead"),
        (drip, "took longer than 0.3 s"),
        (flood, "is longer than 300000 bytes"),
        (redirect, "it answers 307"),
        (no_end, "it lists more than 20 pages"),
    ],
)
async def test_a_list_that_goes_wrong_is_an_error_within_the_deadline(api, follow, behaviour, reason, monkeypatch):
    monkeypatch.setattr("gateway_kubernetes.cluster.MAX_ANSWER_BYTES", 300_000)
    monkeypatch.setattr("gateway_kubernetes.reflection.MAX_PAGES", 20)
    api.behaviours["list services"] = behaviour
    began_s = time.monotonic()
    following = await follow(timeout="0.3s")
    await following.until(lambda: following.status["watches"][0]["state"] == "failing")
    assert time.monotonic() - began_s < 9.0
    assert reason in following.status["watches"][0]["error"]
    # The loop was free, and comes back to a server that is well again.
    del api.behaviours["list services"]
    api.apply(service(), endpoint_slice("10.0.0.1"))
    await following.until_services(KNOWN)


@pytest.mark.parametrize(
    "said",
    [{}, [], {"metadata": []}, {"metadata": {}, "items": []}, {"metadata": {"resourceVersion": "1"}, "items": {}},
     {"metadata": {"resourceVersion": 7}, "items": []}],
)  # fmt: skip
async def test_a_list_that_is_none_is_not_believed(api, following, said):
    async def lie(asked, writer):
        answer(writer, said)

    api.behaviours["list services"] = lie
    api.forget()
    api.cut()
    await following.until(lambda: following.status["watches"][0]["state"] == "failing")
    assert following.services == KNOWN


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]", b'{"type": "ADDED"}', b'{"type": "ADDED", "object": 7}', b"[" * 100_000, b"\xff\xfe",
     b'{"type": "ERROR", "object": {"code": 500, "message": "etcd is gone"}}', b'{"type": "ERROR", "object": {}}'],
)  # fmt: skip
async def test_events_that_are_none_end_the_watch_and_change_nothing(api, following, line):
    api.write("services", line)
    await following.until(lambda: following.context.crashes)
    await following.until(lambda: following.status["state"] == "connected" and len(api.watchers) == 2)
    assert following.services == KNOWN
    await still_works(api, following)


async def test_events_about_nothing_that_is_known_change_nothing(api, following):
    for said in ({"type": "NEW", "object": service("x")}, {"type": "DELETED", "object": service("never")},
                 {"type": "ADDED", "object": {}}, {"type": "BOOKMARK", "object": {"metadata": 1}}):  # fmt: skip
        api.write("services", json.dumps(said).encode())
    await still_works(api, following)
    assert following.context.crashes == {}


async def test_a_line_without_end_is_given_up(api, following, monkeypatch):
    monkeypatch.setattr("gateway_kubernetes.watch_stream.MAX_LINE_BYTES", 100_000)
    api.cut()
    await following.until(lambda: len(api.watchers) == 2)
    api.write("services", b" " * 200_000)
    await following.until(lambda: "longer than 100000 bytes" in str(following.context.crashes))
    await still_works(api, following)


async def test_more_objects_than_there_can_be_are_not_kept(api, following, monkeypatch):
    monkeypatch.setattr("gateway_kubernetes.reflection.MAX_OBJECTS", 20)
    for number in range(50):
        api.write("services", json.dumps({"type": "ADDED", "object": service(f"s{number}")}).encode())
    await following.until(lambda: "there are more than 20 services" in str(following.context.crashes))
    assert following.status["watches"][0]["objects"] <= 20


async def test_a_flood_of_events_is_published_ten_times_a_second_and_the_loop_stays_free(api, following):
    seen = len(following.snapshots)
    longest_s = 0.0
    began_s = time.monotonic()
    number = 0
    while time.monotonic() - began_s < 0.6:
        for _ in range(10):
            number += 1
            api.apply(endpoint_slice(f"10.0.{number % 200}.1"))
        before_s = time.monotonic()
        await asyncio.sleep(0.005)
        longest_s = max(longest_s, time.monotonic() - before_s)
    assert len(following.snapshots) - seen <= 10
    assert longest_s < 3
    api.apply(endpoint_slice("10.0.0.99"))
    await following.until_services({"orders": ["10.0.0.99:8080"]})


async def test_watches_that_end_at_once_are_not_begun_without_pause(api, follow):
    async def end(asked, writer):
        head(writer, length=0)

    api.behaviours["watch services"] = end
    await follow()
    await asyncio.sleep(0.6)
    assert 1 <= api.count("watch services") <= 6


async def test_a_version_that_is_always_gone_is_not_listed_without_pause(api, follow):
    async def gone(asked, writer):
        answer(writer, status_object(410, "Gone"), 410)

    api.behaviours["watch services"] = gone
    await follow()
    await asyncio.sleep(0.6)
    assert 1 <= api.count("list services") <= 6


async def test_a_watch_that_hangs_is_given_up(api, follow, monkeypatch):
    monkeypatch.setattr("gateway_kubernetes.reflection.WATCH_S", 0.1)
    api.behaviours["watch services"] = hang
    following = await follow(timeout="0.2s")
    await following.until(lambda: api.count("watch services") >= 2)


async def test_services_that_cannot_be_used_are_left_out_and_the_others_are_served(api, following, caplog):
    api.apply(
        service("a", annotations={"gateway/enabled": "perhaps"}),
        service("b", annotations={"port": "nine"}),
        service("c", annotations={"scheme": "://"}),
        service("d", annotations={"weight": "-1"}),
        service("e", type="ExternalName", spec={"externalName": "example.com"}),
        service("f", ports=[port(number=99999)]),
        service("g", ports=[]),
        service("h", ports=[port(protocol="UDP")]),
        service("i", spec={"clusterIP": "somewhere"}),
    )
    await following.until(lambda: len(following.status["problems"]) == 9)
    assert following.services == KNOWN
    for reason in (
        "annotation gateway/enabled is 'perhaps'; write 'true' or 'false'",
        "annotation gateway/port is 'nine'; it has http (80)",
        "annotation gateway/scheme is '://'",
        "annotation gateway/weight is '-1'",
        "service e in shop is left out: it is an ExternalName",
        "services shop/f cannot be read: 99999 is not a port",
        "service g in shop is left out: it has no TCP port",
        "services shop/i cannot be read: 'somewhere' is not an IP address",
    ):
        assert caplog.text.count(reason) == 1, reason
    api.apply(service("a", annotations={"gateway/enabled": "false"}))
    await following.until(lambda: len(following.status["problems"]) == 8)
    assert caplog.text.count("'perhaps'") == 1


async def test_a_slice_that_cannot_be_read_leaves_what_is_known(api, following):
    api.apply(endpoint_slice(endpoint("not-an-address")))
    await following.until(lambda: "'not-an-address' is not an IP address" in str(following.status["problems"]))
    assert following.services == KNOWN
    await still_works(api, following)
    await following.until(lambda: following.status["problems"] == [])


async def test_a_slice_that_goes_to_another_service_goes_away_here(api, following):
    api.apply(service("users"))
    api.apply(endpoint_slice("10.0.0.1", of="users", name="orders-1"))
    await following.until_services({"orders": [], "users": ["10.0.0.1:8080"]})


async def test_nothing_is_left_running(api, following):
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("gateway kubernetes")]
    assert len(names) == 2
    await following.stop()
    await following.until(
        lambda: not any(thread.name.startswith("gateway kubernetes") for thread in threading.enumerate())
    )
    await following.until(lambda: not api.watchers)


async def test_what_nobody_has_thought_of_is_a_failure_too(api, following, monkeypatch):
    def break_down(lines):
        raise ZeroDivisionError

    for reflection in following.provider._reflections:
        monkeypatch.setattr(reflection, "_receive", break_down)
    api.cut()
    api.apply(service())
    await following.until(lambda: following.status["watches"][0]["error"] == "ZeroDivisionError")
    assert following.services == KNOWN
