"""Whatever stands in the file, it loads or is refused with problems; nothing else happens."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigurationError

KEYS = st.sampled_from(
    (
        *("frontend", "backend", "registry", "router", "auth", "plugins", "cors", "rateLimitStorage", "middleware"),
        *("http", "static", "services", "instances", "name", "address", "port", "type", "rules", "required"),
        *("providers", "path", "serviceName", "methods", "headers", "loadBalance", "timeout", "rateLimit", "jwt"),
        *("authType", "scopes", "id", "host", "hosts", "queryParams", "stripPrefix", "allowUpgrade", "metadata"),
        *("enabled", "onError", "order", "workers", "pipeline", "errors", "logging", "level", "skipPaths"),
        *("requiredScopes", "disabledPlugins", "files"),
    )
)
TEXTS = ("", "a", "/a/*", "/:x", "http", "jwt", "static", "round_robin", "GET", "${A}", "5s", "edge", "*")
SCALARS = st.none() | st.booleans() | st.integers(-1, 3) | st.floats(allow_nan=False, width=16) | st.sampled_from(TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(KEYS, values, max_size=4),
    max_leaves=15,
)
BLOCKS = st.dictionaries(KEYS, VALUES, max_size=4)
RULES = st.lists(
    st.fixed_dictionaries({"path": SCALARS | st.just("/a/*")}, optional={"auth": VALUES, "cors": VALUES}), max_size=3
)


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gateway=BLOCKS, rules=st.none() | RULES)
def test_it_loads_or_is_refused(load, index, gateway, rules):
    if not index.has("cors"):
        index.add("cors", "ratelimit", "jwt", "apikey", "affinity", "rbac")
    if rules is not None:
        gateway = gateway | {"router": {"rules": rules}}
    try:
        configuration = load(json.dumps({"gateway": gateway}))
    except ConfigurationError as refused:
        problems = refused.problems
    else:
        problems = ()
        written = (gateway.get("router") or {}).get("rules") or []
        assert len(configuration.rules) == len(written)
        assert json.loads(json.dumps(configuration.raw)) == configuration.raw
    assert all(map(str, problems))
