import pytest

from gateway.forwarding import Hop, TrustedProxies

PROXIES = TrustedProxies(["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.7"])
PEER = "10.0.0.1"


def chain(*values):
    return [(b"x-forwarded-for", value) for value in values]


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "10.255.255.255", "192.0.2.7", "2001:db8:1::5", "::ffff:10.0.0.1", "2001:db8:1::5%eth0"]
)
def test_trusted(address):
    assert address in PROXIES


@pytest.mark.parametrize(
    "address", ["11.0.0.1", "192.0.2.8", "2001:db8:2::5", "::ffff:11.0.0.1", "::10.0.0.1", "", "unknown", "10.0.0.1:80"]
)
def test_not_trusted(address):
    assert address not in PROXIES


def test_nobody_is_trusted_without_networks():
    assert PEER not in TrustedProxies([])


def test_a_network_may_have_host_bits():
    assert "10.1.2.200" in TrustedProxies(["10.1.2.3/24"])


def hop(peer="198.51.100.1", scheme="http", *, trusted=PROXIES, has_forwarded=True, via="gateway"):
    return Hop(peer, scheme, trusted=trusted, has_forwarded=has_forwarded, via=via)


@pytest.mark.parametrize(
    ("values", "client"),
    [
        ([], PEER),
        ([b""], PEER),
        ([b" , ,"], PEER),
        ([b"198.51.100.1"], "198.51.100.1"),
        ([b"1.1.1.1, 198.51.100.1"], "198.51.100.1"),  # what the client made up stands on the left
        ([b"10.0.0.9, 198.51.100.1"], "198.51.100.1"),  # also when it names a proxy
        ([b"198.51.100.1, 10.0.0.2, 192.0.2.7"], "198.51.100.1"),
        ([b"198.51.100.1", b"10.0.0.2"], "198.51.100.1"),  # two fields are one list
        ([b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # everybody is trusted: the farthest
        ([b"198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),  # nothing left of nonsense counts
        ([b"198.51.100.1, \xff\xfe"], PEER),
        ([b"198.51.100.1:4711"], "198.51.100.1"),
        ([b"2001:db8:9::1, 2001:db8:1::1"], "2001:db8:9::1"),
        ([b"[2001:db8:9::1]"], "2001:db8:9::1"),
        ([b"[2001:db8:9::1]:4711, [2001:db8:1::1]:4711"], "2001:db8:9::1"),
        ([b"198.51.100.1, ::ffff:10.0.0.2"], "198.51.100.1"),
    ],
)
def test_client_behind_proxies(values, client):
    assert hop(PEER).origin(b"a", chain(*values)).client == client


@pytest.mark.parametrize(
    ("value", "client"),
    [
        (b"for=198.51.100.1", "198.51.100.1"),
        (b"For=1.1.1.1, for=198.51.100.1;proto=https, proto=http;for=10.0.0.2", "198.51.100.1"),
        (b'for="198.51.100.1:4711";by=10.0.0.9', "198.51.100.1"),
        (b'for="[2001:db8:9::1]:4711", for="[2001:db8:1::1]"', "2001:db8:9::1"),
        (b"for=198.51.100.1, for=_hidden", PEER),
        (b"for=unknown", PEER),
        (b"by=198.51.100.1", PEER),
        (b"nonsense", PEER),
    ],
)
def test_client_in_forwarded(value, client):
    assert hop(PEER).origin(b"a", [(b"forwarded", value)]).client == client


def test_x_forwarded_for_comes_before_forwarded():
    inbound = [(b"forwarded", b"for=198.51.100.2"), *chain(b"198.51.100.1")]
    assert hop(PEER).origin(b"a", inbound).client == "198.51.100.1"


def test_x_real_ip_does_not_name_the_client():
    assert hop(PEER).origin(b"a", [(b"x-real-ip", b"198.51.100.1")]).client == PEER


@pytest.mark.parametrize(
    ("values", "scheme"),
    [
        ([], "http"),
        ([b"https"], "https"),
        ([b" HTTPS "], "https"),
        ([b"http", b"https"], "https"),
        ([b"https, http"], "http"),
        ([b"javascript"], "http"),
        ([b""], "http"),
        ([b"\xff"], "http"),
    ],
)
def test_scheme_behind_proxies(values, scheme):
    inbound = [(b"x-forwarded-proto", value) for value in values]
    assert hop(PEER).origin(b"a", inbound).scheme == scheme


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        (b"for=1.1.1.1;proto=https", "https"),
        (b'proto="https";for=1.1.1.1', "https"),
        (b"proto=https, proto=http", "http"),
        (b"proto=httpsx", "http"),
        (b"for=1.1.1.1", "http"),
    ],
)
def test_scheme_in_forwarded(value, scheme):
    assert hop(PEER).origin(b"a", [(b"forwarded", value)]).scheme == scheme


def test_strangers_are_not_believed():
    inbound = [
        *chain(b"1.1.1.1"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"evil"),
        (b"x-forwarded-port", b"1"),
        (b"x-real-ip", b"1.1.1.1"),
        (b"forwarded", b"for=1.1.1.1;proto=https"),
    ]
    stranger = hop()
    origin = stranger.origin(b"a", inbound)
    assert (origin.client, origin.scheme) == ("198.51.100.1", "http")
    assert origin.forwarding.pairs == stranger.origin(b"a", []).forwarding.pairs


def test_what_services_are_told():
    origin = hop(scheme="https").origin(b"Example.org", [])
    assert (origin.client, origin.scheme, origin.host) == ("198.51.100.1", "https", "example.org")
    assert origin.forwarding.pairs == (
        (b"x-forwarded-for", b"198.51.100.1"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"Example.org"),
        (b"forwarded", b"for=198.51.100.1;proto=https;host=Example.org"),
        (b"via", b"1.1 gateway"),
    )


def test_via_names_the_version_the_request_came_in():
    assert hop().origin(b"a", [], http_version="1.0").forwarding.pairs[-1] == (b"via", b"1.0 gateway")


def test_forwarded_can_be_left_out():
    forwarding = hop(has_forwarded=False, via="edge-1").origin(b"a", []).forwarding
    assert [name for name, _ in forwarding.pairs] == [
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"via",
    ]
    assert forwarding.pairs[-1] == (b"via", b"1.1 edge-1")


def test_block_is_the_pairs_as_lines():
    forwarding = hop().origin(b"a", []).forwarding
    assert forwarding.block == b"".join(b"%b: %b\r\n" % pair for pair in forwarding.pairs)


def test_te_is_nominated_on_the_wire_only():
    forwarding = hop().origin(b"a", [], takes_trailers=True).forwarding
    assert forwarding.pairs[-1] == (b"te", b"trailers")
    assert forwarding.block.endswith(b"te: trailers\r\nconnection: te\r\n")


@pytest.mark.parametrize(
    ("peer", "host", "element"),
    [
        ("2001:db8::1", b"a", b'for="[2001:db8::1]";proto=http;host=a'),
        ("1.2.3.4", b"a:8080", b'for=1.2.3.4;proto=http;host="a:8080"'),
        ("1.2.3.4", b"[::1]", b'for=1.2.3.4;proto=http;host="[::1]"'),
        ("1.2.3.4", b"[::1]:80", b'for=1.2.3.4;proto=http;host="[::1]:80"'),
        ("1.2.3.4", b"a,for=9.9.9.9", b'for=1.2.3.4;proto=http;host="a,for=9.9.9.9"'),
        ("1.2.3.4", b"a;by=b", b'for=1.2.3.4;proto=http;host="a;by=b"'),
    ],
)
def test_what_is_no_token_is_quoted(peer, host, element):
    pairs = dict(hop(peer).origin(host, []).forwarding.pairs)
    assert pairs[b"forwarded"] == element
    assert pairs[b"x-forwarded-for"] == peer.encode()
    assert pairs[b"x-forwarded-host"] == host


def test_word_of_trusted_proxies_is_continued():
    inbound = [
        *chain(b"198.51.100.1", b"10.0.0.2"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"www.example.org"),
        (b"x-forwarded-port", b"443"),
        (b"x-real-ip", b"198.51.100.1"),
        (b"forwarded", b"for=198.51.100.1;proto=https"),
    ]
    origin = hop(PEER).origin(b"inner", inbound)
    assert (origin.client, origin.scheme, origin.host) == ("198.51.100.1", "https", "inner")
    assert sorted(origin.forwarding.pairs) == [
        (b"forwarded", b"for=198.51.100.1;proto=https, for=10.0.0.1;proto=http;host=inner"),
        (b"via", b"1.1 gateway"),
        (b"x-forwarded-for", b"198.51.100.1, 10.0.0.2, 10.0.0.1"),
        (b"x-forwarded-host", b"www.example.org"),
        (b"x-forwarded-port", b"443"),
        (b"x-forwarded-proto", b"https"),
        (b"x-real-ip", b"198.51.100.1"),
    ]


def test_what_proxies_did_not_say_is_filled_in():
    pairs = dict(hop(PEER).origin(b"inner", chain(b"198.51.100.1")).forwarding.pairs)
    assert pairs[b"x-forwarded-host"] == b"inner"
    assert pairs[b"x-forwarded-proto"] == b"http"
    assert pairs[b"forwarded"] == b"for=10.0.0.1;proto=http;host=inner"
