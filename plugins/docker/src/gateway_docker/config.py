"""The blocks ``registry.docker``, ``registry.dockerCompose`` and ``registry.composeFile``."""

from __future__ import annotations

import re
from typing import Annotated, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from gateway import Config, Duration

__all__ = ["DEFAULT_HOST", "ComposeConfig", "ComposeFileConfig", "DockerConfig", "EngineConfig"]

DEFAULT_HOST = "unix:///var/run/docker.sock"

_VERSION = re.compile(r"[0-9]{1,2}\.[0-9]{1,3}")
_PREFIX = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_HOST_NAME = re.compile(r"[A-Za-z0-9._:-]{1,253}")


def _check_host(text: str) -> str:
    host = text.strip()
    if "@" in host:  # not quoted: what stands before it is often a password
        msg = "the host holds '@'; write it without credentials, and name certificates in 'certPath'"
        raise ValueError(msg)
    parts = urlsplit(host)
    if parts.scheme == "unix" and not parts.netloc and len(parts.path) > 1:
        return host
    if parts.scheme in {"tcp", "http", "https"} and _is_authority(parts):
        return host
    msg = f"{text!r} is not an engine that can be reached; write 'unix:///path/to.sock' or 'tcp://host:port'"
    raise ValueError(msg)


def _is_authority(parts: SplitResult) -> bool:
    try:
        return bool(parts.hostname and parts.port) and not (parts.path.strip("/") or parts.query or parts.fragment)
    except ValueError:  # the port is none
        return False


def _check_version(value: object) -> object:
    # A YAML number such as 1.40 would have lost its zero; only text says which version is meant.
    if isinstance(value, str) and (value == "" or _VERSION.fullmatch(value)):
        return value
    msg = f"{value!r} is not an API version; write it in quotes, such as '1.44', or leave it out to negotiate"
    raise ValueError(msg)


def _check_prefix(text: str) -> str:
    if not _PREFIX.fullmatch(text):
        msg = f"{text!r} is not a label prefix; write one such as 'gateway', without a dot at its end"
        raise ValueError(msg)
    return text


def _check_host_address(text: str) -> str:
    if text and not _HOST_NAME.fullmatch(text):
        msg = f"{text!r} is not a host name or IP address; write it alone, without scheme and port"
        raise ValueError(msg)
    return text


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class EngineConfig(Config):
    """How to reach an engine, and what is read of its containers."""

    host: Annotated[str, AfterValidator(_check_host)] = Field(
        DEFAULT_HOST, description="The engine: `unix:///path/to.sock` or `tcp://host:port`."
    )
    version: Annotated[str, BeforeValidator(_check_version)] = Field(
        "", description="The version of its API, such as `'1.44'`; without it, the newest that both sides speak."
    )
    cert_path: str = Field(
        "",
        description="A folder with `ca.pem`, and with `cert.pem` and `key.pem` if the engine asks for a certificate; "
        "turns TLS on.",
    )
    label_prefix: Annotated[str, AfterValidator(_check_prefix)] = Field(
        "gateway", description="What the labels begin with: `<prefix>.service`."
    )
    network: str = Field(
        "", description="The network whose addresses are used; without it, the first by name on which there is one."
    )
    host_address: Annotated[str, AfterValidator(_check_host_address)] = Field(
        "",
        description="Where containers on the host's network are; without it, `127.0.0.1` for a unix socket, else the "
        "engine's host.",
    )
    refresh_interval: Duration = Field(
        10.0, ge=1.0, description="Seconds between two looks at everything, beside those that events cause."
    )
    timeout: Duration = Field(5.0, gt=0, le=60.0, description="Seconds that an answer of the engine may take.")

    @model_validator(mode="after")
    def _tls_has_somewhere_to_be_spoken(self) -> Self:
        if self.cert_path and self.host.startswith("unix:"):
            msg = f"'certPath' has no effect on {self.host!r}; a unix socket speaks no TLS, remove one of them"
            raise ValueError(msg)
        if self.cert_path and self.host.startswith("http:"):
            msg = f"'certPath' contradicts {self.host!r}; write 'tcp://' or 'https://'"
            raise ValueError(msg)
        return self

    @property
    def is_tls(self) -> bool:
        """Whether the engine is spoken to over TLS."""
        return bool(self.cert_path) or self.host.startswith("https:")

    @property
    def effective_host_address(self) -> str:
        """Where containers on the host's network are."""
        return self.host_address or urlsplit(self.host).hostname or "127.0.0.1"


class DockerConfig(EngineConfig):
    """Containers by their labels."""


class ComposeConfig(EngineConfig):
    """Containers of Compose projects."""

    project_name: str = Field("", description="The project; without it, all of them.")


class ComposeFileConfig(EngineConfig):
    """Services listed in Compose files."""

    compose_files: Annotated[
        tuple[str, ...],
        BeforeValidator(_as_list),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ] = Field(("docker-compose.yml",), min_length=1, description="The file, or files of which later ones win.")
    env_file: str = Field(
        ".env", description="Values for `${NAME}` in the files; the gateway's own environment wins. May be missing."
    )
    project_name: str = Field(
        "", description="The project, which names services `<project>_<service>`; without it they are `<service>`."
    )
    service_prefix: str = Field("", description="Only services whose names begin so.")
    use_service_names: bool = Field(
        default=False,
        description="Reach a service by its name in the file, without an engine; else the engine is asked for the "
        "addresses of its containers.",
    )
    refresh_interval: Duration = Field(
        30.0, ge=1.0, description="Seconds between two looks at the files, and at everything in the engine."
    )
