"""What the block refuses."""

import pytest
from pydantic import ValidationError

from gateway_cors.config import CorsConfig


def read(**block):
    return CorsConfig.model_validate(block)


def test_defaults():
    config = read()
    assert config.allowed_origins == ("*",)
    assert config.allowed_methods == ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
    assert config.allowed_headers == ("*",)
    assert not config.exposed_headers
    assert not config.allow_credentials
    assert not config.allow_private_network
    assert not config.options_passthrough
    assert (config.max_age, config.options_success_status) == (86400, 204)


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ({}, "'\\*' may be any page"),
        ({"allowedOrigins": ["*", "https://shop.example"]}, "'\\*' may be any page"),
        ({"allowedOrigins": ["https://shop.example", "null"]}, "'null' may be any page"),
        ({"allowedOrigins": [], "allowedOriginRegexes": ["https://.*"]}, "matches any page"),
        ({"allowedOrigins": ["https://shop.example"], "exposedHeaders": ["*"]}, "list the fields"),
    ],
)
def test_credentials_are_for_named_origins_only(block, why):
    with pytest.raises(ValidationError, match=why):
        read(allowCredentials=True, **block)
    read(**block)


def test_credentials_for_named_origins():
    regex = r"https://pr-\d+\.shop\.example"
    config = read(allowCredentials=True, allowedOrigins=["https://*.shop.example"], allowedOriginRegexes=[regex])
    assert config.allow_credentials


@pytest.mark.parametrize(
    "block",
    [
        {"allowedOrigins": []},
        {"allowedOrigins": ["shop.example"]},
        {"allowedOriginRegexes": ["("]},
        {"allowedMethods": ["GET, POST"]},
        {"allowedHeaders": ["X-One, X-Two"]},
        {"exposedHeaders": ["X-One\r\nX-Two: 1"]},
        {"exposedHeaders": [""]},
        {"optionsSuccessStatus": 302},
        {"optionsSuccessStatus": 101},
        {"maxAge": -1},
        {"allowedOrgins": ["*"]},
    ],
)
def test_what_cannot_be_meant_is_refused(block):
    with pytest.raises(ValidationError):
        read(**block)
