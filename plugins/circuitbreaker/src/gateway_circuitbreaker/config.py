"""The block ``circuitBreaker``."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from gateway import Config, Duration, Statuses

__all__ = ["CircuitBreakerConfig", "CircuitSettings", "Failure"]

Failure = Literal["connect", "bad_gateway", "upstream_timeout", "unavailable"]
"""What can go wrong with an instance that gave no answer."""

MAX_PROBES = 1000


class CircuitSettings(Config):
    """When a circuit opens, and how it closes again."""

    max_failures: int = Field(
        default=5, ge=0, description="How many failures in a row open the circuit; 0 does not look at rows."
    )
    failure_threshold: float = Field(
        default=0.5,
        ge=0.0,
        le=1_000_000,
        description="The share of failures in the window that opens the circuit, from 0 to 1; 0 does not look at "
        "shares. A number above 1 is a number of failures in a row, like `maxFailures`.",
    )
    min_requests: int = Field(
        default=20, ge=1, description="How many requests the window must hold before their share of failures counts."
    )
    interval: Duration = Field(default=60.0, gt=0.0, description="The length of the rolling window.")
    buckets: int = Field(
        default=10, ge=1, le=60, description="The steps in which the window rolls; more forget more evenly."
    )
    statuses: Statuses = Field(
        default=frozenset(range(500, 600)), description="Answers that are failures: `503`, `5xx`, `500-504`."
    )
    errors: frozenset[Failure] = Field(
        default=frozenset({"connect", "bad_gateway", "upstream_timeout"}),
        description="Missing answers that are failures: `connect` (not reached), `bad_gateway` (broke off, or was no "
        "HTTP), `upstream_timeout`, `unavailable` (too many requests wait for a connection).",
    )
    timeout: Duration = Field(
        default=60.0, gt=0.0, description="How long an open circuit refuses everything before it lets probes through."
    )
    max_requests: int = Field(
        default=1, ge=1, le=MAX_PROBES, description="How many probes a half-open circuit lets through at a time."
    )
    success_threshold: int | None = Field(
        default=None,
        ge=1,
        le=MAX_PROBES,
        description="How many probes must succeed to close the circuit; as many as `maxRequests` if not set.",
    )
    probe_timeout: Duration | None = Field(
        default=None, gt=0.0, description="How long a probe may take before it counts as failed; `timeout` if not set."
    )

    @property
    def failures_in_a_row(self) -> int:
        """How many failures in a row open the circuit; 0 if that does not matter."""
        return int(self.failure_threshold) if self.failure_threshold > 1 else self.max_failures

    @property
    def failure_ratio(self) -> float:
        """The share of failures that opens the circuit; 0 if that does not matter."""
        return 0.0 if self.failure_threshold > 1 else self.failure_threshold

    @property
    def probes_to_close(self) -> int:
        """How many probes must succeed."""
        return self.success_threshold or self.max_requests

    @property
    def probe_timeout_s(self) -> float:
        """How long a probe may take."""
        return self.probe_timeout or self.timeout

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.failure_threshold > 1:
            if self.failure_threshold != int(self.failure_threshold):
                msg = f"failureThreshold {self.failure_threshold} is neither a share (0 to 1) nor a number of failures"
                raise ValueError(msg)
            if "max_failures" in self.model_fields_set:
                msg = "failureThreshold above 1 and maxFailures say the same; remove one of them"
                raise ValueError(msg)
        if not self.failures_in_a_row and not self.failure_ratio:
            msg = "maxFailures and failureThreshold are both 0, so that nothing opens the circuit; set one of them"
            raise ValueError(msg)
        return self


class CircuitBreakerConfig(CircuitSettings):
    """The block ``circuitBreaker``."""

    scope: Literal["route", "service", "instance"] = Field(
        default="service",
        description="What has a circuit of its own: each `route`, each `service`, or each `instance` of a service, "
        "which is then avoided as long as others remain.",
    )
    routes: dict[str, CircuitSettings] = Field(
        default_factory=dict, description="Other settings for routes, by id; what they do not say is as above."
    )
    services: dict[str, CircuitSettings] = Field(
        default_factory=dict, description="Other settings for services, by name; those of a route come first."
    )

    def settings_for(self, route: str, service: str) -> CircuitSettings:
        """Return what applies to a route: its own settings, else its service's, over those of all.

        Args:
            route: The route's id.
            service: The service's name.
        """
        own = self.routes.get(route) or self.services.get(service)
        return self if own is None else self._over(own)

    def _over(self, own: CircuitSettings) -> CircuitSettings:
        settings = {name: getattr(self, name) for name in CircuitSettings.model_fields if name in self.model_fields_set}
        return CircuitSettings(**(settings | {name: getattr(own, name) for name in own.model_fields_set}))

    @model_validator(mode="after")
    def _overrides_make_sense(self) -> Self:
        for own in (*self.routes.values(), *self.services.values()):
            self._over(own)
        return self
