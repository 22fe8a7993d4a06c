"""The block ``retry``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gateway import Config, Duration, Milliseconds, Size, Statuses

__all__ = ["BudgetConfig", "Failure", "RetryConfig", "RetrySettings"]

Failure = Literal["connect", "bad_gateway", "upstream_timeout", "unavailable"]
"""What can go wrong with an instance that gave no answer."""

MAX_ATTEMPTS = 20
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110 section 9.2.2."""


def _share(value: object) -> object:
    """Read ``true`` and ``false``, as the original gateway's files have them, as all and nothing."""
    return float(value) if isinstance(value, bool) else value


def _names(value: object) -> object:
    return [value] if isinstance(value, str) else value


class BudgetConfig(Config):
    """How much of a service's traffic may be retries."""

    enabled: bool = Field(
        default=True, description="Whether there is a budget; without one, retries can triple a load."
    )
    ratio: float = Field(default=0.1, ge=0.0, le=10.0, description="Retries allowed for each request of the window.")
    min_retries_per_second: float = Field(
        default=10.0, ge=0.0, le=1_000_000, description="Retries that are allowed however few requests there are."
    )
    min_requests: int = Field(
        default=0, ge=0, description="As long as the window holds fewer requests, nothing is refused."
    )
    window: Duration = Field(default=10.0, gt=0.0, description="How far back requests and retries are counted.")


class RetrySettings(Config):
    """What is tried again, when and how often."""

    max_attempts: int = Field(
        default=3, ge=0, le=MAX_ATTEMPTS, description="How often a service is asked in all; 0 and 1 do not retry."
    )
    initial_delay: Milliseconds = Field(default=0.1, description="The longest pause before the second try.")
    max_delay: Milliseconds = Field(default=30.0, description="The longest pause before any try.")
    multiplier: float = Field(default=2.0, ge=1.0, le=100.0, description="By how much each pause is longer.")
    jitter: Annotated[float, BeforeValidator(_share)] = Field(
        default=1.0,
        ge=0.0,
        le=1.0,
        description="How much of a pause is left to chance: 1 or `true` all of it, 0 or `false` nothing.",
    )
    statuses: Statuses = Field(
        default=frozenset({502, 503, 504}), description="Answers that are tried again: `503`, `5xx`, `500-504`."
    )
    errors: frozenset[Failure] = Field(
        default=frozenset({"connect", "bad_gateway", "upstream_timeout"}),
        description="Missing answers that are tried again: `connect` (not reached), `bad_gateway` (broke off, or was "
        "no HTTP), `upstream_timeout`, `unavailable` (too many requests wait for a connection, or no instance is "
        "healthy).",
    )
    methods: frozenset[Annotated[str, AfterValidator(str.upper)]] = Field(
        default=IDEMPOTENT, description="Methods that may be repeated: the idempotent ones (RFC 9110, 9.2.2)."
    )
    idempotency_keys: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(
        default=("Idempotency-Key", "X-Idempotency-Key"),
        description="Fields whose presence says that the service recognises a repetition, whatever the method.",
    )
    max_body_size: Size = Field(default=65536, description="The largest request body that is kept to be sent again.")
    per_try_timeout: Duration | None = Field(
        default=None,
        gt=0.0,
        description="How long one try may take to the response head; the rule's `timeout` holds in any case.",
    )
    timeout: Duration | None = Field(
        default=None, gt=0.0, description="How long all tries and pauses together may take to the response head."
    )
    respect_retry_after: bool = Field(
        default=True, description="Whether a pause is at least as long as the service's `Retry-After` says."
    )
    max_retry_after: Duration = Field(
        default=5.0, description="A service that asks for a longer pause is not tried again: its answer goes out."
    )
    budget: BudgetConfig = Field(default_factory=BudgetConfig, description="How much of the traffic may be retries.")

    @model_validator(mode="before")
    @classmethod
    def _budget_in_one_key(cls, data: object) -> object:
        """Accept ``budgetRatio`` for routes and services too, as the original gateway's files have it."""
        if not isinstance(data, Mapping) or "budgetRatio" not in data:
            return data
        budget = data.get("budget") or {}
        rest = {key: value for key, value in data.items() if key != "budgetRatio"}
        return {**rest, "budget": {"ratio": data["budgetRatio"], **budget}}


class RetryConfig(RetrySettings):
    """The block ``retry``."""

    routes: dict[str, RetrySettings] = Field(
        default_factory=dict, description="Other settings for routes, by id; what they do not say is as above."
    )
    services: dict[str, RetrySettings] = Field(
        default_factory=dict, description="Other settings for services, by name; those of a route come first."
    )

    def settings_for(self, route: str, service: str) -> RetrySettings:
        """Return what applies to a route: its own settings, else its service's, over those of all.

        Args:
            route: The route's id.
            service: The service's name.
        """
        own = self.routes.get(route) or self.services.get(service)
        return self if own is None else self._over(own)

    def _over(self, own: RetrySettings) -> RetrySettings:
        settings = {name: getattr(self, name) for name in RetrySettings.model_fields}
        return RetrySettings.model_construct(**settings | {name: getattr(own, name) for name in own.model_fields_set})

    @model_validator(mode="after")
    def _delays_ascend(self) -> Self:
        of_others = map(self._over, [*self.routes.values(), *self.services.values()])
        every: list[RetrySettings] = [self, *of_others]
        for settings in every:
            if settings.max_delay < settings.initial_delay:
                msg = f"maxDelay ({settings.max_delay} s) is shorter than initialDelay ({settings.initial_delay} s)"
                raise ValueError(msg)
        return self
