from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.config.merge import merge
from gateway.config.places import Block, Place, block_of, plain

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
KEYS = st.sampled_from(["a", "b", "c"])
VALUES = st.recursive(
    SCALARS | st.lists(SCALARS, max_size=3), lambda values: st.dictionaries(KEYS, values, max_size=3), max_leaves=12
)
BLOCKS = st.dictionaries(KEYS, VALUES, max_size=3)


def block(data, source="file"):
    return block_of(data, Place(source))


def merged(base, overlay):
    return plain(merge(block(base), block(overlay)))


def test_blocks_are_merged_at_any_depth():
    base = {"http": {"port": 80, "tls": {"certFile": "a", "keyFile": "b"}}, "workers": 1}
    assert merged(base, {"http": {"tls": {"keyFile": "c"}}}) == {
        "http": {"port": 80, "tls": {"certFile": "a", "keyFile": "c"}},
        "workers": 1,
    }


def test_a_list_replaces_a_list():
    assert merged({"methods": ["GET", "PUT"]}, {"methods": ["POST"]}) == {"methods": ["POST"]}


def test_null_replaces_a_value():
    assert merged({"maxAge": 5, "cors": {"a": 1}}, {"maxAge": None, "cors": None}) == {"maxAge": None, "cors": None}


def test_a_scalar_replaces_a_block_and_a_block_a_scalar():
    assert merged({"a": {"b": 1}, "c": 1}, {"a": 2, "c": {"d": 3}}) == {"a": 2, "c": {"d": 3}}


def test_entries_keep_the_places_they_come_from():
    both = merge(block({"a": {"b": 1, "c": 2}}, "file"), block({"a": {"c": 3}}, "variable"))
    assert both["a"].places["b"].source == "file"
    assert both["a"].places["c"].source == "variable"
    assert (both.place.source, both["a"].place.source) == ("variable", "variable")


@given(BLOCKS)
def test_merging_with_nothing_changes_nothing(data):
    assert merged(data, {}) == data
    assert merged({}, data) == data


@given(BLOCKS)
def test_merging_with_itself_changes_nothing(data):
    assert merged(data, data) == data


@given(BLOCKS, BLOCKS)
def test_neither_layer_is_changed(base, overlay):
    lower, upper = block(base), block(overlay)
    merge(lower, upper)
    assert (plain(lower), plain(upper)) == (base, overlay)


def leaves(data, above=()):
    """Return every value that is no block, by its keys."""
    found: dict = {}
    for key, value in data.items():
        found |= leaves(value, (*above, key)) if isinstance(value, dict) else {(*above, key): value}
    return found


@given(BLOCKS, BLOCKS)
def test_every_value_of_the_overlay_wins_and_the_others_of_the_base_remain(base, overlay):
    result, upper = leaves(merged(base, overlay)), leaves(overlay)
    assert upper.items() <= result.items()
    for keys, value in leaves(base).items():
        is_covered = any(other[: len(keys)] == keys or keys[: len(other)] == other for other in upper)
        if not is_covered and keys in result:
            assert result[keys] == value


@given(BLOCKS, BLOCKS)
def test_every_entry_has_a_place(base, overlay):
    def check(value):
        assert value.keys() == value.places.keys()
        for entry in value.values():
            if isinstance(entry, Block):
                check(entry)

    check(merge(block(base), block(overlay)))
