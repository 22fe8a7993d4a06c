from __future__ import annotations

import pickle

import pytest

from gateway.errors import ConfigurationError
from gateway.runtime.options import RunOptions

FILE = """\
gateway:
  logging: {level: warn}
  frontend: {line: {greeting: hello}}
"""


@pytest.fixture
def options(kit, tmp_path, monkeypatch):
    kit.load()  # makes the module
    path = tmp_path / "gateway.yaml"
    path.write_text(FILE)
    plugin = tmp_path / "kit_file.py"
    plugin.write_text(
        "import gateway_kit\nfor _name, _offer in vars(gateway_kit).items():\n    globals()[_name] = _offer\n"
    )
    monkeypatch.setattr("gateway.pluginhost.host.installed_candidates", lambda points=None: [])
    return RunOptions(path=path, plugin_files=[plugin])


def greeting(options: RunOptions) -> str:
    (adapter,) = options.load().adapters
    greeting: str = adapter.config.greeting
    return greeting


def test_a_worker_loads_what_the_control_plane_validated(options):
    """The file may be another by then, or a half one."""
    configuration = options.load()
    pinned = pickle.loads(pickle.dumps(options.pinned(configuration)))  # noqa: S301 - as the channel does
    options.path.write_text(FILE.replace("hello", "goodbye"))
    assert (greeting(options), greeting(pinned)) == ("goodbye", "hello")
    options.path.write_text("gateway: [")
    assert greeting(pinned) == "hello"
    options.path.unlink()
    assert greeting(pinned) == "hello"
    assert pinned.load().folder == configuration.folder


def test_problems_still_have_their_place(options):
    broken = options.pinned(options.load())
    broken = RunOptions(path=broken.path, plugin_files=broken.plugin_files, text=FILE.replace("hello", "[]"))
    with pytest.raises(ConfigurationError) as raised:
        broken.load()
    assert "gateway.yaml:3:31" in str(raised.value)


def test_no_file_stays_no_file(kit, options, tmp_path, monkeypatch):
    """One that appears later in a usual place was validated by nobody."""
    monkeypatch.chdir(tmp_path)
    options.path.unlink()
    none = RunOptions(plugin_files=options.plugin_files)
    pinned = none.pinned(none.load())
    (tmp_path / "gateway.yaml").write_text(FILE)
    assert (greeting(none), greeting(pinned)) == ("hello", "")
    assert pinned.load().path is None
