from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, cast

from gateway_static import plugin
from gateway_static.config import StaticConfig
from gateway_static.provider import StaticProvider

if TYPE_CHECKING:
    from gateway import BuildContext


def test_the_provider_is_offered_under_registry_static():
    (registration,) = plugin.gateway_register_discovery_providers()
    assert (registration.name, registration.path, registration.config) == ("static", "registry.static", StaticConfig)
    config = StaticConfig.model_validate({"services": [{"name": "a", "instances": [{"address": "a"}]}]})
    assert isinstance(registration.build(config, cast("BuildContext", None)), StaticProvider)


def test_importing_the_plugin_does_not_import_the_provider():
    program = "import sys, gateway_static.plugin; sys.exit('gateway_static.provider' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
