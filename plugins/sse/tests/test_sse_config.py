"""What may stand in the configuration."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.errors import ConfigurationError
from gateway_sse.config import SseConfig
from gateway_sse.refused import REFUSED, REFUSED_BACKEND

REFUSED_KEYS = {"frontend": REFUSED, "rule": REFUSED, "backend": REFUSED_BACKEND}


@pytest.mark.parametrize(("where", "key"), [(where, key) for where, keys in REFUSED_KEYS.items() for key in keys])
@pytest.mark.anyio
async def test_what_means_nothing_is_refused_with_the_reason(gateway_factory, upstream, where, key):
    keys = {"sse": {key: 1}}
    blocks = {} if where == "rule" else {where: keys}
    with pytest.raises(ConfigurationError) as refused:
        await gateway_factory(blocks, upstream=upstream, rule={"protocol": "sse", **(keys if where == "rule" else {})})
    (problem,) = refused.value.problems
    assert problem.path.endswith(f"sse.{key}")
    assert problem.message == REFUSED_KEYS[where][key]


def test_fields_to_share_by_are_names():
    assert SseConfig.model_validate({"shareBy": ["X-Team"]}).share_by == ("x-team",)
    with pytest.raises(ValidationError, match="is not the name of a field"):
        SseConfig.model_validate({"shareBy": ["x team"]})
