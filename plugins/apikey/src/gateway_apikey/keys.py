"""The keys that are known, found by their hash."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway import Principal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway_apikey.config import ApiKeyConfig, KeyConfig

__all__ = ["KeyIndex", "KnownKey"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKey:
    """A key.

    Attributes:
        id: What the configuration calls it.
        digest: Its SHA-256.
        is_disabled: Whether it is refused.
        principal: Who has it.
    """

    id: str
    digest: bytes
    is_disabled: bool
    principal: Principal


class KeyIndex:
    """Finds keys by their SHA-256; how long that takes says nothing about how much of a guess was right.

    A hash without salt serves keys, which are long and random, and would not serve passwords: it lets one look-up find
    a key among any number.

    Args:
        config: The configuration, with the keys that stand in it.
        from_file: Those of the file.

    Raises:
        ValueError: If two have the same id or are the same key; no message holds a key.
    """

    def __init__(self, config: ApiKeyConfig, from_file: Mapping[str, KeyConfig]) -> None:
        self._by_digest: dict[bytes, KnownKey] = {}
        for name in from_file:
            if name in config.keys:
                msg = f"the key {name!r} stands in the configuration and in its file; remove one of them"
                raise ValueError(msg)
        for name, key in (*config.keys.items(), *from_file.items()):
            self._add(_known(name, key, config))

    def __len__(self) -> int:
        return len(self._by_digest)

    def find(self, digest: bytes) -> KnownKey | None:
        """Return the key with this SHA-256, or ``None``."""
        known = self._by_digest.get(digest)
        if known is None or not hmac.compare_digest(known.digest, digest):
            return None
        return known

    def _add(self, known: KnownKey) -> None:
        other = self._by_digest.setdefault(known.digest, known)
        if other is not known:
            msg = f"{other.id!r} and {known.id!r} are the same key; give each its own"
            raise ValueError(msg)


def _known(name: str, key: KeyConfig, config: ApiKeyConfig) -> KnownKey:
    try:
        digest = key.digest(is_hashed=config.hash_keys)
    except ValueError as error:
        msg = f"the key {name!r}: {error}"
        raise ValueError(msg) from None
    return KnownKey(
        id=name,
        digest=digest,
        is_disabled=key.disabled,
        principal=Principal(
            subject=key.subject or name,
            kind=key.type,
            provider="apikey",
            scopes=config.default_scopes | key.scopes,
            claims={**key.metadata, "keyId": name},
            expires_at_utc=key.expires_at.timestamp() if key.expires_at is not None else None,
        ),
    )
