"""What every observer promises, kept by this one."""

from __future__ import annotations

from gateway.testing import ObserverContract


class TestPrometheus(ObserverContract):
    plugin = "gateway_prometheus.plugin"
