"""What a user gets: the wheels, installed into empty environments far from the checkout, do what they promise."""

import http.client
import json
import re
import subprocess
import time
from contextlib import contextmanager

import pytest

INSTALL_TIMEOUT_S = 240
START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 15

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(2 * INSTALL_TIMEOUT_S)]


@pytest.fixture
def empty_folder(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_the_core_alone_says_that_nothing_can_listen(install, clean_environment, empty_folder):
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


def test_the_core_and_http_answer_the_health_check(install, clean_environment, empty_folder, free_tcp_port):
    programs = install("gateway-core", "gateway-http")
    environment = clean_environment(GATEWAY__FRONTEND__HTTP__PORT=str(free_tcp_port))

    with running_gateway(programs, empty_folder, environment, free_tcp_port) as get:
        status, _, _ = get("/_gateway/health")

    assert status == 200


def test_the_meta_distribution_works_without_configuration(install, clean_environment, empty_folder, free_tcp_port):
    programs = install("gateway")
    environment = clean_environment(GATEWAY__FRONTEND__HTTP__PORT=str(free_tcp_port))

    with running_gateway(programs, empty_folder, environment, free_tcp_port) as get:
        status, content_type, body = get("/get")

    assert status == 200, body
    assert content_type.split(";")[0] == "application/json"
    assert isinstance(json.loads(body), dict)


@contextmanager
def running_gateway(programs, folder, environment, port):
    """Start ``gateway`` in a folder, wait until it answers, and yield a function that gets a path from it."""
    log = folder.parent / "gateway.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [programs / "gateway"],
            cwd=folder,
            env=environment,
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
