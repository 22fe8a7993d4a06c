"""Where limits are counted, as operators configure it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from gateway import Config, Duration, Size

__all__ = ["MemoryConfig", "RedisConfig", "RedisTls", "StoreConfig"]

logger = logging.getLogger("gateway.plugins.gateway-ratelimit")

MIN_TABLE_BYTES = 64 * 1024
MAX_TABLE_BYTES = 4 * 1024**3

_SPELLINGS = {
    "poolSize": "maxConnections",
    "maxActive": "maxConnections",
    "dialTimeout": "connectTimeout",
    "readTimeout": "timeout",
    "sentinelAddresses": "sentinelNodes",
}
_NO_EFFECT = frozenset(
    {"maxIdle", "minIdleConns", "idleTimeout", "maxConnAge", "writeTimeout", "maxRetries"}
    | {"minRetryBackoff", "maxRetryBackoff"}
)
"""Keys of the original gateway for a pool that this one does not need; accepted with a warning, so that files load."""


def _positive(value: float) -> float:
    if not 0.001 <= value <= 60:
        msg = f"{value:g} s is no time to wait for Redis; write one between 1ms and 60s"
        raise ValueError(msg)
    return value


def _table_size(value: int) -> int:
    if not MIN_TABLE_BYTES <= value <= MAX_TABLE_BYTES:
        msg = f"{value} bytes is no size for a table; write one between 64KB and 4GB"
        raise ValueError(msg)
    return value


Wait = Annotated[Duration, AfterValidator(_positive)]


class MemoryConfig(Config):
    """Counters in memory that all workers share."""

    size: Annotated[Size, AfterValidator(_table_size)] = Field(
        default=16 * 1024**2, description="How much memory the table of an algorithm takes at most."
    )


class RedisTls(Config):
    """How to speak TLS to Redis."""

    enabled: bool = Field(default=True, description="Whether to.")
    ca_file: str | None = Field(default=None, description="These authorities instead of the system's.")
    cert_file: str | None = Field(default=None, description="Our certificate, for mutual TLS.")
    key_file: str | None = Field(default=None, description="Its key.")
    insecure_skip_verify: bool = Field(default=False, description="Do not verify the server: for tests only.")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("certFile and keyFile go together; give both or none")
        return self


def _address(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file; pydantic goes on with it
    if not isinstance(value, str):
        return value
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        msg = f"{value!r} is not an address; write host:port"
        raise ValueError(msg)
    return host.strip("[]"), int(port)


Address = Annotated[tuple[str, int], BeforeValidator(_address)]


class RedisConfig(Config):
    """A Redis server, a Redis behind Sentinels, or a Redis Cluster."""

    host: str = Field(default="localhost", description="Where Redis is.")
    port: int = Field(default=6379, ge=1, le=65535, description="Its port.")
    username: str | None = Field(default=None, description="The user; none is Redis' default user.")
    password: SecretStr | None = Field(default=None, description="The password.")
    db: int = Field(default=0, ge=0, description="The number of the database; not with a cluster.")
    tls: RedisTls | None = Field(default=None, description="Speak TLS.")
    cluster: bool = Field(default=False, description="Whether it is a Redis Cluster.")
    cluster_nodes: tuple[Address, ...] = Field(
        default=(), description="Some of its nodes, `host:port`, from which the others are found."
    )
    sentinel: bool = Field(default=False, description="Whether Sentinels say where it is.")
    sentinel_nodes: tuple[Address, ...] = Field(default=(), description="The Sentinels, `host:port`.")
    sentinel_username: str | None = Field(default=None, description="The user at the Sentinels.")
    sentinel_password: SecretStr | None = Field(default=None, description="The password at the Sentinels.")
    master_name: str = Field(default="mymaster", min_length=1, description="What the Sentinels call it.")
    timeout: Wait = Field(default=0.1, description="How long a request waits for a decision.")
    connect_timeout: Wait = Field(default=1.0, description="How long connecting may take, which no request waits for.")
    max_connections: int = Field(
        default=4,
        ge=1,
        le=1000,
        description="Connections of a worker to each server; all of them carry many decisions.",
    )
    key_prefix: str = Field(default="gateway:ratelimit:", max_length=64, description="What the keys begin with.")

    @model_validator(mode="before")
    @classmethod
    def _in_any_spelling(cls, data: Any) -> Any:  # noqa: ANN401 - as above
        """Accept the spellings of the original gateway's files."""
        if not isinstance(data, Mapping):
            return data
        found = dict(data)
        if not found.pop("enabled", True):
            msg = "a block that is there is on; remove it, or write 'store: memory'"
            raise ValueError(msg)
        for old, new in _SPELLINGS.items():
            if old in found:
                found.setdefault(new, found.pop(old))
        for name, flag, nodes in (("cluster", "cluster", "clusterNodes"), ("sentinel", "sentinel", "sentinelNodes")):
            block = found.get(name)
            if isinstance(block, Mapping):
                found[flag] = block.get("enabled", True)
                found.update({nodes: block["addresses"]} if "addresses" in block else {})
        addresses = found.pop("addresses", None)
        if addresses is not None:
            found.setdefault("sentinelNodes" if found.get("sentinel") else "clusterNodes", addresses)
        unused = sorted(_NO_EFFECT & found.keys())
        if unused:
            logger.warning("redis: %s: no effect; there is nothing of that kind to configure", ", ".join(unused))
        return {key: value for key, value in found.items() if key not in _NO_EFFECT}

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.cluster and self.sentinel:
            raise ValueError("a Redis Cluster has no Sentinels; take cluster or sentinel, not both")
        if self.sentinel and not self.sentinel_nodes:
            raise ValueError("nobody says where the Sentinels are; list them in sentinelNodes, as host:port")
        if self.sentinel_nodes and not self.sentinel:
            raise ValueError("sentinelNodes are listed, but sentinel is false; add 'sentinel: true'")
        if self.cluster_nodes and not self.cluster:
            raise ValueError("clusterNodes are listed, but cluster is false; add 'cluster: true'")
        if self.cluster and self.db:
            raise ValueError("a Redis Cluster has only database 0; remove db")
        return self


class StoreConfig(Config):
    """A store."""

    type: Literal["memory", "redis"] = Field(default="memory", description="Where counters live.")
    memory: MemoryConfig = Field(default=MemoryConfig(), description="For `type: memory`.")
    redis: RedisConfig = Field(default=RedisConfig(), description="For `type: redis`.")
