"""Ports for servers that run beside the tests, as processes of their own."""

from __future__ import annotations

import contextlib
import random
import socket

__all__ = ["free_port"]

_FIRST, _LAST = 10_240, 32_767
"""Below those that systems give to outgoing connections, and to who asks for any: from 32768 on Linux, 49152 elsewhere
(RFC 6335 section 6)."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 where nobody listens, for a server that is told its port.

    Who binds port 0 instead and lets go of what it got may find it taken, by any connection of any other test, when the
    server is up at last. This one nobody gets by chance, so that a server can also be started there again.
    """
    while True:
        port = random.randint(_FIRST, _LAST)  # noqa: S311 - no secret
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
