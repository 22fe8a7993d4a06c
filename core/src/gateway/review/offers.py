"""The registrations of a plugin, beyond what every start checks."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from gateway.plugin_config import Config
from gateway.registrations import Registration
from gateway.review.finding import Finding
from gateway.review.hooks import place_of
from gateway.review.models import check_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.pluginhost.plugin import Offer

__all__ = ["check_offers"]


def check_offers(offers: Sequence[Offer]) -> Iterator[Finding]:
    """Yield what is wrong with what a plugin offers; what keeps it from being loaded is found before."""
    for offer in offers:
        if not offer.summary:
            file, line = place_of(offer.build if isinstance(offer, Registration) else offer.run)
            problem = f"{offer.kind} {offer.name!r} has no summary"
            remedy = "say in one line what it does: 'gateway plugins' shows it"
            yield Finding(code="registration", problem=problem, remedy=remedy, file=file, line=line, level="warning")
        if isinstance(offer, Registration):
            yield from _check_build(offer)
            yield from _check_config(offer)


def _check_build(offer: Registration) -> Iterator[Finding]:
    build, what = offer.build, f"build of {offer.kind} {offer.name!r}"
    file, line = place_of(build)
    if getattr(build, "__module__", "").split(".")[0] == "gateway":
        return  # @policy and @authenticator make one for each function
    if inspect.iscoroutinefunction(build):
        problem, remedy = f"{what} is a coroutine function", "make it def: it runs in a thread and awaits nothing"
        yield Finding(code="build", problem=problem, remedy=remedy, file=file, line=line)
        return
    if "<locals>" in getattr(build, "__qualname__", "<locals>") or "<lambda>" in build.__qualname__:
        problem = f"{what} is made anew whenever the hook is called, so that every reload begins with new components"
        remedy = "make it a function of the module: a reload keeps what has the same build and equal configuration"
        yield Finding(code="build", problem=problem, remedy=remedy, file=file, line=line)


def _check_config(offer: Registration) -> Iterator[Finding]:
    model = offer.config
    if not issubclass(model, Config):
        file, line = place_of(model)
        problem = f"{model.__name__} does not extend gateway.Config"
        remedy = "extend it, for camelCase keys in YAML, and values that nothing changes"
        yield Finding(code="config-model", problem=problem, remedy=remedy, file=file, line=line)
    yield from check_model(model)
