"""What may stand as the address of an instance: a host name or an IP address, nothing around it."""

from __future__ import annotations

import ipaddress
import re

__all__ = ["parse_address"]

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_HOST_AND_PORT = re.compile(r"(\[[^]]+]|[^][:]+):([0-9]+)")
_MAX_NAME_LENGTH = 253


def parse_address(text: str) -> str:
    """Return ``text`` in its one spelling: a lower-case name, or an IP address, IPv6 shortened and without brackets.

    Names are those of RFC 1123 section 2.1, and may hold ``_`` as the names of containers do. What ends in a number
    must be an IPv4 address, as in the host parser of the WHATWG's URL standard: ``10.0.0`` is a typing error.

    Raises:
        ValueError: If it is neither.
    """
    address = text.strip().lower()
    _refuse_url(address)
    if ":" in address or address.startswith("["):
        return _parse_ipv6(address)
    labels = address.removesuffix(".").split(".")
    if labels[-1].isdecimal():
        return _parse_ipv4(address)
    if len(address) > _MAX_NAME_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        msg = f"{text!r} is not a host name or IP address; {_name_remedy(address)}"
        raise ValueError(msg)
    return address


def _refuse_url(address: str) -> None:
    if "@" in address:  # not quoted: what stands before it is often a password
        msg = "the address holds '@'; write the host name or IP address alone, without credentials"
        raise ValueError(msg)
    if "/" in address or "?" in address or "#" in address:
        msg = (
            f"{address!r} is more than a host; write the host name or IP address alone, "
            "with 'scheme' and 'port' as keys of their own and the path in the rule"
        )
        raise ValueError(msg)


def _parse_ipv6(address: str) -> str:
    inner = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    try:
        return str(ipaddress.IPv6Address(inner))
    except ValueError:
        remedy = "write an IPv6 address such as '2001:db8::1'"
        if (match := _HOST_AND_PORT.fullmatch(address)) is not None:
            remedy = f"if {match[2]} is the port, write 'address: {match[1]}' and 'port: {match[2]}'"
        msg = f"{address!r} is neither a host name nor an IPv6 address; {remedy}"
        raise ValueError(msg) from None


def _parse_ipv4(address: str) -> str:
    try:
        return str(ipaddress.IPv4Address(address))
    except ValueError:
        msg = f"{address!r} is not an IPv4 address; write four numbers from 0 to 255, such as '10.0.0.7'"
        raise ValueError(msg) from None


def _name_remedy(address: str) -> str:
    if not address:
        return "name the host to connect to"
    if not address.isascii():
        return "write an international name in its ASCII form, which begins with 'xn--'"
    return f"use letters, digits, hyphens and dots, at most {_MAX_NAME_LENGTH} characters"
