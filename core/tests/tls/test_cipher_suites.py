"""Cipher suites by the names that people give them, and which are refused."""

from __future__ import annotations

import pytest

from gateway.tls import parse_cipher_suite


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
