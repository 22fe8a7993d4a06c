"""Finding: build at line 11: is a coroutine function"""

from gateway import PolicyRegistration


class Through:
    def wrap(self, call_next, route):
        return call_next


async def build(config, context):
    return Through()


through = PolicyRegistration(name="through", summary="Nothing", build=build)
