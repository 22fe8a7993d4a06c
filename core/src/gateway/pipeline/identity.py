"""The core's own policy that tells services who is calling, in fields that no client can forge."""

from __future__ import annotations

import json
import re
from itertools import product
from typing import TYPE_CHECKING
from urllib.parse import quote

from gateway.headers import Section

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from gateway.exchange import Exchange, Handler
    from gateway.interfaces import Route
    from gateway.messages import Response
    from gateway.principal import Principal

__all__ = ["IdentityPolicy", "field_value"]

_PLAIN = re.compile(r"[!-$&-~](?:[ -$&-~]*[!-$&-~])?")
_SAFE = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")


class IdentityPolicy:
    """Puts the principal into fields of the request, in place of whatever the client sent under these names.

    The client's own are removed on every route, also where nobody is asked for credentials: a service that reads them
    trusts them. So are those that differ by underscores only, which CGI and WSGI read as the same.

    Args:
        subject: The field for ``Principal.subject``; ``None`` for this and the others sends none.
        kind: The field for ``Principal.kind``.
        provider: The field for ``Principal.provider``.
        scopes: The field for ``Principal.scopes``, sorted and separated by spaces.
        claims: Names of claims, each with its field; what is not text is sent as JSON.
    """

    waits = False

    def __init__(
        self,
        *,
        subject: str | None = None,
        kind: str | None = None,
        provider: str | None = None,
        scopes: str | None = None,
        claims: Mapping[str, str] | None = None,
    ) -> None:
        self._subject, self._kind, self._provider, self._scopes = map(_encoded, (subject, kind, provider, scopes))
        self._claims = [(claim, _encoded(name)) for claim, name in (claims or {}).items()]
        self._own = frozenset(_spellings(filter(None, (subject, kind, provider, scopes, *(claims or {}).values()))))

    def wrap(self, next: Handler, route: Route) -> Handler:  # noqa: A002 - the interface's name
        """Return the handler that tells; ``next`` itself where there is nothing to tell."""
        if not self._own:
            return next

        own, told_by = self._own, self._told

        # No coroutine: all of it comes before the rest.
        def tell(exchange: Exchange) -> Coroutine[Any, Any, Response]:
            headers, principal = exchange.request.headers, exchange.principal
            section = headers.section_of(own)
            if section is not None:
                # Who sends the same fields again is most often the same caller.
                known = section.memo.get(self)
                if known is not None and known[0] is principal:
                    headers.section = known[1] or self._remember(section, principal)
                    return next(exchange)
                section.keep(self, (principal, None))
            headers.drop(own)
            if principal is not None:
                headers.extend(told_by(principal))
            return next(exchange)

        return tell

    def _remember(self, section: Section, principal: Principal | None) -> Section:
        """Return what becomes of a section, and keep it: this caller has sent it before."""
        told = section.without(self._own)
        if principal is not None:
            told = Section((*told.pairs, *self._told(principal)))
        section.keep(self, (principal, told if told is not section else None))
        return told

    def _told(self, principal: Principal) -> Sequence[tuple[bytes, bytes]]:
        told = principal._told  # noqa: SLF001 - kept there for this policy
        if told is None or told[0] is not self:
            told = (self, tuple(self._fields(principal)))
            object.__setattr__(principal, "_told", told)
        return told[1]

    def _fields(self, principal: Principal) -> Iterator[tuple[bytes, bytes]]:
        if self._subject:
            yield self._subject, field_value(principal.subject)
        if self._kind:
            yield self._kind, field_value(principal.kind)
        if self._provider:
            yield self._provider, field_value(principal.provider)
        if self._scopes and principal.scopes:
            yield (
                self._scopes,
                b" ".join(field_value(scope).replace(b" ", b"%20") for scope in sorted(principal.scopes)),
            )
        for claim, name in self._claims:
            value = principal.claims.get(claim)
            if value is not None:
                yield name, field_value(value if isinstance(value, str) else json.dumps(value, default=str))


def field_value(text: str) -> bytes:
    """Return text as the value of a field, percent-encoded where it is not visible ASCII (RFC 3986 section 2.1).

    A subject may hold anything its issuer let pass: a line break would split the message, a space at its end would be
    trimmed into another subject, and so ``%`` is encoded too.
    """
    if _PLAIN.fullmatch(text) is not None:
        return text.encode("ascii")
    inner = text.strip(" ")
    before = len(text) - len(text.lstrip(" "))
    after = len(text) - before - len(inner)
    encoded = quote(inner, safe=f"{_SAFE} ", errors="surrogatepass")
    return f"{'%20' * before}{encoded}{'%20' * after}".encode("ascii")


def _encoded(name: str | None) -> bytes:
    return (name or "").lower().encode("ascii")


def _spellings(names: Iterable[str]) -> Iterator[bytes]:
    """Yield every name with each of its hyphens as it is and as an underscore."""
    for name in names:
        first, *others = _encoded(name).split(b"-")
        for separators in product((b"-", b"_"), repeat=len(others)):
            yield first + b"".join(separator + other for separator, other in zip(separators, others, strict=True))


if TYPE_CHECKING:
    from gateway.interfaces import Policy

    _policy: type[Policy] = IdentityPolicy
