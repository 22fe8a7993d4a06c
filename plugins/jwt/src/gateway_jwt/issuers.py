"""An issuer and where its keys come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_jwt.jwks import JwksKeys, KeptKeys
from gateway_jwt.keys import keys_of_text, secret_key

if TYPE_CHECKING:
    from pathlib import Path

    from gateway import BuildContext
    from gateway_jwt.config import IssuerConfig
    from gateway_jwt.jwks import Timing
    from gateway_jwt.jwks_client import JwksClient
    from gateway_jwt.keys import VerificationKey
    from gateway_jwt.token_cache import TokenCache

__all__ = ["FixedKeys", "Issuer", "KeyFile"]

MAX_FILE_BYTES = 1024 * 1024


class FixedKeys:
    """Keys that stand in the configuration."""

    def __init__(self, keys: tuple[VerificationKey, ...]) -> None:
        self.keys = keys


class KeyFile:
    """Keys in a file, which is read when the component is entered; a reload reads it again if it has changed.

    Args:
        path: The file.
        config: The issuer.
    """

    def __init__(self, path: Path, config: IssuerConfig) -> None:
        self.keys: tuple[VerificationKey, ...] = ()
        self._path = path
        self._config = config
        self._text = b""

    def read(self) -> None:
        """Read the file; in a thread.

        Raises:
            ValueError: If it cannot be read or used; names it.
        """
        try:
            self._text = self._content()
            self.keys = _public_keys(self._text, self._config)
        except OSError as error:
            msg = f"publicKeyFile {str(self._path)!r} cannot be read: {error.strerror}; check its permissions"
            raise ValueError(msg) from error
        except ValueError as error:
            msg = f"publicKeyFile {str(self._path)!r}: {error}"
            raise ValueError(msg) from None

    def is_current(self) -> bool:
        """Say whether the file holds what was read."""
        try:
            return self._content() == self._text
        except OSError:
            return False

    def _content(self) -> bytes:
        with self._path.open("rb") as file:
            return file.read(MAX_FILE_BYTES)


class Issuer:
    """An issuer.

    Args:
        config: What is configured of it.
        context: The gateway.

    Attributes:
        config: As given.
        source: Where its keys come from; for those that are fetched, from ``start_fetching`` on.
        jwks: The same, if they are fetched.

    Raises:
        ValueError: If a key of the configuration cannot be used.
    """

    def __init__(self, config: IssuerConfig, context: BuildContext) -> None:
        self.config = config
        self.jwks: JwksKeys | None = None
        self.source: FixedKeys | KeyFile | JwksKeys
        if config.secret is not None:
            self.source = FixedKeys((secret_key(config.secret.get_secret_value().encode(), config.algorithms),))
        elif config.public_key_file is not None:
            self.source = KeyFile(context.resolve(config.public_key_file), config)
        elif config.public_key is not None:
            self.source = FixedKeys(_public_keys(config.public_key.encode(), config))

    @property
    def keys(self) -> tuple[VerificationKey, ...]:
        """The keys; empty while they could not be fetched."""
        return self.source.keys

    def start_fetching(self, client: JwksClient, timing: Timing, context: BuildContext, cache: TokenCache) -> None:
        """Fetch keys from now on, if that is where they come from.

        Args:
            client: Fetches.
            timing: How often.
            context: The gateway.
            cache: Forgets its tokens when keys are withdrawn.
        """
        url = self.config.jwks_url
        if url is None:
            return
        # Kept under its address: a reload that changes anything else does not forget the keys.
        kept = context.keep(f"jwks {url}", KeptKeys)
        fetches = context.metrics.counter(
            "gateway_jwt_jwks_fetches_total", "Fetches of JSON Web Key Sets.", ("url", "result")
        )
        kept.caches.add(cache)
        self.source = self.jwks = JwksKeys(url, kept, client, timing, context.logger, fetches)
        context.background.start(f"fetch {self.jwks.name}", self.jwks.refresh)


def _public_keys(text: bytes, config: IssuerConfig) -> tuple[VerificationKey, ...]:
    keys = keys_of_text(text)
    for algorithm in config.algorithms:
        if not any(algorithm in key.algorithms for key in keys):
            known = ", ".join(sorted({name for key in keys for name in key.algorithms}))
            msg = f"no key is good for {algorithm} (algorithms); these are good for {known}"
            raise ValueError(msg)
    return keys
