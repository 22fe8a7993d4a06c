"""What gateway-jsonlog offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import BuildContext, ObserverRegistration, hookimpl
from gateway_jsonlog.config import AccessLogConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_jsonlog.observer import AccessLog


@hookimpl
def gateway_register_observers() -> Sequence[ObserverRegistration]:
    return [
        ObserverRegistration(
            name="jsonlog",
            summary="An access log in JSON or combined format",
            config=AccessLogConfig,
            build=build_observer,
            aliases={"gateway.accessLog": "gateway.plugins.jsonlog"},
        )
    ]


def build_observer(config: AccessLogConfig, context: BuildContext) -> AccessLog:
    from gateway_jsonlog.observer import AccessLog

    return AccessLog(config, context)
