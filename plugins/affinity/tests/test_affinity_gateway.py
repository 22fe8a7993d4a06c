"""The plugin in a whole gateway."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigurationError
from gateway.testing import Reply

pytestmark = pytest.mark.anyio


@pytest.fixture
async def three(upstream_factory):
    upstreams = [await upstream_factory() for _ in range(3)]
    for number, upstream in enumerate(upstreams):
        upstream.answer = lambda request, number=number: Reply(body=str(number))
    return upstreams


@pytest.mark.parametrize("rule", [{}, {"sessionAffinity": {"enabled": True, "ttl": 600, "source": "cookie"}}])
async def test_a_client_stays_with_its_instance(gateway_factory, three, rule):
    gateway = await gateway_factory(upstream=three, rule={"loadBalance": "sticky", **rule})
    for _ in range(5):
        first = await gateway.ask("GET", "/")
        cookie = first["set-cookie"].partition(";")[0]
        assert cookie.startswith("GATEWAY_SESSION=")
        for _ in range(5):
            answer = await gateway.ask("GET", "/", headers={"cookie": cookie})
            assert (answer.text, "set-cookie" in answer) == (first.text, False)


async def test_it_moves_when_its_instance_is_gone(gateway_factory, three):
    gateway = await gateway_factory(upstream=three, rule={"loadBalance": "sticky_session"})
    first = await gateway.ask("GET", "/")
    await three[int(first.text)].stop()
    moved = await gateway.ask("GET", "/", headers={"cookie": first["set-cookie"].partition(";")[0]})
    assert (moved.status, "set-cookie" in moved) == (200, True)
    assert moved.text != first.text


async def test_a_reload_keeps_sessions(gateway_factory, three):
    gateway = await gateway_factory(upstream=three, rule={"loadBalance": "sticky_session"})
    first = await gateway.ask("GET", "/")
    cookie = first["set-cookie"].partition(";")[0]
    await gateway.gateway.reload()
    answers = [await gateway.ask("GET", "/", headers={"cookie": cookie}) for _ in range(5)]
    assert {(answer.text, "set-cookie" in answer) for answer in answers} == {(first.text, False)}


async def test_sessions_in_a_header(gateway_factory, three):
    affinity = {"source": "header", "headerName": "X-User"}
    gateway = await gateway_factory(upstream=three, rule={"loadBalance": "sticky_session", "sessionAffinity": affinity})
    answers = [await gateway.ask("GET", "/", headers={"x-user": "ann"}) for _ in range(10)]
    assert len({answer.text for answer in answers}) == 1
    assert not any("set-cookie" in answer for answer in answers)


async def test_keys_that_mean_nothing_are_refused_where_they_stand(gateway_factory, upstream):
    rule = {"loadBalance": "sticky", "sessionAffinity": {"maxEntries": 10000}}
    with pytest.raises(ConfigurationError, match=r"sessionAffinity\.maxEntries: sessions are not stored"):
        await gateway_factory(upstream=upstream, rule=rule)
