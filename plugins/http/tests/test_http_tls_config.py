import pytest
from pydantic import ValidationError

from gateway.tls import DEFAULT_CIPHERS, TLS13_SUITES, BackendTlsConfig, parse_cipher_suite
from gateway_http.config import BackendHttpConfig
from gateway_http.tls_config import FrontendTlsConfig

PAIR = {"certFile": "server.pem", "keyFile": "server.key"}
ASKING = {**PAIR, "clientCAFile": "ca.pem"}
ALL_NEW = list(TLS13_SUITES.values())


def tls(**keys):
    return FrontendTlsConfig.model_validate(keys)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("tls_ecdhe_rsa_with_aes_128_gcm_sha256", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"),
        (49199, "ECDHE-RSA-AES128-GCM-SHA256"),
        ("0xC02F", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        (4865, "TLS_AES_128_GCM_SHA256"),
    ],
)
def test_suites_by_whatever_name(written, meant):
    assert parse_cipher_suite(written) == meant


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("TLS_RSA_WITH_AES_128_GCM_SHA256", "has no forward secrecy"),
        ("AES128-GCM-SHA256", "has no forward secrecy"),
        ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "no authenticated encryption"),
        ("ECDHE-RSA-AES128-SHA256", "no authenticated encryption"),
        ("TLS_RSA_WITH_RC4_128_SHA", "is broken"),
        ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", "is broken"),
        ("DHE-RSA-AES128-GCM-SHA256", "finite-field"),
        ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA265", "did you mean 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'"),
        ("HIGH", "not a known cipher suite"),
        ("", "not a known cipher suite"),
        (5, "not a known cipher suite"),
        (None, "not a known cipher suite"),
    ],
)
def test_suites_that_are_weak_or_unknown_are_refused(written, why):
    with pytest.raises(ValueError, match=why):
        parse_cipher_suite(written)


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
        ({}, "there is no certificate"),
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
        ({**PAIR, "port": 70000}, "65535"),
    ],
)
def test_what_does_not_go_together_is_refused(keys, why):
    with pytest.raises(ValidationError, match=why):
        tls(**keys)


def test_tls_that_is_off_needs_no_certificate():
    assert not tls(enabled=False).enabled


def test_tls_to_services_that_is_off_is_as_if_it_were_not_there():
    off = BackendTlsConfig.model_validate({"enabled": False, "insecureSkipVerify": True, "serverName": "other"})
    assert (off.insecure_skip_verify, off.server_name) == (False, None)
    with pytest.raises(ValidationError, match="insecureSkipVerfy"):
        BackendTlsConfig.model_validate({"enabled": False, "insecureSkipVerfy": True})


def test_a_service_must_go_with_the_rest():
    services = {"orders": {"tls": {"maxVersion": "1.2"}}}
    with pytest.raises(ValidationError, match=r"services\.orders\.tls"):
        BackendHttpConfig.model_validate({"tls": {"minVersion": "1.3"}, "services": services})
    with pytest.raises(ValidationError, match="belong together"):
        BackendHttpConfig.model_validate({"services": {"orders": {"tls": {"clientCertFile": "gateway.pem"}}}})
