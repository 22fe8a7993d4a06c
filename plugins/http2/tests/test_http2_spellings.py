"""Each key about HTTP/2 that files of the original gateway may have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gateway.config import load_configuration
from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config import Configuration


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Configuration]:
    """Load a configuration with these blocks."""

    def load(**blocks: Any) -> Configuration:
        path = tmp_path / "gateway.yaml"
        path.write_text(yaml.safe_dump({"gateway": blocks}))
        return load_configuration(path, environ={})

    return load


def frontend(configuration: Configuration) -> Any:
    """Return how HTTP/2 is spoken to clients; ``None`` if it is not."""
    return next((each.config for each in configuration.adapters if each.name == "http2"), None)


@pytest.mark.parametrize(
    ("http", "is_on"),
    [({"enableHTTP2": True}, True), ({"enableHTTP2": False}, False), ({"http2": {}}, True), ({}, False)],
)
def test_it_may_be_turned_on_below_http(load: Callable[..., Configuration], http: dict[str, Any], is_on: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert (frontend(load(frontend={"http": http})) is not None) is is_on


@pytest.mark.parametrize(
    ("written", "name", "value"),
    [
        ({"maxConcurrentStreams": 7}, "max_concurrent_streams", 7),
        ({"maxReadFrameSize": 32768}, "max_frame_size", 32768),
        ({"initialWindowSize": "1MB"}, "initial_stream_window_size", 1024 * 1024),
        ({"initialConnWindowSize": "2MB"}, "initial_connection_window_size", 2 * 1024 * 1024),
    ],
)
def test_keys_towards_clients(load: Callable[..., Configuration], written: Any, name: str, value: object) -> None:
    assert getattr(frontend(load(frontend={"http": {"http2": written}})), name) == value


def test_keys_towards_services(load: Callable[..., Configuration]) -> None:
    tls = {"caFile": "ca.pem", "certFile": "a", "keyFile": "b"}
    windows = {"initialWindowSize": "1MB", "initialConnWindowSize": "2MB"}
    configuration = load(backend={"http2": {"tls": tls, **windows}})
    config = next(each.config for each in configuration.connectors if each.name == "http2")
    assert (config.tls.root_ca_file, config.tls.client_cert_file, config.tls.client_key_file) == ("ca.pem", "a", "b")
    assert (config.initial_stream_window_size, config.initial_connection_window_size) == (1024 * 1024, 2 * 1024 * 1024)


def test_it_cannot_be_turned_off_towards_services_for_their_scheme_says_it(load: Callable[..., Configuration]) -> None:
    with pytest.raises(ConfigurationError, match="the scheme of an instance says what is spoken"):
        load(backend={"http": {"disableHTTP2": True}})
