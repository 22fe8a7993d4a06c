"""A short run of what ``make outage`` does: Redis is taken away twice under load, and nobody waits for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_nobody_waits_for_a_redis_that_is_away() -> None:
    if shutil.which("redis-server") is None:
        missing = "redis-server is not installed: apt-get install redis-server"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    script = Path(__file__).with_name("redis_outage.py")
    ran = subprocess.run(
        [sys.executable, str(script), "--seconds", "1", "--clients", "4", "--actions", "deny"],
        capture_output=True,
        text=True,
        timeout=80,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
