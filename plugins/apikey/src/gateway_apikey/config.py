"""The configuration of ``auth.apiKey``."""

from __future__ import annotations

import re
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema, model_validator

from gateway import Config, Duration

__all__ = ["ApiKeyConfig", "KeyConfig", "Keys"]

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 - of RFC 9110 section 5.6.2, no secret
_HASH = re.compile(r"(?:sha256:)?([0-9A-Fa-f]{64})")


def _as_list(value: Any) -> Any:  # noqa: ANN401 - what pydantic hands to a validator
    return value.split() if isinstance(value, str) else value


def _instant(value: Any) -> Any:  # noqa: ANN401 - as above
    if not isinstance(value, str):
        msg = f"{value!r} is not a time; write it as RFC 3339 does: '2027-01-31T00:00:00Z'"
        raise ValueError(msg)  # noqa: TRY004 - pydantic turns ValueError into a message, TypeError into a crash
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        msg = f"{value!r} is not a time with its zone; write it as RFC 3339 does: '2027-01-31T00:00:00Z'"
        raise ValueError(msg)
    return instant


def _named(value: Any, what: str) -> Any:  # noqa: ANN401 - as above
    if isinstance(value, str) and value and not re.fullmatch(_TOKEN, value):
        msg = f"{value!r} is not the name of a {what}; use letters, digits and hyphens"
        raise ValueError(msg)
    return value or None


def _hash_switch(value: Any) -> Any:  # noqa: ANN401 - as above
    return (
        {"sha256": True, "sha-256": True, "none": False}.get(value.lower(), value) if isinstance(value, str) else value
    )


Scopes = Annotated[
    frozenset[str],
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""Scopes, as a list or as text with spaces."""


class KeyConfig(Config):
    """One API key.

    Attributes:
        key: The key itself, or its hash where ``hashKeys`` says so; exactly one of this and ``hash`` is given.
        hash: The SHA-256 of the key in hexadecimal digits, with or without ``sha256:`` before it.
    """

    key: SecretStr | None = Field(default=None, description="The key; its SHA-256 in hex where `hashKeys` is true.")
    hash: SecretStr | None = Field(default=None, description="The SHA-256 of the key in hex, instead of `key`.")
    subject: str | None = Field(default=None, min_length=1, description="Who has it; without it the key's id.")
    type: Literal["service", "user", "device"] = Field(default="service", description="What its holder is.")
    scopes: Scopes = Field(default=frozenset(), description="What it may do, beside `defaultScopes`.")
    expires_at: Annotated[datetime, BeforeValidator(_instant)] | None = Field(
        default=None, description="When it ends, as in `2027-01-31T00:00:00Z`; without it never."
    )
    disabled: bool = Field(default=False, description="Whether it is refused.")
    metadata: dict[str, Any] = Field(default_factory=dict, description="Anything else; claims of the caller.")

    @model_validator(mode="before")
    @classmethod
    def _other_spelling(cls, value: Any) -> Any:  # noqa: ANN401 - what pydantic hands to a validator
        if isinstance(value, dict) and "hashedKey" in value and "hash" not in value:
            return {"hash" if name == "hashedKey" else name: entry for name, entry in value.items()}
        return value

    @model_validator(mode="after")
    def _is_a_key(self) -> Self:
        if (self.key is None) == (self.hash is None):
            msg = "give either 'key' or 'hash'"
            raise ValueError(msg)
        if self.hash is not None and not _HASH.fullmatch(self.hash.get_secret_value()):
            msg = "'hash' is not a SHA-256; write its 64 hexadecimal digits"
            raise ValueError(msg)
        # What a field, a cookie and an Authorization can all carry, and what no intermediary changes.
        if self.key is not None and not re.fullmatch(r"[!-~]{1,1024}", self.key.get_secret_value()):
            msg = "'key' is empty, too long or holds other than visible ASCII characters; write 1 to 1024 of them"
            raise ValueError(msg)
        return self

    def digest(self, *, is_hashed: bool) -> bytes:
        """Return the SHA-256 of the key.

        Args:
            is_hashed: Whether ``key`` is the hash already.

        Raises:
            ValueError: If it should be and is none.
        """
        if self.key is not None and not is_hashed:
            return sha256(self.key.get_secret_value().encode()).digest()
        written = self.hash if self.hash is not None else self.key
        assert written is not None  # noqa: S101 - one of the two is given
        found = _HASH.fullmatch(written.get_secret_value())
        if found is None:
            msg = "hashKeys is true, so 'key' must be the 64 hexadecimal digits of a SHA-256"
            raise ValueError(msg)
        return bytes.fromhex(found[1])


def _by_id(value: Any) -> Any:  # noqa: ANN401 - what pydantic hands to a validator
    """Return keys by their id, from a mapping or from a list whose entries have an ``id`` or ``name``."""
    if value is None:
        return {}
    if not isinstance(value, list):
        return value
    found: dict[str, Any] = {}
    for position, entry in enumerate(value):
        if not isinstance(entry, dict):
            msg = f"entry {position} is not a block; write its id and key"
            raise ValueError(msg)  # noqa: TRY004 - as above
        name = str(entry.get("id") or entry.get("name") or entry.get("subject") or "")
        if not name or name in found:
            msg = f"entry {position} has no id or that of another one; give each its own"
            raise ValueError(msg)
        found[name] = {key: part for key, part in entry.items() if key not in ("id", "name")}
    return found


Keys = Annotated[dict[str, KeyConfig], BeforeValidator(_by_id)]
"""Keys by their id; a list of blocks with an ``id`` is taken too."""


class ApiKeyConfig(Config):
    """API keys: where they are looked for in a request, and which there are."""

    keys: Keys = Field(default_factory=dict, description="The keys by their id.")
    keys_file: str | None = Field(
        default=None, min_length=1, description="A YAML or JSON file with more of them, relative to this file."
    )
    reload_interval: Annotated[Duration, Field(ge=0.1)] = Field(
        default=5.0, description="How often it is seen whether `keysFile` has changed."
    )
    hash_keys: Annotated[bool, BeforeValidator(_hash_switch)] = Field(
        default=False, description="Whether each `key` is the SHA-256 of the key, in hexadecimal digits."
    )
    default_scopes: Scopes = Field(default=frozenset(), description="What every key may do.")
    header_name: Annotated[str | None, AfterValidator(lambda value: _named(value, "field"))] = Field(
        default="X-API-Key", description="The field that carries a key; `null` looks in none."
    )
    scheme: Annotated[str | None, AfterValidator(lambda value: _named(value, "scheme"))] = Field(
        default=None, description="The scheme of `Authorization` that carries a key: `ApiKey`; without it none does."
    )
    query_param: str | None = Field(
        default=None, description="The parameter of the query that carries a key; without it none does."
    )
    cookie_name: Annotated[str | None, AfterValidator(lambda value: _named(value, "cookie"))] = Field(
        default=None, description="The cookie that carries a key; without it none does."
    )
    strip_key: bool = Field(default=False, description="Whether the key is taken off what is forwarded.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not (self.header_name or self.scheme or self.query_param or self.cookie_name):
            msg = "no request could carry a key; give headerName, scheme, queryParam or cookieName"
            raise ValueError(msg)
        if (self.header_name or "").lower() in ("authorization", "cookie", "host"):
            msg = f"headerName {self.header_name!r} is read otherwise; use 'scheme' or 'cookieName'"
            raise ValueError(msg)
        return self
