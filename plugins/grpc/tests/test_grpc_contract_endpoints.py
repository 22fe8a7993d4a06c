"""What every endpoint under ``/_gateway`` promises, kept by those that list, ask for, take and remove descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import importlib

import pytest

from gateway import GatewayError, Route
from gateway.pluginhost.collect import build_manager, collect_offers
from gateway.testing import AdminRouteContract

FORM = (
    b'--limit\r\nContent-Disposition: form-data; name="descriptor"; filename="library.desc"\r\n\r\n%b\r\n--limit--\r\n'
)
ROUTE = Route(id="library", path="/*", service="library", protocol="grpc")


class DescriptorsContract(AdminRouteContract):
    """Of a gateway with a route whose descriptors are uploaded: one of nothing is there."""

    plugin = "gateway_grpc.plugin"

    @pytest.fixture(autouse=True)
    def _uploads(self, tmp_path, descriptors):
        self.library = descriptors.set()
        self.contradiction = descriptors.set(descriptors.text.replace('"Echo"', '"Echo2"'))
        self.tmp_path = tmp_path
        self.uploads = tmp_path / "uploads"
        self.uploads.mkdir()
        self.descriptors = descriptors
        self.write("first")
        self.written = 0

    def write(self, name):
        (self.uploads / f"{name}.desc").write_bytes(self.descriptors.set(f'name: "{name}.proto"'))

    def folder(self):
        return self.tmp_path

    def config(self):
        return {"uploadDirectory": "uploads", "autoReload": False}

    async def prepare(self, bench):
        offers = collect_offers(build_manager(), self.plugin, importlib.import_module(self.plugin))
        (policy,) = (offer for offer in offers if offer.name == "grpc" and offer.kind == "policy")
        self.policy = await bench.build(policy, self.config())
        self.handler = self.policy.wrap(_nobody, ROUTE)  # descriptors live as long

    def files(self):
        return {file.name: file.read_bytes() for file in self.uploads.glob("[!.]*")}


class TestList(DescriptorsContract):
    offer = "grpc-descriptors"


class TestReload(DescriptorsContract):
    offer = "grpc-descriptors-reload"


class TestUpload(DescriptorsContract):
    offer = "grpc-descriptors-upload"
    expected_status = 201

    def asked(self):
        return self.request(params={}, body=FORM % self.library)

    async def test_who_leaves_in_the_middle_leaves_nothing_half_done(self):
        """Wherever that is, the folder is as before: here descriptors contradict those that were there."""
        (self.uploads / "other.desc").write_bytes(self.contradiction)
        before = self.files()
        async with self._built() as (answer, _):
            for turns in range(12):
                asking = asyncio.ensure_future(answer(self.asked()))
                await asyncio.sleep(0.001 * turns)
                asking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asking
                assert (await answer(self.asked())).status == 422
                assert self.files() == before


class TestDelete(DescriptorsContract):
    offer = "grpc-descriptors-delete"

    def asked(self):
        # Another one each time: what is gone cannot go again.
        self.written += 1
        self.write(f"file-{self.written}")
        return self.request(params={}, query=f"file=file-{self.written}.desc")

    async def test_what_is_gone_is_not_there(self):
        asked = self.asked()
        async with self._built() as (answer, _):
            assert (await answer(asked)).status == 200
            with pytest.raises(GatewayError, match="no such file"):
                await answer(asked)


async def _nobody(exchange):
    raise AssertionError
