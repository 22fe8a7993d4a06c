"""Fetching a JSON Web Key Set: the only place that speaks HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpcore

from gateway_jwt.keys import keys_of_jwks
from gateway_jwt.strict_json import parse_object

if TYPE_CHECKING:
    import ssl

    from gateway_jwt.keys import VerificationKey

__all__ = ["JwksClient", "JwksError"]

_FIELDS = [
    (b"accept", b"application/jwk-set+json, application/json"),
    (b"accept-encoding", b"identity"),
    (b"user-agent", b"gateway-jwt"),
]
_OK = 200


class JwksError(Exception):
    """Keys could not be fetched; says why."""


class JwksClient:
    """Fetches keys. Redirects are not followed: where keys come from is the configuration's to say.

    Args:
        tls: Whom to trust.
        timeout_s: How long a fetch may take, from the look-up of the name to the last byte.
        max_bytes: How long the document may be.
    """

    def __init__(self, tls: ssl.SSLContext, *, timeout_s: float, max_bytes: int) -> None:
        self._tls = tls
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes

    async def fetch(self, url: str) -> tuple[VerificationKey, ...]:
        """Return the keys that are published at ``url``.

        Raises:
            JwksError: If they cannot be had, or are none.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                data = await self._get(url)
            # In a thread: large sets take milliseconds.
            return await asyncio.to_thread(lambda: keys_of_jwks(parse_object(data)))
        except TimeoutError as error:
            msg = f"no answer within {self._timeout_s:g} s"
            raise JwksError(msg) from error
        except JwksError:
            raise
        except ValueError as error:
            raise JwksError(str(error)) from error
        except Exception as error:  # whatever the network or a library has to say: there are no keys
            msg = f"{type(error).__name__}: {error}"
            raise JwksError(msg) from error

    async def _get(self, url: str) -> bytes:
        async with (
            httpcore.AsyncConnectionPool(ssl_context=self._tls, max_connections=1) as pool,
            pool.stream("GET", url, headers=_FIELDS) as response,
        ):
            if response.status != _OK:
                msg = f"the answer has status {response.status}"
                raise JwksError(msg)
            for name, value in response.headers:
                if name.lower() == b"content-encoding" and value.lower() != b"identity":
                    msg = f"the answer is encoded as {value.decode('latin-1')!r}"
                    raise JwksError(msg)
            data = bytearray()
            async for chunk in response.aiter_stream():
                data += chunk
                if len(data) > self._max_bytes:
                    msg = f"the document is longer than {self._max_bytes} bytes (jwksMaxSize)"
                    raise JwksError(msg)
            return bytes(data)
