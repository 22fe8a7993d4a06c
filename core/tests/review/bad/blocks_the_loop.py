"""Finding: blocked-loop at line 15: policy 'busy' blocked the loop"""

import time

from gateway import policy


class Work:
    """Hidden from whoever only reads the code of the policy."""

    def __getattr__(self, name):
        until_s = time.monotonic() + 0.34
        while time.monotonic() < until_s:
            # As a regular expression that never ends, or a large document.
            sum(range(2000))
        return name


WORK = Work()


@policy
async def busy(exchange, call_next):
    """Works hard."""
    WORK.hard  # noqa: B018
    return await call_next(exchange)
