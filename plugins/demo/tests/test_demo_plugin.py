from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any, cast

from gateway import Endpoint, Instance, NoConfig
from gateway_demo import plugin
from gateway_demo.connector import DemoConnector
from gateway_demo.provider import DemoProvider

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def test_without_a_configuration_everything_goes_to_the_demo_service():
    (registration,) = plugin.gateway_register_discovery_providers()
    assert registration.zero_config == {
        "router": {"rules": [{"id": "demo", "path": "/*", "serviceName": "demo"}]},
        "plugins": {"demo": {}},
    }
    assert (registration.path, registration.default_on) == (None, False)
    assert isinstance(registration.build(NoConfig(), cast("Any", None)), DemoProvider)


def test_the_provider_publishes_one_instance_that_the_connector_serves():
    snapshots: list[Mapping[str, Sequence[Endpoint]]] = []
    asyncio.run(DemoProvider().watch(snapshots.append))
    assert snapshots == [{"demo": (Endpoint(scheme="demo", address="in-process", port=0, id="demo"),)}]
    (registration,) = plugin.gateway_register_protocols()
    assert registration.protocol == "http"
    assert registration.schemes == (Instance("demo", snapshots[0]["demo"][0]).endpoint.scheme,)
    assert registration.default_on
    assert isinstance(registration.build(NoConfig(), cast("Any", None)), DemoConnector)


def test_importing_the_plugin_does_not_import_the_components():
    program = "import sys, gateway_demo.plugin; sys.exit('gateway_demo.connector' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
