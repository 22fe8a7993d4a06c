"""A policy: adds header fields to what clients are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from gateway import Config, PolicyRegistration, Stage, hookimpl

if TYPE_CHECKING:
    from gateway import BuildContext, Exchange, Handler, Response, Route


class SecurityHeadersConfig(Config):
    frame_options: str = Field("DENY", description="The value of X-Frame-Options; empty sends none.")


class SecurityHeaders:
    waits = False  # it awaits nothing but the next handler

    def __init__(self, config: SecurityHeadersConfig) -> None:
        self._frame_options = config.frame_options

    def wrap(self, call_next: Handler, route: Route) -> Handler:
        if not self._frame_options:
            return call_next  # costs nothing on this route

        async def handler(exchange: Exchange) -> Response:
            response = await call_next(exchange)
            response.headers["X-Frame-Options"] = self._frame_options
            return response

        return handler


@hookimpl
def gateway_register_policies() -> list[PolicyRegistration]:
    return [
        PolicyRegistration(
            name="security_headers",
            summary="Adds X-Frame-Options to responses",
            config=SecurityHeadersConfig,
            build=build,
            stage=Stage.EDGE,
        )
    ]


def build(config: SecurityHeadersConfig, context: BuildContext) -> SecurityHeaders:
    return SecurityHeaders(config)
