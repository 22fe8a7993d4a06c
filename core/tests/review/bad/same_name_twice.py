"""Finding: registration: give each its own name"""

from gateway import PolicyRegistration, hookimpl


class Through:
    def wrap(self, call_next, route):
        return call_next


def build(config, context):
    return Through()


@hookimpl
def gateway_register_policies():
    return [PolicyRegistration(name="through", summary="Nothing", build=build) for _ in range(2)]
