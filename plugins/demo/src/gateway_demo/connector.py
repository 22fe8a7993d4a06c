"""The connector for the scheme ``demo``."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from gateway_demo.echo import BadRequest, json_response
from gateway_demo.pages import build_pages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway import Exchange, Instance, Response
    from gateway_demo.pages import Page

__all__ = ["DemoConnector"]


class DemoConnector:
    """Answers requests without a network, as httpbin does.

    Args:
        sleep: Waits for so many seconds.
        chance: Returns numbers in [0, 1).
    """

    def __init__(
        self,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._pages = build_pages(sleep, chance)

    async def open(self, instance: Instance, exchange: Exchange) -> Response:
        """Answer the request.

        Raises:
            GatewayError: ``payload_too_large`` if a body that would be echoed has more than 1 MiB.
        """
        response = await self._answer(exchange)
        return _head_of(response) if exchange.request.method == "HEAD" else response

    async def _answer(self, exchange: Exchange) -> Response:
        name, *segments = exchange.upstream_path.removeprefix("/").split("/")
        page = self._pages.get(name)
        if page is None or page.segments not in {None, len(segments)}:
            return json_response({"error": "the demo service has no such page; / lists them"}, status=404)
        if not _has_method(page, exchange.request.method):
            return _wrong_method(page)
        try:
            return await page.answer(exchange, segments)
        except BadRequest as error:
            return json_response({"error": str(error)}, status=400)


def _has_method(page: Page, method: str) -> bool:
    return not page.methods or ("GET" if method == "HEAD" else method) in page.methods


def _wrong_method(page: Page) -> Response:
    methods = [*page.methods, *(["HEAD"] if "GET" in page.methods else [])]
    response = json_response({"error": f"this page has {', '.join(methods)} only"}, status=405)
    response.headers.add("allow", ", ".join(methods))
    return response


def _head_of(response: Response) -> Response:
    """Return what answers HEAD: the fields that GET would have, with the length of its body, if that is known."""
    body = response.body
    length = len(body) if isinstance(body, bytes) else body.length
    response.discard()
    response.body = b""
    if length:
        response.headers.set("content-length", str(length))
    return response


if TYPE_CHECKING:
    from gateway.interfaces import Connector

    _: type[Connector] = DemoConnector
