"""Ten seconds of what ``make soak`` does for a minute."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_no_request_fails_while_everything_changes():
    script = Path(__file__).with_name("soak.py")
    soaked = subprocess.run(
        [sys.executable, str(script), "--seconds", "10"], capture_output=True, text=True, timeout=80, check=False
    )
    assert soaked.returncode == 0, soaked.stdout + soaked.stderr
