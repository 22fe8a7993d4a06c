from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway_healthcheck.verdict import Verdict


def after(outcomes: str, *, rise: int = 2, fall: int = 3, begins_healthy: bool = True) -> str:
    """Return the states after each outcome, ``+`` or ``-``, in the same letters."""
    verdict = Verdict(rise, fall, begins_healthy=begins_healthy)
    states = ""
    for outcome in outcomes:
        verdict.take(None if outcome == "+" else "500", 0.1, 0.0)
        states += "+" if verdict.is_healthy else "-"
    return states


def test_it_takes_some_in_a_row_to_change():
    assert after("--+---+-++") == "+++++----+"


def test_what_begins_unhealthy_works_with_its_first_success():
    assert after("--+", begins_healthy=False) == "--+"
    assert after("-+-+--", begins_healthy=False, rise=9, fall=2) == "-++++-"


def test_what_flaps_never_changes():
    """A service that flaps ten times a second, sampled at any moment, is not in and out ten times a second."""
    assert after("-+" * 50) == "+" * 100


@given(st.text("+-", max_size=40), st.integers(1, 4), st.integers(1, 4))
def test_changes_are_at_least_a_threshold_apart(outcomes, rise, fall):
    state, since = "+", 0
    for now in after(outcomes, rise=rise, fall=fall):
        since += 1
        if now != state:
            assert since >= (rise if now == "+" else fall)
            state, since = now, 0
