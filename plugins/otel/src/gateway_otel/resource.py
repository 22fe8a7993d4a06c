"""Who says so: the attributes of the resource."""

from __future__ import annotations

import os
import socket
import uuid
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from gateway_otel.config import TelemetryConfig

__all__ = ["resource_attributes"]


def resource_attributes(config: TelemetryConfig) -> dict[str, str | int]:
    """Return them: the process's own, those of the environment, those of the configuration, later ones first."""
    found: dict[str, str | int] = {
        "service.name": "gateway",
        "service.version": version("gateway-core"),
        "service.instance.id": str(uuid.uuid4()),
        "host.name": socket.gethostname(),
        "process.pid": os.getpid(),
        "telemetry.sdk.name": "gateway-otel",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": version("gateway-otel"),
    }
    for item in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        name, equals, value = item.partition("=")
        if equals and name.strip():
            found[name.strip()] = unquote(value.strip())
    named = {
        "service.name": config.service or os.environ.get("OTEL_SERVICE_NAME", ""),
        "service.version": config.version,
        "deployment.environment.name": config.environment,
    }
    found.update({name: value for name, value in named.items() if value})
    found.update(config.attributes)
    return found
