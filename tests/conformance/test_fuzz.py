"""Mutated requests: a short run of what ``make fuzz`` does for longer.

``FUZZ_SECONDS`` and ``FUZZ_SEED`` in the environment make it longer, and another one.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from tests.conformance.corpus import MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, MAX_URI_BYTES
from tests.conformance.fuzz import Fuzzer
from tests.conformance.service import Service

SECONDS = float(os.environ.get("FUZZ_SECONDS", "3"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
LANES = 4
"""Most of the time a lane waits for the gateway to be silent."""


@pytest.mark.timeout(SECONDS + 60)
def test_whatever_is_sent_nobody_is_confused(start_gateway_process):
    with ExitStack() as started:
        fuzzers = []
        for lane in range(LANES):
            service = Service()
            started.callback(service.close)
            port = started.enter_context(
                start_gateway_process(
                    http={
                        "maxRequestSize": MAX_BODY_BYTES,
                        "maxHeaders": MAX_HEADERS,
                        "maxHeaderBytes": MAX_HEADER_BYTES,
                        "maxUriBytes": MAX_URI_BYTES,
                    },
                    registry={
                        "static": {
                            "services": [{"name": "up", "instances": [{"address": "127.0.0.1", "port": service.port}]}]
                        }
                    },
                    router={"rules": [{"path": "/*", "serviceName": "up"}]},
                )
            )
            fuzzers.append(Fuzzer(port, service, SEED * LANES + lane))
        with ThreadPoolExecutor(LANES) as lanes:
            list(lanes.map(lambda fuzzer: fuzzer.run(SECONDS), fuzzers))
    findings = [str(finding) for fuzzer in fuzzers for finding in fuzzer.findings]
    answers: dict[int, int] = {}
    for fuzzer in fuzzers:
        for status, count in fuzzer.answers.items():
            answers[status] = answers.get(status, 0) + count
    sys.stdout.write(f"{sum(fuzzer.sent for fuzzer in fuzzers)} mutations, answers {sorted(answers.items())}\n")
    assert not findings, "\n".join(findings[:20])
    assert {200, 400} <= answers.keys()
