"""Finding: failed at line 7: build of policy 'through' raised AttributeError"""

from gateway import PolicyRegistration


def build(config, context):
    return config.nothing


through = PolicyRegistration(name="through", summary="Nothing", build=build)
