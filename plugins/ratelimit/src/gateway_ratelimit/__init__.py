"""Rate limits for Gateway: token bucket and windows, in memory for all workers, or in Redis.

How a limit counts is a pure function (``algorithms``); where its counters live is a store: ``table`` in memory that all
workers share, ``redis_store`` in Redis, where the same function runs as a script (``scripts``).
"""
