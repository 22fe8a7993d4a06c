"""Who is calling, told by an API key."""

from __future__ import annotations

import time
from hashlib import sha256
from itertools import takewhile
from typing import TYPE_CHECKING, Self

import anyio
import anyio.to_thread

from gateway import Unauthorized
from gateway_apikey.key_file import read_keys, signature_of
from gateway_apikey.keys import KeyIndex
from gateway_apikey.sources import Malformed, sources_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from types import TracebackType

    from gateway import BuildContext, Principal, Request
    from gateway_apikey.config import ApiKeyConfig
    from gateway_apikey.keys import KnownKey

__all__ = ["ApiKeyAuthenticator"]


class ApiKeyAuthenticator:
    """Looks for a key in the places of the configuration; the first that holds one decides.

    Args:
        config: The keys and their places.
        context: The gateway.
        clock: Unix seconds.
        sleep: Waits some seconds; tests pass their own.

    Attributes:
        conceal: Takes keys off a request; ``None`` if they are forwarded.

    Raises:
        ValueError: If two keys of the configuration are the same, or one is not what it should be.
    """

    waits = False

    def __init__(
        self,
        config: ApiKeyConfig,
        context: BuildContext,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._config = config
        self._logger = context.logger
        self._clock = clock
        self._sleep = sleep
        self._sources = sources_of(config)
        # Those that fields alone decide, whatever else a request carries.
        self._fields = tuple(takewhile(lambda source: source.is_field, self._sources))
        self._names = frozenset({(config.header_name or "").lower().encode("ascii"), b"authorization"})
        self._challenge = config.scheme or "ApiKey"
        self._index = KeyIndex(config, {})
        self._file: Path | None = context.resolve(config.keys_file) if config.keys_file is not None else None
        self._signature: object = None
        self._refused_signature: object = ()  # None is that of a file that is gone
        refusals = context.metrics.counter("gateway_apikey_refusals_total", "API keys that were refused.", ("reason",))
        self._unknown = refusals.labels("unknown")
        self._disabled = refusals.labels("disabled")
        self._expired = refusals.labels("expired")
        self._malformed = refusals.labels("malformed")
        self._reloads = context.metrics.counter(
            "gateway_apikey_file_loads_total", "Times that the file of API keys was read.", ("result",)
        )
        self.conceal: Callable[[Request], None] | None = self._remove if config.strip_key else None
        if self._file is not None:
            context.background.start("watch the file of keys", self._watch)

    async def __aenter__(self) -> Self:
        """Read the file of keys.

        Raises:
            KeyFileError: If it cannot be used.
            ValueError: If a key of it is in the configuration as well.
        """
        if self._file is not None:
            await self._load(self._file)
        if not len(self._index):
            self._logger.warning("auth.apiKey has no keys, so everybody with a key is refused")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing is held."""

    def is_current(self) -> bool:
        """Say whether the file is still as it was read."""
        return self._file is None or signature_of(self._file) == self._signature

    def recall(self, request: Request) -> Principal | None:
        """Return whose key came with the same fields before, if it is one that never ends."""
        section = request.headers.section_of(self._names)
        memo = section.memo.get(self) if section is not None else None
        return memo[2] if memo is not None and memo[0] is self._index else None

    async def authenticate(self, request: Request) -> Principal | None:
        """Return who has the key that the request carries; ``None`` if it carries none.

        Raises:
            Unauthorized: If the key is unknown, disabled or expired, or is there twice.
        """
        section = request.headers.section_of(self._names)
        # Whoever sends the same fields again has the same key.
        memo = section.memo.get(self) if section is not None else None
        known = memo[1] if memo is not None and memo[0] is self._index else self._look(request)
        if known is None:
            return None
        principal = known.principal
        if known.is_disabled or principal.expires_at_utc is not None:
            self._check(known)
        return principal

    def _look(self, request: Request) -> KnownKey | None:
        """Return the key that the request carries; ``None`` if it carries none."""
        section = request.headers.section_of(self._names)
        try:
            for source in self._sources:
                key = source.find(request)
                if key is not None:
                    break
            else:
                return None
        except Malformed as error:
            self._malformed.value += 1
            raise self._refusal("the API key is malformed", str(error)) from error
        known = self._index.find(sha256(key).digest())
        if known is None:
            self._unknown.value += 1
            raise self._refusal("the API key is not valid", "unknown API key")
        if section is not None and source in self._fields:
            lasts = not known.is_disabled and known.principal.expires_at_utc is None
            section.keep(self, (self._index, known, known.principal if lasts else None))
        return known

    def _check(self, known: KnownKey) -> None:
        """Refuse a key that is disabled or has expired."""
        if known.is_disabled:
            self._disabled.value += 1
            raise self._refusal("the API key is disabled", f"API key {known.id!r} is disabled")
        ends_at_utc = known.principal.expires_at_utc
        if ends_at_utc is not None and self._clock() >= ends_at_utc:
            self._expired.value += 1
            raise self._refusal("the API key has expired", f"API key {known.id!r} has expired")

    def _refusal(self, message: str, detail: str) -> Unauthorized:
        return Unauthorized(message, challenge=self._challenge, detail=detail)

    def _remove(self, request: Request) -> None:
        for source in self._sources:
            source.remove(request)

    # The file.

    async def _watch(self) -> None:
        """Read the file again when it has changed; what cannot be used leaves the keys as they are."""
        assert self._file is not None  # noqa: S101 - started only if there is one
        while True:
            await self._sleep(self._config.reload_interval)
            # In a thread: the file may be on a network.
            signature = await anyio.to_thread.run_sync(signature_of, self._file)
            if signature in (self._signature, self._refused_signature):
                continue
            try:
                await self._load(self._file)
            except ValueError as error:
                self._refused_signature = signature
                self._reloads.labels("failed").add()
                self._logger.error("the API keys stay as they were: %s", error)  # noqa: TRY400 - the text says it all
            else:
                self._logger.info("read %d API keys", len(self._index))

    async def _load(self, file: Path) -> None:
        # Before the file is read: what changes meanwhile is seen the next time.
        signature = await anyio.to_thread.run_sync(signature_of, file)
        self._index = await anyio.to_thread.run_sync(lambda: KeyIndex(self._config, read_keys(file)))
        self._signature, self._refused_signature = signature, ()
        self._reloads.labels("loaded").add()


if TYPE_CHECKING:
    from gateway.interfaces import Authenticator

    _: type[Authenticator] = ApiKeyAuthenticator
