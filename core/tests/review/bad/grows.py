"""Finding: growth at line 15: self._seen grows while requests are served
Finding: grew: Remembers._seen of policy 'remembers' has"""

from gateway import PolicyRegistration


class Remembers:
    def __init__(self):
        self._seen = {}

    def wrap(self, call_next, route):
        async def remembering(exchange):
            client = exchange.request.client
            if client not in self._seen:
                self._seen[client] = 1
            return await call_next(exchange)

        return remembering


def build(config, context):
    return Remembers()


remembers = PolicyRegistration(name="remembers", summary="Remembers everybody", build=build)
