"""What every observer promises, kept by this one in both formats."""

from __future__ import annotations

import pytest

from gateway.testing import ObserverContract


class TestJson(ObserverContract):
    plugin = "gateway_jsonlog.plugin"
    format = "json"
    remembered = 5000  # it remembers what 4096 user agents look like in a line

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path):
        self.file = tmp_path / "access.log"

    def config(self):
        more = {"requestHeaders": ["user-agent"]} if self.format == "json" else {}
        return {"format": self.format, "output": str(self.file), "flushBytes": 4096, "bufferBytes": "1MB", **more}


class TestCombined(TestJson):
    format = "combined"
