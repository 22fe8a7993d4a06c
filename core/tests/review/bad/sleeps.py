"""Finding: blocking at line 11: time.sleep() blocks the event loop in sleepy"""

from time import sleep

from gateway import policy


@policy
async def sleepy(exchange, call_next):
    """Sleeps."""
    sleep(0.0)  # noqa: ASYNC251 - what this file is for
    return await call_next(exchange)
