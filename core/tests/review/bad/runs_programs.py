"""Finding: blocking at line 12: subprocess.run() blocks the event loop in Chooser.select"""

import subprocess

from gateway import BalancerRegistration


class Chooser:
    def select(self, instances, exchange):
        # Balancers are not awaited, and run on the event loop all the same.
        if not instances:
            subprocess.run(["true"], check=False)
        return instances[0]


def build(config, context):
    return Chooser()


chooser = BalancerRegistration(name="chooser", summary="Asks a program", build=build)
