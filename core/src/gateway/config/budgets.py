"""``latencyBudget`` and ``quarantine``: what a policy may take, and what becomes of one that takes more or fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from gateway.config.places import Block
from gateway.config.validation import validate
from gateway.interfaces import Stage
from gateway.plugin_config import Config
from gateway.registrations import PolicyRegistration
from gateway.units import Duration

if TYPE_CHECKING:
    from gateway.config.report import Report
    from gateway.registrations import Registration

__all__ = ["BUDGET_KEYS", "BudgetConfig", "QuarantineConfig", "budget_of"]

BUDGET_KEYS = ("latencyBudget", "quarantine")


class QuarantineConfig(Config):
    """When a policy is put aside, and for how long."""

    failures: int = Field(
        default=5, ge=1, le=1000, description="How many failures and overruns of `latencyBudget` are too many."
    )
    within: Duration = Field(default=60.0, gt=0, description="In how many seconds they are too many.")
    rest: Duration = Field(
        default=300.0, gt=0, alias="for", description="For how many seconds it is left out; then it is tried again."
    )


class BudgetConfig(Config):
    """What every block of a policy takes."""

    latency_budget: Duration | None = Field(
        default=None,
        gt=0,
        description="Seconds that the policy itself may take for a request; overruns are counted. What is further in "
        "does not count.",
    )
    quarantine: QuarantineConfig | None = Field(
        default=None, description="Leaves the policy out for a while when it keeps failing or overrunning."
    )


_NONE = BudgetConfig.model_construct()  # not validated: building the model is left to who has such keys


def budget_of(registration: Registration, block: Block, report: Report) -> BudgetConfig:
    """Return what a block says of budget and quarantine, and report what must not be.

    Args:
        registration: Whose block it is.
        block: The block.
        report: Takes the problems.
    """
    own = Block(block.place)
    for key in BUDGET_KEYS:
        if block.get(key) is not None:
            own.put(key, block[key], block.places[key])
    if not own:
        return _NONE
    if "quarantine" in own and _decides(registration):
        message = f"would let requests pass unchecked while {registration.name!r} is put aside; remove it"
        report.error(message, key=own.places["quarantine"])
        return _NONE
    if not isinstance(registration, PolicyRegistration):
        for key in own:
            message = f"means nothing here, for this is no policy ({registration.kind}); remove it"
            report.error(message, key=own.places[key])
        return _NONE
    return validate(BudgetConfig, own, report) or _NONE


def _decides(registration: Registration) -> bool:
    """Say whether it decides who may do what, or how much of it, so that nothing may pass without it."""
    if isinstance(registration, PolicyRegistration):
        return registration.stage in (Stage.AUTHENTICATE, Stage.AUTHORIZE, Stage.LIMIT)
    return registration.kind in ("authenticator", "limiter")
