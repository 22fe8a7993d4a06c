"""Sticky sessions for Gateway: a client stays with its instance, whichever worker or gateway it comes by.

Nothing is stored: a cookie says, signed, where its client belongs (``token``, ``sticky_session``), and where clients
name their session themselves, in a header or the query, its hash does (``gateway.hash_ring``).
"""
