"""The configuration: limits, each with what the block says for all of them, and where they are counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, WithJsonSchema, model_validator

from gateway import Config, Duration, LimitConfig
from gateway_ratelimit.notation import parse_rates
from gateway_ratelimit.store_config import MemoryConfig, RedisConfig, StoreConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AlgorithmName", "Limit", "OutageAction", "RateLimit", "RateLimitConfig", "limits_of"]


AlgorithmName = Literal["token_bucket", "fixed_window", "sliding_window", "moving_window"]
OutageAction = Literal["local", "deny", "allow"]

MAX_RATE_PER_S = 1_000_000
MAX_LIMIT = 1_000_000_000
MAX_WINDOW_S = 366 * 24 * 3600.0
MAX_REFILL_S = 10 * MAX_WINDOW_S
"""Bounds far beyond use, within which every number fits the 64 bits of a counter, in nanoseconds."""


def _window(value: float) -> float:
    if not 0.001 <= value <= MAX_WINDOW_S:
        msg = f"{value:g} s is no window; write one between 1ms and 366d"
        raise ValueError(msg)
    return value


Window = Annotated[Duration, AfterValidator(_window)]


class Limit(Config):
    """One limit. What it does not say is as the block says, or as ``RateLimitConfig`` has it by default."""

    rate: int = Field(ge=1, le=MAX_LIMIT, description="How much is allowed in a window; or `100/minute`.")
    window: Window | None = Field(default=None, description="How long a window is; seconds, or `1m`.")
    burst: int | None = Field(default=None, ge=1, le=MAX_LIMIT, description="How much a full bucket holds.")
    algorithm: AlgorithmName | None = Field(default=None, description="How it counts.")
    key: str | None = Field(default=None, description="Whose quota: as the block's `key`.")
    cost: int | None = Field(default=None, description="How much of the quota a request takes.")
    before_authentication: bool | None = Field(default=None, description="As the block's `beforeAuthentication`.")
    headers: str | None = Field(default=None, description="As the block's `headers`.")
    name: str | None = Field(
        default=None, description="What clients and metrics call it; `<name>-<number>` by default."
    )
    scope: str | None = Field(default=None, description="As the block's `scope`.")


class RateLimit(LimitConfig):
    """A limit with everything that is said of it: what a component is built from.

    Attributes:
        rate: How much is allowed in a window.
        window: How long a window is, in seconds.
        burst: How much a full bucket holds; the rate in windows.
        algorithm: How it counts.
        identity: Sets its counters apart from those of other limits on the same route.
        store_name: What its store is called.
        store: Where it is counted.
        on_outage: What happens to requests while its store does not answer.
    """

    rate: int
    window: float
    burst: int
    algorithm: AlgorithmName
    identity: str
    store_name: str
    store: StoreConfig
    on_outage: OutageAction


def _as_limits(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file; pydantic goes on with it
    """Return the limits that a number, a text, a block or a list of these means; 0 means none."""
    if value in (0, "0") and not isinstance(value, bool):
        return ()
    if isinstance(value, Mapping) and value and value.keys() <= _SCOPES.keys():
        return [limit for scope, block in value.items() for limit in _from_scope(scope, block)]
    return [limit for entry in (value if isinstance(value, list | tuple) else [value]) for limit in _as_limit(entry)]


def _as_limit(entry: Any) -> list[Any]:  # noqa: ANN401 - as above
    if isinstance(entry, Limit):
        return [entry]
    if isinstance(entry, bool):
        msg = f"{entry!r} is not a rate; write a number, '100/minute', or 'enabled: false' to have none"
        raise ValueError(msg)  # noqa: TRY004 - pydantic turns ValueError into a message, TypeError into a crash
    block = entry if isinstance(entry, Mapping) else {"rate": entry}
    rate = block.get("rate")
    if not isinstance(rate, str) or rate.strip().isdecimal():
        return [block]
    if "window" in block:
        msg = f"rate {rate!r} says the window already; remove 'window', or write the rate as a number"
        raise ValueError(msg)
    return [{**block, "rate": amount, "window": window_s} for amount, window_s in parse_rates(rate)]


_SCOPES = {"perIP": "client", "perRoute": "route"}
"""Limits of the original gateway's ``middleware.ratelimit``, and the key of each."""


def _from_scope(scope: str, block: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - as above
    """Return the limit that a scope of the original ``middleware.ratelimit`` means, if it is on."""
    if not isinstance(block, Mapping):
        msg = f"{scope} is not a block; write its keys below it, indented, such as 'rate'"
        raise ValueError(msg)  # noqa: TRY004 - as above
    return [{"key": _SCOPES[scope], "name": scope, **own} for own in _in_our_words(block)]


def _in_our_words(block: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """Return a limit as the original ``middleware.ratelimit`` writes it, if it is on."""
    if not block.get("enabled", True):
        return []
    names = {"defaultRate": "rate", "defaultBurst": "burst", "defaultPeriod": "window", "period": "window"}
    return [{names.get(str(name), str(name)): value for name, value in block.items() if name != "enabled"}]


def _as_global_limits(value: Any) -> Any:  # noqa: ANN401 - as above
    """Return the limits over all routes that a value means: of everybody together, unless they say otherwise."""
    entries = value if isinstance(value, list | tuple) else [value]
    written = [each for entry in entries for each in (_in_our_words(entry) if isinstance(entry, Mapping) else [entry])]
    found = [
        limit if isinstance(limit, Limit) else {"key": "route", **limit, "scope": limit.get("scope", "gateway")}
        for limit in _as_limits(written[0] if len(written) == 1 else written)
    ]
    if any(isinstance(limit, dict) and limit["scope"] != "gateway" for limit in found):
        msg = "a global limit is over all routes; write it under 'limits', or without 'scope'"
        raise ValueError(msg)
    return found


_LIMITS_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}, {"type": "object"}, {"type": "array"}],
    "description": "requests in a window, `10/second; 1000/hour`, a block with `rate`, or a list of these; 0 is none",
}
Limits = Annotated[tuple[Limit, ...], BeforeValidator(_as_limits), WithJsonSchema(_LIMITS_SCHEMA)]
GlobalLimits = Annotated[tuple[Limit, ...], BeforeValidator(_as_global_limits), WithJsonSchema(_LIMITS_SCHEMA)]


class RateLimitConfig(LimitConfig):
    """The block ``rateLimit``, and what a rule says over it."""

    limits: Limits = Field(
        description="The limits: a number, `10/second; 1000/hour`, a block, or a list of these; 0 is none."
    )
    global_limits: GlobalLimits = Field(
        default=(),
        alias="global",
        description="Limits over all routes, beside those of each; written like `limits`, and of everybody together "
        "unless they say a `key`.",
    )
    window: Window = Field(default=1.0, description="How long a window is; seconds, or `1m`.")
    burst: int | None = Field(
        default=None, ge=1, le=MAX_LIMIT, description="How much a full bucket holds; the rate by default."
    )
    algorithm: AlgorithmName = Field(
        default="token_bucket",
        description="How it counts: `token_bucket`, `fixed_window`, `sliding_window` or `moving_window`.",
    )
    store: str | None = Field(
        default=None,
        description="Where it is counted: `memory`, `redis` or one of `stores`; `redis` by default if there is a "
        "block `redis`, else `memory`.",
    )
    memory: MemoryConfig = Field(default=MemoryConfig(), description="The store `memory`.")
    redis: RedisConfig | None = Field(default=None, description="The store `redis`.")
    stores: dict[str, StoreConfig] = Field(default_factory=dict, description="Further stores, by name.")
    on_outage: OutageAction = Field(
        default="local",
        description="What happens while Redis does not answer: `local` counts in memory, `deny` answers 503, `allow` "
        "lets pass.",
    )

    @model_validator(mode="before")
    @classmethod
    def _may_be_global_alone(cls, data: Any) -> Any:  # noqa: ANN401 - as above
        is_global_alone = isinstance(data, Mapping) and "global" in data and "limits" not in data
        return {**data, "limits": ()} if is_global_alone else data

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        self.store_config()
        try:
            limits = limits_of(self)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(": ".join(filter(None, (where, first["msg"])))) from error
        for limit in limits:
            _check(limit)
        names = [limit.name for limit in limits]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            msg = f"two limits are called {twice!r}; give each a 'name' of its own"
            raise ValueError(msg)
        return self

    def store_config(self) -> tuple[str, StoreConfig]:
        """Return the name and configuration of the store.

        Raises:
            ValueError: If there is none of that name.
        """
        name = self.store or ("redis" if self.redis is not None else "memory")
        if name in self.stores:
            return name, self.stores[name]
        if name == "memory":
            return name, StoreConfig(type="memory", memory=self.memory)
        if name == "redis":
            return name, StoreConfig(type="redis", redis=self.redis or RedisConfig())
        known = ", ".join(sorted({"memory", "redis", *self.stores}))
        msg = f"there is no store {name!r}; write one of {known}, or add it to 'stores'"
        raise ValueError(msg)


def limits_of(config: RateLimitConfig) -> Sequence[RateLimit]:
    """Return each limit that ``config`` means, with what the block says for all of them."""
    name = config.name or "ratelimit"
    own = config.limits
    return [
        *(
            _limit_of(config, limit, _numbered("global", config.global_limits, number), f"global:{number}")
            for number, limit in enumerate(config.global_limits)
        ),
        *(_limit_of(config, limit, _numbered(name, own, number), str(number)) for number, limit in enumerate(own)),
    ]


def _numbered(name: str, limits: Sequence[Limit], number: int) -> str:
    """Return what a limit is called that has no name of its own."""
    return name if len(limits) == 1 else f"{name}-{number + 1}"


def _limit_of(config: RateLimitConfig, limit: Limit, name: str, place: str) -> RateLimit:
    store_name, store = config.store_config()
    block = {key: getattr(config, key) for key in (*LimitConfig.model_fields, "window", "algorithm")}
    merged = {**block, "name": name, **{key: value for key, value in vars(limit).items() if value is not None}}
    is_bucket = merged["algorithm"] == "token_bucket"
    if limit.burst is None:
        merged["burst"] = config.burst if is_bucket and config.burst is not None else limit.rate
    merged["identity"] = _identity(merged, place)
    return RateLimit(**merged, store_name=store_name, store=store, on_outage=config.on_outage)


def _identity(limit: Mapping[str, Any], place: str) -> str:
    """Return what sets the counters of a limit apart from those of others in the same store."""
    identity = f"{limit['algorithm']}:{limit['key']}"
    if limit["scope"] == "gateway":
        # Rules that write the same limit share it, wherever it stands; those that do not must not share counters.
        return f"{identity}:gateway:{limit['name']}:{limit['rate']}:{limit['burst']}:{limit['window']:g}"
    # Windows of different lengths cannot share counters; a bucket keeps its own over a change of rate or burst.
    return f"{identity}:{place}" if limit["algorithm"] == "token_bucket" else f"{identity}:{place}:{limit['window']:g}"


def _check(limit: RateLimit) -> None:
    """Refuse what cannot be meant.

    Raises:
        ValueError: If it cannot.
    """
    if limit.algorithm != "token_bucket" and limit.burst != limit.rate:
        msg = f"a {limit.algorithm} has no burst; remove it, or take algorithm: token_bucket"
        raise ValueError(msg)
    if limit.cost > limit.burst:
        msg = f"a request costs {limit.cost}, more than the {limit.burst} that there ever is; raise burst or rate"
        raise ValueError(msg)
    if limit.rate > MAX_RATE_PER_S * limit.window:
        msg = f"{limit.rate} in {limit.window:g} s is more than {MAX_RATE_PER_S} a second; take a lower rate"
        raise ValueError(msg)
    if limit.burst * limit.window > MAX_REFILL_S * limit.rate:
        msg = f"a burst of {limit.burst} takes more than ten years to refill; lower it"
        raise ValueError(msg)
