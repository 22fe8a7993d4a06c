from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest

import gateway as gateway_package
from gateway.cli.arguments import split_command, worker_count

# Help and version.


def test_version_is_one_line(gateway):
    assert gateway("--version").out == f"gateway {gateway_package.__version__}\n"
    assert gateway("-version").out == f"gateway {gateway_package.__version__}\n"


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["-help"], ["help"], ["-c", "nowhere.yaml", "--help"]])
def test_help_lists_commands_and_the_flags_of_run(gateway, words):
    shown = gateway(*words)
    assert (shown.code, shown.err) == (0, "")
    assert "usage: gateway [COMMAND] [FLAGS]" in shown.out
    for word in ("run", "check", "routes", "explain", "plugins", "schema", "--workers N|auto", "--hot-reload"):
        assert word in shown.out


@pytest.mark.parametrize("words", [["check", "--help"], ["help", "check"], ["check", "-help"]])
def test_help_of_a_command_is_about_that_command(gateway, words):
    shown = gateway(*words)
    assert shown.code == 0
    assert shown.out.startswith("usage: gateway check ")
    assert "--json" in shown.out


# Mistakes: one line on standard error that says what to write instead, and exit code 2.


SEE = "see 'gateway --help'"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("chek", "gateway: unknown command 'chek'; did you mean 'check'?"),
        ("help chek", "gateway: unknown command 'chek'; did you mean 'check'?"),
        ("frobnicate", f"gateway: unknown command 'frobnicate'; {SEE}"),
        ("a.yaml", "gateway: unknown command 'a.yaml'; to run with this configuration: gateway -c a.yaml"),
        ("--hot-relaod", "gateway: unknown flag '--hot-relaod'; did you mean '--hot-reload'?"),
        ("-hot-relaod", "gateway: unknown flag '-hot-relaod'; did you mean '-hot-reload'?"),
        ("-conifg f.yaml", "gateway: unknown flag '-conifg'; did you mean '-config'?"),
        ("--conifg=f.yaml", "gateway: unknown flag '--conifg'; did you mean '--config'?"),
        ("-conifg f.yaml check", "gateway: unknown flag '-conifg'; did you mean '-config'?"),
        ("run --conf f.yaml", "gateway run: unknown flag '--conf'; did you mean '--config'?"),
        ("check --jsn", "gateway check: unknown flag '--jsn'; did you mean '--json'?"),
        ("check --zzzzzz", "gateway check: unknown flag '--zzzzzz'; see 'gateway check --help'"),
        ("check everything", "gateway check: unexpected 'everything'; see 'gateway check --help'"),
        ("--workers 2 check", "gateway check: unknown flag '--workers'; see 'gateway check --help'"),
        ("-config", f"gateway: argument -c/--config: expected one argument; {SEE}"),
        ("--port http", f"gateway: argument --port: 'http' is not a number from 0 to 65535; {SEE}"),
        ("--port 65536", f"gateway: argument --port: '65536' is not a number from 0 to 65535; {SEE}"),
        ("--workers 0", f"gateway: argument --workers: '0' is neither a number from 1 nor 'auto'; {SEE}"),
        ("-log-level loud", f"gateway: argument --log-level: 'loud' is none of debug, info, warn, error; {SEE}"),
    ],
)
def test_mistakes_are_explained_in_one_line(gateway, words, message):
    told = gateway(*words.split())
    assert (told.code, told.out, told.err) == (2, "", f"{message}\n")


def test_what_is_typed_cannot_move_the_cursor(gateway):
    assert "\x1b" not in gateway("\x1b[2Jcheck").err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ([], None, [])),
        (["-c", "check"], (["-c", "check"], None, [])),
        (["-config", "f", "check", "--json"], (["-config", "f"], "check", ["--json"])),
        (["-config=f", "check"], (["-config=f"], "check", [])),
        (["--hot-reload", "run"], (["--hot-reload"], "run", [])),
        (["--", "check"], (["--", "check"], None, [])),
    ],
)
def test_the_command_is_the_first_word_that_is_no_flag_and_no_value_of_one(words, expected):
    assert split_command(words) == expected


# Every problem on its own line.


def test_every_problem_of_a_configuration_is_told_on_its_own_line(shell, write):
    write(
        """
        gateway:
          loging: {}
          router:
            rules:
              - path: users
                serviceName: nobody
        """
    )
    told = shell()
    assert told.code == 2
    assert told.out == ""
    lines = told.err.splitlines()
    assert len(lines) >= 2
    assert all(re.match(r"gateway\.yaml:\d+:\d+: gateway\.", line) for line in lines)


@pytest.mark.parametrize("flag", ["-c", "--config", "-config", "--config=", "-config="])
def test_the_configuration_can_be_named_in_every_way(shell, flag):
    words = [f"{flag}nowhere.yaml"] if flag.endswith("=") else [flag, "nowhere.yaml"]
    told = shell(*words)
    assert told.code == 2
    assert told.err.startswith("nowhere.yaml: there is no such file")


def test_a_configuration_may_stand_before_the_command(gateway, shop):
    assert gateway("-config", shop, "check") == gateway("check", "-c", shop)
    assert gateway("-c", shop, "check").code == 0


# Output that nobody reads, interruption.


def test_a_reader_that_goes_away_is_no_error(folder):
    ours, theirs = os.pipe()
    os.close(ours)
    words = [sys.executable, "-m", "gateway.cli", "schema"]
    done = subprocess.run(words, stdout=theirs, stderr=subprocess.PIPE, check=False)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (141, b"")


def test_ctrl_c_ends_a_command_without_a_traceback(folder, write):
    # Not one long sleep: a signal that comes just before it would not wake it.
    sleeps = "for _ in range(600):\n    time.sleep(0.05)\n"
    plugin = write(f"import time\n\nprint('importing', flush=True)\n{sleeps}", "slow.py")
    # Whoever runs tests in the background may have them ignore the signal, and what they start with them.
    words = ["env", "--default-signal=INT", sys.executable, "-m", "gateway.cli", "check", "--plugin", str(plugin)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=40)
    assert (process.returncode, err) == (130, "")


# Running.


class Running:
    """A gateway that runs in a process of its own, on a free port."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def line_with(self, text: str) -> str:
        """Return the first line of its log that holds a text."""
        assert self.process.stdout is not None
        return next((line for line in self.process.stdout if text in line), "")

    def stop(self) -> tuple[int, str]:
        """Press Ctrl-C; return the exit code and what it wrote to standard error."""
        self.process.send_signal(signal.SIGINT)
        _, err = self.process.communicate(timeout=40)
        return self.process.returncode, err


@pytest.fixture
def running(folder):
    started = []

    def run(*words: str) -> Running:
        started.append(Running(*words))
        return started[-1]

    yield run
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


def test_gateway_alone_serves_until_ctrl_c(running):
    gateway = running("--host", "127.0.0.1", "--port", "0")
    assert re.search(r"Z INFO  gateway: listening on 127\.0\.0\.1:\d+", gateway.line_with("listening"))
    assert gateway.stop() == (0, "")


def test_flags_win_over_the_configuration(running, write):
    write("gateway:\n  logging: {format: text, level: error}\n  frontend: {http: {port: 1}}\n  router: {rules: []}\n")
    gateway = running("run", "-log-level", "INFO", "-log-format=json", "--host", "127.0.0.1", "--port", "0")
    assert '"level": "info", "logger": "gateway", "message": "listening on 127.0.0.1:' in gateway.line_with("listening")
    gateway.stop()


def test_a_plugin_file_and_hot_reload_are_handed_on(running, write):
    plugin = write(
        "from gateway import policy\n\n@policy\nasync def hello(exchange, call_next):\n    return None\n", "hello.py"
    )
    gateway = running("--plugin", str(plugin), "-hot-reload", "--host", "127.0.0.1", "--port", "0")
    assert "hello" in gateway.line_with("listening")
    gateway.stop()


def test_a_port_that_is_taken_is_told_in_one_line(running, shell):
    first = running("--host", "127.0.0.1", "--port", "0")
    found = re.search(r"127\.0\.0\.1:(\d+)", first.line_with("listening"))
    assert found is not None
    second = shell("--host", "127.0.0.1", "--port", found[1])
    assert second.code == 2
    assert len(second.err.splitlines()) == 1
    assert found[1] in second.err
    first.stop()


def test_the_command_line_starts_without_what_only_some_commands_need(folder):
    heavy = ("yaml", "gateway.config", "gateway.runtime", "gateway.pluginhost.host")
    code = f"import sys, gateway.cli; gateway.cli.main(['--version']); print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_how_many_workers_may_be_left_to_the_gateway():
    assert (worker_count("auto"), worker_count("AUTO"), worker_count("3")) == ("auto", "auto", 3)
