"""A shared response cache for Gateway, as RFC 9111 has it.

- ``CachePolicy``: the policy, which makes a ``CachingRoute`` of each route.
- ``MemoryStore``: what is stored, bounded in bytes, least recently used first to go.
- ``StoredResponse``: one response, and how fresh it is.
- ``Flights``: one fetch for all who want the same at the same time.
- ``Filling``: a body that goes to the first client and into the store at once.
"""
