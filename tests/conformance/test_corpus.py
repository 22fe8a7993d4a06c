"""Malformed and ambiguous requests are refused, the connection is closed, and no service sees anything of them.

Every case of ``corpus.py`` is sent whole, in random pieces, and behind a good request on the same connection.
"""

import random

import pytest
from tests.conformance.client import Client, cut_at, send_pieces
from tests.conformance.corpus import CASES, MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, MAX_URI_BYTES
from tests.conformance.service import Service

KNOWN_FAILURES: frozenset[str] = frozenset()
"""``<way>: <case>`` for each case that the gateway does not refuse yet; it must fail, so that the list stays true."""

PREFIX = b"GET /prefix HTTP/1.1\r\nHost: gw\r\n\r\n"
SENTINEL = b"GET /sentinel HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n\r\n"
MAX_PIECES = 12


def every_case(way):
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(
                case,
                id=case.name,
                marks=[pytest.mark.xfail(raises=(AssertionError, TimeoutError))]
                if f"{way}: {case.name}" in KNOWN_FAILURES
                else [],
            )
            for case in CASES
        ],
    )


@pytest.fixture(scope="module")
def service():
    service = Service()
    yield service
    service.close()


@pytest.fixture(scope="module")
def gateway(start_gateway, service):
    with start_gateway(
        http={
            "maxRequestSize": MAX_BODY_BYTES,
            "maxHeaders": MAX_HEADERS,
            "maxHeaderBytes": MAX_HEADER_BYTES,
            "maxUriBytes": MAX_URI_BYTES,
            "readTimeout": 1,
        },
        registry={
            "static": {"services": [{"name": "up", "instances": [{"address": "127.0.0.1", "port": service.port}]}]}
        },
        router={"rules": [{"path": "/*", "serviceName": "up"}]},
    ) as port:
        yield port


def in_random_pieces(case):
    randomly = random.Random(case.name)  # noqa: S311 - reproducible pieces, not secrets
    count = min(MAX_PIECES, len(case.data) - 1)
    return cut_at(case.data, sorted(randomly.sample(range(1, len(case.data)), randomly.randint(1, count))))


def answers_to(gateway, case, pieces, good_first=0):
    """Send the pieces; return the answers, and whether the gateway closed the connection."""
    answers = []
    with Client(gateway) as client:
        send_pieces(client, pieces)
        while client.buffer or client.receive():
            answers.append(client.read_answer())
            if len(answers) > good_first and (case.is_framed or answers[-1].status == 200):
                break
        return answers, client.is_closed_by_peer


def what_the_service_saw(gateway, service):
    """Return the requests and violations since the last time, without the one that shows that all is still well."""
    with Client(gateway) as client:
        assert client.ask(SENTINEL).status == 200
    requests = [request for request in service.requests if request.path != b"/sentinel"]
    violations = service.violations
    service.forget()
    return requests, violations


def check(case, answers, is_closed, requests, violations):
    """The last answer is one of the expected, and the service saw only what it may."""
    statuses = [answer.status for answer in answers]
    assert not violations
    assert len(answers) <= 1, statuses
    if not answers:
        assert case.is_hopeless, "closed without an answer"
    else:
        assert statuses[0] in case.statuses
    if statuses == [200]:
        assert [request.is_complete for request in requests] == [True]
        return
    assert is_closed or case.is_framed
    assert [request for request in requests if request.is_complete or not case.is_late] == []


@every_case("whole")
def test_refused_when_sent_whole(gateway, service, case):
    try:
        answers, is_closed = answers_to(gateway, case, [case.data])
    finally:
        requests, violations = what_the_service_saw(gateway, service)
    check(case, answers, is_closed, requests, violations)


@every_case("pieces")
def test_refused_when_sent_in_pieces(gateway, service, case):
    try:
        answers, is_closed = answers_to(gateway, case, in_random_pieces(case))
    finally:
        requests, violations = what_the_service_saw(gateway, service)
    check(case, answers, is_closed, requests, violations)


@every_case("pipelined")
def test_refused_behind_a_good_request(gateway, service, case):
    try:
        answers, is_closed = answers_to(gateway, case, [PREFIX + case.data], good_first=1)
    finally:
        requests, violations = what_the_service_saw(gateway, service)
    assert answers, "the good request was not answered"
    assert answers[0].status == 200
    assert sum(request.path == b"/prefix" for request in requests) == 1
    check(case, answers[1:], is_closed, [request for request in requests if request.path != b"/prefix"], violations)


def test_corpus_is_large_and_names_are_unique():
    assert len(CASES) >= 150
    assert len({case.name for case in CASES}) == len(CASES)
    assert {known.partition(": ")[2] for known in KNOWN_FAILURES} <= {case.name for case in CASES}
