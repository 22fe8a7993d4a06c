"""A limiter that is not finished, which its contract says; shown by docs/how-to/test-a-plugin.md."""

import asyncio

from gateway import Decision, LimitConfig, LimiterRegistration
from gateway.testing import LimiterContract


class Buckets:
    def __init__(self):
        self.left = {}

    async def acquire(self, key, cost):
        left = self.left.get(key, 10)
        await asyncio.sleep(0)  # here another request may come in between
        if left < cost:
            return Decision(is_allowed=False, limit=10, remaining=left, reset_s=60, retry_after_s=60)
        self.left[key] = left - cost
        return Decision(is_allowed=True, limit=10, remaining=left - cost, reset_s=60)


def build(config, context):
    return Buckets()


class TestBuckets(LimiterContract):
    plugin = LimiterRegistration(name="buckets", summary="Ten each", config=LimitConfig, build=build)
    quota = 10
