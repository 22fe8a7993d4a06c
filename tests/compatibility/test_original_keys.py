"""No key of the original gateway is unknown: it has an effect, is another spelling, or is refused with a remedy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gateway.config.load import load_configuration
from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS: list[tuple[str, Any]] = [
    entry
    for entries in yaml.safe_load(Path(__file__).with_name("original_keys.yaml").read_text())
    for entry in entries.items()
]
INSTANCE = {"address": "127.0.0.1", "port": 80}
MEANS_NOTHING = re.compile("unknown key|another version may")


def configuration(path: str, value: Any) -> dict[str, Any]:
    """Return a small configuration with a value at a path such as ``router.rules[0].timeout``."""
    made: dict[str, Any] = {
        "plugins": {"demo": {}},
        "router": {"rules": [{"id": "a", "path": "/a", "serviceName": "demo"}]},
        "registry": {"static": {"services": [{"name": "s", "instances": [dict(INSTANCE)]}]}},
    }
    *blocks, last = re.findall(r"[^.\[]+", path)
    at: Any = made
    for block in blocks:
        at = at[int(block[:-1])] if block.endswith("]") else at.setdefault(block, {})
    at[last] = value
    return made


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Any], list[str]]:
    """Return a function that says what is wrong with a configuration that has a key."""
    file = tmp_path_factory.mktemp("original") / "gateway.yaml"

    def find(path: str, value: Any) -> list[str]:
        text = json.dumps({"gateway": configuration(path, value)})
        try:
            load_configuration(file, text=text, environ={})
        except ConfigurationError as error:
            return [str(problem) for problem in error.problems]
        return []

    return find


BLOCKS = sorted({re.split(r"[.\[]", path)[0] for path, _ in KEYS})


@pytest.mark.parametrize("block", BLOCKS)
def test_no_key_of_the_original_gateway_is_unknown(problems: Callable[[str, Any], list[str]], block: str) -> None:
    keys = [(path, value) for path, value in KEYS if re.split(r"[.\[]", path)[0] == block]
    unknown = {
        f"{path}: {value!r}": found
        for path, value in keys
        if (found := [problem for problem in problems(path, value) if MEANS_NOTHING.search(problem)])
    }
    assert not unknown


def test_a_key_that_nobody_knows_would_be_found(problems: Callable[[str, Any], list[str]]) -> None:
    assert MEANS_NOTHING.search(" ".join(problems("retry.madeUp", 1)))
