"""Names in certificates, as the ssl module describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway_mtls.config import SubjectSource

__all__ = ["common_name", "distinguished_name", "subject_of"]


_SHORT = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
"""RFC 4514 section 3."""

_KINDS = {"uri": "URI", "dns": "DNS", "email": "email"}


def subject_of(certificate: Mapping[str, Any], sources: tuple[SubjectSource, ...]) -> str | None:
    """Return the first name that one of ``sources`` has and that can be shown; ``None`` if none has."""
    for source in sources:
        for name in _names(certificate, source):
            # What cannot be printed cannot stand in a log or a field either.
            if name and name.isprintable():
                return name
    return None


def common_name(name: tuple[tuple[tuple[str, str], ...], ...]) -> str | None:
    """Return the most specific common name in a distinguished name."""
    found = [value for attributes in name for kind, value in attributes if kind == "commonName"]
    return found[-1] if found else None


def distinguished_name(name: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """Return a name as text, the most specific part first (RFC 4514)."""
    return ",".join(
        "+".join(f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in attributes)
        for attributes in reversed(name)
    )


def _names(certificate: Mapping[str, Any], source: SubjectSource) -> list[str]:
    subject = certificate.get("subject", ())
    if source == "dn":
        return [distinguished_name(subject)]
    if source == "cn":
        name = common_name(subject)
        return [] if name is None else [name]
    return [value for kind, value in certificate.get("subjectAltName", ()) if kind == _KINDS[source]]


def _escaped(value: str) -> str:
    """Return a value with what has a meaning in a name escaped (RFC 4514 section 2.4)."""
    escaped = "".join(f"\\{character}" if character in '"+,;<>\\' else character for character in value)
    if escaped.startswith((" ", "#")):
        escaped = "\\" + escaped
    return escaped[:-1] + "\\ " if escaped.endswith(" ") and len(escaped) > 1 else escaped
