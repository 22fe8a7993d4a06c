"""Answers every request with a greeting in a header."""

from gateway import Exchange, Handler, Response, policy


@policy
async def hello(exchange: Exchange, call_next: Handler) -> Response:
    response = await call_next(exchange)
    response.headers["X-Hello"] = f"Hello, {exchange.request.client}!"
    return response
