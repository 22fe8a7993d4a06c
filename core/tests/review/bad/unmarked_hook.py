"""Finding: hook at line 4: put @gateway.hookimpl above it"""


def gateway_register_policies():
    return []
