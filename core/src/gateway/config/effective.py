"""The effective configuration of every offer: the gateway's block, a rule's over it, validated together.

A block that is present is on, unless it says ``enabled: false``. Only what is used is validated, and only after
merging: neither layer has to be complete by itself. Equal results are the identical ``Configured``, and what was
validated once is not validated again, so that ten thousand rules with the same block cost one validation.

There is one refinement. An offer with ``rule_keys`` whose gateway-wide block lacks a required key that rules can set is
a template for those rules, and off elsewhere: ``rateLimitStorage`` says where limits are counted, and only a rule's
``rateLimit`` makes one. Authenticators and authorisation are never templates, for that could leave a route open.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from gateway.config.aliases import apply_aliases, local_aliases, refuse_keys
from gateway.config.budgets import budget_of
from gateway.config.claims import place_of, walk
from gateway.config.fingerprint import fingerprint
from gateway.config.merge import merge
from gateway.config.places import Block, Place, assign
from gateway.config.result import Configured
from gateway.config.validation import validate
from gateway.interfaces import Stage
from gateway.pluginhost.check import RESERVED_KEYS, model_keys
from gateway.pluginhost.collect import describe_error
from gateway.registrations import LimiterRegistration, PolicyRegistration

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable

    from gateway.config.claims import Claimed
    from gateway.config.places import Value
    from gateway.config.report import Report
    from gateway.config.result import OnError
    from gateway.pluginhost import PluginHost
    from gateway.registrations import Registration

__all__ = ["MAY_FAIL", "Offers", "blocks_of", "decides_access"]

_TRUTH = TypeAdapter(bool)
MAY_FAIL = ("policy", "limiter", "authenticator")
"""The kinds of which ``onError`` says something: what takes part in an exchange and could be left out."""


def decides_access(registration: Registration) -> bool:
    """Say whether it decides who may do what, so that its failure must never let anybody pass."""
    if isinstance(registration, PolicyRegistration):
        return registration.stage in (Stage.AUTHENTICATE, Stage.AUTHORIZE)
    return registration.kind == "authenticator"


class Offers:
    """Makes ``Configured`` of offers, gateway-wide and for rules.

    Args:
        host: Whose they are.
        claimed: The blocks under ``gateway`` that offers read.
        gateway_place: Where ``gateway`` stands.
        report: Takes the problems.
    """

    def __init__(self, host: PluginHost, claimed: Iterable[Claimed], gateway_place: Place, report: Report) -> None:
        self._host = host
        self._place = gateway_place
        self._report = report
        self._blocks = {id(offer): block for offer, block in blocks_of(claimed, report).values()}
        self._switches: dict[int, bool] = {}
        self._chosen: dict[int, Configured | None] = {}
        self._for_rules: dict[tuple[int, str], Configured | None] = {}
        self._distinct: dict[Hashable, Configured] = {}
        self._limits: dict[int, tuple[Configured, ...]] = {}
        self._used: set[int] = set()

    def switch(self, registration: Registration, *, on: bool) -> None:
        """Turn an offer on or off gateway-wide, with a block or without; ``enabled: false`` still turns it off."""
        self._switches[id(registration)] = on

    def block_of(self, registration: Registration) -> Block | None:
        """Return the gateway-wide block, or ``None`` if there is none."""
        return self._blocks.get(id(registration))

    def is_on(self, registration: Registration) -> bool:
        """Say whether the offer is on gateway-wide."""
        block = self.block_of(registration)
        is_wanted = self._switches.get(id(registration), registration.default_on or block is not None)
        return is_wanted and self._is_enabled(block) and not (block is not None and _lacks(registration, block))

    def gateway_wide(self, registration: Registration) -> Configured | None:
        """Return the offer as it is configured gateway-wide, or ``None`` if it is off or wrong."""
        return self.chosen(registration) if self.is_on(registration) else None

    def chosen(self, registration: Registration) -> Configured | None:
        """Return the offer with its gateway-wide configuration, on or not; ``None`` if that is wrong."""
        key = id(registration)
        if key not in self._chosen:
            block = self.block_of(registration)
            self._chosen[key] = self._configure(registration, self._default(registration) if block is None else block)
        return self._chosen[key]

    def for_rule(self, registration: Registration, block: Block) -> Configured | None:
        """Return the offer as it is configured for a rule, or ``None`` if it is off there or wrong.

        Args:
            registration: The offer.
            block: What the rule says of it.
        """
        key = (id(registration), repr(block))  # which tells 1 from true and "1"
        if key not in self._for_rules:
            errors_before = self._report.error_count
            configured = self._merged(registration, block)
            if self._report.error_count > errors_before:
                return None  # not remembered: the next rule that is wrong in the same way is reported too
            self._for_rules[key] = configured
        return self._for_rules[key]

    def check_unused(self, registration: Registration) -> None:
        """Report what is wrong with a gateway-wide block that is not off and that no rule has used."""
        block = self.block_of(registration)
        if block is not None and id(registration) not in self._used and self._is_enabled(block):
            self._configure(registration, block, may_lack=_lacks(registration, block))

    def _merged(self, registration: Registration, block: Block) -> Configured | None:
        base = self.block_of(registration)
        merged = merge(base, block) if base is not None else block
        if registration.kind == "balancer" or self._is_enabled(merged):
            return self._configure(registration, merged)
        if "enabled" not in block:
            where = merged.places["enabled"].at_key
            self._report.warn(
                f"has no effect, because {where} turns it off; add 'enabled: true' to turn it on here", key=block.place
            )
        return None

    def _configure(
        self, registration: Registration, block: Block, *, may_lack: Collection[str] = ()
    ) -> Configured | None:
        self._used.add(id(registration))
        plugin = self._host.owner(registration)
        if registration.kind == "balancer" and not self._is_enabled(block):
            self._report.error("means nothing for a balancer, which loadBalance chooses", key=block.places["enabled"])
        on_error = self._on_error(registration, block)
        is_shadow = self._is_shadow(registration, block)
        budget = budget_of(registration, block, self._report)
        own = block.copy()
        for key in RESERVED_KEYS:
            if key in own:
                own.drop(key)
        try:
            config = validate(registration.config, own, self._report, may_lack=may_lack)
        except Exception as error:  # noqa: BLE001 - whatever a plugin's validator raises is contained here
            bug = f"the configuration model of {plugin} raised {describe_error(error)}; tell its author"
            self._report.error(bug, key=block.place)
            return None
        if config is None:
            return None
        configured = Configured(
            plugin=plugin,
            registration=registration,
            config=config,
            where=block.place.at_key,
            on_error=on_error,
            is_shadow=is_shadow,
            budget=budget,
        )
        identity = (id(registration), on_error, is_shadow, fingerprint(budget), fingerprint(config))
        return self._distinct.setdefault(identity, configured)

    def _default(self, registration: Registration) -> Block:
        """Return the block of an offer that has none, as if it stood where it would."""
        return Block(self._place.below(*place_of(registration)))

    # The keys that the core reads of every block.

    def _is_enabled(self, block: Block | None) -> bool:
        value = block.get("enabled") if block is not None else None
        if block is None or value is None:
            return True
        try:
            return _TRUTH.validate_python(value)
        except ValidationError:
            self._report.error(f"{value!r} is not true or false; write one of these", value=block.places["enabled"])
            return True

    def _on_error(self, registration: Registration, block: Block) -> OnError:
        value = block.get("onError")
        if value is None:
            return "deny"
        place = block.places["onError"]
        if value not in ("deny", "allow"):
            self._report.error(f"{value!r} is not one of 'deny' or 'allow'; write one of these", value=place)
        elif registration.kind not in MAY_FAIL:
            self._report.error(
                f"means nothing here, for this is no part of an exchange ({registration.kind}); remove it", key=place
            )
        elif value == "allow" and decides_access(registration):
            self._report.error(f"'allow' would let anybody in when {registration.name!r} fails; remove it", value=place)
        return "allow" if value == "allow" else "deny"

    def _is_shadow(self, registration: Registration, block: Block) -> bool:
        value = block.get("mode")
        if value is None:
            return False
        place = block.places["mode"]
        if value not in ("enforce", "shadow"):
            self._report.error(f"{value!r} is not one of 'enforce' or 'shadow'; write one of these", value=place)
        elif registration.kind not in MAY_FAIL:
            self._report.error(
                f"means nothing here, for this decides nothing about a request ({registration.kind}); remove it",
                key=place,
            )
        return bool(value == "shadow")

    def limits_of(self, configured: Configured) -> tuple[Configured, ...]:
        """Return the limits that the configuration of a limiter means, as if each had a block of its own."""
        key = id(configured)
        if key not in self._limits:
            try:
                configs = tuple(configured.registration.limits_of(configured.config))
            except Exception as error:  # noqa: BLE001 - whatever a plugin raises is contained here
                bug = f"{configured.plugin} raised {describe_error(error)} in limits_of; tell its author"
                self._report.error(bug, key=self._place)
                configs = ()
            self._limits[key] = (
                (configured,)
                if configs == (configured.config,)
                else tuple(dataclasses.replace(configured, config=config) for config in configs)
            )
        return self._limits[key]


def blocks_of(claimed: Iterable[Claimed], report: Report) -> dict[int, tuple[Registration, Block]]:
    """Return the block of every offer that ``claimed`` is about, by ``id`` of the registration.

    Single keys that set a key of the block lie over what the block itself says.
    """
    found: dict[int, tuple[Registration, Block]] = {}
    singles = []
    for claim, value, place in walk(claimed):
        if claim.config_key is None:
            found[id(claim.registration)] = (claim.registration, _as_block(value, place, report))
        elif value is not None:
            singles.append((claim.registration, claim.config_key, value, place))
    for registration, config_key, value, place in singles:
        _, block = found.get(id(registration), (registration, None))
        block = assign(Block(place) if block is None else block, config_key.split("."), value, place)
        found[id(registration)] = (registration, block)
    for key, (registration, block) in found.items():
        renamed = apply_aliases(block, local_aliases(registration), report) if registration.aliases else block
        found[key] = (registration, refuse_keys(renamed, registration.refused, report))
    return found


def _as_block(value: Value, place: Place, report: Report) -> Block:
    if isinstance(value, Block):
        return value
    if value is not None:
        report.error("is not a block; write its keys below it, indented, or 'enabled: true'", key=place)
    return Block(place)


def _lacks(registration: Registration, block: Block) -> set[str]:
    """Return the required keys that a gateway-wide block leaves to the rules; see the top of this module."""
    if decides_access(registration):
        return set()
    if isinstance(registration, LimiterRegistration) and not block.keys().isdisjoint(registration.sufficient_keys):
        return set()
    names = model_keys(registration.config)
    set_by_rules = {key.partition(".")[0] for key in registration.rule_keys.values()}
    return {key for key in set_by_rules - block.keys() if registration.config.model_fields[names[key]].is_required()}
