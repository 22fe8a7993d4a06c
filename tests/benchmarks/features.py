"""What proxies are asked to do besides forwarding, as each of them spells it.

- ``apikey``: refuse requests without the right ``X-API-Key``.
- ``ratelimit``: a limit for each client address that is never reached.
- ``metrics``: count requests and their durations for Prometheus; nginx has nothing of the kind.
- ``accesslog``: a line for each request, buffered where the proxy can.
- ``live``: let WebSockets through at ``/ws``, and event streams, as they come, at ``/events`` and ``/rest``; 25,000 of
  them may be open.
- ``jwt``: verify RS256 tokens; ``jwt-cache`` where verified ones are remembered, if the proxy leaves that open.
- ``http2``: speak HTTP/2 to clients, too.
- ``grpc``: forward calls of gRPC; with ``transcoding`` also JSON that is POSTed to `/package.Service/Method`.
- the others are the gateway's own, to measure what each costs.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import json
import time
from typing import TYPE_CHECKING, Any

import process

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

__all__ = [
    "API_KEY",
    "GRPC_SERVICE",
    "ORIGIN",
    "Tokens",
    "envoy_filters",
    "envoy_log",
    "envoy_upgrades",
    "gateway_lines",
    "gateway_rule",
    "gateway_rules",
    "make_tokens",
    "nginx_http",
    "nginx_server",
]

GRPC_SERVICE = "bench.Echo"
API_KEY = "bench-4f9c2b7e1d8a4c35b6f0e2a97c1d5b83"
ISSUER = "https://issuer.example"
ORIGIN = "https://shop.example"
TOKENS = 2_000
ENOUGH = 1_000_000
"""A limit, in requests a second, that nobody reaches."""

_TYPE_URL = "type.googleapis.com/envoy.extensions"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Signed tokens and the key that verifies them.

    Attributes:
        file: The tokens, one in a line.
        public_key: The key as a PEM file.
        jwks: The key as a JSON Web Key Set.
    """

    file: Path
    public_key: Path
    jwks: str

    @property
    def first(self) -> str:
        """One of them."""
        return self.file.read_text().partition("\n")[0]


def make_tokens(directory: Path) -> Tokens:
    """Makes tokens of 2,000 users, signed with RS256 by a key of 2,048 bits, valid for an hour.

    Raises:
        StartError: If cryptography is not installed.
    """
    try:
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - only these scenarios need it
        from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415 - as above
    except ImportError:
        message = "cryptography is not installed, and the jwt scenario needs tokens; try: make build"
        raise process.StartError(message) from None
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    numbers = key.public_key().public_numbers()
    now = int(time.time())
    head = _encoded(json.dumps({"alg": "RS256", "typ": "JWT", "kid": "bench"}).encode())
    lines = []
    for number in range(TOKENS):
        claims = {
            "iss": ISSUER,
            "sub": f"user-{number}",
            "aud": "bench",
            "iat": now,
            "exp": now + 3600,
            "scope": "read",
        }
        signed = f"{head}.{_encoded(json.dumps(claims).encode())}"
        signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        lines.append(f"{signed}.{_encoded(signature)}")
    file, public_key = directory / "tokens.txt", directory / "public.pem"
    file.write_text("\n".join(lines) + "\n")
    public_key.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    jwk = {"kty": "RSA", "kid": "bench", "alg": "RS256", "use": "sig", "e": "AQAB", "n": _encoded_number(numbers.n)}
    return Tokens(file=file, public_key=public_key, jwks=json.dumps({"keys": [jwk]}))


def nginx_http(features: Collection[str], directory: Path) -> list[str]:
    """Returns the lines for nginx's block `http`."""
    lines = []
    if "apikey" in features:
        lines.append(f"    map $http_x_api_key $key_is_right {{ default 0; {API_KEY} 1; }}")
    if "ratelimit" in features:
        lines.append(f"    limit_req_zone $binary_remote_addr zone=clients:10m rate={ENOUGH}r/s;")
    if "accesslog" in features:
        lines.append(f"    access_log {directory}/access.log combined buffer=64k flush=1s;")
    else:
        lines.append("    access_log off;")
    return lines


def nginx_server(features: Collection[str]) -> list[str]:
    """Returns the lines for nginx's block `server`."""
    lines = []
    if "apikey" in features:
        lines.append("        if ($key_is_right = 0) { return 401; }")
    if "ratelimit" in features:
        lines.append("        limit_req zone=clients burst=100000 nodelay;")
    if "live" in features:
        lines += [
            "        location = /ws {",
            "            proxy_pass http://up;",
            "            proxy_set_header Upgrade $http_upgrade;",
            '            proxy_set_header Connection "upgrade";',
            "            proxy_set_header Host $http_host;",
            "            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
            "            proxy_read_timeout 600s;",
            "        }",
            *(
                f"        location = {path} {{ proxy_pass http://up; proxy_buffering off; proxy_read_timeout 600s; }}"
                for path in ("/events", "/rest")
            ),
        ]
    return lines


def envoy_upgrades(features: Collection[str]) -> list[dict[str, Any]]:
    """Returns the protocols that Envoy lets clients change to."""
    return [{"upgrade_type": "websocket"}] if "live" in features else []


def gateway_rules(features: Collection[str]) -> list[str]:
    """Returns the lines of the gateway's further rules."""
    if "live" not in features:
        return []
    return [
        "      - {id: sockets, path: /ws, serviceName: up, protocol: websocket}",
        "      - {id: events, path: /events, serviceName: up, protocol: sse}",
        "      - {id: rest, path: /rest, serviceName: up, protocol: sse}",
    ]


def gateway_rule(features: Collection[str], descriptors: Path | None) -> str:
    """Returns what each of the gateway's rules says besides path and service, to stand last in it."""
    keys: dict[str, Any] = {}
    if "grpc" in features:
        keys["protocol"] = "grpc"
    if "transcoding" in features:
        keys["grpc"] = {"protoDescriptor": str(descriptors)}
    if "affinity" in features:
        keys |= {"loadBalance": "sticky_session", "sessionAffinity": {"source": "header"}}
    return "".join(f", {key}: {json.dumps(value)}" for key, value in keys.items())


def envoy_filters(features: Collection[str], tokens: Tokens | None, descriptors: Path | None) -> list[dict[str, Any]]:
    """Returns Envoy's HTTP filters, to stand before the router."""
    filters: list[dict[str, Any]] = []
    if "apikey" in features:
        key = {
            "@type": f"{_TYPE_URL}.filters.http.api_key_auth.v3.ApiKeyAuth",
            "credentials": [{"key": API_KEY, "client": "bench"}],
            "key_sources": [{"header": "x-api-key"}],
        }
        filters.append({"name": "envoy.filters.http.api_key_auth", "typed_config": key})
    if "jwt" in features and tokens is not None:
        provider: dict[str, Any] = {
            "issuer": ISSUER,
            "audiences": ["bench"],
            "local_jwks": {"inline_string": tokens.jwks},
        }
        if "jwt-cache" in features:
            provider["jwt_cache_config"] = {"jwt_cache_size": 2 * TOKENS}
        jwt = {
            "@type": f"{_TYPE_URL}.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"bench": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}],
        }
        filters.append({"name": "envoy.filters.http.jwt_authn", "typed_config": jwt})
    if "ratelimit" in features:
        always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
        limit = {
            "@type": f"{_TYPE_URL}.filters.http.local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": "limit",
            "token_bucket": {"max_tokens": ENOUGH, "tokens_per_fill": ENOUGH, "fill_interval": "1s"},
            "filter_enabled": always,
            "filter_enforced": always,
        }
        filters.append({"name": "envoy.filters.http.local_ratelimit", "typed_config": limit})
    if "transcoding" in features:
        transcoder = {
            "@type": f"{_TYPE_URL}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
            "proto_descriptor": str(descriptors),
            "services": [GRPC_SERVICE],
            "auto_mapping": True,
        }
        filters.append({"name": "envoy.filters.http.grpc_json_transcoder", "typed_config": transcoder})
    return filters


def envoy_log(features: Collection[str], directory: Path) -> list[dict[str, Any]]:
    """Returns Envoy's access logs."""
    if "accesslog" not in features:
        return []
    log = {"@type": f"{_TYPE_URL}.access_loggers.file.v3.FileAccessLog", "path": str(directory / "access.log")}
    return [{"name": "envoy.access_loggers.file", "typed_config": log}]


def gateway_lines(
    features: Collection[str], directory: Path, tokens: Tokens | None, redis_port: int | None
) -> list[str]:
    """Returns the lines of the gateway's configuration below `gateway`."""
    limit = {"rate": ENOUGH, "burst": ENOUGH}
    blocks: dict[str, dict[str, Any]] = {
        "apikey": {"auth": {"required": True, "apiKey": {"keys": {"bench": {"key": API_KEY}}}}},
        "ratelimit": {"rateLimit": limit},
        # Without Redis there are no answers, so that none is counted elsewhere.
        "redis": {"rateLimit": {**limit, "onOutage": "deny", "redis": {"host": "127.0.0.1", "port": redis_port}}},
        "metrics": {"metrics": {}},
        "accesslog": {"plugins": {"jsonlog": {"output": str(directory / "access.log")}}},
        "cors": {"cors": {"allowedOrigins": [ORIGIN]}},
        "retry": {"retry": {}},
        "circuitbreaker": {"circuitBreaker": {}},
        "circuitbreaker-budget": {"circuitBreaker": {"latencyBudget": "1s"}},
        "mtls": {"auth": {"required": True, "mtls": {}}},
        "cache": {"plugins": {"cache": {}}},
        # Almost nothing is sampled, and nobody takes what is.
        "tracing": {"telemetry": {"tracing": {"sampleRate": 0.000001, "endpoint": "http://127.0.0.1:9"}}},
    }
    if tokens is not None:
        key = {"issuer": ISSUER, "audience": "bench", "algorithms": "RS256", "publicKeyFile": str(tokens.public_key)}
        blocks["jwt"] = {"auth": {"required": True, "jwt": key}}
    wanted = [block for feature, block in blocks.items() if feature in features]
    # JSON is YAML.
    return [f"  {name}: {json.dumps(value)}" for block in wanted for name, value in block.items()]


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _encoded_number(number: int) -> str:
    return _encoded(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def sets(text: str, known: Collection[str]) -> list[str]:
    """Reads sets of features from a command line: `a,b+c` are two.

    Raises:
        ArgumentTypeError: If one of them is not among the known.
    """
    named = text.split(",")
    for name in (name for names in named for name in names.split("+")):
        if name not in known:
            message = f"{name!r} is unknown; there are {', '.join(known)}"
            raise argparse.ArgumentTypeError(message)
    return named
