"""A command line with distributions of its own: small plugins of every kind, installed for one test."""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint, PathDistribution
from pathlib import Path
from textwrap import dedent

import pytest

from gateway.cli import main

HTTP = """
    from gateway import AdapterRegistration, Config, ConnectorRegistration

    class Frontend(Config):
        host: str = "0.0.0.0"
        port: int = 8080

    class Adapter:
        def listeners(self):
            return []

    class Connector:
        async def open(self, instance, exchange):
            raise NotImplementedError

    adapter = AdapterRegistration(
        name="http", summary="HTTP for clients", path="frontend.http", config=Frontend, default_on=True,
        build=lambda config, context: Adapter(),
    )
    connector = ConnectorRegistration(
        name="http", summary="HTTP to services", path="backend.http", default_on=True, protocol="http",
        schemes=("http",), build=lambda config, context: Connector(),
    )
"""

STATIC = """
    from gateway import Config, DiscoveryRegistration

    class Service(Config):
        name: str
        instances: list[str] = []

    class Static(Config):
        services: list[Service] = []

    class Provider:
        async def watch(self, publish):
            publish({})

    static = DiscoveryRegistration(
        name="static", summary="Listed services", path="registry.static", config=Static,
        build=lambda config, context: Provider(),
        zero_config={
            "registry": {"static": {"services": [{"name": "demo"}]}},
            "router": {"rules": [{"id": "demo", "path": "/*", "serviceName": "demo"}]},
        },
    )
"""

BALANCERS = """
    from gateway import BalancerRegistration

    class First:
        def select(self, instances, exchange):
            return instances[0]

    round_robin = BalancerRegistration(
        name="round_robin", summary="Each in turn", build=lambda config, context: First()
    )
    random = BalancerRegistration(name="random", summary="By lot", build=lambda config, context: First())
"""

CORS = """
    from pydantic import Field

    from gateway import Config, PolicyRegistration, Stage

    class Cors(Config):
        allowed_origins: list[str] = ["*"]
        max_age: int = 86400

    class CorsPolicy:
        def wrap(self, next, route):
            return next

    cors = PolicyRegistration(
        name="cors", summary="Cross-origin requests", path="cors", rule_key="cors", stage=Stage.EDGE, config=Cors,
        build=lambda config, context: CorsPolicy(), aliases={"allowOrigins": "allowedOrigins"},
    )
"""

JWT = """
    from pydantic import SecretStr

    from gateway import AuthenticatorRegistration, Config

    class Jwt(Config):
        issuer: str = ""
        secret: SecretStr
        jwks_url: str = ""

    class Authenticator:
        async def authenticate(self, request):
            return None

    jwt = AuthenticatorRegistration(
        name="jwt", summary="JSON Web Tokens", path="auth.jwt", rule_key="auth.jwt", config=Jwt, challenge="Bearer",
        build=lambda config, context: Authenticator(),
    )
"""

RATELIMIT = """
    from gateway import LimitConfig, LimiterRegistration

    class RateLimit(LimitConfig):
        rate: int
        burst: int | None = None

    class Limiter:
        async def acquire(self, key, cost):
            raise NotImplementedError

    ratelimit = LimiterRegistration(
        name="ratelimit", summary="So many a second", path="rateLimitStorage", rule_key="rateLimiting",
        rule_keys={"rateLimit": "rate", "rateLimitBurst": "burst"}, config=RateLimit,
        build=lambda config, context: Limiter(),
    )
"""

MINT = """
    import sys

    from gateway import CommandRegistration, GatewayError, ErrorType

    def add_arguments(parser):
        parser.add_argument("--user", default="nobody")
        parser.add_argument("-vv", dest="is_loud", action="store_true")
        parser.add_argument("--fail", choices=["bug", "refusal", "exit"])

    def run(args):
        if args.fail == "bug":
            return 1 // 0
        if args.fail == "refusal":
            raise GatewayError(ErrorType.FORBIDDEN, "no", detail="nobody may mint here")
        if args.fail == "exit":
            sys.exit(7)
        print(f"token for {args.user}, configuration {args.config}, loud {args.is_loud}")

    mint = CommandRegistration(name="mint", summary="Mint a token", add_arguments=add_arguments, run=run)
"""

STARTERS = {"gateway-http": HTTP, "gateway-static": STATIC, "gateway-balancers": BALANCERS}
EXTRAS = {"gateway-cors": CORS, "gateway-jwt": JWT, "gateway-ratelimit": RATELIMIT}


class Index:
    """Distributions that are installed for one test."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        self.entry_points: list[EntryPoint] = []
        folder.mkdir()
        monkeypatch.syspath_prepend(folder)

    def install(self, distribution: str, source: str, *, version: str = "0.1.0", name: str = "") -> None:
        """Install a distribution whose plugin is a module with this source."""
        module = distribution.replace("gateway-", "installed_")
        (self._folder / f"{module}.py").write_text(dedent(source))
        importlib.invalidate_caches()
        self._monkeypatch.setitem(sys.modules, module, None)  # so that what the import puts there goes away again
        del sys.modules[module]
        info = self._folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        name = name or distribution.removeprefix("gateway-")
        (info / "entry_points.txt").write_text(f"[gateway]\n{name} = {module}\n")
        self.entry_points += PathDistribution(info).entry_points


@dataclass(frozen=True)
class Result:
    """What a command line did."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def logging_restored():
    """Leave logging as it was: commands send it to standard error."""
    loggers = logging.getLogger(), logging.getLogger("gateway")
    before = [(each, each.handlers[:], each.level) for each in loggers]
    yield
    for each, handlers, level in before:
        each.handlers[:] = handlers
        each.setLevel(level)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder in which commands are typed."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for variable in [name for name in os.environ if name.startswith("GATEWAY")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("COLUMNS", "120")
    return folder


@pytest.fixture
def bare_index(tmp_path, monkeypatch):
    """Nothing but the core is installed."""
    return Index(tmp_path / "site-packages", monkeypatch)


@pytest.fixture
def index(bare_index):
    """The starter set in miniature, and a policy, an authenticator and a limiter."""
    for distribution, source in {**STARTERS, **EXTRAS}.items():
        bare_index.install(distribution, source)
    return bare_index


@pytest.fixture
def gateway(folder, bare_index, capsys):
    """Type ``gateway`` and words; the plugins are those of the index."""

    def run(*words: object) -> Result:
        code = main([str(word) for word in words], entry_points=bare_index.entry_points)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def write(folder):
    """Write a file there."""

    def write(text: str, name: str = "gateway.yaml") -> Path:
        path = folder / name
        path.write_text(dedent(text).lstrip("\n"))
        return Path(name)

    return write


@pytest.fixture
def shell(folder):
    """Type ``gateway`` and words in a process of its own, with what is really installed."""

    def run(*words: object, **options) -> Result:
        command = [sys.executable, "-m", "gateway.cli", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False, **options)
        return Result(done.returncode, done.stdout, done.stderr)

    return run


SHOP = """
gateway:
  cors:
    allowedOrigins: [https://shop.example]
  auth:
    jwt:
      secret: hush
  registry:
    static:
      services:
        - {name: users, instances: [a, b]}
        - {name: files}
  router:
    rules:
      - id: user
        path: /users/:id
        methods: [GET, POST]
        serviceName: users
        timeout: 0.25
        authRequired: true
        rateLimit: 100
        stripPrefix: /users
        cors: {maxAge: 60}
      - id: beta
        path: /users/*
        headers: {X-Version: [v1, v2]}
        serviceName: users
        loadBalance: random
      - id: files
        path: /*
        host: files.example
        serviceName: files
"""


@pytest.fixture
def shop(index, write):
    """A configuration with a bit of everything, in ``gateway.yaml``."""
    return write(SHOP)


@pytest.fixture
def minting(bare_index):
    """A plugin with a command is installed, and nothing else."""
    bare_index.install("gateway-mint", MINT)
    return bare_index
