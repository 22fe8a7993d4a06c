"""What every registration must be like, whoever offers it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import AliasChoices, BaseModel

from gateway.plugin_config import LimitConfig, RouteSourceConfig
from gateway.registrations import LimiterRegistration, Registration, RouteSourceRegistration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic.fields import FieldInfo

    from gateway.pluginhost.plugin import Offer

__all__ = ["PER_RULE_KINDS", "RESERVED_KEYS", "check_offers", "model_keys"]

RESERVED_KEYS = ("enabled", "onError", "mode", "latencyBudget", "quarantine")
"""Keys of every block that the core reads itself."""

PER_RULE_KINDS = frozenset({"policy", "authenticator", "limiter", "balancer"})
"""The kinds of offers that a rule can configure."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_PATH = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9][A-Za-z0-9_-]*)*")


def check_offers(offers: Sequence[Offer]) -> Iterator[str]:
    """Yield what is wrong with the registrations of one plugin, each with what its author can do about it."""
    seen = set()
    for offer in offers:
        if (offer.kind, offer.name) in seen:
            yield f"it offers {offer.kind} {offer.name!r} twice; give each its own name"
        seen.add((offer.kind, offer.name))
        for problem in _check(offer):
            yield f"{offer.kind} {offer.name!r}: {problem}"


def model_keys(model: type[BaseModel]) -> dict[str, str]:
    """Return the keys that a model takes in YAML, each with the name of its field."""
    return {key: name for name, field in model.model_fields.items() for key in _keys(name, field)}


def _keys(name: str, field: FieldInfo) -> list[str]:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [choice for choice in alias.choices if isinstance(choice, str)]
    return [alias if isinstance(alias, str) else field.alias or name]


def _check(offer: Offer) -> Iterator[str]:
    if not _NAME.fullmatch(offer.name):
        yield "a name consists of letters, digits, '_' and '-'"
    if not isinstance(offer, Registration):
        return
    model: object = offer.config
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        yield f"config is {model!r}; make it a class that extends gateway.Config"
        return
    yield from _check_model(offer, model)
    yield from _check_places(offer, model)


def _check_model(offer: Registration, model: type[BaseModel]) -> Iterator[str]:
    if model.model_config.get("extra") != "forbid":
        yield f"{model.__name__} lets unknown keys pass; extend gateway.Config, or set extra='forbid'"
    taken = {*model_keys(model), *model.model_fields} & {*RESERVED_KEYS, "on_error", "latency_budget"}
    for key in sorted(taken):
        yield f"{model.__name__} has a field {key!r}, which the core reads itself; give it another name"
    if isinstance(offer, LimiterRegistration) and not issubclass(model, LimitConfig):
        yield f"{model.__name__} must extend gateway.LimitConfig, of which the core reads 'key'"
    if isinstance(offer, RouteSourceRegistration) and not issubclass(model, RouteSourceConfig):
        yield f"{model.__name__} must extend gateway.RouteSourceConfig, of which the core reads 'allow'"


def _check_places(offer: Registration, model: type[BaseModel]) -> Iterator[str]:
    for place in (offer.path, offer.rule_key):
        if place is not None and not _PATH.fullmatch(place):
            yield f"{place!r} is not a place in the configuration; write keys with dots between them, like 'auth.jwt'"
    if offer.kind not in PER_RULE_KINDS and (offer.rule_key or offer.rule_keys):
        yield "a rule cannot configure it; remove rule_key and rule_keys"
    for key, config_key in offer.rule_keys.items():
        if config_key.partition(".")[0] not in model_keys(model):
            yield f"rule_keys sends {key!r} to {config_key!r}, which {model.__name__} does not have"
