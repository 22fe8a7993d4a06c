"""Finding: config-model at line 10: does not extend gateway.Config"""

from pydantic import BaseModel, ConfigDict

from gateway import BalancerRegistration

FORBID = ConfigDict(extra="forbid")


class Choice(BaseModel):
    model_config = FORBID


class First:
    def select(self, instances, exchange):
        return instances[0]


def build(config, context):
    return First()


first = BalancerRegistration(name="first", summary="The first one", config=Choice, build=build)
