"""``gateway check-plugin``."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from gateway.cli import main
from gateway.review import find_subjects
from gateway.review.metadata import check_metadata
from gateway.scaffold import kinds, write_plugin

BAD = Path(__file__).parents[1] / "review" / "bad"

NEEDY = """
    import time

    from pydantic import Field

    from gateway import Config, policy


    class Needy(Config):
        seconds: float = Field(description="How long it sleeps.")


    @policy
    async def needy(exchange, call_next, config: Needy):
        \"\"\"Sleeps.\"\"\"
        time.sleep(config.seconds)  # check-plugin: allow blocking: for the test
        return await call_next(exchange)
"""


@pytest.fixture
def check(capsys, monkeypatch, tmp_path):
    """Return a function that runs the command, and returns exit code, output and errors.

    The command is a program of its own and cleans up nothing; the tests after this one are in the same process.
    """
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = {*sys.modules}

    def run(*words, **options):
        code = main(["check-plugin", *map(str, words)], **options)
        said = capsys.readouterr()
        return code, said.out, said.err

    yield run
    for name in {*sys.modules} - known:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(tmp_path):
            del sys.modules[name]


def test_a_bad_file_is_told_with_place_and_remedy(check):
    code, out, _ = check(BAD / "sleeps.py")

    assert code == 1
    assert f"{BAD / 'sleeps.py'}:11: error: time.sleep() blocks the event loop in sleepy [blocking]" in absolute(out)
    assert "    await asyncio.sleep(...)" in out


def absolute(text):
    return "\n".join(str(Path.cwd() / line) if line.startswith("core/") else line for line in text.splitlines())


def test_json_says_the_same(check):
    code, out, _ = check(BAD / "plain_secret.py", "--json")

    said = json.loads(out)
    assert code == 1
    assert not said["passed"]
    (plugin,) = said["plugins"]
    assert plugin["name"] == "plain_secret"
    assert plugin["driven"] == ["policy 'signed'"]
    assert plugin["findings"] == [
        {
            "level": "error",
            "check": "secret",
            "file": str(BAD / "plain_secret.py"),
            "line": 9,
            "problem": "Signing.api_key is called like a secret, and str shows it in logs and tracebacks",
            "remedy": "make it pydantic.SecretStr",
        }
    ]


def test_warnings_do_not_fail_it(check):
    code, out, _ = check(BAD / "grows_in_a_closure.py")

    assert code == 0
    assert "passed: 1 warning" in out


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere.py", "there is no file 'nowhere.py'; check the path"),
        ("gateway-nowhere", "'gateway-nowhere' is neither an installed plugin nor a folder; installed are gateway-"),
        (".", "has no entry point in the group 'gateway'; add [project.entry-points.gateway]"),
    ],
)
def test_what_is_no_plugin_is_a_mistake_of_the_command_line(target, said, check, folder):
    code, _, err = check(target)

    assert code == 2
    assert said in err


def test_a_configuration_says_how_components_are_built(check, folder):
    (folder / "needy.py").write_text(dedent(NEEDY))
    (folder / "gateway.yaml").write_text(
        "gateway: {plugins: {demo: {}, needy: {seconds: 0.34}}, router: {rules: [{path: /*, serviceName: demo}]}}"
    )

    code, out, _ = check("needy.py")
    assert code == 0
    assert "not run: policy 'needy' needs a configuration (seconds); use --config FILE" in out
    assert re.search(r"^needy +needy\.py +\d+ ms +1 not run +passed$", out, re.MULTILINE)

    code, out, _ = check("needy.py", "--config", "gateway.yaml")
    assert code == 1, out
    # "blocked the loop 340 ms at file:line"; the comment is about reading, and a loop that stands still is a fact
    assert "needy.py:16: error: policy 'needy' blocked the loop" in out
    assert re.search(r"^needy +needy\.py +\d+ ms +1 run +failed: 1 error$", out, re.MULTILINE)


def test_a_plugin_that_prints_does_not_spoil_the_report(check, folder):
    (folder / "loud.py").write_text(
        "import os\nfrom gateway import policy\n\n@policy\nasync def loud(exchange, call_next):\n"
        '    """Prints."""\n    print("HERE")\n    os.write(1, b"HERE")\n    return await call_next(exchange)\n'
    )

    code, out, _ = check("loud.py")

    assert code == 0
    assert "HERE" not in out


REQUIREMENTS = {
    "": "does not say that it needs gateway-core",
    "\"gateway-core[testing]; extra == 'dev'\"": "does not say that it needs gateway-core",
    '"gateway-core"': "has no upper end",
    '"gateway_core >= 0.1"': "has no upper end",
    '"gateway-core<1"': "has no lower end",
    '"gateway-core>=0.1,<1"': "",
    '"gateway.core ~= 0.1"': "",
    '"gateway-core==0.1.0"': "",
}


@pytest.mark.parametrize(("requirement", "said"), REQUIREMENTS.items())
def test_the_range_of_the_core_is_asked_for(requirement, said, tmp_path):
    write_plugin("policy", "ranged", tmp_path / "ranged")
    manifest = tmp_path / "ranged" / "pyproject.toml"
    manifest.write_text(manifest.read_text().replace('"gateway-core>=0.1,<1"', requirement))
    (subject,) = find_subjects(str(tmp_path / "ranged"))

    findings = list(check_metadata(subject))

    assert [said in finding.problem for finding in findings] == [True] * bool(said)
    assert all(finding.code == "api-version" and finding.file == manifest and finding.line for finding in findings)


@pytest.mark.timeout(100)
def test_what_new_plugin_writes_passes(tmp_path):
    """In a process of its own, in which the folders are on the path."""
    for kind in kinds():
        write_plugin(kind, f"my-{kind}", tmp_path / kind)
    for kind in kinds():
        command = [str(Path(sys.executable).with_name("gateway")), "check-plugin", "--json"]
        done = subprocess.run(command, cwd=tmp_path / kind, capture_output=True, text=True, check=False)
        (plugin,) = json.loads(done.stdout)["plugins"]
        assert (done.returncode, plugin["findings"]) == (0, []), kind
        shutil.rmtree(tmp_path / kind)


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_every_installed_plugin_passes(check):
    code, out, err = check("--json")

    plugins = json.loads(out)["plugins"]
    found = [finding for plugin in plugins for finding in plugin["findings"] if finding["level"] == "error"]
    assert (code, found, err) == (0, [], "")
    assert len(plugins) > 15
    assert sum(len(plugin["driven"]) for plugin in plugins) > 15
