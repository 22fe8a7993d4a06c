"""Descriptors from elsewhere: of a URL, or of a ConfigMap of Kubernetes."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import httpcore

from gateway_grpc.descriptors.schema import MAX_DESCRIPTOR_BYTES, DescriptorError, DescriptorSet
from gateway_grpc.descriptors.source import decoded_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic import SecretStr

    from gateway_grpc.config import ConfigMapConfig

__all__ = ["SERVICE_ACCOUNT", "ConfigMapSource", "UrlSource"]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts the credentials of a pod (its documentation, "Accessing the Kubernetes API from a Pod")."""
_OK = 200


class UrlSource:
    """A file that HTTP has.

    Args:
        url: Where. Redirects are not followed: where descriptors come from is the configuration's to say.
        headers: Fields to send.
        timeout_s: How long fetching may take, from the look-up of the name to the last byte.
        interval_s: How often it is fetched.

    Attributes:
        origin: The URL, without its query, which may be a secret.
        interval_s: As given.
    """

    def __init__(self, url: str, headers: Mapping[str, SecretStr], timeout_s: float, interval_s: float) -> None:
        self.origin = url.partition("?")[0]
        self.interval_s = interval_s
        self._url = url
        self._headers = headers
        self._timeout_s = timeout_s
        self._tls = ssl.create_default_context()

    async def fetch(self) -> Sequence[DescriptorSet]:
        """Return the descriptors."""
        fields = {name: value.get_secret_value() for name, value in self._headers.items()}
        return [DescriptorSet(self.origin, await _get(self.origin, self._url, fields, self._tls, self._timeout_s))]


class ConfigMapSource:
    """A ConfigMap, read with the credentials of the pod: text is base64, ``binaryData`` is what it is.

    Args:
        config_map: Its name, and which of its keys.
        namespace: Its namespace; empty is the pod's own.
        timeout_s: How long reading may take.
        interval_s: How often it is read.
        credentials: The folder with the credentials.

    Attributes:
        origin: The name.
        interval_s: As given.
    """

    def __init__(
        self,
        config_map: ConfigMapConfig,
        namespace: str,
        timeout_s: float,
        interval_s: float,
        *,
        credentials: Path = SERVICE_ACCOUNT,
    ) -> None:
        self.origin = f"ConfigMap {config_map.name}"
        self.interval_s = interval_s
        self._name = config_map.name
        self._keys = config_map.keys
        self._namespace = namespace
        self._timeout_s = timeout_s
        self._credentials = credentials

    async def fetch(self) -> Sequence[DescriptorSet]:
        """Return the descriptors of its keys."""
        url, token, tls = await asyncio.to_thread(self._access)
        data = await _get(self.origin, url, {"authorization": f"Bearer {token}"}, tls, self._timeout_s)
        try:
            found = json.loads(data)
            values = {**(found.get("data") or {}), **(found.get("binaryData") or {})}
        except (ValueError, AttributeError, TypeError) as error:
            msg = f"{self.origin}: the API server did not answer with a ConfigMap"
            raise DescriptorError(msg) from error
        return list(self._sets(values))

    def _sets(self, values: Mapping[str, object]) -> Iterator[DescriptorSet]:
        for key in self._keys or sorted(values):
            value = values.get(key)
            if not isinstance(value, str):
                msg = f"{self.origin}: it has no key {key!r}"
                raise DescriptorError(msg)
            yield decoded_set(f"{self.origin}, key {key}", value)

    def _access(self) -> tuple[str, str, ssl.SSLContext]:
        """Return where to ask, and with what; read each time, for credentials are renewed."""
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            msg = f"{self.origin}: this is no pod of a cluster; mount it, and name the folder in 'directories'"
            raise DescriptorError(msg)
        try:
            token = (self._credentials / "token").read_text().strip()
            namespace = self._namespace or (self._credentials / "namespace").read_text().strip()
            tls = ssl.create_default_context(cafile=str(self._credentials / "ca.crt"))
        except (OSError, ssl.SSLError, UnicodeDecodeError) as error:
            msg = f"{self.origin}: the credentials of the pod cannot be read: {error}"
            raise DescriptorError(msg) from error
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return f"https://{authority}/api/v1/namespaces/{namespace}/configmaps/{self._name}", token, tls


async def _get(origin: str, url: str, fields: Mapping[str, str], tls: ssl.SSLContext, timeout_s: float) -> bytes:
    headers = [(b"accept-encoding", b"identity"), (b"user-agent", b"gateway-grpc")]
    headers += [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields.items()]
    try:
        async with (
            asyncio.timeout(timeout_s),
            httpcore.AsyncConnectionPool(ssl_context=tls, max_connections=1) as pool,
            pool.stream("GET", url, headers=headers) as response,
        ):
            return await _content(origin, response)
    except TimeoutError as error:
        msg = f"{origin}: no answer within {timeout_s:g} s"
        raise DescriptorError(msg) from error
    except DescriptorError:
        raise
    except Exception as error:  # whatever the network or a library has to say: there are no descriptors
        msg = f"{origin}: {type(error).__name__}: {error}"
        raise DescriptorError(msg) from error


async def _content(origin: str, response: httpcore.Response) -> bytes:
    if response.status != _OK:
        msg = f"{origin}: the answer has status {response.status}"
        raise DescriptorError(msg)
    data = bytearray()
    async for chunk in response.aiter_stream():
        data += chunk
        if len(data) > MAX_DESCRIPTOR_BYTES:
            msg = f"{origin}: it is longer than {MAX_DESCRIPTOR_BYTES} bytes"
            raise DescriptorError(msg)
    return bytes(data)
