"""A cluster that somebody else runs: objects are made in a namespace of their own, which is deleted afterwards."""

from __future__ import annotations

import asyncio
import copy
import json
import uuid
from typing import TYPE_CHECKING, Any, Self

from kubernetes.client import ApiClient, Configuration
from kubernetes.config import load_kube_config

if TYPE_CHECKING:
    from types import TracebackType

PATHS = {
    "Service": "/api/v1/namespaces/{}/services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
}
TIMEOUT_S = 10.0


class RealApiServer:
    """The cluster of a kubeconfig file.

    Attributes:
        namespace: Where tests make objects.
        config: How the provider finds them.
    """

    def __init__(self, kubeconfig: str) -> None:
        self.namespace = f"gateway-test-{uuid.uuid4().hex[:8]}"
        self.config = {"kubeconfig": kubeconfig, "namespaces": [self.namespace], "timeout": f"{TIMEOUT_S:.0f}s"}
        configuration = Configuration()
        load_kube_config(config_file=kubeconfig, client_configuration=configuration, persist_config=False)
        self._client = ApiClient(configuration)

    async def __aenter__(self) -> Self:
        await self._send("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._send("DELETE", f"/api/v1/namespaces/{self.namespace}")
        self._client.rest_client.pool_manager.clear()

    async def apply(self, *objects: dict[str, Any]) -> None:
        """Create or replace objects, in the tests' namespace; the cluster chooses addresses of services."""
        for given in objects:
            said = self._as_made_here(given)
            path, name = PATHS[said["kind"]].format(self.namespace), said["metadata"]["name"]
            if await self._send("POST", path, said) == 409:
                headers = {"content-type": "application/merge-patch+json"}
                assert await self._send("PATCH", f"{path}/{name}", said, headers) == 200

    async def delete(self, *objects: dict[str, Any]) -> None:
        for said in objects:
            path = PATHS[said["kind"]].format(self.namespace)
            assert await self._send("DELETE", f"{path}/{said['metadata']['name']}") == 200

    def _as_made_here(self, given: dict[str, Any]) -> dict[str, Any]:
        said = copy.deepcopy(given)
        said.pop("status", None)
        said["metadata"] = {**said["metadata"], "namespace": self.namespace}
        said["metadata"].pop("uid", None)
        said["metadata"].pop("resourceVersion", None)
        if said["kind"] == "Service":
            said["spec"].pop("clusterIP", None)
            said["spec"].pop("ipFamilies", None)
        return said

    async def _send(
        self, method: str, path: str, said: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> int:
        return await asyncio.to_thread(self._send_now, method, path, said, headers)

    def _send_now(self, method: str, path: str, said: dict[str, Any] | None, headers: dict[str, str] | None) -> int:
        setting = self._client.configuration.auth_settings().get("BearerToken")
        response = self._client.rest_client.pool_manager.request(
            method,
            f"{self._client.configuration.host}{path}",
            body=None if said is None else json.dumps(said),
            headers={
                "content-type": "application/json",
                **({"authorization": str(setting["value"])} if setting else {}),
                **(headers or {}),
            },
            timeout=TIMEOUT_S,
            retries=False,
        )
        assert response.status in {200, 201, 202, 409}, response.data[:500]
        return response.status
