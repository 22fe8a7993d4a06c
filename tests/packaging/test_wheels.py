"""What a user gets: the wheels, installed into empty environments far from the checkout, do what they promise."""

import http.client
import json
import os
import re
import subprocess
import sys
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = [ROOT / "core", *sorted(manifest.parent for manifest in ROOT.glob("plugins/*/pyproject.toml")), ROOT]

INSTALL_TIMEOUT_S = 240
START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 15

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(2 * INSTALL_TIMEOUT_S)]


@pytest.fixture(scope="module")
def our_wheels(tmp_path_factory):
    """Build every distribution once, and return the constraints file that says our names mean these wheels."""
    folder = tmp_path_factory.mktemp("wheels")
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda distribution: build_wheel(distribution, folder), DISTRIBUTIONS))

    # By file and not by --find-links, where a package of the same name in the index could win.
    constraints = folder / "constraints.txt"
    wheels = sorted(folder.glob("*.whl"))
    constraints.write_text("".join(f"{wheel.name.split('-')[0]} @ {wheel.as_uri()}\n" for wheel in wheels))
    assert len(wheels) == len(DISTRIBUTIONS)
    return constraints


@pytest.fixture
def install(our_wheels, tmp_path):
    """Return a function that installs requirements into an empty environment, and returns where its programs are."""

    def install_into_empty_environment(*requirements):
        environment = tmp_path / "environment"
        venv.create(environment, symlinks=os.name != "nt", with_pip=False)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(environment)]
        limits = ["-c", str(ROOT / "constraints.txt"), "-c", str(our_wheels)]
        run([*pip, "install", "--quiet", "--no-compile", *limits, *requirements], cwd=tmp_path)
        return environment / ("Scripts" if os.name == "nt" else "bin")

    return install_into_empty_environment


@pytest.fixture
def empty_folder(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_the_core_alone_says_that_nothing_can_listen(install, empty_folder):
    programs = install("gateway-core")

    finished = subprocess.run(
        [programs / "gateway"],
        cwd=empty_folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
        check=False,
    )

    said = finished.stdout + finished.stderr
    assert finished.returncode == 2, said
    assert re.search(r"\blisten", said), said
    assert "gateway-http" in said
    assert "Traceback" not in said


def test_the_core_and_http_answer_the_health_check(install, empty_folder, free_tcp_port):
    programs = install("gateway-core", "gateway-http")

    with running_gateway(programs, empty_folder, free_tcp_port) as get:
        status, _, _ = get("/_gateway/health")

    assert status == 200


def test_the_meta_distribution_works_without_configuration(install, empty_folder, free_tcp_port):
    programs = install("gateway")

    with running_gateway(programs, empty_folder, free_tcp_port) as get:
        status, content_type, body = get("/get")

    assert status == 200, body
    assert content_type.split(";")[0] == "application/json"
    assert isinstance(json.loads(body), dict)


def build_wheel(distribution, folder):
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(distribution)]
    run(command, cwd=folder)


def run(command, *, cwd):
    """Run a command to its end, and fail with what it said if it fails."""
    finished = subprocess.run(
        command,
        cwd=cwd,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout


def clean_environment(**variables):
    """Return this process's environment without what would lead to the checkout or configure the gateway."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"} and not name.startswith(("GATEWAY_", "COVERAGE_"))
    }
    return kept | variables


@contextmanager
def running_gateway(programs, folder, port):
    """Start ``gateway`` in a folder, wait until it answers, and yield a function that gets a path from it."""
    log = folder.parent / "gateway.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [programs / "gateway"],
            cwd=folder,
            env=clean_environment(GATEWAY__FRONTEND__HTTP__PORT=str(port)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_it_answers(process, port, log)
        yield lambda path: get(port, path)
    finally:
        stop(process)


def wait_until_it_answers(process, port, log):
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, f"exit code {process.returncode}\n{log.read_text()}"
        try:
            get(port, "/_gateway/health")
        except OSError:
            time.sleep(0.05)  # another process: there is no clock to move and no event to wait for
        else:
            return
    pytest.fail(f"no answer on port {port} within {START_TIMEOUT_S} s\n{log.read_text()}")


def get(port, path):
    """Return status, content type and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.headers.get("Content-Type", ""), response.read()
    finally:
        connection.close()


def stop(process):
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_TIMEOUT_S)
        pytest.fail(f"the gateway did not stop within {STOP_TIMEOUT_S} s of SIGTERM")
