"""Finding: blocking at line 12: urllib.request.urlopen() blocks the event loop in asks"""

import urllib.request

from gateway import policy


@policy
async def asks(exchange, call_next):
    """Asks somebody."""
    if exchange.request.path == "/never":
        urllib.request.urlopen("http://127.0.0.1:9/")  # noqa: ASYNC210 - what this file is for
    return await call_next(exchange)
