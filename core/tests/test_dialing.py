from __future__ import annotations

import asyncio
import ssl

import pytest

from gateway import Endpoint, ErrorType, GatewayError, Instance
from gateway.dialing import dial, too_busy, too_slow

pytestmark = pytest.mark.anyio

INSTANCE = Instance("orders", Endpoint(address="10.0.0.1", port=80, id="one"))


async def connecting(outcome):
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


async def test_a_connection_is_returned():
    assert await dial(connecting("connection"), INSTANCE, timeout_s=1.0) == "connection"


@pytest.mark.parametrize("error", [ConnectionRefusedError("refused"), ssl.SSLError("no trust")])
async def test_an_instance_that_cannot_be_reached_saw_nothing(error):
    with pytest.raises(GatewayError) as refused:
        await dial(connecting(error), INSTANCE, timeout_s=1.0)
    assert (refused.value.type, refused.value.is_unsent) == (ErrorType.BAD_GATEWAY, True)
    assert refused.value.detail.startswith("instance one of service orders cannot be reached: ")
    assert "one" not in refused.value.message


async def test_connecting_ends_at_the_deadline():
    with pytest.raises(GatewayError) as refused:
        await dial(asyncio.Event().wait(), INSTANCE, timeout_s=0.01)
    assert (refused.value.type, refused.value.is_unsent) == (ErrorType.UPSTREAM_TIMEOUT, True)
    assert refused.value.detail == "instance one of service orders: did not accept a connection within 0.01 s"


@pytest.mark.parametrize("is_unsent", [False, True])
def test_who_was_too_slow_may_have_seen_the_request(is_unsent):
    assert too_slow(INSTANCE, "was silent", is_unsent=is_unsent).is_unsent is is_unsent
    assert not too_slow(INSTANCE, "was silent").is_unsent


async def test_what_nobody_foresaw_is_not_translated():
    with pytest.raises(ZeroDivisionError):
        await dial(connecting(ZeroDivisionError()), INSTANCE, timeout_s=1.0)


@pytest.mark.parametrize(("error", "status"), [(too_slow(INSTANCE, "was silent"), 504), (too_busy(INSTANCE), 503)])
def test_errors_name_the_instance_in_the_log_alone(error, status):
    assert error.type.status == status
    assert "instance one of service orders" in error.detail
    assert "orders" not in error.message
