"""The ten minutes of docs/tutorials/first-plugin.md, typed by a test: what the page shows is what a shell answers.

The page is the script. A line that begins with ``$`` is typed (lines with ``>`` belong to it), the lines below are what
must come back, times and request ids aside. To write what comes back into the page:

    WRITE_TRANSCRIPT=1 .venv/bin/python -m pytest tests/packaging/test_ten_minutes.py
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorials" / "first-plugin.md"
TRANSCRIPT = re.compile(
    r"(<!-- transcript: test_ten_minutes\.py -->\n```console\n)(.*?)(^```$)", re.MULTILINE | re.DOTALL
)
PORT = "8080"
MARK = "\x1e"
TIMEOUT_S = 480

pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.timeout(TIMEOUT_S),
    pytest.mark.skipif(shutil.which("curl") is None, reason="the page shows what curl prints"),
]

VARYING = (
    (re.compile(r"\b\d+(\.\d+)? ?(ms|s)\b"), "0 s"),
    (re.compile(r'("requestId": ?)"[^"]+"'), r'\1"0"'),
    (re.compile(r"Python-urllib/[\d.]+|curl/[\d.]+"), "client"),
    (re.compile(r"=+"), "="),  # pytest fills a line
    (re.compile(r"[ \t]+"), " "),  # a table is as wide as its times
)


def test_the_ten_minutes_of_the_page(our_wheels, clean_environment, free_tcp_port, tmp_path):
    page = PAGE.read_text()
    (found,) = TRANSCRIPT.finditer(page)
    shown = read_transcript(found[2])
    commands = [command for command, _ in shown]

    answers = type_all(commands, environment_for(our_wheels, clean_environment, tmp_path), free_tcp_port, tmp_path)

    assert "Traceback" not in "".join(answers), answers
    if os.environ.get("WRITE_TRANSCRIPT"):
        written = "".join(f"{as_typed(command)}{answer}" for command, answer in zip(commands, answers, strict=True))
        PAGE.write_text(page[: found.start(2)] + written + page[found.end(2) :])
        return
    for (command, expected), answer in zip(shown, answers, strict=True):
        assert settled(answer) == settled(expected), f"$ {command}\nanswered:\n{answer}"


def read_transcript(text):
    """Return the commands of a transcript, each with what it answers."""
    steps = []
    for line in text.splitlines(keepends=True):
        if line.startswith("$ "):
            steps.append((line[2:].rstrip("\n"), ""))
        elif line.startswith("> ") and not steps[-1][1]:
            steps[-1] = (f"{steps[-1][0]}\n{line[2:]}".rstrip("\n"), "")
        else:
            steps[-1] = (steps[-1][0], steps[-1][1] + line)
    return steps


def as_typed(command):
    first, *others = command.splitlines()
    return "".join([f"$ {first}\n", *(f"> {line}\n" for line in others)])


def environment_for(our_wheels, clean_environment, tmp_path):
    """Return an environment in which pip knows our wheels, and nothing of the checkout is on the path."""
    programs = tmp_path / "bin"
    base = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    # One pip for all environments: copying it into each takes longer than everything else here.
    put_program(programs / "python", f'[ "$2" = venv ] && exec "{base}" -m venv --without-pip "$3"\nexec "{base}" "$@"')
    put_program(programs / "pip", f'exec "{sys.executable}" -m pip --python "$VIRTUAL_ENV" "$@" --quiet')
    return clean_environment(
        PATH=os.pathsep.join([str(programs), "/usr/local/bin", "/usr/bin", "/bin"]),
        PIP_CONSTRAINT=f"{ROOT / 'constraints.txt'} {our_wheels}",
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        PIP_NO_COMPILE="1",
        COLUMNS="100",
    )


def put_program(path, script):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def type_all(commands, environment, port, folder):
    """Type the commands into one shell, and return what each of them answers."""
    desk = folder / "desk"
    desk.mkdir()
    # A port that is free here; every page has 8080.
    listening = f"GATEWAY__FRONTEND__HTTP__PORT={port} gateway >"
    typed = "\n".join(f"printf '{MARK}'\n{each}" for each in commands)
    typed = typed.replace(f":{PORT}", f":{port}").replace("\ngateway >", f"\n{listening}")
    # A session of its own: whatever happens, no gateway is left behind.
    shell = subprocess.Popen(
        ["bash", "-c", f"{typed}\n"],
        cwd=desk,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=TIMEOUT_S / 2)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    said = output.replace(f":{port}", f":{PORT}").replace(f"{desk}/", "")
    _, *answers = said.split(MARK)
    assert len(answers) == len(commands), said
    return [answer if not answer or answer.endswith("\n") else f"{answer}\n" for answer in answers]


def settled(text):
    """Return an answer without what is another one each time."""
    for pattern, constant in VARYING:
        text = pattern.sub(constant, text)
    return textwrap.dedent(text).strip()
