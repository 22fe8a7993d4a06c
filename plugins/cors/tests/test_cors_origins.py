"""Which origins are allowed: as operators write them, as browsers send them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_cors.origins import Origins, matches_anything, read_origin, read_regex


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://shop.example", "https://shop.example"),
        ("HTTPS://Shop.Example", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("http://shop.example:80", "http://shop.example"),
        ("http://shop.example:443", "http://shop.example:443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("http://localhost:*", "http://localhost:*"),
        ("https://*.shop.example", "https://*.shop.example"),
        ("null", "null"),
        ("*", "*"),
    ],
)
def test_origins_are_read_as_browsers_send_them(written, origin):
    assert read_origin(written) == origin


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("shop.example", "'https://shop.example'"),
        ("", "with its scheme"),
        ("https://shop.example/", "write 'https://shop.example'"),
        ("https://shop.example/cart", "has no path"),
        ("https://müller.example", "xn--"),
        ("https://*", "allowedOriginRegexes"),
        ("https://shop.*", "allowedOriginRegexes"),
        ("https://a*.shop.example", "allowedOriginRegexes"),
        ("https://shop.example:", "write"),
        ("https://shop.example\nhttps://evil.example", "write"),
        ("*://shop.example", "write"),
    ],
)
def test_what_no_browser_sends_is_refused_with_the_remedy(written, remedy):
    with pytest.raises(ValueError, match="is not an origin") as refusal:
        read_origin(written)
    assert remedy in str(refusal.value)


@pytest.mark.parametrize(
    ("allowed", "origin", "is_allowed"),
    [
        ("https://shop.example", b"https://shop.example", True),
        ("https://shop.example", b"HTTPS://SHOP.example", True),
        ("https://shop.example", b"http://shop.example", False),
        ("https://shop.example", b"https://shop.example:8443", False),
        ("https://shop.example", b"https://shop.example.evil.example", False),
        ("https://shop.example", b"https://evil.example/https://shop.example", False),
        ("https://shop.example", b"null", False),
        ("https://shop.example", b"", False),
        ("https://*.shop.example", b"https://a.shop.example", True),
        ("https://*.shop.example", b"https://a.b.shop.example", True),
        ("https://*.shop.example", b"https://A.SHOP.EXAMPLE", True),
        ("https://*.shop.example", b"https://shop.example", False),
        ("https://*.shop.example", b"https://evilshop.example", False),
        ("https://*.shop.example", b"https://evil.example#.shop.example", False),
        ("https://*.shop.example", b"https://evil.example:1.shop.example", False),
        ("https://*.shop.example", b"https://user@a.shop.example", False),
        ("https://*.shop.example", b"https://a.shop.example.evil.example", False),
        ("https://*.shop.example", b"https://a.shop-example", False),
        ("https://*.shop.example", b"https://a.shop.example:8443", False),
        ("https://*.shop.example", b"https://a.shop.example\n", False),
        ("https://*.shop.example", "https://ä.shop.example".encode(), False),
        ("https://*.shop.example:8443", b"https://a.shop.example:8443", True),
        ("http://localhost:*", b"http://localhost", True),
        ("http://localhost:*", b"http://localhost:5173", True),
        ("http://localhost:*", b"http://localhost:5173.evil.example", False),
        ("http://localhost:*", b"http://localhost:", False),
        ("null", b"null", True),
        ("null", b"https://shop.example", False),
        ("*", b"https://anything.example", True),
    ],
)
def test_an_origin_is_matched_as_a_whole(allowed, origin, is_allowed):
    assert Origins([allowed]).allows(origin) is is_allowed


@pytest.mark.parametrize(
    ("regex", "origin", "is_allowed"),
    [
        (r"https://pr-\d+\.shop\.example", b"https://pr-12.shop.example", True),
        (r"https://pr-\d+\.shop\.example", b"https://PR-12.shop.example", True),
        (r"https://pr-\d+\.shop\.example", b"https://pr-12.shop.example.evil.example", False),
        (r"https://pr-\d+\.shop\.example", b"xhttps://pr-12.shop.example", False),
        (r"https://a\.example|https://b\.example", b"https://a.example.evil.example", False),
        (r"https://a\.example$", b"https://a.example\n", False),
    ],
)
def test_a_regex_is_anchored_at_both_ends(regex, origin, is_allowed):
    assert Origins([], [regex]).allows(origin) is is_allowed


def test_what_is_no_regex_is_refused():
    with pytest.raises(ValueError, match="not a regular expression"):
        read_regex("https://(shop")


@pytest.mark.parametrize("regex", [".*", "https?://.*", r"https://[^/]+", r"null|https://a\.example"])
def test_a_regex_for_everybody_is_recognised(regex):
    assert matches_anything(regex)


def test_a_regex_for_somebody_is_recognised():
    assert not matches_anything(r"https://.*\.shop\.example")


def test_what_is_too_long_is_no_origin():
    assert not Origins(["https://*.shop.example"]).allows(b"https://" + b"a" * 100_000 + b".shop.example")


@given(st.binary(max_size=60))
def test_only_subdomains_match_a_wildcard(noise):
    """Whatever stands before the suffix, a browser that sends it is at a subdomain: no delimiter is in between."""
    origin = b"https://" + noise + b".shop.example"
    if Origins(["https://*.shop.example"]).allows(origin):
        assert not set(noise.lower()) - set(b"abcdefghijklmnopqrstuvwxyz0123456789-_.")
