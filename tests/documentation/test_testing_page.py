"""What docs/how-to/test-a-plugin.md shows: teapot_tests.py and listed_tests.py pass, buckets_tests.py is caught."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gateway.testing
from gateway.testing import contracts

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parent / "examples" / "testing"
PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "test-a-plugin.md").read_text()


@pytest.fixture
def run_tests(tmp_path):
    """Give a function that runs tests where ``gateway-teapot`` is installed."""
    metadata = tmp_path / "gateway_teapot-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: gateway-teapot\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text("[gateway]\nteapot = gateway_teapot.plugin\n")
    shutil.copytree(EXAMPLES / "gateway_teapot", tmp_path / "gateway_teapot")  # its plugin.py is on the page
    tests = tmp_path / "tests"
    tests.mkdir()
    shutil.copy(EXAMPLES / "root_conftest.py", tests / "conftest.py")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(file):
        shutil.copy(EXAMPLES / file, tests)
        options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-W", "error"]
        command = [sys.executable, "-m", "pytest", *options, "--rootdir", str(tests), str(tests / file)]
        return subprocess.run(
            command, cwd=tests, env=environment, capture_output=True, text=True, timeout=50, check=False
        )

    return run


@pytest.mark.parametrize(("file", "passed"), [("teapot_tests.py", r"2\d"), ("listed_tests.py", "18")])
def test_the_tests_of_the_page_pass(run_tests, file, passed):
    ran = run_tests(file)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(f"{passed} passed", ran.stdout)


def test_the_contract_says_what_is_wrong(run_tests):
    ran = run_tests("buckets_tests.py")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    (shown,) = re.findall(r"^E +AssertionError: (.*)$", PAGE, re.MULTILINE)
    assert shown in ran.stdout


@pytest.mark.parametrize("name", [*contracts.__all__, *(name for name in gateway.testing.__all__ if name[0].islower())])
def test_everything_of_the_kit_is_on_the_page(name):
    assert f"`{name}" in PAGE or name in ("anyio_backend",)
