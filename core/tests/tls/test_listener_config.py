"""TLS towards clients: what may be written, and what does not go together."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.tls import DEFAULT_CIPHERS, TLS13_SUITES, ListenerTlsConfig

PAIR = {"certFile": "server.pem", "keyFile": "server.key"}
ASKING = {**PAIR, "clientCAFile": "ca.pem"}
ALL_NEW = list(TLS13_SUITES.values())


def tls(**keys):
    return ListenerTlsConfig.model_validate(keys)


def test_defaults():
    config = tls(**PAIR)
    assert (config.enabled, config.min_version, config.max_version) == (True, "1.2", "1.3")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_one_version(version):
    config = tls(**PAIR, minVersion=version, maxVersion=version)
    assert (config.min_version, config.max_version) == (version, version)


def test_of_tls_1_3_only_all_suites_can_be_had():
    assert tls(**PAIR, cipherSuites=[*DEFAULT_CIPHERS, *ALL_NEW]).cipher_suites[-1] == ALL_NEW[-1]
    assert tls(**PAIR, cipherSuites=ALL_NEW, minVersion="1.3").min_version == "1.3"
    for keys, why in (
        ({"cipherSuites": ALL_NEW[:1]}, "list all three or none"),
        ({"cipherSuites": ALL_NEW}, "no suite of TLS 1.2"),
        ({"cipherSuites": DEFAULT_CIPHERS[:1], "minVersion": "1.3"}, "remove one of the two"),
    ):
        with pytest.raises(ValidationError, match=why):
            tls(**PAIR, **keys)


@pytest.mark.parametrize("written", ["1.2", 1.2, "TLS1.2", "TLSv1.2", "tls12", "VersionTLS12"])
def test_versions_as_people_write_them(written):
    assert tls(**PAIR, minVersion=written).min_version == "1.2"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("none", "none"),
        ("request", "request"),
        ("verify_if_given", "request"),
        ("VerifyClientCertIfGiven", "request"),
        ("require", "require"),
        ("verify", "require"),
        ("require-and-verify", "require"),
        ("RequireAndVerifyClientCert", "require"),
    ],
)
def test_client_authentication_as_other_gateways_call_it(written, meant):
    keys = PAIR if meant == "none" else ASKING
    assert tls(**keys, clientAuth=written).client_auth == meant


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"certFile": "server.pem"}, "belong together"),
        ({**PAIR, "minVersion": "1.1"}, "RFC 8996"),
        ({**PAIR, "minVersion": "1.0"}, "RFC 8996"),
        ({**PAIR, "minVersion": "2"}, "minVersion"),
        ({**PAIR, "minVersion": "1.3", "maxVersion": "1.2"}, "swap them"),
        ({**PAIR, "clientAuth": "require"}, "needs clientCAFile"),
        ({**PAIR, "clientAuth": "RequireAnyClientCert"}, "nobody verified"),
        (ASKING, "nobody is asked"),
        ({**PAIR, "clientCRLFile": "crl.pem"}, "nobody is asked"),
        ({"certificates": [{**PAIR, "clientAuth": "require"}]}, "'clientAuth: request' above it"),
        ({"certificates": [{**PAIR, "hosts": ["https://shop.example"]}]}, "not a host name"),
        ({"certificates": [{**PAIR, "hosts": ["*"]}]}, "not a host name"),
        ({"certificates": [{**PAIR, "hosts": ["shop.*.example"]}]}, "not a host name"),
        ({**PAIR, "handshakeTimeout": 0}, "greater than 0"),
    ],
)
def test_what_does_not_go_together_is_refused(keys, why):
    with pytest.raises(ValidationError, match=why):
        tls(**keys)
