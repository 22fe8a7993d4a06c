"""Objects of the API, whatever stands in them; lines, however they arrive."""

from __future__ import annotations

import contextlib
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugins.kubernetes.tests.objects_for_tests import endpoint, endpoint_slice, node, port, service

from gateway_kubernetes.lines import Lines, LineTooLongError
from gateway_kubernetes.objects import MAX_ANNOTATIONS, MAX_ENDPOINTS, parse_node, parse_service, parse_slice
from gateway_kubernetes.problems import MAX_PROBLEMS, ObjectError, ProblemLog, quoted

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += paths_in(inner, (*path, key))
    return found


SAMPLES = [
    (parse_service, service(ports=[port(nodePort=30080)], ingress=[{"ip": "192.0.2.9"}, {"hostname": "lb.example"}])),
    (parse_slice, endpoint_slice(endpoint(zone="zone-a"))),
    (parse_node, node()),
]


@given(data=st.data(), what=anything)
def test_an_object_with_anything_anywhere_is_read_or_refused(data, what):
    parse, sample = data.draw(st.sampled_from(SAMPLES))
    said = json.loads(json.dumps(sample))
    *before, last = data.draw(st.sampled_from(paths_in(said)))
    place = said
    for key in before:
        place = place[key]
    place[last] = what
    with contextlib.suppress(ObjectError):
        parse(said)


@pytest.mark.parametrize("number", [0, -1, 65536, "80", 1.5, True, None])
def test_ports_that_are_none_are_refused(number):
    with pytest.raises(ObjectError, match="is not a port; it must be from 1 to 65535"):
        parse_service(service(ports=[port(number=number)]))


@pytest.mark.parametrize("address", ["", "localhost", "10.0.0", "10.0.0.256", "10.0.0.1:80", "http://10.0.0.1", "::1%"])
def test_addresses_that_are_none_are_refused(address):
    with pytest.raises(ObjectError, match="is not an IP address"):
        parse_slice(endpoint_slice(address))


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "x" * 300, 7, None])
def test_names_that_are_none_are_refused(name):
    said = service()
    said["metadata"]["name"] = name
    with pytest.raises(ObjectError, match="an object is called"):
        parse_service(said)


def test_host_names_stand_in_slices_of_their_own():
    read = parse_slice(endpoint_slice("db.example.com.", family="FQDN"))
    assert read is not None
    (place,) = read.places
    assert place.address == "db.example.com"
    with pytest.raises(ObjectError, match="is not a host name"):
        parse_slice(endpoint_slice("http://db/", family="FQDN"))


def test_a_slice_without_a_service_does_not_matter():
    said = endpoint_slice("10.0.0.1")
    said["metadata"]["labels"] = {}
    assert parse_slice(said) is None


def test_a_slice_may_not_have_more_endpoints_than_the_api_allows():
    with pytest.raises(ObjectError, match="it has 1001 endpoints"):
        parse_slice(endpoint_slice(*["10.0.0.1"] * (MAX_ENDPOINTS + 1)))


def test_ports_without_a_number_mean_all_and_are_passed_over():
    read = parse_slice(endpoint_slice("10.0.0.1", ports=[{"name": "all", "port": None}]))
    assert read is not None
    assert read.ports == ()


def test_annotations_are_bounded_and_the_applied_configuration_is_left_out():
    said = service(annotations={f"a/{number:03}": "x" for number in range(100)})
    said["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = "{}"
    said["metadata"]["annotations"]["a/000"] = "x" * 2000
    annotations = parse_service(said).annotations
    assert len(annotations) == MAX_ANNOTATIONS
    assert "a/000" not in annotations
    assert "kubectl.kubernetes.io/last-applied-configuration" not in annotations


@given(lines=st.lists(st.binary(min_size=1, max_size=20).filter(lambda line: b"\n" not in line)), data=st.data())
def test_lines_are_cut_wherever_the_pieces_end(lines, data):
    stream = b"".join(line + b"\n" for line in lines) + b"rest"
    cutter, found = Lines(100), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += cutter.feed(stream[:size])
        stream = stream[size:]
    assert found == [line for line in lines if line.strip()]


def test_a_line_that_is_too_long_is_refused():
    cutter = Lines(10)
    assert cutter.feed(b"0123456789\n01234") == [b"0123456789"]
    with pytest.raises(LineTooLongError):
        cutter.feed(b"567890")


def test_problems_are_said_once_and_not_without_end(caplog):
    log = ProblemLog(logging.getLogger("gateway.plugins.gateway-kubernetes"))
    for _ in range(2):
        log.replace([f"problem {number}" for number in range(200)])
    assert len(log.current) == MAX_PROBLEMS == len(caplog.records)
    log.replace([])
    log.replace(["problem 1"])
    assert len(caplog.records) == MAX_PROBLEMS + 1


def test_what_is_quoted_is_short_and_on_one_line():
    assert quoted("a\nb") == "'a\\nb'"
    assert len(quoted("x" * 1000)) < 100
    assert len(quoted(["x" * 1000])) < 100
