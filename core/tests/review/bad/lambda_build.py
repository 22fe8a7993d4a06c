"""Finding: build at line 11: make it a function of the module"""

from gateway import PolicyRegistration


class Through:
    def wrap(self, call_next, route):
        return call_next


through = PolicyRegistration(name="through", summary="Nothing", build=lambda config, context: Through())
