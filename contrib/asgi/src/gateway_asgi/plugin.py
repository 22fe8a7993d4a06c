"""What gateway-asgi offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import AdapterRegistration, BuildContext, hookimpl
from gateway_asgi.config import AsgiConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_asgi.adapter import AsgiAdapter


@hookimpl
def gateway_register_protocols() -> Sequence[AdapterRegistration]:
    return [
        AdapterRegistration(
            name="asgi",
            summary="Takes requests from an ASGI server instead of listening",
            config=AsgiConfig,
            build=build_asgi_adapter,
            path="frontend.asgi",
        )
    ]


def build_asgi_adapter(config: AsgiConfig, context: BuildContext) -> AsgiAdapter:
    from gateway_asgi.adapter import AsgiAdapter

    return AsgiAdapter(config, context)
