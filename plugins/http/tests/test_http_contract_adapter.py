"""What every adapter for HTTP/1.1 promises, kept by this one; and every command, by `gateway dev-certs`."""

from __future__ import annotations

import pytest

from gateway.testing import CommandContract, HttpAdapterContract


class TestAdapter(HttpAdapterContract):
    plugin = "gateway_http.plugin"

    def config(self):
        return {"host": "127.0.0.1", "port": 0, "maxRequestSize": "64MB"}


class TestDevCerts(CommandContract):
    plugin = "gateway_http.plugin"

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path
        (tmp_path / "file").touch()

    def words(self):
        return ["--out", str(self.folder / "certs"), "localhost"]

    def wrong_words(self):
        return [["--out", str(self.folder / "file")], ["--out", str(self.folder), "ü.example"], ["--client"]]
