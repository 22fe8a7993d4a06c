"""Finding: heavy-import at line 3: importing the plugin imports redis"""

import redis

from gateway import policy


@policy
async def stored(exchange, call_next):
    """Stores."""
    exchange.state["redis"] = redis
    return await call_next(exchange)
