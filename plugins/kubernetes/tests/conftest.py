"""An API server that misbehaves, a real one, and providers that follow them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from plugins.kubernetes.tests.fake_api_server import FakeApiServer
from plugins.kubernetes.tests.following import Following
from plugins.kubernetes.tests.real_api_server import RealApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeApiServer]:
    """Give an API server on loopback, and do not let proxies of the environment stand before it."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = FakeApiServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Callable[..., str]:
    """Give a function that writes a kubeconfig file and returns its name."""

    def write(server: str, user: dict[str, Any] | None = None, **cluster: Any) -> str:
        said = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "it", "cluster": {"server": server, **cluster}}],
            "users": [{"name": "me", "user": user or {}}],
            "contexts": [{"name": "here", "context": {"cluster": "it", "user": "me"}}],
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(said))
        return str(tmp_path / "kubeconfig")

    return write


@pytest.fixture
async def follow(tmp_path: Path, api: FakeApiServer, kubeconfig: Callable[..., str]) -> AsyncIterator[Any]:
    """Give a function that has a provider follow the server, or what ``kubeconfig`` names, and end them all."""
    started: list[Following] = []

    async def start(**given: Any) -> Following:
        following = Following(tmp_path, **{"kubeconfig": given.pop("kubeconfig", None) or kubeconfig(api.url), **given})
        started.append(following)
        await following.start()
        return following

    yield start
    for following in started:
        with contextlib.suppress(asyncio.CancelledError):
            await following.stop()


class FakeCluster:
    """The server that misbehaves, as a cluster that does not."""

    namespace = "shop"

    def __init__(self, api: FakeApiServer, kubeconfig: str) -> None:
        self._api = api
        self.config = {"kubeconfig": kubeconfig}

    async def apply(self, *objects: dict[str, Any]) -> None:
        self._api.apply(*objects)

    async def delete(self, *objects: dict[str, Any]) -> None:
        self._api.delete(*objects)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.kubernetes)])
async def cluster(
    request: pytest.FixtureRequest, api: FakeApiServer, kubeconfig: Callable[..., str]
) -> AsyncIterator[Any]:
    """Give a cluster: the small server's, and that of ``KUBECONFIG`` where there is one."""
    if request.param == "fake":
        yield FakeCluster(api, kubeconfig(api.url))
        return
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster; set it to a kubeconfig file of one that tests may use")
    async with RealApiServer(os.environ["KUBECONFIG"]) as real:
        yield real
