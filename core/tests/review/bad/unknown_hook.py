"""Finding: hook at line 6: did you mean 'gateway_register_policies'?"""

from gateway import hookimpl


@hookimpl
def gateway_register_policy():
    return []
