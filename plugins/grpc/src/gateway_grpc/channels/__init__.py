"""Calls of methods of instances.

``channel`` says what a call is, whoever makes it; ``http2`` makes one over the connections to an instance; ``answers``
takes what comes back, and ``compression`` undoes what services compressed.
"""
