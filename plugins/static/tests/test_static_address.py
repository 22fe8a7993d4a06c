from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_static.address import parse_address

if TYPE_CHECKING:
    import ipaddress


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "localhost"),
        ("HTTPBin.org", "httpbin.org"),
        ("httpbin.org.", "httpbin.org."),
        ("orders_api-1", "orders_api-1"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("7orders", "7orders"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_addresses_have_one_spelling(written, meant):
    assert parse_address(written) == meant


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("http://x", "write the host name or IP address alone"),
        ("x/path", "write the host name or IP address alone"),
        ("x?a=b", "write the host name or IP address alone"),
        ("orders:3000", "'address: orders' and 'port: 3000'"),
        ("10.0.0.7:8080", "'address: 10.0.0.7' and 'port: 8080'"),
        ("[::1]:8080", "'address: [::1]' and 'port: 8080'"),
        ("[::1", "write an IPv6 address such as"),
        (":80", "write an IPv6 address such as"),
        ("10.0.0", "write four numbers"),
        ("10.0.0.256", "write four numbers"),
        ("", "name the host"),
        (".", "use letters"),
        ("a..b", "use letters"),
        ("-a", "use letters"),
        ("two words", "use letters"),
        ("*.example.org", "use letters"),
        ("a" * 64, "use letters"),
        (".".join(["a" * 60] * 5), "use letters"),
        ("bücher.example", "begins with 'xn--'"),
    ],
)
def test_what_is_not_an_address_is_refused_with_a_remedy(written, remedy):
    with pytest.raises(ValueError, match=r".") as refusal:
        parse_address(written)
    assert remedy in str(refusal.value)


def test_credentials_in_an_address_are_not_repeated():
    with pytest.raises(ValueError, match="without credentials") as refusal:
        parse_address("http://me:secret@orders")
    assert "secret" not in str(refusal.value)


@given(st.ip_addresses())
def test_every_ip_address_is_an_address(ip: ipaddress.IPv4Address | ipaddress.IPv6Address):
    assert parse_address(str(ip)) == str(ip)
    assert parse_address(ip.exploded) == str(ip)


@given(st.text(max_size=40))
def test_what_is_accepted_means_the_same_when_it_is_read_again(text: str):
    try:
        address = parse_address(text)
    except ValueError:
        return
    assert parse_address(address) == address
    assert not set(address) & set("/?#@[] \r\n\0")
