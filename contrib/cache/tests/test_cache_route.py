"""What is stored and what is given, by the rules of RFC 9111, with a clock that stands still."""

from __future__ import annotations

import asyncio

import pytest

from gateway import ErrorType, GatewayError, Response

pytestmark = pytest.mark.anyio


async def test_a_fresh_response_is_given_again_with_its_age(client, clock):
    first = await client.ask()
    assert first.headers["cache-status"] == "gateway; fwd=uri-miss; stored"
    clock.advance(59)
    second = await client.ask()
    assert (second.status, second.body, second.headers["age"]) == (200, b"content", "59")
    assert second.headers["cache-status"] == "gateway; hit; ttl=1"
    assert len(client.asked) == 1
    clock.advance(1)
    assert await client.told() == "fwd=stale; stored"
    assert len(client.asked) == 2


async def test_different_targets_are_different_responses(client):
    for target in ("/a", "/b", "/a?x=1", "/a?x=2"):
        assert await client.told(target=target) == "fwd=uri-miss; stored"
    assert await client.told(target="/a?x=2") == "hit; ttl=60"


async def test_what_another_policy_makes_of_the_path_counts_too(client):
    for path in ("/v1/a", "/v2/a"):
        exchange = client.exchange()
        exchange.upstream_path = path
        await client.handle(exchange)
    assert len(client.asked) == 2


async def test_age_that_it_had_already_counts(client, clock):
    client.answer = lambda request: client.reply("max-age=60", age="50")
    await client.ask()
    clock.advance(9)
    assert (await client.ask()).headers["age"] == "59"
    clock.advance(1)
    await client.ask()
    assert len(client.asked) == 2


@pytest.mark.parametrize(
    ("cache_control", "fields"),
    [
        ("no-store", {}),
        ("private, max-age=60", {}),
        ('private="x-a", max-age=60', {}),
        ("max-age=0", {}),
        (None, {}),
        (None, {"etag": '"1"'}),
        (None, {"last_modified": "Sun, 06 Nov 1994 08:49:37 GMT"}),
        (None, {"expires": "0"}),
        ("max-age=60", {"vary": "*"}),
        ("max-age=60", {"vary": "accept, *"}),
        ("max-age=60", {"set_cookie": "s=1"}),
        ("max-age=60", {"status": 206, "content_range": "bytes 0-1/9"}),
        ("max-age=60", {"body": b"x" * 2000}),
    ],
)
async def test_what_is_not_for_all_or_not_to_be_stored_is_not(client_of, cache_control, fields):
    client = client_of(maxObjectSize=1000)
    client.answer = lambda request: client.reply(cache_control, **fields)
    assert await client.told() == "fwd=uri-miss"
    assert await client.told() == "fwd=uri-miss"
    assert len(client.asked) == 2
    assert len(client.policy.store) == 0


@pytest.mark.parametrize(
    ("cache_control", "is_stored"),
    [("max-age=60", False), ("public, max-age=60", True), ("s-maxage=60", True), ("max-age=60, must-revalidate", True)],
)
@pytest.mark.parametrize("who", [{"authorization": "Bearer t"}, {"principal": "jo"}])
async def test_answers_to_who_has_credentials_are_for_all_only_if_they_say_so(client, cache_control, is_stored, who):
    """RFC 9111 section 3.5; whoever the gateway let in has credentials, whichever they were."""
    client.answer = lambda request: client.reply(cache_control)
    await client.ask(**who)
    assert ("hit" in await client.told()) == is_stored


async def test_nothing_is_guessed_for_who_has_a_cookie_or_credentials(client_of):
    client = client_of(defaultTtl=60)
    client.answer = lambda request: client.reply()
    for who in ({"cookie": "s=1"}, {"authorization": "t"}, {"principal": "jo"}):
        assert await client.told(**who) == "fwd=uri-miss"
    assert await client.told() == "fwd=uri-miss; stored"
    assert await client.told() == "hit; ttl=60"


async def test_a_lifetime_can_be_guessed_from_the_last_change(client_of, clock):
    client = client_of(heuristicFraction=0.1, heuristicMax="1m")
    clock.now_s = 784111777 + 100
    client.answer = lambda request: client.reply(last_modified="Sun, 06 Nov 1994 08:49:37 GMT")
    await client.ask()
    assert await client.told() == "hit; ttl=10"
    clock.advance(100_000)
    await client.ask()
    assert await client.told() == "hit; ttl=60"


# Vary.


async def test_requests_that_differ_in_what_vary_names_get_their_own(client):
    client.answer = lambda request: client.reply(
        "max-age=60", vary="Accept-Language", body=(request.headers.get("accept-language") or "none").encode()
    )
    assert (await client.ask(accept_language="de")).body == b"de"
    assert await client.told(accept_language="en") == "fwd=vary-miss; stored"
    assert (await client.ask()).body == b"none"
    assert (await client.ask(accept_language="de")).body == b"de"
    assert (await client.ask(accept_language="en")).body == b"en"
    assert len(client.asked) == 3


async def test_variants_are_bounded(client):
    client.answer = lambda request: client.reply("max-age=60", vary="user-agent")
    for number in range(100):
        await client.ask(user_agent=str(number))
    assert len(client.policy.store) == 32
    assert "hit" in await client.told(user_agent="99")


# Validation.


async def test_a_stale_response_is_validated_and_renewed_by_304(client, clock):
    client.answer = lambda request: client.reply("max-age=60", etag='"1"', x_generation="1", content_type="text/a")
    await client.ask()
    clock.advance(60)
    client.answer = lambda request: client.reply("max-age=30", 304, b"", etag='"1"', x_generation="2", content_type="b")
    response = await client.ask()
    assert client.asked[1].headers["if-none-match"] == '"1"'
    assert (response.status, response.body) == (200, b"content")
    assert (response.headers["x-generation"], response.headers["content-type"]) == ("2", "text/a")
    assert response.headers["cache-status"] == "gateway; fwd=stale; fwd-status=304"
    assert await client.told() == "hit; ttl=30"


async def test_last_modified_validates_too(client, clock):
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    client.answer = lambda request: client.reply("max-age=60", last_modified=date)
    await client.ask()
    clock.advance(60)
    await client.ask()
    assert client.asked[1].headers["if-modified-since"] == date


async def test_a_changed_response_takes_the_place_of_the_old_one(client, clock):
    client.answer = lambda request: client.reply("max-age=60", etag='"1"')
    await client.ask()
    clock.advance(60)
    client.answer = lambda request: client.reply("max-age=60", etag='"2"', body=b"new")
    assert (await client.ask()).body == b"new"
    assert (await client.ask()).body == b"new"
    assert len(client.policy.store) == 1


async def test_no_cache_is_stored_and_validated_every_time(client):
    client.answer = lambda request: (
        client.reply(status=304, body=b"")
        if "if-none-match" in request.headers
        else client.reply("no-cache", etag='"1"')
    )
    await client.ask()
    for _ in range(2):
        assert await client.told() == "fwd=stale; fwd-status=304"
    assert len(client.asked) == 3


async def test_a_304_that_forbids_storing_is_the_last_word(client, clock):
    client.answer = lambda request: client.reply("max-age=60", etag='"1"')
    await client.ask()
    clock.advance(60)
    client.answer = lambda request: client.reply("no-store", 304, b"")
    assert (await client.ask()).body == b"content"
    assert len(client.policy.store) == 0


# What requests ask for.


async def test_directives_of_the_request(client, clock):
    client.answer = lambda request: client.reply("max-age=60", etag='"1"')
    await client.ask()
    clock.advance(30)
    for cache_control, told in (
        ("max-age=29", "fwd=request; stored"),
        ("max-age=30", "hit; ttl=60"),
        ("no-cache", "fwd=request; stored"),
        ("min-fresh=61", "fwd=request; stored"),
        ("min-fresh=60", "hit; ttl=60"),
        ("no-store", "fwd=bypass"),
        ("only-if-cached", "hit; ttl=60"),
        ("max-age=nonsense", "hit; ttl=60"),
    ):
        assert await client.told(cache_control=cache_control) == told, cache_control
    assert await client.told(pragma="no-cache") == "fwd=request; stored"
    assert await client.told(pragma="no-cache", cache_control="max-age=5") == "hit; ttl=60"


async def test_a_client_may_take_it_stale(client, clock):
    await client.ask()
    clock.advance(70)
    assert await client.told(cache_control="max-stale=10") == "hit; ttl=-10"
    assert await client.told(cache_control="max-stale") == "hit; ttl=-10"
    assert await client.told(cache_control="max-stale=9") == "fwd=stale; stored"


@pytest.mark.parametrize("directive", ["must-revalidate", "proxy-revalidate", "s-maxage=60"])
async def test_what_must_be_validated_is_never_given_stale(client_of, clock, directive):
    client = client_of(staleWhileRevalidate=100, staleIfError=100)
    client.answer = lambda request: client.reply(f"max-age=60, {directive}")
    await client.ask()
    clock.advance(70)
    client.answer = lambda request: client.reply(status=503, body=b"down")
    assert (await client.ask(cache_control="max-stale")).status == 503


async def test_only_if_cached_asks_nobody(client):
    response = await client.ask(cache_control="only-if-cached")
    assert response.status == 504
    assert not client.asked


async def test_directives_of_requests_can_be_ignored(client_of):
    client = client_of(requestDirectives=False)
    await client.ask(cache_control="no-store")
    assert await client.told(cache_control="no-cache", pragma="no-cache") == "hit; ttl=60"


async def test_conditions_of_the_client_are_judged_by_what_is_stored(client):
    client.answer = lambda request: client.reply(
        "max-age=60", etag='W/"1"', last_modified="Sun, 06 Nov 1994 08:49:37 GMT", x_a="1"
    )
    first = await client.ask(if_none_match='"1"')
    assert (first.status, first.body) == (304, b"")
    assert "if-none-match" not in client.asked[0].headers, "so that there is something to store"
    for condition, status in (
        ({"if_none_match": 'W/"1"'}, 304),
        ({"if_none_match": '"0", "1"'}, 304),
        ({"if_none_match": "*"}, 304),
        ({"if_none_match": '"2"'}, 200),
        ({"if_none_match": '"2"', "if_modified_since": "Sun, 06 Nov 1994 08:49:37 GMT"}, 200),
        ({"if_modified_since": "Sun, 06 Nov 1994 08:49:37 GMT"}, 304),
        ({"if_modified_since": "Sun, 06 Nov 1994 08:49:36 GMT"}, 200),
        ({"if_modified_since": "yesterday"}, 200),
    ):
        response = await client.ask(**condition)
        assert response.status == status, condition
        assert ("x-a" in response.headers) == (status == 200)
        assert response.headers["etag"] == 'W/"1"'
    assert len(client.asked) == 1


async def test_preconditions_of_the_service_go_there(client):
    await client.ask()
    assert await client.told(if_match='"1"') == "fwd=bypass"
    assert client.asked[1].headers["if-match"] == '"1"'


async def test_head_is_answered_from_a_stored_get(client):
    assert await client.told("HEAD") == "fwd=uri-miss"
    assert len(client.policy.store) == 0
    await client.ask()
    response = await client.ask("HEAD")
    assert (response.body, response.headers["content-length"]) == (b"", "7")
    assert len(client.asked) == 2


@pytest.mark.parametrize(
    ("wanted", "status", "body", "content_range"),
    [
        ("bytes=0-3", 206, b"cont", "bytes 0-3/7"),
        ("bytes=4-", 206, b"ent", "bytes 4-6/7"),
        ("bytes=-2", 206, b"nt", "bytes 5-6/7"),
        ("bytes=-99", 206, b"content", "bytes 0-6/7"),
        ("bytes=5-99", 206, b"nt", "bytes 5-6/7"),
        ("bytes=7-", 416, b"", "bytes */7"),
        ("bytes=-0", 416, b"", "bytes */7"),
        ("bytes=3-1", 200, b"content", None),
        ("bytes=0-1,3-4", 200, b"content", None),
        ("lines=0-1", 200, b"content", None),
        ("bytes=-", 200, b"content", None),
        (f"bytes={'9' * 30}-", 200, b"content", None),
    ],
)
async def test_a_part_is_cut_from_what_is_stored(client, wanted, status, body, content_range):
    """RFC 9110 section 14.2."""
    await client.ask()
    response = await client.ask(range=wanted)
    assert (response.status, response.body, response.headers.get("content-range")) == (status, body, content_range)
    assert len(client.asked) == 1


async def test_a_part_of_what_is_not_stored_is_asked_for_and_not_stored(client):
    client.answer = lambda request: client.reply("max-age=60", 206, b"c", content_range="bytes 0-0/7")
    assert await client.told(range="bytes=0-0") == "fwd=uri-miss"
    assert client.asked[0].headers["range"] == "bytes=0-0"
    assert len(client.policy.store) == 0


async def test_if_range_must_match_exactly(client):
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    client.answer = lambda request: client.reply("max-age=60", etag='"1"', last_modified=date)
    await client.ask()
    for condition, status in (('"1"', 206), ('"2"', 200), ('W/"1"', 200), (date, 206), ("x", 200)):
        assert (await client.ask(range="bytes=0-0", if_range=condition)).status == status


# Other methods.


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "ANY"])
async def test_what_may_change_a_resource_invalidates_it(client, method):
    """RFC 9111 section 4.4."""
    for target in ("/a", "/a?x=1", "/b"):
        await client.ask(target=target)
    client.answer = lambda request: Response(204)
    assert await client.told(method, "/a") == "fwd=method"
    client.answer = lambda request: client.reply("max-age=60")
    assert await client.told(target="/a") == "fwd=uri-miss; stored"
    assert await client.told(target="/a?x=1") == "hit; ttl=60"
    assert await client.told(target="/b") == "hit; ttl=60"


async def test_what_failed_or_is_safe_invalidates_nothing(client):
    await client.ask()
    client.answer = lambda request: Response(500)
    await client.ask("POST")
    client.answer = lambda request: Response(200)
    await client.ask("OPTIONS")
    assert await client.told() == "hit; ttl=60"


async def test_what_an_answer_names_is_invalidated_too_on_the_same_origin(client):
    for target in ("/a", "/b", "/c", "/d"):
        await client.ask(target=target)
    client.answer = lambda request: client.reply(location="/b#x", content_location="https://other/c")
    await client.ask("POST", "/d/e")
    client.answer = lambda request: client.reply(location="https://shop/c", content_location="http://[")
    await client.ask("POST", "/d")
    client.answer = lambda request: client.reply("max-age=60")
    told = {target: await client.told(target=target) for target in ("/a", "/b", "/c", "/d")}
    assert [target for target, what in told.items() if "hit" in what] == ["/a"]


async def test_what_is_under_way_during_an_invalidation_is_not_stored(client):
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slowly():
        asked.set()
        await go_on.wait()
        return client.reply("max-age=60", body=b"old")

    client.answer = lambda request: slowly() if request.method == "GET" else Response(204)
    reading = asyncio.ensure_future(client.ask())
    await asked.wait()
    await client.ask("PUT")
    go_on.set()
    assert (await reading).body == b"old"
    assert len(client.policy.store) == 0


async def test_requests_with_a_body_or_another_protocol_go_past_it(client):
    await client.ask()
    assert await client.told(body=b"query") == "fwd=bypass"
    exchange = client.exchange()
    exchange.request.upgrade = "websocket"
    assert (await client.handle(exchange)).headers["cache-status"] == "gateway; fwd=bypass"


# When the service fails.


@pytest.mark.parametrize("failure", [500, 502, 503, 504, ErrorType.BAD_GATEWAY, ErrorType.UPSTREAM_TIMEOUT])
async def test_stale_if_error(client, clock, failure):
    """RFC 5861 section 4."""

    def fail(request):
        if isinstance(failure, int):
            return client.reply(status=failure, body=b"down")
        raise GatewayError(failure, "down")

    client.answer = lambda request: client.reply("max-age=60, stale-if-error=30")
    await client.ask()
    client.answer = fail
    clock.advance(89)
    response = await client.ask()
    assert (response.status, response.body) == (200, b"content")
    assert response.headers["cache-status"].startswith("gateway; hit; ttl=-29; detail=")
    clock.advance(1)
    if isinstance(failure, int):
        assert (await client.ask()).status == failure
    else:
        with pytest.raises(GatewayError, match="down"):
            await client.ask()
    assert len(client.policy.flights) == 0


async def test_a_refusal_of_the_gateway_is_no_failure_of_the_service(client, clock):
    client.answer = lambda request: client.reply("max-age=60, stale-if-error=30")
    await client.ask()
    clock.advance(60)

    def refuse(request):
        raise GatewayError(ErrorType.FORBIDDEN, "no")

    client.answer = refuse
    with pytest.raises(GatewayError, match="no"):
        await client.ask()


async def test_stale_while_revalidate(client, clock):
    """RFC 5861 section 3."""
    client.answer = lambda request: client.reply("max-age=60, stale-while-revalidate=30", etag='"1"')
    await client.ask()
    client.answer = lambda request: client.reply("max-age=60", body=b"new")
    clock.advance(89)
    working = asyncio.ensure_future(client.policy.refreshes.run())
    for _ in range(3):
        assert await client.told() == "hit; ttl=-29"
    await asyncio.sleep(0.01)
    assert (await client.ask()).body == b"new"
    assert len(client.asked) == 2, "one asks for all"
    assert client.asked[1].headers["if-none-match"] == '"1"'
    clock.advance(1000)
    assert await client.told() == "fwd=stale; stored"
    working.cancel()


async def test_what_waits_to_be_refreshed_is_given_up_at_the_end(client, clock):
    client.answer = lambda request: client.reply("max-age=60, stale-while-revalidate=30")
    await client.ask()
    clock.advance(61)
    await client.ask()
    assert len(client.policy.flights) == 1
    client.policy.refreshes.close()
    assert len(client.policy.flights) == 0


# One fetch for all.


async def test_one_fetch_serves_all_who_want_the_same(client):
    go_on = asyncio.Event()

    async def slowly():
        await go_on.wait()
        return client.reply("max-age=60")

    client.answer = lambda request: slowly()
    asking = [asyncio.ensure_future(client.ask()) for _ in range(1000)]
    await asyncio.sleep(0.01)
    go_on.set()
    responses = await asyncio.gather(*asking)
    assert len(client.asked) == 1
    told = [response.headers["cache-status"] for response in responses]
    assert told.count("gateway; fwd=uri-miss; stored") == 1
    assert told.count("gateway; fwd=uri-miss; collapsed") == 999
    assert {response.body for response in responses} == {b"content"}
    assert len(client.policy.flights) == 0


async def test_what_turns_out_to_be_for_one_only_is_seen_by_one_only(client):
    async def personal(request):
        await asyncio.sleep(0.01)
        return client.reply("private", body=request.headers["cookie"].encode())

    client.answer = personal
    responses = await asyncio.gather(*(client.ask(cookie=f"user={number}") for number in range(50)))
    assert [response.body for response in responses] == [f"user={number}".encode() for number in range(50)]
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(client.ask(cookie="x") for _ in range(10)))
    assert asyncio.get_running_loop().time() - began < 1, "and the next ones wait for nobody"


async def test_those_who_vary_wait_for_their_own_only(client):
    async def slowly(request):
        await asyncio.sleep(0.01)
        return client.reply("max-age=60", vary="accept", body=request.headers["accept"].encode())

    client.answer = slowly
    responses = await asyncio.gather(*(client.ask(accept=str(number % 3)) for number in range(60)))
    assert [response.body for response in responses] == [str(number % 3).encode() for number in range(60)]
    assert len(client.asked) == 3


async def test_when_the_fetch_fails_nobody_waits_any_longer(client):
    async def fail(request):
        await asyncio.sleep(0.01)
        raise GatewayError(ErrorType.BAD_GATEWAY, "down")

    client.answer = fail
    outcomes = await asyncio.gather(*(client.ask() for _ in range(5)), return_exceptions=True)
    assert all(isinstance(outcome, GatewayError) for outcome in outcomes)
    assert len(client.policy.flights) == 0


async def test_when_the_fetch_fails_all_get_what_is_stale(client, clock):
    client.answer = lambda request: client.reply("max-age=60, stale-if-error=30")
    await client.ask()
    clock.advance(61)

    async def fail(request):
        await asyncio.sleep(0.01)
        raise GatewayError(ErrorType.BAD_GATEWAY, "down")

    client.answer = fail
    responses = await asyncio.gather(*(client.ask() for _ in range(50)))
    assert {response.status for response in responses} == {200}
    assert len(client.asked) == 2


async def test_who_waits_too_long_goes_alone(client_of):
    client = client_of(coalesceTimeout="20ms")
    never = asyncio.Event()

    async def first_never(number):
        if number == 1:
            await never.wait()
        return client.reply("max-age=60")

    client.answer = lambda request: first_never(len(client.asked))
    hanging = asyncio.ensure_future(client.ask())
    await asyncio.sleep(0)
    assert await client.told() == "fwd=uri-miss; stored"
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert len(client.policy.flights) == 0


async def test_who_gives_up_waiting_leaves_nothing_behind(client):
    go_on = asyncio.Event()

    async def slowly():
        await go_on.wait()
        return client.reply("max-age=60")

    client.answer = lambda request: slowly()
    first = asyncio.ensure_future(client.ask())
    await asyncio.sleep(0)
    second = asyncio.ensure_future(client.ask())
    await asyncio.sleep(0)
    second.cancel()
    go_on.set()
    assert (await first).status == 200
    with pytest.raises(asyncio.CancelledError):
        await second


async def test_coalescing_can_be_turned_off(client_of):
    client = client_of(coalesce=False)

    async def slowly():
        await asyncio.sleep(0.01)
        return client.reply("max-age=60")

    client.answer = lambda request: slowly()
    await asyncio.gather(*(client.ask() for _ in range(5)))
    assert len(client.asked) == 5


async def test_once_an_answer_was_not_for_all_the_service_judges_conditions(client):
    client.answer = lambda request: client.reply("private", etag='"1"')
    await client.ask()
    await client.ask(if_none_match='"1"')
    assert client.asked[1].headers["if-none-match"] == '"1"'


# What is said.


async def test_the_name_can_be_chosen_and_nothing_said_at_all(client_of):
    assert (await client_of(name="edge-1").ask()).headers["cache-status"] == "edge-1; fwd=uri-miss; stored"
    assert "cache-status" not in (await client_of(cacheStatus=False).ask()).headers


async def test_what_belongs_to_one_exchange_is_not_given_again(client):
    client.answer = lambda request: client.reply("max-age=60", x_request_id="7", cache_status="origin; hit", x_a="1")
    first = await client.ask()
    assert first.headers.get_all("cache-status") == ["origin; hit", "gateway; fwd=uri-miss; stored"]
    second = await client.ask()
    assert "x-request-id" not in second.headers
    assert second.headers.get_all("cache-status") == ["gateway; hit; ttl=60"]
    assert second.headers["x-a"] == "1"


async def test_what_has_no_date_gets_one(client):
    client.answer = lambda request: client.reply("max-age=60", date=None)
    await client.ask()
    assert (await client.ask()).headers["date"].endswith("GMT")


async def test_an_answer_can_be_changed_without_changing_what_is_stored(client):
    for _ in range(3):
        response = await client.ask()
        assert "x-outer" not in response.headers
        response.headers["x-outer"] = "1"
