"""An authenticator whose keys are fetched in the background: rotation, stale keys while the issuer is away."""

from __future__ import annotations

import asyncio
import hmac
import json
from typing import TYPE_CHECKING

from pydantic import Field

from gateway import AuthenticatorRegistration, BuildContext, Config, Duration, Principal, Unauthorized, Waiter

if TYPE_CHECKING:
    from pathlib import Path

    from gateway import Request
    from gateway.interfaces import Authenticator


class TokenConfig(Config):
    keys: str = Field(description="A file of JSON with the keys by id. Stands for the URL of a JWKS.")
    refresh: Duration = Field(300.0, description="Seconds between two fetches.")


class TokenAuthenticator:
    waits = False  # but for a gateway.Waiter

    def __init__(self, config: TokenConfig, context: BuildContext) -> None:
        self._config = config
        self._path = context.resolve(config.keys)
        # Kept under its source: a reload that changes `refresh` does not forget the keys.
        self._keys: dict[str, str] = context.keep(str(self._path), dict)
        self._logger = context.logger
        self._asking: list[Waiter[None]] = []
        self._is_asked = asyncio.Event()
        context.background.start("fetch keys", self._refresh)

    async def authenticate(self, request: Request) -> Principal | None:
        scheme, _, token = (request.headers.get("authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        key_id, subject, signature = [*token.split(":"), "", ""][:3]
        if key_id not in self._keys:
            await self._fetched()
        key = self._keys.get(key_id, "")
        if not key or not hmac.compare_digest(sign(key, subject), signature):
            raise Unauthorized("the token is not valid", challenge='Bearer error="invalid_token"')
        return Principal(subject=subject, provider="token")

    async def _fetched(self) -> None:
        """Wait for the next fetch. It is somebody else's task: what awaits here may have none."""
        waiter: Waiter[None] = Waiter()
        self._asking.append(waiter)
        self._is_asked.set()
        await waiter

    async def _refresh(self) -> None:
        while True:
            self._is_asked.clear()
            asking, self._asking = self._asking, []
            try:
                async with asyncio.timeout(5.0):
                    keys = await asyncio.to_thread(_fetch, self._path)
            except (OSError, ValueError, TimeoutError) as error:
                self._logger.warning("no new keys, the old ones stay in use: %s", error)
            else:
                self._keys.clear()
                self._keys.update(keys)
            finally:
                for waiter in asking:
                    waiter.set_result(None)
            await asyncio.sleep(0.1)  # tokens with made-up key ids cause no more than ten fetches a second
            await _either(self._is_asked, self._config.refresh)


async def _either(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return


def _fetch(path: Path) -> dict[str, str]:
    return dict(json.loads(path.read_text()))


def sign(key: str, subject: str) -> str:
    return hmac.new(key.encode(), subject.encode(), "sha256").hexdigest()


def build(config: TokenConfig, context: BuildContext) -> TokenAuthenticator:
    return TokenAuthenticator(config, context)


token = AuthenticatorRegistration(name="token", config=TokenConfig, build=build, challenge="Bearer")

if TYPE_CHECKING:
    _authenticator: type[Authenticator] = TokenAuthenticator
