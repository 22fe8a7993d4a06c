"""The wheels of every distribution, and empty environments to install them into."""

import fcntl
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MANIFESTS = [*ROOT.glob("plugins/*/pyproject.toml"), *ROOT.glob("contrib/*/pyproject.toml")]
DISTRIBUTIONS = [ROOT / "core", *sorted(manifest.parent for manifest in MANIFESTS), ROOT]
INSTALL_TIMEOUT_S = 240

BUILD = """
import os, sys
from hatchling.build import build_wheel

for distribution in sys.argv[2:]:
    os.chdir(distribution)  # where a build backend looks for what it builds (PEP 517)
    build_wheel(sys.argv[1])
"""
"""What `python -m build --wheel --no-isolation` does, in one process for all of them."""


@pytest.fixture(scope="session")
def our_wheels(tmp_path_factory):
    """Build every distribution once, and return the constraints file that says our names mean these wheels."""
    # Processes that run tests beside each other (pytest-xdist) have this folder in common; one of them builds.
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "our-wheels"
    constraints = folder / "constraints.txt"
    with (shared / "our-wheels.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not constraints.exists():
            _build_all(folder, constraints)
    return constraints


def _build_all(folder, constraints):
    folder.mkdir(exist_ok=True)
    _run([sys.executable, "-c", BUILD, str(folder), *map(str, DISTRIBUTIONS)], folder)
    # By file and not by --find-links, where a package of the same name in the index could win.
    wheels = sorted(folder.glob("*.whl"))
    assert len(wheels) == len(DISTRIBUTIONS)
    constraints.write_text("".join(f"{wheel.name.split('-')[0]} @ {wheel.as_uri()}\n" for wheel in wheels))


@pytest.fixture
def install(our_wheels, tmp_path, clean_environment):
    """Return a function that installs requirements into an empty environment, and returns where its programs are."""

    def install_into_empty_environment(*requirements):
        environment = tmp_path / "environment"
        venv.create(environment, symlinks=os.name != "nt", with_pip=False)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(environment)]
        limits = ["-c", str(ROOT / "constraints.txt"), "-c", str(our_wheels)]
        _run([*pip, "install", "--quiet", "--no-compile", *limits, *requirements], tmp_path)
        return environment / ("Scripts" if os.name == "nt" else "bin")

    return install_into_empty_environment


@pytest.fixture
def clean_environment():
    """Return a function that returns the variables of a clean process, with others."""
    return _clean_environment


def _clean_environment(**variables):
    """Leave out what would lead to the checkout or configure the gateway or pytest."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
        and not name.startswith(("GATEWAY_", "COVERAGE_", "PYTEST_"))
    }
    return kept | variables


def _run(command, folder):
    """Run a command to its end, and fail with what it said if it fails."""
    finished = subprocess.run(
        command,
        cwd=folder,
        env=_clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
