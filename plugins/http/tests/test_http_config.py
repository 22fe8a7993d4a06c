import pytest
from pydantic import ValidationError

from gateway.tls import BackendTlsConfig
from gateway_http.config import BackendHttpConfig, FrontendHttpConfig
from gateway_http.tls_config import FrontendTlsConfig

FILES = {"certFile": "cert.pem", "keyFile": "key.pem"}
MIB = 1024 * 1024


def frontend(**settings):
    return FrontendHttpConfig.model_validate(settings)


def backend(**settings):
    return BackendHttpConfig.model_validate(settings)


def test_frontend_defaults():
    config = frontend()
    assert (config.host, config.port, config.tls) == ("0.0.0.0", 8080, None)  # noqa: S104 - the default
    assert (config.read_timeout, config.write_timeout, config.idle_timeout) == (30, 30, 75)
    assert (config.max_request_size, config.max_header_bytes, config.max_uri_bytes) == (10 * MIB, 32768, 8192)
    assert (config.max_headers, config.max_connections) == (100, 16384)
    assert (config.trusted_proxies, config.via, config.forwarded) == ((), "gateway", True)


def test_frontend_tls_defaults():
    tls = FrontendTlsConfig.model_validate(FILES)
    assert (tls.enabled, tls.min_version, tls.max_version, tls.port) == (True, "1.2", "1.3", None)


def test_backend_defaults():
    config = backend()
    assert (config.max_idle_conns, config.max_idle_conns_per_host, config.max_conns_per_host) == (16384, 256, 0)
    assert (config.idle_conn_timeout, config.keep_alive, config.keep_alive_timeout) == (60, True, 30)
    assert (config.dial_timeout, config.response_header_timeout, config.max_response_header_bytes) == (10, 30, 65536)
    assert config.tls == BackendTlsConfig()
    assert not config.tls.insecure_skip_verify


def test_sizes_and_durations_as_text():
    config = frontend(readTimeout="1m30s", idleTimeout="250ms", maxRequestSize="8MB", maxHeaderBytes="16KiB")
    assert (config.read_timeout, config.idle_timeout) == (90, 0.25)
    assert (config.max_request_size, config.max_header_bytes) == (8 * MIB, 16384)
    services = backend(dialTimeout="500ms", idleConnTimeout="5m", maxResponseHeaderBytes="8KB")
    assert (services.dial_timeout, services.idle_conn_timeout, services.max_response_header_bytes) == (0.5, 300, 8192)


def test_zero_is_no_limit_where_that_makes_sense():
    assert frontend(readTimeout=0, writeTimeout=0, idleTimeout=0, maxRequestSize=0).max_request_size == 0
    assert backend(responseHeaderTimeout=0, maxIdleConns=0, keepAliveTimeout=0).response_header_timeout == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"readTimeout": "soon"},
        {"readTimeout": -1},
        {"maxRequestSize": "8 potatoes"},
        {"maxHeaderBytes": 0},
        {"maxHeaders": 0},
        {"maxUriBytes": 0},
        {"maxConnections": 0},
        {"port": 65536},
        {"port": -1},
        {"via": "two words"},
        {"via": ""},
        {"unknown": 1},
        {"tls": {"certFile": "only.pem"}},
        {"tls": {**FILES, "minVersion": "1.1"}},
    ],
)
def test_frontend_refuses(settings):
    with pytest.raises(ValidationError):
        frontend(**settings)


@pytest.mark.parametrize(
    "settings",
    [{"dialTimeout": 0}, {"maxConnsPerHost": -1}, {"maxResponseHeaderBytes": 0}, {"tls": {"maxVersion": "1.4"}}],
)
def test_backend_refuses(settings):
    with pytest.raises(ValidationError):
        backend(**settings)


@pytest.mark.parametrize("network", ["10.0.0.0/33", "proxy.example.org", "", "10.0.0", "10.0.0.1:80"])
def test_bad_network_is_named(network):
    with pytest.raises(ValidationError, match="neither an address nor a network") as caught:
        frontend(trustedProxies=["10.0.0.0/8", network])
    assert repr(network) in str(caught.value)


def test_good_networks():
    values = ("10.0.0.0/8", "10.1.2.3/24", "192.0.2.1", "::1", "2001:db8::/32")
    assert frontend(trustedProxies=list(values)).trusted_proxies == values


@pytest.mark.parametrize(("tls", "why"), [({}, "there is no certificate"), ({**FILES, "port": 70000}, "65535")])
def test_tls_refuses(tls, why):
    with pytest.raises(ValidationError, match=why):
        frontend(tls=tls)


def test_tls_that_is_off_needs_no_certificate():
    assert not FrontendTlsConfig(enabled=False).enabled


def test_tls_port_is_not_the_plain_port():
    with pytest.raises(ValidationError, match=r"tls\.port 8443 is also port"):
        frontend(port=8443, tls={**FILES, "port": 8443})


@pytest.mark.parametrize(
    ("port", "tls"),
    [(8080, {"port": 8443}), (0, {"port": 0}), (8443, {}), (8443, {"port": 8443, "enabled": False})],
)
def test_ports_that_go_together(port, tls):
    assert frontend(port=port, tls={**FILES, **tls}).port == port
