"""Compose projects, as an engine knows them and as files list them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugins.docker.tests.fake_engine import container
from plugins.docker.tests.watched import eventually

from gateway_docker.compose import ComposeExposure
from gateway_docker.compose_file import ComposeFileError, ComposeFiles
from gateway_docker.compose_file_provider import build_compose_file_provider
from gateway_docker.config import ComposeFileConfig
from gateway_docker.containers import parse_listing
from gateway_docker.endpoints import Addressing, expose, snapshot_of
from gateway_docker.interpolation import InterpolationError, interpolate, parse_env_file

if TYPE_CHECKING:
    from pathlib import Path


def compose(number: int, project: str, service: str, /, **labels: str | None) -> dict[str, Any]:
    own = {f"gateway.{name}": value for name, value in labels.items()}
    project_labels = {"com.docker.compose.project": project, "com.docker.compose.service": service}
    return container(number, labels={"gateway.service": None, **project_labels, **own})


def found(*entries: object, project: str = "") -> tuple[dict[str, list[str]], list[str]]:
    containers, _ = parse_listing(json.dumps(entries).encode())
    exposed, problems = expose(containers, ComposeExposure(project), "gateway")
    services, _ = snapshot_of(exposed, Addressing("", "127.0.0.1"))
    return {name: [each.address for each in instances] for name, instances in services.items()}, problems


def test_services_have_the_names_of_the_compose_file():
    assert found(compose(1, "shop", "web"), compose(2, "shop", "web"), compose(3, "shop", "api")) == (
        {"web": ["10.0.0.1", "10.0.0.2"], "api": ["10.0.0.3"]},
        [],
    )


def test_a_label_names_the_service_otherwise():
    assert found(compose(1, "shop", "web", service="front"))[0] == {"front": ["10.0.0.1"]}


def test_only_the_project_that_is_asked_for():
    entries = [compose(1, "shop", "web"), compose(2, "blog", "web")]
    assert found(*entries, project="shop") == ({"web": ["10.0.0.1"]}, [])


def test_services_that_several_projects_have_are_never_mixed():
    services, (problem,) = found(compose(1, "shop", "web"), compose(2, "blog", "web"), compose(3, "blog", "api"))
    assert services == {"shop_web": ["10.0.0.1"], "blog_web": ["10.0.0.2"], "api": ["10.0.0.3"]}
    assert "service web exists in the projects blog, shop" in problem


@pytest.mark.parametrize(
    ("labels", "is_served"),
    [
        ({"port": "80"}, True),
        ({"port": None}, False),
        ({"port": None, "enable": "true"}, True),
        ({"port": "80", "enable": "false"}, False),
    ],
)
def test_what_is_exposed(labels, is_served):
    entry = {**compose(1, "shop", "web", **labels), "Ports": [{"PrivatePort": 80, "Type": "tcp"}]}
    assert bool(found(entry)[0]) is is_served


def test_containers_of_compose_run_are_no_instances():
    entry = compose(1, "shop", "web")
    entry["Labels"]["com.docker.compose.oneoff"] = "True"
    assert found(entry) == ({}, [])


# Files.


def read(folder: Path, *texts: str, env: str = "", **environment: str) -> Any:
    paths = []
    for number, text in enumerate(texts):
        paths.append(folder / f"compose-{number}.yml")
        paths[-1].write_text(text)
    (folder / ".env").write_text(env)
    return ComposeFiles(paths, folder / ".env", environment).load()


def test_names_and_values_are_texts_as_in_yaml_1_2(tmp_path):
    text = "x-own: &own {gateway.enable: on}\nservices: {off: {ports: [22:22], labels: {<<: *own, gateway.port: 010}}}"
    service = read(tmp_path, text).services["off"]
    assert service.labels == {"gateway.enable": "on", "gateway.port": "010"}
    assert service.published == [22]


def test_later_files_win_and_ports_are_added(tmp_path):
    project = read(
        tmp_path,
        "name: shop\nservices:\n  web:\n    labels: {gateway.port: 80, gateway.weight: 1}\n    ports: ['8080:80']\n",
        "services:\n  web:\n    labels: ['gateway.weight=${WEIGHT}']\n    ports:\n      - {target: 443}\n  db:\n",
        env="WEIGHT=4\n",
        WEIGHT="5",
    )
    assert project.name == "shop"
    assert project.services["web"].labels == {"gateway.port": "80", "gateway.weight": "5"}
    assert project.services["web"].published == [80, 443]
    assert project.services["db"].labels == {}


@pytest.mark.parametrize(
    ("written", "port"),
    [
        ("3000", 3000), (3000, 3000), ("8000:80", 80), ("127.0.0.1:8001:81", 81), ("[::1]:8001:81", 81),
        ("8080-8081:90-91", 90), ("80/tcp", 80), ("${PORT:-7000}:${PORT:-7000}", 7000), ({"target": 82}, 82),
    ],
)  # fmt: skip
def test_ports_in_all_their_forms(tmp_path, written, port):
    text = json.dumps({"services": {"web": {"ports": ["53:53/udp", written]}}})
    assert read(tmp_path, text).services["web"].published == [port]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("services: [", "is no YAML"),
        ("[]", "has no services"),
        ("services: []", "has no services"),
        ("services: {web: 3}", "service 'web' is '3'"),
        ("services: {web: {ports: ['http']}}", "port 'http' is none"),
        ("services: {web: {ports: 80}}", "ports are '80'; write a list"),
        ("services: {web: {labels: 3}}", "labels are '3'"),
        ("services: {web: {labels: {a: [1]}}}", r"a label is \['1'\]"),
        ("services: {web: {labels: ['a=${B:?is needed}']}}", "B has no value: is needed"),
        ("services: {web: {extends: other}}", "'extends'"),
        ("include: [other.yml]\nservices: {}", "'include'"),
        ("x: !!python/object/apply:os.system ['true']", "is no YAML"),
        ("\x00", "is no YAML"),
        (f"a: {'x' * 1_100_000}", "longer than 1048576"),
    ],
)
def test_files_that_cannot_be_used_say_why(tmp_path, text, reason):
    with pytest.raises(ComposeFileError, match=reason):
        read(tmp_path, text)


def test_aliases_that_unfold_without_end_cost_nothing(tmp_path):
    lines = ["a0: &a0 {x: y}"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert read(tmp_path, "\n".join([*lines, "services: {web: {}}"])).services["web"].labels == {}


def test_files_are_read_again_when_they_changed(tmp_path):
    path = tmp_path / "compose.yml"
    path.write_text("services: {web: {}}")
    files = ComposeFiles([path], tmp_path / ".env", {})
    first = files.load()
    assert files.load() is first
    path.write_text("services: {web: {}, api: {}}")
    assert list(files.load().services) == ["web", "api"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("plain", "plain"), ("$$A", "$A"), ("$A-$B", "1-"), ("${A}${EMPTY}", "1"), ("${NONE:-x}", "x"),
        ("${EMPTY:-x}", "x"), ("${EMPTY-x}", ""), ("${A:+y}", "y"), ("${NONE+y}", ""), ("${EMPTY+y}", "y"),
        ("${NONE:-${A}}", "1"), ("${A:?no}", "1"),
    ],
)  # fmt: skip
def test_interpolation_as_the_compose_specification_has_it(text, meant):
    assert interpolate(text, {"A": "1", "EMPTY": ""}) == meant


@pytest.mark.parametrize("text", ["${NONE:?}", "${EMPTY:?why}", "${NONE?why}", "${", "$", "${A B}", "$-"])
def test_interpolation_that_fails(text):
    with pytest.raises(InterpolationError):
        interpolate(text, {"EMPTY": ""})


@given(st.text(alphabet="${}A:-?+ x", max_size=40))
def test_interpolation_ends(text):
    try:
        result = interpolate(text, {"A": "$A"})
    except InterpolationError:
        return
    assert len(result) <= 2 * len(text)


def test_env_files():
    text = '# comment\nA=1\nexport B = two words # why\nC=\'#$x\'\nD="a\\"b" # c\nnot a line\n=x\nE=#\nF=a#b\n'
    assert parse_env_file(text) == {"A": "1", "B": "two words", "C": "#$x", "D": 'a"b', "E": "", "F": "a#b"}


FILE = """
services:
  web:
    ports: ["8080:80"]
  api:
    expose: [9000]
    labels: {gateway.service: backend}
  off:
    ports: ["1:1"]
    labels: {gateway.enabled: false}
  hidden: {}
  odd:
    labels: {gateway.service: odd, gateway.port: none}
"""


@pytest.mark.anyio
async def test_services_are_reached_by_their_names_without_an_engine(tmp_path, watch):
    file = tmp_path / "docker-compose.yml"
    file.write_text(FILE)
    config = ComposeFileConfig.model_validate({"useServiceNames": True, "refreshInterval": "1s"})
    watched = watch(lambda context: build_compose_file_provider(config, context), "compose-file")
    await watched.until(lambda: watched.services == {"web": ["web:80"], "backend": ["api:9000"]})
    assert watched.status["problems"][0].startswith("service odd is left out: gateway.port is 'none'")
    file.write_text("services: {web: {ports: [81]}}")
    await watched.until(lambda: watched.services == {"web": ["web:81"]})
    file.write_text("services: [")
    assert "is no YAML" in await watched.error()
    assert watched.services == {"web": ["web:81"]}


@pytest.mark.anyio
async def test_projects_and_prefixes_of_files(tmp_path, watch):
    (tmp_path / "a.yml").write_text("services: {shop-web: {ports: [80]}, web: {ports: [80]}}")
    config = ComposeFileConfig.model_validate(
        {"composeFiles": "a.yml", "useServiceNames": True, "projectName": "shop", "servicePrefix": "shop-"}
    )
    watched = watch(lambda context: build_compose_file_provider(config, context), "compose-file")
    await watched.until(lambda: watched.services == {"shop_shop-web": ["shop-web:80"]})


@pytest.mark.anyio
async def test_containers_of_the_files_services_are_found_in_the_engine(fake_engine, tmp_path, watch):
    file = tmp_path / "docker-compose.yml"
    file.write_text("name: shop\nservices: {web: {ports: ['8080:80']}}")
    fake_engine.containers = [
        compose(1, "shop", "web", port="1"), compose(2, "blog", "web"), compose(3, "shop", "other"),
    ]  # fmt: skip
    config = ComposeFileConfig.model_validate({"host": fake_engine.host, "refreshInterval": "1s"})
    watched = watch(lambda context: build_compose_file_provider(config, context), "compose-file")
    await watched.until(lambda: watched.services == {"web": ["10.0.0.1:80"]})
    file.write_text("name: shop\nservices: {web: {labels: {gateway.service: front, gateway.port: 81}}}")
    await watched.until(lambda: watched.services == {"front": ["10.0.0.1:81"]})
    file.unlink()
    assert "docker-compose.yml cannot be read" in await watched.error()
    assert watched.status["state"] == "unavailable"
    await eventually(lambda: fake_engine.streams == 0)
