"""What every observer promises, kept by this one, with spans for everything and a collector that is not there."""

from __future__ import annotations

from gateway.testing import ObserverContract


class TestOtel(ObserverContract):
    plugin = "gateway_otel.plugin"
    remembered = 1000

    def config(self):
        tracing = {
            "endpoint": "http://127.0.0.1:9",
            "sampler": "always_on",
            "spansPerPolicy": True,
            "maxQueueSize": 512,
            "maxBatchSize": 128,
            "headers": {"authorization": "Bearer of-the-collector"},
        }
        return {"service": "gateway", "tracing": tracing}
