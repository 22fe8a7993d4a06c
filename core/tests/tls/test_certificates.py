"""Certificates and keys in files: what can be used, and what is said of the rest."""

from __future__ import annotations

import ssl

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from gateway.tls import file_digests, load_authorities, load_chain
from gateway.tls.certificates import describe, dns_names


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def pair(tmp_path, authority):
    """Return a function that writes a certificate for names, and returns its file and that of its key."""

    def write(*names):
        issued = authority.issue_cert(*names)
        certificate, key = tmp_path / f"{len(names)}.pem", tmp_path / f"{len(names)}.key"
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        return certificate, key

    return write


def context():
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def test_a_certificate_says_for_which_names_it_is(pair):
    certificate, key = pair("Shop.example", "*.shop.example", "10.0.0.1")
    tls = context()
    load_chain(tls, certificate, key)
    assert dns_names(describe(tls, certificate)) == ("shop.example", "*.shop.example")


def test_a_chain_that_cannot_be_shown_is_named_with_the_reason(pair, tmp_path):
    certificate, key = pair("a.example")
    _, other_key = pair("a.example", "b.example")
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    sealed = tmp_path / "sealed.key"
    sealed.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    for files, why in (
        ((tmp_path / "missing.pem", key), "missing.pem' cannot be read: No such file or directory"),
        ((key, key), "holds no PEM certificate"),
        ((certificate, sealed), "is encrypted; decrypt it"),
        ((certificate, other_key), "is not that of the first certificate"),
        ((certificate, certificate), "are not a certificate and its key"),
    ):
        with pytest.raises(ValueError, match=why):
            load_chain(context(), *files)


def test_authorities_that_cannot_be_used_are_named_with_their_key(pair, tmp_path):
    _, key = pair("a.example")
    for file, why in ((tmp_path / "missing.pem", "cannot be read"), (key, "rootCAFile .* cannot be used")):
        with pytest.raises(ValueError, match=why):
            load_authorities(context(), file, "rootCAFile")


def test_a_file_has_another_digest_when_it_changes_and_none_when_it_is_gone(tmp_path):
    file = tmp_path / "file"
    file.write_text("one")
    (first,) = file_digests([file])
    file.write_text("two")
    (second,) = file_digests([file])
    assert first != second
    assert file_digests([tmp_path / "gone", file]) == (None, second)
