"""Keeping secrets out of messages, ``check`` and the admin API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gateway.config.places import Block, Items

if TYPE_CHECKING:
    from gateway.config.places import Place, Value
    from gateway.config.shape import Shape

__all__ = ["MASK", "is_secret_place", "looks_secret", "mask", "mask_credentials"]

MASK = "***"

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_SECRET = frozenset(
    (
        *("authorization", "credential", "credentials", "passphrase", "passwd", "password", "passwords", "pwd"),
        *("secret", "secrets", "token", "tokens"),
    )
)
_SECRET_KEYS = frozenset(("access", "api", "encryption", "master", "private", "secret", "shared", "signing"))
_USERINFO = re.compile(r"(://)[^/@\s]+@")


def looks_secret(name: str) -> bool:
    """Say whether a key or variable is called like a secret: ``clientSecret``, ``REDIS_PASSWORD``, ``x-api-key``.

    The last word decides: ``tokenUrl`` and ``privateKeyFile`` hold no secrets.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if not words:
        return False
    return words[-1] in _SECRET or (words[-1] in ("key", "keys") and not _SECRET_KEYS.isdisjoint(words[-2:-1]))


def is_secret_place(place: Place) -> bool:
    """Say whether the nearest key above a value, or a variable in it, is called like a secret."""
    nearest = next((key for key in reversed(place.keys) if isinstance(key, str)), "")
    return looks_secret(nearest) or any(map(looks_secret, place.variables))


def mask(value: Value, shape: Shape, place: Place) -> Any:  # noqa: ANN401 - whatever the configuration holds
    """Return the value in ordinary dictionaries and lists, with ``***`` for every secret.

    Args:
        value: Part of the configuration.
        shape: What the models say of it; what they keep secret is masked whatever it is called.
        place: Where it stands.
    """
    if isinstance(value, Block):
        return {key: mask(entry, shape.below(key), value.places[key]) for key, entry in value.items()}
    if isinstance(value, Items):
        return [
            mask(entry, shape.below(0), entry_place) for entry, entry_place in zip(value, value.places, strict=True)
        ]
    if value is None or isinstance(value, bool):
        return value
    if shape.is_secret or is_secret_place(place):
        return MASK
    return mask_credentials(value) if isinstance(value, str) else value


def mask_credentials(text: str) -> str:
    """Return the text with the credentials masked that a URL in it carries (RFC 3986 section 3.2.1)."""
    return _USERINFO.sub(rf"\1{MASK}@", text)
