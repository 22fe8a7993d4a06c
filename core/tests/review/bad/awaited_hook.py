"""Finding: hook at line 6: hooks are not awaited"""

from gateway import hookimpl


@hookimpl
async def gateway_register_policies():
    return []
