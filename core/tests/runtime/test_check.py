from __future__ import annotations

import pytest

from gateway import HealthCheckerRegistration, PolicyRegistration
from gateway.errors import ConfigurationError
from gateway.runtime.check import check


def test_a_good_configuration_starts_nothing(kit):
    check(kit.load())
    assert kit.events == []
    assert kit.built


def test_everything_that_cannot_be_built_is_named(kit):
    """Of both planes: whoever mends one should not find the next only then."""

    def build(config, context):
        raise OSError("no key")

    kit.add(HealthCheckerRegistration(name="checker", build=build), PolicyRegistration(name="policy", build=build))
    text = """\
    router: {rules: [{id: all, path: "/*", serviceName: s}]}
    registry: {fixed: {services: {s: [1]}}}
    plugins: {checker: {}, policy: {}}
    """
    with pytest.raises(ConfigurationError) as refused:
        check(kit.load(text))
    assert sorted(str(problem).split("'")[1] for problem in refused.value.problems) == ["checker", "policy"]
