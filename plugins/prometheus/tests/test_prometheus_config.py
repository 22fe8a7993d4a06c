"""The block ``metrics``."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway_prometheus.config import MetricsConfig


def test_defaults() -> None:
    config = MetricsConfig()
    assert (config.path, config.port, config.is_public, config.main_paths) == (None, 0, True, ())
    assert config.buckets[0] == 0.0005
    assert config.buckets[-1] == 10.0


def test_a_port_of_its_own_takes_the_path_and_closes_the_main_listeners() -> None:
    config = MetricsConfig(port=9100, path="/m")
    assert (config.is_public, config.main_paths) == (False, ())
    assert MetricsConfig(port=9100, public=True).is_public


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ({"path": "metrics"}, "not a path for metrics"),
        ({"path": "/"}, "not a path for metrics"),
        ({"path": "/a/*"}, "not a path for metrics"),
        ({"path": "/{a}"}, "not a path for metrics"),
        ({"path": "/_gateway/health"}, "not a path for metrics"),
        ({"path": "/a b"}, "not a path for metrics"),
        ({"port": 65536}, "less than or equal to 65535"),
        ({"buckets": []}, "at least 1 item"),
        ({"buckets": [1, 1]}, "not upper bounds"),
        ({"buckets": [2, 1]}, "not upper bounds"),
        ({"buckets": [0, 1]}, "not upper bounds"),
        ({"buckets": list(range(1, 52))}, "at most 50 items"),
        ({"statusClasses": True, "includeStatusLabel": False}, "remove one of them"),
        ({"includePath": True}, "Extra inputs"),
    ],
)
def test_what_cannot_be_is_refused(block: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        MetricsConfig.model_validate(block)
