"""Finding: failed at line 9: policy 'fails' raised AttributeError"""

from gateway import policy


@policy
async def fails(exchange, call_next):
    """Believes that everybody is known."""
    exchange.request.headers["x-user"] = exchange.principal.subject
    return await call_next(exchange)
