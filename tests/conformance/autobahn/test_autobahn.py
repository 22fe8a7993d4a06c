"""Autobahn's cases through the gateway: what ``make autobahn`` does, without the thousands of messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from tests.conformance.autobahn import suite
from tests.conformance.autobahn.fuzzer import play
from tests.conformance.autobahn.run import configuration
from tests.conformance.autobahn.services import Manners, careless_echo, echo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.conformance.autobahn.fuzzer import Case, Verdict

pytestmark = pytest.mark.anyio

AT_ONCE = 24
"""Most cases wait."""
PACE = 3.0
"""Other tests run beside these: half a second, which some cases give a service, is not enough."""
MESSAGES = 3

QUICK = frozenset({1, 2, 3, 4, 5, 6, 7, 10})
"""Sections of which every case is played."""
SAMPLE = (
    *("9.1.6", "9.2.3", "9.3.5", "9.4.5", "9.5.6", "9.6.6", "9.7.6", "9.8.6", "12.1.10", "12.3.1", "12.5.15"),
    *(f"13.{parameters}.{size}" for parameters in range(1, 8) for size in (2, 6, 14)),
)
"""Of the others: both kinds of large messages, and every parameter of compression."""


async def judged(cases: dict[str, type[Case]], names: Iterable[str], address: tuple[str, int]) -> dict[str, Verdict]:
    """Play cases, several at once; again, alone, what does not go well, for other tests may have been in the way."""
    seats = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> tuple[str, Verdict]:
        async with seats:
            return name, await play(cases[name], *address, pace=PACE, messages=MESSAGES)

    verdicts = dict(await asyncio.gather(*map(one, names)))
    for name in [name for name, verdict in verdicts.items() if verdict.behavior not in ("OK", "INFORMATIONAL")]:
        verdicts |= [await one(name)]
    return verdicts


@pytest.mark.slow
async def test_the_gateway_makes_no_difference(gateway_factory, cases):
    names = [name for name in cases if suite.section(name) in QUICK or name in SAMPLE]
    async with echo() as port:
        gateway = await gateway_factory(configuration(port))
        direct = await judged(cases, names, ("127.0.0.1", port))
        through = await judged(cases, names, gateway.gateway.addresses[0])
    assert through == direct
    assert [name for name, verdict in direct.items() if not verdict.is_passing] == []
    assert {verdict.behavior for verdict in direct.values()} == {"OK", "INFORMATIONAL"}
    assert len(names) == 247 + len(SAMPLE)


@pytest.mark.slow
async def test_the_gateway_makes_up_for_a_service_that_checks_nothing(gateway_factory, cases):
    names = [name for name in cases if suite.section(name) in QUICK]
    async with careless_echo(Manners()) as port:
        gateway = await gateway_factory(configuration(port, checkText=True))
        verdicts = await judged(cases, names, gateway.gateway.addresses[0])
    assert {name: verdict for name, verdict in verdicts.items() if not verdict.is_passing} == {}
