"""The spellings of the gateway that this one succeeds, turned into the one that is documented."""

from __future__ import annotations

from typing import Any

__all__ = ["modernised"]

_ACTIVE_KEYS = {"path", "interval", "timeout", "method", "healthyThreshold", "unhealthyThreshold", "type"}


def modernised(data: dict[str, Any]) -> dict[str, Any]:
    """Return the block with all checks where they belong.

    There, ``checks`` held both: what the gateway needs, and services whose instances are asked. The latter are those
    that say ``config.type`` (the name of the check is the service), and the entries of a list (with ``services``).
    """
    checks = data.get("checks")
    if isinstance(checks, list):
        return _of_list(data, checks)
    if isinstance(checks, dict):
        return _of_mapping(data, checks)
    return data


def _of_mapping(data: dict[str, Any], checks: dict[str, Any]) -> dict[str, Any]:
    services = dict(data.get("services") or {})
    kept = {}
    for name, check in checks.items():
        config = check.get("config") if isinstance(check, dict) else None
        if not isinstance(config, dict) or "type" not in config:
            kept[name] = check
            continue
        active = {**{key: value for key, value in check.items() if key in ("interval", "timeout")}, **config}
        services[name] = _with_active(services, name, active)
    return {**data, "checks": kept, "services": services}


def _of_list(data: dict[str, Any], checks: list[Any]) -> dict[str, Any]:
    services = dict(data.get("services") or {})
    for position, check in enumerate(checks):
        if not isinstance(check, dict):
            msg = f"checks[{position}]: {check!r} is not a check; write its keys"
            raise ValueError(msg)  # noqa: TRY004 - pydantic turns ValueError into a message
        active = {key: value for key, value in check.items() if key in _ACTIVE_KEYS}
        if "expectedStatus" in check:
            active["expectedStatuses"] = check["expectedStatus"]
        named = check.get("services", check.get("service"))
        names = [named] if isinstance(named, str) else named
        if not isinstance(names, list) or not names:
            msg = (
                f"checks[{position}]: it names no services; write 'services', or name what the gateway needs in a block"
            )
            raise ValueError(msg)
        unknown = check.keys() - _ACTIVE_KEYS - {"expectedStatus", "services", "service"}
        if unknown:
            msg = f"checks[{position}]: unknown key {min(unknown)!r}; the keys of a check are those of health.active"
            raise ValueError(msg)
        for name in names:
            services[name] = _with_active(services, name, active)
    return {**{key: value for key, value in data.items() if key != "checks"}, "services": services}


def _with_active(services: dict[str, Any], name: str, active: dict[str, Any]) -> dict[str, Any]:
    own = services.get(name) or {}
    if isinstance(own, dict) and own.get("active"):
        msg = f"service {name!r} is checked twice: in health.checks and in health.services; keep the latter"
        raise ValueError(msg)
    return {**own, "active": active}
