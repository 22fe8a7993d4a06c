"""Limits that components charge themselves, from whichever plugin offers the limiter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from gateway.config.places import Block, plain
from gateway.config.result import Configured
from gateway.pipeline.limiting import key_function
from gateway.pipeline.quota import AppliedQuota
from gateway.pluginhost.check import RESERVED_KEYS
from gateway.registrations import LimiterRegistration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import Configuration
    from gateway.interfaces import Limiter

__all__ = ["limits_of", "quota_of"]


def limits_of(configuration: Configuration, limiter: str, settings: Mapping[str, object]) -> list[Configured]:
    """Return the limits that settings of a limiter mean.

    Args:
        configuration: The configuration; what its block of the limiter says lies under the settings.
        limiter: The name of the limiter.
        settings: As they would stand in a rule's block, without other spellings of keys.

    Raises:
        ValueError: If there is no such limiter, or the settings are not valid for it.
    """
    registration = configuration.host.find("limiter", limiter)
    if not isinstance(registration, LimiterRegistration):
        installed = ", ".join(sorted(offer.name for offer in configuration.host.of_kind("limiter"))) or "none"
        msg = f"no installed plugin provides the limiter {limiter!r}; there is: {installed}"
        raise ValueError(msg)  # noqa: TRY004 - it is the name that is wrong
    block = _block_of(configuration.data, registration.path or f"plugins.{limiter}")
    # Limits that the block itself makes are for requests, and no part of what is charged here.
    base = {key: value for key, value in block.items() if key not in registration.sufficient_keys}
    merged = _merged(base, settings)
    try:
        config = registration.config.model_validate(merged)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        msg = f"the limiter {limiter!r} cannot be configured so: {where}: {first['msg']}"
        raise ValueError(msg) from error
    plugin = configuration.host.owner(registration)
    return [
        Configured(plugin=plugin, registration=registration, config=limit, where="")
        for limit in registration.limits_of(config)
    ]


def quota_of(owner: str, limit: Configured, limiter: Limiter) -> AppliedQuota:
    """Return a limit as its owner charges it.

    Args:
        owner: Whose it is.
        limit: What it is configured as.
        limiter: What was built of that.
    """
    return AppliedQuota(owner, limit.name, limiter, key_function(limit.config.key))


def _block_of(data: Block, path: str) -> Mapping[str, Any]:
    found: object = data
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Block) else None
    return plain(found) if isinstance(found, Block) else {}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return one with the other over it, key by key, without the keys that the core reads itself."""
    merged = {key: value for key, value in base.items() if key not in RESERVED_KEYS}
    for key, value in over.items():
        beneath = merged.get(key)
        if isinstance(value, dict) and isinstance(beneath, dict):
            merged[key] = _merged(beneath, value)
        else:
            merged[key] = value
    return merged
