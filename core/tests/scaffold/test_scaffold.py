"""What ``gateway new-plugin`` writes passes its own tests and checks at once, whatever its kind and name."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.scaffold import kinds, write_plugin

KINDS = kinds()
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHECK = """
import sys
from pathlib import Path
from gateway.config import load_configuration

for file in map(Path, sys.argv[1:]):
    load_configuration(file)
"""
METADATA = "Metadata-Version: 2.1\nName: gateway-{name}\nVersion: 0.1.0\n"


def test_there_is_a_template_for_each_extension_point():
    expected = "adapter admin-route authenticator balancer command connector discovery-provider health-checker limiter"
    assert [*expected.split(), "observer", "policy", "route-source"] == KINDS


@pytest.mark.timeout(100)
def test_their_tests_pass(tmp_path):
    """In one run for all of them, since it is the start that takes long."""
    path = install_all(tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "gateway.testing"]
    tests = [f"{kind}/tests" for kind in KINDS]
    tested = run([*command, "--import-mode=importlib", "-W", "error", *tests], tmp_path, PYTHONPATH=path)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_their_readmes_turn_them_on(tmp_path):
    path = install_all(tmp_path)
    files = []
    for kind in KINDS:
        readme = (tmp_path / kind / "README.md").read_text()
        assert "@" not in readme
        if block := BLOCK.search(readme):
            files.append(tmp_path / kind / "gateway.yaml")
            files[-1].write_text(block[1])
    assert len(files) == len(KINDS) - 1  # a command needs none
    secrets = {"ADMIN_TOKEN": "a" * 32, "TOKEN_OF_REPORTS": "b" * 32}
    checked = run([sys.executable, "-c", CHECK, *map(str, files)], tmp_path, PYTHONPATH=path, **secrets)
    assert checked.returncode == 0, checked.stderr


def install_all(folder):
    """Write one of each kind, and return the search path on which all of them are installed."""
    for kind in KINDS:
        name = f"my-{kind}"
        write_plugin(kind, name, folder / kind)
        # As an installation leaves it: the gateway finds a plugin by the entry point of its distribution.
        package = f"gateway_{name.replace('-', '_')}"
        metadata = folder / "site" / f"{package}-0.1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(METADATA.format(name=name))
        (metadata / "entry_points.txt").write_text(f"[gateway]\n{name} = {package}.plugin\n")
        (folder / kind / "tests" / "conftest.py").unlink()  # which only the topmost may load plugins of pytest
    return os.pathsep.join([str(folder / "site"), *(str(folder / kind / "src") for kind in KINDS)])


@pytest.mark.parametrize("name", ["x", "a-name-of-24-characters"])
def test_it_is_clean(name, tmp_path):
    for kind in KINDS:
        write_plugin(kind, name, tmp_path / kind)
        checked = run([tool("ruff"), "check", "--no-cache", "."], tmp_path / kind)
        assert checked.returncode == 0, checked.stdout
        formatted = run([tool("ruff"), "format", "--no-cache", "--diff", "."], tmp_path / kind)
        assert formatted.returncode == 0, formatted.stdout


def test_its_types_are_right(tmp_path):
    for kind in KINDS:
        write_plugin(kind, f"my-{kind}", tmp_path / kind)
    shutil.copy(tmp_path / KINDS[0] / "pyproject.toml", tmp_path)
    sources = [str(package) for kind in KINDS for package in (tmp_path / kind / "src").iterdir()]
    path = os.pathsep.join(str(tmp_path / kind / "src") for kind in KINDS)
    typed = run([sys.executable, "-m", "mypy", "--strict", *sources], tmp_path, MYPYPATH=path)
    assert typed.returncode == 0, typed.stdout


@pytest.mark.parametrize("name", ["", "Camel", "9lives", "two--hyphens", "-x", "x-", "a_b", "../x", "ünder", 25 * "x"])
def test_other_names_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match="cannot be a plugin's name"):
        write_plugin("policy", name, tmp_path / "plugin")
    assert not (tmp_path / "plugin").exists()


def test_nothing_is_overwritten(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["new-plugin", "policy", "x", "--folder", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_command_says_what_comes_next(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new-plugin", "observer", "slow-requests"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("An observer named slow-requests, in gateway-slow-requests:\n")
    assert "src/gateway_slow_requests/plugin.py" in said
    assert "cd gateway-slow-requests" in said
    assert (tmp_path / "gateway-slow-requests" / "pyproject.toml").is_file()


def run(command, folder, **environment):
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


def tool(name):
    return str(Path(sys.executable).with_name(name))
