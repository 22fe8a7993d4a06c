"""Rules: from a block of the file to a route with everything that is on for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.config.access import AccessError, RouteAuth, Wish, decide
from gateway.config.aliases import apply_aliases, refuse_keys
from gateway.config.claims import split
from gateway.config.draft import Draft
from gateway.config.effective import blocks_of
from gateway.config.matching import Matching, name_rule, report_conflicts
from gateway.config.model import RuleConfig
from gateway.config.places import Block, plain
from gateway.config.result import ConfiguredRule
from gateway.config.validation import validate
from gateway.interfaces import Route

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.config.authenticators import Authenticators
    from gateway.config.balancers import Balancers
    from gateway.config.claims import Node
    from gateway.config.destinations import Destinations
    from gateway.config.draft import Context
    from gateway.config.model import AuthConfig
    from gateway.config.pipeline import Pipeline
    from gateway.config.places import Items, Place, Value
    from gateway.config.report import Report
    from gateway.routing import Pattern

__all__ = ["RuleBuilder", "RuleParts"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RuleParts:
    """What works out the parts of a rule.

    Attributes:
        tree: Who reads what in a rule.
        aliases: Other spellings of a rule's keys.
        refused: Keys that are refused in a rule, each with the reason.
        auth: The gateway's ``auth``.
        skip_paths: Its ``skipPaths``, parsed.
        authenticators: Chooses the authenticators.
        pipeline: Chooses policies and limiters.
        balancers: Chooses the balancer.
        destinations: Checks service and protocol.
    """

    tree: Node
    aliases: Mapping[str, str]
    refused: Mapping[str, str]
    auth: AuthConfig
    skip_paths: Sequence[str]
    authenticators: Authenticators
    pipeline: Pipeline
    balancers: Balancers
    destinations: Destinations


class RuleBuilder:
    """Builds the rules of one configuration.

    Args:
        context: What they are worked out in.
        parts: What works out their parts.
        rules: All of them, as written.
    """

    def __init__(self, context: Context, parts: RuleParts, rules: Items) -> None:
        self._context = context
        self._report = context.report
        self._parts = parts
        self._rules = rules
        self._taken = {str(rule["id"]) for rule in rules if isinstance(rule, Block) and rule.get("id") is not None}
        self._places: dict[str, Place] = {}

    def build_all(self) -> tuple[ConfiguredRule, ...]:
        """Return the rules, in their order, without those that something is wrong with."""
        pairs = enumerate(zip(self._rules, self._rules.places, strict=True))
        built = (self._build(position, value, place) for position, (value, place) in pairs)
        rules = tuple(rule for rule in built if rule is not None)
        # A rule must never be lost without a word: a less specific one, open to everybody, could answer in its place.
        assert len(rules) == len(self._rules) or self._report.error_count  # noqa: S101 - a promise of this module's
        unique = {rule.matches.id: rule.matches for rule in reversed(rules)}  # of an id given twice, the first
        report_conflicts(list(unique.values())[::-1], self._places, self._report)
        return rules

    def build_apart(self, block: Block, position: int) -> tuple[ConfiguredRule | None, Report]:
        """Return one further rule, or ``None`` if something is wrong with it, and what there is to say about it.

        What is wrong with it is in that report only, and its id is not taken then.

        Args:
            block: The rule, with an id.
            position: Its own, among all.
        """
        is_free = not self.has_id(str(block["id"]))
        with self._report.apart() as report:
            rule = self._build(position, block, block.place)
        if rule is not None and not report.error_count:
            return rule, report
        if is_free:
            self.free_id(str(block["id"]))
        return None, report

    def has_id(self, name: str) -> bool:
        """Say whether a rule has this id already."""
        return name in self._places

    def free_id(self, name: str) -> None:
        """Let other rules have the id of one that is left out after all."""
        self._places.pop(name, None)

    def _build(self, position: int, value: Value, place: Place) -> ConfiguredRule | None:
        if not isinstance(value, Block):
            self._report.error(f"{plain(value)!r} is not a rule; write its keys, indented, such as 'path'", value=place)
            return None
        block = apply_aliases(value, self._parts.aliases, self._report)
        block = refuse_keys(block, self._parts.refused, self._report)
        core, claimed = split(self._parts.tree, block, self._report, self._context.missing.rule_key)
        overrides = blocks_of(claimed, self._report)
        rule = validate(RuleConfig, core, self._report)
        if rule is None:
            for registration, override in overrides.values():
                self._context.offers.for_rule(registration, override)
            return None
        draft = Draft(
            rule=self._with_id(rule, block),
            block=block,
            overrides={key: override for key, (_, override) in overrides.items()},
        )
        return self._finish(draft, position)

    def _with_id(self, rule: RuleConfig, block: Block) -> RuleConfig:
        if not rule.id:
            rule = rule.model_copy(update={"id": name_rule(rule, self._taken)})
        name = str(rule.id)
        first = self._places.setdefault(name, block.place)
        if first is not block.place:
            message = f"the id {name!r} is taken by the rule at {first.at_key}; give each rule its own"
            self._report.error(message, value=block.places["id"])
        return rule

    def _finish(self, draft: Draft, position: int) -> ConfiguredRule | None:
        """Work out all parts, so that everything that is wrong is reported, before giving up on a rule."""
        rule, parts = draft.rule, self._parts
        matching = Matching(draft, self._report)
        pattern = matching.pattern()
        auth = self._access(draft, pattern) if pattern is not None else None
        policies, limiters = parts.pipeline.policies(draft), parts.pipeline.limiters(draft)
        balancer = parts.balancers.for_rule(draft)
        parts.destinations.check_service(draft)
        parts.destinations.check_protocol(draft)
        parts.destinations.check_methods(draft)
        authenticators = parts.authenticators.for_rule(auth, draft) if auth is not None else ()
        entry = matching.entry(pattern, position) if pattern is not None else None
        if pattern is None or auth is None or entry is None or balancer is None:
            return None
        return ConfiguredRule(
            rule=rule,
            route=self._route(draft, matching),
            matches=entry,
            rewrite=matching.rewrite(pattern),
            policies=policies,
            authenticators=authenticators,
            limiters=limiters,
            balancer=balancer,
            auth=auth,
            where=draft.block.place.at_key,
        )

    def _route(self, draft: Draft, matching: Matching) -> Route:
        rule = draft.rule
        return Route(
            id=str(rule.id),
            path=rule.path,
            service=rule.service_name,
            protocol=rule.protocol,
            timeout_s=self._parts.destinations.timeout_s(draft),
            preserve_host=rule.preserve_host,
            allow_upgrade=self._parts.destinations.upgrades(draft),
            metadata=rule.metadata,
        )

    def _access(self, draft: Draft, pattern: Pattern) -> RouteAuth | None:
        """Return who may use the route, or ``None`` if the rule contradicts itself."""
        auth, keys = self._parts.auth, ("authRequired", "auth.required", "authType", "auth")
        try:
            wish = _wish(draft.rule)
            decided = decide(
                wish,
                is_required=auth.required,
                scopes=frozenset(auth.required_scopes),
                skip_paths=self._parts.skip_paths,
                pattern=pattern,
            )
        except AccessError as error:
            self._report.error(str(error), value=draft.place(*keys))
            return None
        if wish.required is False and decided.required:
            message = (
                "has no effect, because gateway.auth asks everybody for credentials; name the path in its skipPaths"
            )
            self._report.warn(message, key=draft.place(*keys))
        return decided


def _wish(rule: RuleConfig) -> Wish:
    for name, one, other in (
        ("authRequired and auth.required", rule.auth_required, rule.auth.required),
        ("authType and auth.type", rule.auth_type, rule.auth.type),
    ):
        if one is not None and other is not None and one != other:
            raise AccessError(f"{name} differ; remove one of them")
    return Wish(
        required=rule.auth.required if rule.auth_required is None else rule.auth_required,
        scopes=frozenset(rule.auth.scopes),
        types=rule.auth_type or rule.auth.type or (),
    )
