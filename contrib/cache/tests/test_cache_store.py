"""What is stored, by itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway import Headers
from gateway_cache.config import CacheConfig
from gateway_cache.store import MemoryStore
from gateway_cache.stored import Arrival, StoredResponse

CONFIG = CacheConfig()


def response(uri="https://shop/a", body=b"x", scope="r", vary=(), tags=""):
    headers = Headers.of([("cache-control", "max-age=60"), ("cache-tag", tags)])
    arrival = Arrival(0.0, 0.0, 0.0)
    stored = StoredResponse(
        uri, scope, vary, status=200, headers=headers, arrival=arrival, may_guess=True, config=CONFIG
    )
    stored.fill(body)
    return stored


def store_of(capacity):
    store = MemoryStore()
    store.open(capacity)
    return store


def test_the_least_recently_used_goes_first():
    one = response("https://shop/1")
    store = store_of(one.size * 2)
    store.put(one)
    store.put(response("https://shop/2"))
    assert store.find("https://shop/1", "r", Headers()) is one
    store.put(response("https://shop/3"))
    assert store.find("https://shop/2", "r", Headers()) is None
    assert store.find("https://shop/1", "r", Headers()) is one
    assert store.evictions == 1


def test_what_is_larger_than_everything_is_not_stored_and_pushes_nothing_out():
    one = response()
    store = store_of(one.size)
    store.put(one)
    assert not store.put(response("https://shop/b", b"x" * 10_000))
    assert store.find(one.uri, "r", Headers()) is one


def test_routes_do_not_see_what_others_store():
    store = store_of(10**6)
    store.put(response(scope="a"))
    assert store.find("https://shop/a", "b", Headers()) is None


def test_the_largest_of_several_users_says_how_much_it_is():
    store = store_of(5000)
    store.open(50_000)
    for number in range(20):
        store.put(response(f"https://shop/{number}"))
    assert len(store) == 20
    store.close(50_000)
    assert store.bytes <= 5000
    store.close(5000)
    assert len(store) == 0


def test_purging_by_prefix_and_tag():
    store = store_of(10**6)
    for path, tags in (("a/1", "x, y"), ("a/2", "y z"), ("b/1", "z")):
        store.put(response(f"https://shop/{path}?q=1", tags=tags))
    store.put(response("https://other/a/1", tags="x"))
    assert store.purge(prefix="https://shop/a/", tag="z") == 1
    assert store.purge(tag="x") == 2
    assert store.purge(prefix="/b") == 1
    assert store.purge(tag="never") == 0
    assert store.bytes == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "find", "invalidate", "purge"]),
            st.integers(0, 6),
            st.integers(0, 3000),
            st.sampled_from(["", "t1", "t2", "t1 t2"]),
        ),
        max_size=60,
    )
)
def test_it_never_holds_more_than_it_may_and_counts_right(steps):
    store = store_of(8000)
    for what, number, size, tags in steps:
        uri = f"https://shop/{number}"
        if what == "put":
            store.put(response(uri, b"x" * size, vary=((b"accept", tags.encode()),), tags=tags))
        elif what == "find":
            store.find(uri, "r", Headers.of([("accept", tags)]))
        elif what == "invalidate":
            store.invalidate(uri)
        else:
            store.purge(tag="t1")
        assert 0 <= store.bytes <= 8000
        assert store.bytes == sum(each.size for each in store._recent)
        assert sum(map(len, store._by_uri.values())) == len(store)
        assert {each for tagged in store._by_tag.values() for each in tagged} <= set(store._recent)
