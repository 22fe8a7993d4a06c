"""Fakes: distributions as pip would have installed them, and the first-party plugins in miniature."""

from __future__ import annotations

import importlib
import sys
import types
from importlib.metadata import EntryPoint, PathDistribution
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from pydantic import Field, SecretStr

from gateway import (
    AdapterRegistration,
    AdminRouteRegistration,
    AuthenticatorRegistration,
    BalancerRegistration,
    Config,
    ConnectorRegistration,
    DiscoveryRegistration,
    Duration,
    HealthCheckerRegistration,
    LimitConfig,
    LimiterRegistration,
    ObserverRegistration,
    PolicyRegistration,
    Stage,
)
from gateway.config import Configuration, ConfiguredRule, load_configuration
from gateway.errors import ConfigurationError


def build(config, context):
    return config


class FrontendHttp(Config):
    host: str = "0.0.0.0"  # noqa: S104 - the mission's default
    port: int = Field(default=8080, ge=0, le=65535)
    read_timeout: Duration = 30.0
    write_timeout: Duration = 30.0


class BackendTls(Config):
    root_ca_file: str | None = Field(default=None, alias="rootCAFile")


class BackendHttp(Config):
    response_header_timeout: Duration = 30.0
    tls: BackendTls = BackendTls()


class StaticInstance(Config):
    id: str = ""
    address: str
    port: int
    health: str = "healthy"


class StaticService(Config):
    name: str
    instances: list[StaticInstance]


class Static(Config):
    services: tuple[StaticService, ...] = ()


class Docker(Config):
    host: str = "unix:///var/run/docker.sock"


class Cors(Config):
    allowed_origins: tuple[str, ...] = ("*",)
    max_age: int = 86400


class RateLimit(LimitConfig):
    rate: int = Field(ge=0)
    total: int = 0
    burst: int | None = None
    store: str = "memory"
    stores: dict[str, dict[str, Any]] = Field(default_factory=dict)


class Jwt(Config):
    issuer: str = ""
    secret: SecretStr | None = None


class ApiKeys(Config):
    keys: dict[str, SecretStr] = Field(default_factory=dict)


class Affinity(Config):
    cookie_name: str = "GATEWAY_SESSION"


HTTP = (
    AdapterRegistration(
        name="http",
        build=build,
        config=FrontendHttp,
        path="frontend.http",
        summary="HTTP/1.1 for clients",
        default_on=True,
        zero_config={"frontend": {"http": {"host": "127.0.0.1"}}},
    ),
    ConnectorRegistration(
        name="http",
        build=build,
        config=BackendHttp,
        path="backend.http",
        default_on=True,
        protocol="http",
        schemes=("http", "https"),
        aliases={"tls.caFile": "tls.rootCAFile"},
    ),
)
STATIC = (DiscoveryRegistration(name="static", build=build, config=Static, path="registry.static"),)
DOCKER = (DiscoveryRegistration(name="docker", build=build, config=Docker, path="registry.docker"),)
BALANCERS = tuple(
    BalancerRegistration(name=name, build=build)
    for name in ("round_robin", "weighted_round_robin", "least_connections")
)
AFFINITY = (
    BalancerRegistration(
        name="sticky_session", build=build, config=Affinity, path="sessionAffinity", rule_key="sessionAffinity"
    ),
)
WEBSOCKET = (
    ConnectorRegistration(
        name="websocket",
        build=build,
        path="backend.websocket",
        default_on=True,
        protocol="websocket",
        over="http",
        upgrades=("websocket",),
        pseudo_methods={"WEBSOCKET": lambda request: request.upgrade == "websocket"},
    ),
)
SSE = (
    ConnectorRegistration(
        name="sse",
        build=build,
        path="backend.sse",
        default_on=True,
        protocol="sse",
        over="http",
        pseudo_methods={"SSE": lambda request: "text/event-stream" in (request.headers.get("accept") or "")},
    ),
)
CORS = (
    PolicyRegistration(
        name="cors",
        build=build,
        config=Cors,
        path="cors",
        rule_key="cors",
        stage=Stage.EDGE,
        aliases={"allowOrigins": "allowedOrigins", "gateway.middleware.cors": "gateway.cors"},
    ),
)
RATELIMIT = (
    LimiterRegistration(
        name="ratelimit",
        build=build,
        config=RateLimit,
        path="rateLimitStorage",
        rule_key="rateLimiting",
        rule_keys={"rateLimit": "rate", "rateLimitBurst": "burst", "rateLimitStorage": "store"},
        sufficient_keys=("total",),
        aliases={
            "default": "store",
            "rate.requestsPerSecond": "rate",
            "rate.burst": "burst",
            "gateway.router.rules[].metadata.rateLimit": "gateway.router.rules[].rateLimit",
        },
    ),
)
JWT = (
    AuthenticatorRegistration(
        name="jwt", build=build, config=Jwt, path="auth.jwt", rule_key="auth.jwt", challenge="Bearer"
    ),
)
APIKEY = (
    AuthenticatorRegistration(name="apikey", build=build, config=ApiKeys, path="auth.apikey", challenge="ApiKey"),
)
RBAC = (PolicyRegistration(name="rbac", build=build, path="auth.rbac", stage=Stage.AUTHORIZE),)
OBSERVER = (ObserverRegistration(name="log", build=build, default_on=True),)
HEALTH = (
    HealthCheckerRegistration(name="active", build=build, path="health"),
    AdminRouteRegistration(name="checks", build=build, path="health", admin_path="/checks"),
)
FIRST_PARTY: dict[str, tuple[Any, ...]] = {
    "http": HTTP,
    "static": STATIC,
    "docker": DOCKER,
    "balancers": BALANCERS,
    "websocket": WEBSOCKET,
    "sse": SSE,
    "affinity": AFFINITY,
    "cors": CORS,
    "ratelimit": RATELIMIT,
    "jwt": JWT,
    "apikey": APIKEY,
    "rbac": RBAC,
    "log": OBSERVER,
    "healthcheck": HEALTH,
}


class Index:
    """Distributions that are installed for one test."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        self._installed: dict[str, list[EntryPoint]] = {}
        folder.mkdir()
        monkeypatch.syspath_prepend(folder)

    @property
    def entry_points(self) -> list[EntryPoint]:
        """Those of everything that is installed."""
        return [point for points in self._installed.values() for point in points]

    def add(self, *names: str) -> None:
        """Install first-party plugins."""
        for name in names:
            self.install(f"gateway-{name}", *FIRST_PARTY[name])

    def has(self, name: str) -> bool:
        """Say whether a first-party plugin is installed."""
        return f"gateway-{name}" in self._installed

    def remove(self, *names: str) -> None:
        """Uninstall first-party plugins."""
        for name in names:
            del self._installed[f"gateway-{name}"]

    def install(
        self, distribution: str, *offers: Any, name: str = "", version: str = "0.1.0", source: str = ""
    ) -> None:
        """Install a distribution whose plugin has these registrations in its module, or this source."""
        module = distribution.replace("-", "_")
        self._monkeypatch.setitem(sys.modules, module, types.ModuleType(module))  # and what it was comes back
        if source:
            (self._folder / f"{module}.py").write_text(dedent(source))
            importlib.invalidate_caches()
            del sys.modules[module]
        else:
            vars(sys.modules[module]).update({f"offer_{number}": offer for number, offer in enumerate(offers)})
        info = self._folder / f"{module}-{version}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        name = name or distribution.removeprefix("gateway-")
        (info / "entry_points.txt").write_text(f"[gateway]\n{name} = {module}\n")
        self._installed[distribution] = list(PathDistribution(info).entry_points)


class Loader:
    """Loads configurations as ``gateway -c gateway.yaml`` would.

    Attributes:
        one_rule: A configuration with one rule; more keys of the rule, or of ``gateway``, can be appended.
    """

    one_rule = dedent("""\
        gateway:
          registry:
            static:
              services:
                - name: users
                  instances: [{address: 127.0.0.1, port: 3000}]
          router:
            rules:
              - path: /*
                serviceName: users
        """)

    def __init__(self, index: Index, folder: Path) -> None:
        self._index = index
        self.folder = folder

    def __call__(self, text: str | None, **options: Any) -> Configuration:
        path = None
        if text is not None:
            (self.folder / "gateway.yaml").write_text(dedent(text))
            path = Path("gateway.yaml")
        options = {"environ": {}, "entry_points": self._index.entry_points} | options
        return load_configuration(path, **options)

    def rule(self, keys: str, **options: Any) -> ConfiguredRule:
        """Return the only rule of a configuration, with these keys of its own."""
        text = self.one_rule + "".join(f"        {line}\n" for line in dedent(keys).splitlines())
        (rule,) = self(text, **options).rules
        return rule

    def problems(self, text: str | None, **options: Any) -> list[str]:
        """Return every problem of a configuration that cannot be loaded."""
        with pytest.raises(ConfigurationError) as refused:
            self(text, **options)
        return [str(problem) for problem in refused.value.problems]

    def warnings(self, text: str, **options: Any) -> list[str]:
        """Return the warnings of a configuration that can."""
        return [str(warning) for warning in self(text, **options).warnings]


@pytest.fixture
def index(tmp_path, monkeypatch):
    """The starter set is installed: HTTP, static discovery and balancers."""
    index = Index(tmp_path / "site-packages", monkeypatch)
    index.add("http", "static", "balancers")
    return index


@pytest.fixture
def load(index, tmp_path, monkeypatch):
    """Load YAML with the starter set and whatever the test installs in ``index``."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Loader(index, folder)
