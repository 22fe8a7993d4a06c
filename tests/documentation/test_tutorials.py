"""The tutorials, step by step."""

from __future__ import annotations

import functools
import http.server
import os
import re
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.slow


def files_of(page):
    """Return title and text of every file that a page shows, in order."""
    text = (TUTORIALS / page).read_text()
    found = re.findall(r"^```\w+ title=\"([^\n]*)\"\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found
    return [(title, textwrap.dedent(content)) for title, content in found]


@pytest.fixture
def serve_folder(tmp_path):
    """Serve folders as ``python -m http.server`` does; returns the port."""
    servers: list[http.server.ThreadingHTTPServer] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            """Say nothing."""

    def serve(folder):
        handler = functools.partial(Handler, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_first_gateway(start_gateway_process, serve_folder, tmp_path):
    ports = {}
    for port, name in (("9001", "one"), ("9002", "two")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "name.txt").write_text(f"{name}\n")
        ports[port] = str(serve_folder(folder))

    first, second = (re.sub(r"900[12]", lambda port: ports[port[0]], text) for _, text in files_of("first-gateway.md"))
    gateway = start_gateway_process(first, arguments=["--hot-reload"])
    assert {gateway.ask("/names/name.txt").text for _ in range(2)} == {"one\n", "two\n"}
    missed = gateway.ask("/other")
    assert (missed.status, missed.headers["content-type"]) == (404, "application/problem+json")
    assert re.search(r"^rule +/names/\*", run("explain", "GET", "/names/name.txt", folder=tmp_path), re.MULTILINE)

    file = tmp_path / "gateway.yaml"
    file.write_text(second)
    gateway.wait_for_line("configuration reloaded: 2 routes")
    names = [gateway.ask("/names/name.txt").text for _ in range(8)]
    assert (names.count("one\n"), names.count("two\n")) == (6, 2)
    assert gateway.ask("/demo/get").status == 200

    file.write_text(second.replace("serviceName", "serviceNmae", 1))
    gateway.wait_for_line("did you mean 'serviceName'")
    problems = [line.partition(f"{tmp_path}/")[2] for line in gateway.lines if "router.rules[0]" in line]
    assert "\n".join(problems) in (TUTORIALS / "first-gateway.md").read_text()
    assert gateway.ask("/names/name.txt").status == 200


def run(*words, folder, path=None, code=0):
    """Return what a command of the environment prints."""
    environment = {**os.environ, **({"PYTHONPATH": str(path)} if path is not None else {})}
    done = subprocess.run(
        [str(BIN / "gateway"), *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def installed(tmp_path):
    """Install the distribution of the tutorial; returns the folder to put on the path."""
    for title, text in files_of("first-plugin.md"):
        file = tmp_path / title
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    install = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index"]
    options = ["--no-build-isolation", "--no-deps", "--target", str(tmp_path / "site")]
    subprocess.run([*install, *options, str(tmp_path / "gateway-hello")], check=True)
    return tmp_path / "site"


@pytest.mark.timeout(180)  # it starts the gateway and its commands a dozen times
def test_first_plugin_as_a_distribution(installed, start_gateway_process, tmp_path):
    page = (TUTORIALS / "first-plugin.md").read_text()
    configuration = (tmp_path / "gateway.yaml").read_text()
    test = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "gateway-hello"]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(test, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "1 passed" in done.stdout
    assert "Greets in X-Hello." in run("plugins", folder=tmp_path, path=installed)

    gateway = start_gateway_process(configuration, path=[installed])
    assert gateway.ask("/get").headers["x-hello"] == "Ahoy, 127.0.0.1!"
    assert gateway.ask("/headers").headers["x-hello"] == "Welcome, 127.0.0.1!"

    assert run("check", folder=tmp_path, code=2) in page
    (tmp_path / "gateway.yaml").write_text(configuration.replace("greeting: Ahoy", "greting: Ahoy"))
    assert run("check", folder=tmp_path, path=installed, code=2) in page
