"""What every limiter promises, kept by each algorithm in memory and in Redis."""

from __future__ import annotations

import pytest

from gateway.testing import LimiterContract


class TestTokenBucket(LimiterContract):
    plugin = "gateway_ratelimit.plugin"
    quota = 10
    remembered = 3000
    algorithm = "token_bucket"

    def config(self):
        return {
            "limits": {"rate": 10, "window": "100h", "algorithm": self.algorithm},
            "memory": {"size": "64KB"},
        }


class TestFixedWindow(TestTokenBucket):
    algorithm = "fixed_window"


class TestSlidingWindow(TestTokenBucket):
    algorithm = "sliding_window"


class TestMovingWindow(TestTokenBucket):
    algorithm = "moving_window"


class TestRedis(TestTokenBucket):
    remembered = 300

    @pytest.fixture(autouse=True)
    def _redis(self, shared_redis):
        shared_redis.client.flushall()
        self.port = shared_redis.port

    def config(self):
        return {
            "limits": {"rate": 10, "window": "100h", "algorithm": self.algorithm},
            "store": "redis",
            "redis": {"port": self.port, "timeout": "2s"},
        }


class TestMovingWindowInRedis(TestRedis):
    algorithm = "moving_window"
