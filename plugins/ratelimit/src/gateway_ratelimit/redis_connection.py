"""Clients of redis-py for each way in which Redis runs: alone, behind Sentinels, as a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway_ratelimit.store_config import RedisConfig

__all__ = ["Client", "connect"]

Client: TypeAlias = "Redis | RedisCluster"


def connect(config: RedisConfig, resolve: Callable[[str], Path]) -> tuple[Client, Sentinel | None]:
    """Return a client that connects when it is used, and the Sentinels' one where there is one; the caller closes both.

    Args:
        config: How to reach Redis.
        resolve: Finds a file of the configuration.
    """
    options: dict[str, Any] = {
        "username": config.username,
        "password": config.password.get_secret_value() if config.password is not None else None,
        "socket_connect_timeout": config.connect_timeout,
        # Decisions have deadlines of their own; this one is for what redis-py asks by itself.
        "socket_timeout": config.connect_timeout,
        # A script that has run must not run twice; what failed is the lane's to deal with.
        "retry": Retry(NoBackoff(), 0),
        "max_connections": config.max_connections + 1,
        **_tls(config, resolve),
    }
    if config.cluster:
        addresses = config.cluster_nodes or ((config.host, config.port),)
        nodes = [ClusterNode(host, port) for host, port in addresses]
        # A part of the keys is better than none while some slots have no server.
        return RedisCluster(startup_nodes=nodes, require_full_coverage=False, **options), None
    options["db"] = config.db
    if not config.sentinel:
        return Redis(host=config.host, port=config.port, **options), None
    secret = config.sentinel_password
    sentinels = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has no types there
        list(config.sentinel_nodes),
        sentinel_kwargs={
            **options,
            "db": 0,
            "username": config.sentinel_username,
            "password": secret.get_secret_value() if secret is not None else None,
        },
        **options,
    )
    return sentinels.master_for(config.master_name), sentinels


def _tls(config: RedisConfig, resolve: Callable[[str], Path]) -> dict[str, Any]:
    tls = config.tls
    if tls is None or not tls.enabled:
        return {}
    files = {"ssl_ca_certs": tls.ca_file, "ssl_certfile": tls.cert_file, "ssl_keyfile": tls.key_file}
    return {
        "ssl": True,
        "ssl_cert_reqs": "none" if tls.insecure_skip_verify else "required",
        "ssl_check_hostname": not tls.insecure_skip_verify,
        **{name: str(resolve(file)) for name, file in files.items() if file is not None},
    }
