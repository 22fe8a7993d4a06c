from __future__ import annotations

import math
import time

import pytest

from gateway import Principal


def test_credentials_that_never_end_have_no_deadline():
    assert Principal(subject="ann").deadline_s() == math.inf


@pytest.mark.parametrize("left_s", [60.0, -60.0])
def test_the_deadline_is_as_far_away_as_the_end_of_the_credentials(left_s):
    principal = Principal(subject="ann", expires_at_utc=time.time() + left_s)
    assert principal.deadline_s() - time.monotonic() == pytest.approx(left_s, abs=1.0)
