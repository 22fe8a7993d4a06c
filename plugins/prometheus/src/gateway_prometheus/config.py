"""The block ``metrics``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from gateway import Config
from gateway.metrics import LATENCY_BUCKETS_S

__all__ = ["MetricsConfig"]

MAX_BUCKETS = 50
"""Each is one more number per series and scrape; beyond that a native histogram is wanted, which this is not."""


def _plain_path(path: str | None) -> str | None:
    if path is not None and (not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path) or path.startswith("/_gateway")):
        msg = f"{path!r} is not a path for metrics; write one such as /metrics, of letters, digits, '.', '_', '~', '-'"
        raise ValueError(msg)
    return path


def _ascending(bounds: tuple[float, ...]) -> tuple[float, ...]:
    if list(bounds) != sorted(set(bounds)) or bounds[0] <= 0:
        msg = f"{list(bounds)} are not upper bounds of buckets; write seconds above 0, each larger than the one before"
        raise ValueError(msg)
    return bounds


class MetricsConfig(Config):
    """Where metrics are served, and how finely they are told apart."""

    path: Annotated[str | None, AfterValidator(_plain_path)] = Field(
        default=None,
        description="A path where metrics are served beside `/_gateway/metrics`, such as `/metrics`; on the main "
        "listeners it goes before every rule. With `port` it is `/metrics` unless it says otherwise.",
    )
    port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="A port for metrics alone; 0 serves them on the main listeners.",
    )
    host: str = Field(default="127.0.0.1", description="The address of `port`; `0.0.0.0` or `::` for all of them.")
    public: bool | None = Field(
        default=None,
        description="Whether the main listeners answer without the admin token; without it they do, "
        "unless metrics have a `port` of their own.",
    )
    buckets: Annotated[tuple[float, ...], AfterValidator(_ascending)] = Field(
        default=LATENCY_BUCKETS_S,
        min_length=1,
        max_length=MAX_BUCKETS,
        description="Upper bounds, in seconds, of the buckets that durations are counted in.",
    )
    include_path_label: bool = Field(default=True, description="Tell routes apart, by their pattern.")
    include_method_label: bool = Field(default=True, description="Tell methods apart.")
    include_status_label: bool = Field(default=True, description="Tell statuses apart.")
    status_classes: bool = Field(default=False, description="Tell statuses apart by their class only: `2xx`, `5xx`.")

    @model_validator(mode="after")
    def _classes_have_a_label(self) -> MetricsConfig:
        if self.status_classes and not self.include_status_label:
            msg = "statusClasses says how includeStatusLabel labels, which is off; remove one of them"
            raise ValueError(msg)
        return self

    @property
    def is_public(self) -> bool:
        """Whether the main listeners answer without the admin token."""
        return self.public if self.public is not None else not self.port

    @property
    def main_paths(self) -> tuple[str, ...]:
        """The paths outside ``/_gateway`` on the main listeners."""
        return (self.path,) if self.path is not None and not self.port else ()
