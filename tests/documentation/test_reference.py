"""Everything that is public is in the reference."""

from __future__ import annotations

import argparse
import inspect
import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from pydantic import BaseModel

import gateway
from gateway import AdminRouteRegistration, ErrorType, Response, RouteSourceConfig, admin, hookspecs, interfaces
from gateway.admin import AdminEndpoint
from gateway.cli.commands import BUILT_IN
from gateway.cli.plugin_commands import find_commands
from gateway.config import configuration_schema
from gateway.config.claims import place_of, registrations_of
from gateway.config.model import GatewayConfig, RuleConfig
from gateway.pluginhost import PluginHost
from gateway.pluginhost.check import model_keys
from gateway.scaffold import kinds

if TYPE_CHECKING:
    from gateway.admin import ControlView

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
GENERATORS = sorted(path.name for path in REFERENCE.glob("generate*.py"))
HOST = PluginHost.discover()
OFFERS = registrations_of(HOST)
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("gateway_")}
NAMES = sorted({*gateway.__all__, *interfaces.__all__})


def page(name):
    return (REFERENCE / name).read_text()


@pytest.fixture
def generator(monkeypatch):
    """Give a function that returns what a generator of pages has."""
    monkeypatch.syspath_prepend(str(REFERENCE))
    return lambda name: runpy.run_path(str(REFERENCE / name))


@pytest.mark.parametrize("name", GENERATORS)
def test_page_is_up_to_date(generator, name, capsys):
    made = generator(name)
    assert made["write"](made["TARGET"], made["render"], name, ["--check"]) == 0, capsys.readouterr().err


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


@pytest.mark.parametrize("heading", re.findall(r"^### (`\w+`ⁱ?)$", page("interfaces.md"), re.MULTILINE))
def test_arguments_of_members_are_those_of_the_code(heading):
    """Where the page writes any: not of what is optional and so stands in no protocol, nor of examples."""
    name = heading.strip("`ⁱ")
    public = getattr(gateway, name, None) or getattr(interfaces, name)
    for member, written in re.findall(r"`(?:async )?(\w+)\((\w[^)`]*)\)", sections(page("interfaces.md"))[heading]):
        function = getattr(public, member, None)
        if inspect.isroutine(function):
            shown = [each.partition("=")[0] for each in re.findall(r"\w[^,]*", written)]
            assert shown == [each for each in inspect.signature(function).parameters if each != "self"], member


def members_of(public):
    if not inspect.isclass(public) or not public.__module__.startswith("gateway"):
        return set()
    found = {name for name in (*vars(public), *inspect.get_annotations(public)) if not name.startswith("_")}
    attributes = re.search(r"Attributes:\n((?: {4,}.*\n|\n)+)", f"{inspect.getdoc(public)}\n")
    return found | set(re.findall(r"^ {4}(\w+):", attributes[1], re.MULTILINE) if attributes else ())


# Configuration.


@pytest.mark.parametrize(("path", "model"), [("gateway", GatewayConfig), ("gateway.router.rules[]", RuleConfig)])
def test_keys_of_the_core_are_documented(path, model):
    assert set(model_keys(model)) - words(sections(page("configuration.md"))[f"`{path}`"]) == set()


def test_every_key_of_the_schema_is_documented():
    properties = keys_of(configuration_schema(HOST))
    assert properties - words(page("configuration.md")) == set()


def keys_of(schema):
    if isinstance(schema, list):
        return set().union(*map(keys_of, schema))
    if not isinstance(schema, dict):
        return set()
    own = set(schema.get("properties", {})) if isinstance(schema.get("properties"), dict) else set()
    return own.union(*map(keys_of, schema.values()))


@pytest.mark.parametrize(
    ("offer", "distribution"),
    [pytest.param(offer, plugin.distribution, id=f"{plugin.distribution} {offer.name}") for offer, plugin in OFFERS],
)
def test_every_key_of_a_plugin_is_in_its_readme(offer, distribution):
    (readme,) = ROOT.glob(f"*/{distribution.removeprefix('gateway-')}/README.md")
    # What every route source has is told once, in docs/how-to/write-a-route-source.md.
    inherited = model_keys(RouteSourceConfig) if issubclass(offer.config, RouteSourceConfig) else {}
    missing = set(keys_of_model(offer.config)) - set(inherited) - words(readme.read_text())
    assert missing == set(), ".".join(place_of(offer))


def keys_of_model(model):
    for key, name in model_keys(model).items():
        yield key
        for inner in models_in(model.model_fields[name].annotation):
            yield from keys_of_model(inner)


def models_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from models_in(argument)


# The rest.


FAMILIES = re.findall(r"^\| `(\w+)` \|", page("metrics.md"), re.MULTILINE)
READMES = [*ROOT.glob("plugins/*/README.md"), *ROOT.glob("contrib/*/README.md")]


@pytest.mark.parametrize(
    "path", [*ROOT.glob("*.md"), *ROOT.glob("docs/*/*.md"), *READMES], ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_page_names_a_metric_that_is_not_there(path):
    named = re.findall(r"\bgateway_\w+_(?:total|seconds|bytes|active|instances|connections)\b", path.read_text())
    assert set(named) - set(FAMILIES) == set()


@pytest.mark.parametrize("distribution", sorted({*sections(page("metrics.md"))} - {"`gateway-core`"}))
def test_metrics_of_a_plugin_are_in_its_readme(distribution):
    (readme,) = ROOT.glob(f"*/{distribution.strip('`').removeprefix('gateway-')}/README.md")
    counted = re.findall(r"^\| `(\w+)` \|", sections(page("metrics.md"))[distribution], re.MULTILINE)
    assert set(counted) - words(readme.read_text()) == set()


@pytest.mark.anyio
async def test_families_of_a_running_gateway_are_in_the_reference(gateway_factory, upstream):
    gateway = await gateway_factory({"metrics": {}, "retry": {}, "circuitBreaker": {}}, upstream=upstream)
    await gateway.ask("GET", "/")
    families = await gateway.gateway.control.metrics()
    assert len(families) > 20
    for family in families:
        labels = ", ".join(f"`{label}`" for label in family.label_names)
        assert f"| `{family.name}` | {family.kind} | {labels} | {family.help} |" in page("metrics.md")


# What is not documented fails its generator.


def test_error_without_a_text_is_an_error(generator):
    made = generator("generate_errors.py")
    source = 'class ErrorType:\n    NOT_FOUND = 1\n    """Nothing is there."""\n    TIMEOUT = 2\n    GONE = 3\n'
    with pytest.raises(ValueError, match=r"ErrorType.TIMEOUT says not when"):
        dict(made["texts_of"](source))


def test_admin_endpoint_without_a_text_is_an_error(generator):
    async def says_nothing(request):
        return Response(200)

    made = generator("generate_admin_endpoints.py")
    with pytest.raises(ValueError, match=r"GET /secret says not what it answers"):
        made["core_row"](AdminEndpoint(method="GET", path="/secret", answer=says_nothing))


def test_hook_without_a_text_or_an_example_is_an_error(generator):
    made = generator("generate_hooks.py")

    def gateway_register_protocols():
        pass

    def gateway_register_secrets():
        """Offer secrets."""

    with pytest.raises(ValueError, match="has no docstring"):
        made["section"]("gateway_register_protocols", gateway_register_protocols)
    with pytest.raises(ValueError, match="has no example"):
        made["section"]("gateway_register_secrets", gateway_register_secrets)


def test_argument_without_a_text_is_an_error(generator):
    made = generator("generate_cli.py")
    parser = argparse.ArgumentParser("gateway secret")
    parser.add_argument("--quietly")
    with pytest.raises(ValueError, match="--quietly of gateway secret is not explained"):
        made["table"](parser)


def test_command_that_the_template_lacks_is_an_error(generator, tmp_path):
    made = generator("generate_cli.py")
    shorter = tmp_path / "cli.md.in"
    shorter.write_text(made["TEMPLATE"].read_text().replace("@command graph@", ""))
    made["render"].__globals__["TEMPLATE"] = shorter
    with pytest.raises(ValueError, match=r"lacks .*@command graph@"):
        made["render"]()


def test_page_that_is_out_of_date_is_told(generator, tmp_path, capsys):
    made = generator("generate_errors.py")
    page = tmp_path / "errors.md"
    assert made["write"](page, made["render"], "generate_errors.py", ["--check"]) == 1
    assert capsys.readouterr().err == "errors.md is out of date; run: python docs/reference/generate_errors.py\n"
    assert made["write"](page, made["render"], "generate_errors.py", []) == 0
    assert made["write"](page, made["render"], "generate_errors.py", ["--check"]) == 0


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


@pytest.mark.parametrize(
    ("offer", "distribution"),
    [
        pytest.param(offer, plugin.distribution, id=f"{offer.method} {offer.admin_path}")
        for offer, plugin in OFFERS
        if isinstance(offer, AdminRouteRegistration)
    ],
)
def test_admin_endpoint_of_a_plugin_is_documented(offer, distribution):
    rows = page("admin-endpoints.md").splitlines()
    assert [
        row for row in rows if f"`{offer.method} /_gateway{offer.admin_path}`" in row and f"`{distribution}`" in row
    ]


@pytest.mark.parametrize("command", [command for command, _ in find_commands(HOST)], ids=lambda command: command.name)
def test_command_of_a_plugin_is_documented(command):
    assert f"`gateway {command.name}`" in sections(page("cli.md"))


@pytest.mark.parametrize("command", BUILT_IN.values(), ids=lambda command: command.name)
def test_command_is_documented_with_its_flags(command):
    found = sections(page("cli.md"))
    text = found[f"`gateway {command.name}`"] + found["Everywhere"]
    flags = set(command.parser(command.load()).flags) - {"--help"}
    assert {flag for flag in flags if flag not in text} == set()


# Guides.


@pytest.mark.parametrize("kind", kinds())
def test_there_is_a_guide_for_every_kind_of_plugin(kind):
    guides = [path.read_text() for path in (ROOT / "docs" / "how-to").glob("write-a*.md")]
    (guide,) = [text for text in guides if f"gateway new-plugin {kind} NAME" in text]
    assert "Contract`](test-a-plugin.md#the-contract)" in guide
