"""TLS towards services: what may be written, for all of them and for single ones."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.tls import BackendTlsConfig, TlsToServicesConfig


def test_swapped_versions():
    with pytest.raises(ValidationError, match=r"maxVersion '1.2' is below minVersion '1.3'; swap them"):
        BackendTlsConfig.model_validate({"minVersion": "1.3", "maxVersion": "1.2"})


@pytest.mark.parametrize("half", ["clientCertFile", "clientKeyFile"])
def test_half_a_client_certificate(half):
    with pytest.raises(ValidationError, match="clientCertFile and clientKeyFile belong together"):
        BackendTlsConfig.model_validate({half: "x.pem"})


def test_whole_client_certificate_and_authorities():
    files = {"clientCertFile": "c.pem", "clientKeyFile": "k.pem", "rootCAFile": "ca.pem"}
    tls = BackendTlsConfig.model_validate(files)
    assert (tls.client_cert_file, tls.client_key_file, tls.root_ca_file) == ("c.pem", "k.pem", "ca.pem")


def test_tls_to_services_that_is_off_is_as_if_it_were_not_there():
    off = BackendTlsConfig.model_validate({"enabled": False, "insecureSkipVerify": True, "serverName": "other"})
    assert (off.insecure_skip_verify, off.server_name) == (False, None)
    with pytest.raises(ValidationError, match="insecureSkipVerfy"):
        BackendTlsConfig.model_validate({"enabled": False, "insecureSkipVerfy": True})


def test_a_service_must_go_with_the_rest():
    services = {"orders": {"tls": {"maxVersion": "1.2"}}}
    with pytest.raises(ValidationError, match=r"services\.orders\.tls"):
        TlsToServicesConfig.model_validate({"tls": {"minVersion": "1.3"}, "services": services})
    with pytest.raises(ValidationError, match="belong together"):
        TlsToServicesConfig.model_validate({"services": {"orders": {"tls": {"clientCertFile": "gateway.pem"}}}})


def test_what_a_service_says_lies_over_the_rest():
    config = TlsToServicesConfig.model_validate(
        {"tls": {"serverName": "all", "minVersion": "1.3"}, "services": {"orders": {"tls": {"serverName": "orders"}}}}
    )
    assert (config.tls_of("orders").server_name, config.tls_of("orders").min_version) == ("orders", "1.3")
    assert config.tls_of("users").server_name == "all"
