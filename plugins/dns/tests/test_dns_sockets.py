"""What is left of look-ups that are cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket

import pytest
import uvloop

from gateway_dns.config import DnsConfig
from gateway_dns.lookup import Lookups


async def cancel_look_ups(port: int, turns: int) -> int:
    """Cancel look-ups after so many turns of the event loop; returns how many descriptors they leave open."""
    block = {"servers": [f"127.0.0.1:{port}"], "services": [{"name": "orders", "host": "orders.test", "port": 80}]}
    config = DnsConfig.model_validate(block)
    lookups = Lookups(config)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        looking = asyncio.ensure_future(lookups.find(config.services[0]))
        for _ in range(turns):
            await asyncio.sleep(0)
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
    await asyncio.sleep(0.02)
    return len(os.listdir("/proc/self/fd")) - before


@pytest.mark.parametrize("turns", range(7))
def test_a_look_up_that_is_cancelled_leaves_no_socket_open(turns: int) -> None:
    """With uvloop, which leaves a socket that is cancelled while it is made to the garbage collector."""
    gc.disable()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            assert uvloop.run(cancel_look_ups(silent.getsockname()[1], turns)) == 0
    finally:
        gc.enable()
