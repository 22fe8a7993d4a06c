"""Everything that is public is in the reference."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

import gateway
from gateway import ErrorType, admin, hookspecs, interfaces
from gateway.cli.commands import BUILT_IN
from gateway.config import configuration_schema
from gateway.config.model import GatewayConfig, RuleConfig
from gateway.pluginhost import PluginHost
from gateway.pluginhost.check import model_keys

if TYPE_CHECKING:
    from gateway.admin import ControlView

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("gateway_")}
NAMES = sorted({*gateway.__all__, *interfaces.__all__})


def page(name):
    return (REFERENCE / name).read_text()


def sections(text):
    """Return the text below each heading, by the code in the heading."""
    parts = re.split(r"^##+ (.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def words(text):
    """Return every word that stands in code."""
    codes = re.findall(r"```.*?```|`[^`]+`", text, re.DOTALL)
    return {word for code in codes for pattern in (r"\w+", r"[\w-]+") for word in re.findall(pattern, code)}


# Hooks.


@pytest.mark.parametrize("name", HOOKS)
def test_hook_is_documented_with_its_signature_and_an_example(name):
    signature = inspect.signature(HOOKS[name])
    arguments = ", ".join(signature.parameters)
    section = sections(page("hooks.md")).get(f"`{name}({arguments}) -> {signature.return_annotation}`")
    assert section is not None
    assert f"def {name}(" in section


def test_no_hook_is_documented_that_is_not_there():
    assert set(re.findall(r"^### `(\w+)", page("hooks.md"), re.MULTILINE)) == set(HOOKS)


# Interfaces.


@pytest.mark.parametrize("name", NAMES)
def test_public_name_is_documented(name):
    assert name in words(page("interfaces.md"))


@pytest.mark.parametrize("name", [name for name in interfaces.__all__ if name not in gateway.__all__])
def test_name_that_is_only_in_interfaces_is_marked(name):
    assert f"### `{name}`ⁱ" in page("interfaces.md")


@pytest.mark.parametrize("heading", re.findall(r"^### (`\w+`ⁱ?)$", page("interfaces.md"), re.MULTILINE))
def test_interface_is_documented_with_all_its_members(heading):
    name = heading.strip("`ⁱ")
    public = getattr(gateway, name, None) or getattr(interfaces, name)
    assert name in NAMES
    section = sections(page("interfaces.md"))[heading]
    assert members_of(public) - words(section) == set()


def members_of(public):
    if not inspect.isclass(public) or not public.__module__.startswith("gateway"):
        return set()
    found = {name for name in (*vars(public), *inspect.get_annotations(public)) if not name.startswith("_")}
    attributes = re.search(r"Attributes:\n((?: {4,}.*\n|\n)+)", f"{inspect.getdoc(public)}\n")
    return found | set(re.findall(r"^ {4}(\w+):", attributes[1], re.MULTILINE) if attributes else ())


# Configuration.


def test_configuration_reference_is_up_to_date():
    command = [sys.executable, str(REFERENCE / "generate.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "run: python docs/reference/generate.py"


@pytest.mark.parametrize(("path", "model"), [("gateway", GatewayConfig), ("gateway.router.rules[]", RuleConfig)])
def test_keys_of_the_core_are_documented(path, model):
    assert set(model_keys(model)) - words(sections(page("configuration.md"))[f"`{path}`"]) == set()


def test_every_key_of_the_schema_is_documented():
    properties = keys_of(configuration_schema(PluginHost.discover()))
    assert properties - words(page("configuration.md")) == set()


def keys_of(schema):
    if isinstance(schema, list):
        return set().union(*map(keys_of, schema))
    if not isinstance(schema, dict):
        return set()
    own = set(schema.get("properties", {})) if isinstance(schema.get("properties"), dict) else set()
    return own.union(*map(keys_of, schema.values()))


# The rest.


@pytest.mark.parametrize("error_type", ErrorType, ids=lambda error_type: error_type.code)
def test_error_type_is_documented_with_its_status(error_type):
    assert f"| `{error_type.code}` | {error_type.status} |" in page("errors.md")


@pytest.mark.parametrize(
    "endpoint",
    admin._CoreEndpoints(cast("ControlView", None)).endpoints(),
    ids=lambda endpoint: f"{endpoint.method} {endpoint.path}",
)
def test_admin_endpoint_is_documented(endpoint):
    access = "public" if endpoint.is_public else "token"
    assert f"| `{endpoint.method} /_gateway{endpoint.path}` | {access} |" in page("admin-endpoints.md")


@pytest.mark.parametrize("command", BUILT_IN.values(), ids=lambda command: command.name)
def test_command_is_documented_with_its_flags(command):
    found = sections(page("cli.md"))
    text = found[f"`gateway {command.name}`"] + found["Everywhere"]
    flags = set(command.parser(command.load()).flags) - {"--help"}
    assert {flag for flag in flags if flag not in text} == set()
