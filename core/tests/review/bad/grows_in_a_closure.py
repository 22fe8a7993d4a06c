"""Finding: grew: remembering.seen of policy 'remembers' has"""

from gateway import PolicyRegistration


class Remembers:
    def wrap(self, call_next, route):
        seen = []

        async def remembering(exchange):
            seen.append(exchange.request.client)
            return await call_next(exchange)

        return remembering


def build(config, context):
    return Remembers()


remembers = PolicyRegistration(name="remembers", summary="Remembers everybody", build=build)
