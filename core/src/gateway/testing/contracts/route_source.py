"""What a route source promises."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.config.admission import Admission, NotAdmitted
from gateway.config.aliases import RULE_ALIASES
from gateway.config.result import Configured
from gateway.interfaces import RuleOutcome, SourcedRule
from gateway.pluginhost import Plugin
from gateway.registrations import DiscoveryRegistration, Registration, RouteSourceRegistration
from gateway.testing.contracts.expectation import expect
from gateway.testing.contracts.standstill import fastest_s
from gateway.testing.contracts.watching import Watched, WatchingContract, supervised

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.interfaces import DiscoveryProvider, PublishRules, RouteSource
    from gateway.testing.workbench import Workbench

__all__ = ["RouteSourceContract"]

MAX_SETTLED_S = 0.01
"""How long ``settled`` may take for a handful of rules: it is called while the control plane waits."""

Rules = Sequence[SourcedRule]


class RouteSourceContract(WatchingContract[Rules]):
    """Extend it, name it ``Test...``, and say which rules there are, and how that changes.

    ``config`` must lead to rules that it lets in; ``change``, ``fail``, ``mend`` and ``spoil`` are for those that can.
    """

    kind: ClassVar[type[Registration]] = RouteSourceRegistration

    # To be overridden.

    def paths(self) -> list[str]:
        """Return the paths of all rules that are to be found at first, in the order in which they are published."""
        raise NotImplementedError("say which rules there are: override paths")

    def provider_config(self) -> Mapping[str, Any]:
        """Return the configuration of the discovery provider that it is ``over``, as it stands in the YAML."""
        return MappingProxyType({})

    async def spoil(self) -> bool:
        """Add something of which no rule can be made, beside what there is; ``False`` if there is no such thing."""
        return False

    # What is promised.

    async def test_it_publishes_everything_at_once(self) -> None:
        """The first time with all rules: what is not among them is not served."""
        async with self._watched() as watched:
            found = _paths(await watched.next())
            expect(found == self.paths(), f"the first rules are for {found}, not for {self.paths()}, in this order")

    async def test_what_it_publishes_is_let_in(self) -> None:
        """Rules as they would stand in the file, each with where it comes from, and nothing that its block forbids."""
        async with self._watched() as watched:
            admission = Admission(self._configured(), RULE_ALIASES)
            expect(not admission.problems, "; ".join(map(str, admission.problems)))
            for each in await watched.next():
                expect(isinstance(each, SourcedRule), f"{each!r} was published; publish gateway.SourcedRule objects")
                is_named = bool(each.where) and each.where.isprintable()
                expect(is_named, f"{each!r} says not where it comes from, in one line; say it in 'where'")
                try:
                    admission.block(each)
                except NotAdmitted as error:
                    raise AssertionError(f"the rule of {each.where} is not let in: {error}") from error

    async def test_changes_are_all_rules(self) -> None:
        """Those that did not change are among them, too; what was published before stays as it was."""
        async with self._watched() as watched:
            first = await watched.next()
            noted = self.listed(first)
            if not await self.change():
                return
            second = await watched.until(lambda found: self.listed(found) != noted)
            expect(self.listed(first) == noted, "rules were changed after they were published")
            kept = {_path(each) for each in second} & set(self.paths())
            is_whole = len(self.paths()) == 1 or kept
            expect(is_whole, f"one rule changed, and none of {self.paths()} is left: publish all of them each time")

    async def test_what_is_wrong_is_left_out_alone(self) -> None:
        """The others are served all the same, and it is said what is wrong: by a rule that has a problem."""
        async with self._watched() as watched:
            known = self.listed(await watched.next())
            if not await self.spoil():
                return
            found = await watched.until(lambda found: self.listed(found) != known)
            lost = [path for path in self.paths() if path not in _paths(found)]
            expect(not lost, f"of something no rule can be made, and {lost} are gone; leave out only what is wrong")
            spoilt = [each for each in found if each.problem or _path(each) not in self.paths()]
            expect(spoilt, "nobody learns what is wrong; publish a SourcedRule with 'problem' in its place")

    async def test_it_may_be_told_what_became_of_its_rules(self) -> None:
        """``settled``, if it has one, is synchronous and quick, whatever became of them and in whatever order."""
        async with self.bench() as bench, self._source(bench) as source:
            settled = getattr(source, "settled", None)
            if settled is None:
                return
            watched = Watched(self.nothing(), self.listed)
            async with supervised(bench, lambda: source.watch(watched.publish)):
                rules = await watched.next()
                for what, outcomes in _fates(rules):
                    try:
                        returned = settled(outcomes)
                    except Exception as error:
                        raise AssertionError(f"settled raised {error!r} when it was told of {what}") from error
                    if inspect.iscoroutine(returned):
                        returned.close()
                    expect(returned is None, f"settled returned {returned!r}; it is a synchronous function")
                took_s = fastest_s(lambda: settled(next(_fates(rules))[1]))
                expect(took_s < MAX_SETTLED_S, f"settled took {took_s * 1000:.0f} ms; do what takes long in 'watch'")

    # Underneath.

    def nothing(self) -> Rules:
        """Return no rules."""
        return ()

    def listed(self, published: Rules) -> list[tuple[Any, str, str]]:
        """Return the rules, with their places and problems."""
        return [(copy.deepcopy(_plain(each.rule)), each.where, each.problem) for each in published]

    @contextlib.asynccontextmanager
    async def watcher(self, bench: Workbench) -> AsyncIterator[Callable[[PublishRules], Awaitable[None]]]:
        """Build the source, over its provider if it is over one, which watches then, too."""
        async with self._source(bench) as source:
            yield source.watch

    @contextlib.asynccontextmanager
    async def _source(self, bench: Workbench) -> AsyncIterator[RouteSource]:
        registration = self.registration
        component = await bench.build(registration, self.config())
        below = registration.over if isinstance(registration, RouteSourceRegistration) else None
        if below is None:
            yield component
            return
        provider: DiscoveryProvider = await bench.build(
            self.offered(DiscoveryRegistration, below), self.provider_config()
        )
        source: RouteSource = component.over(provider)
        async with supervised(bench, lambda: provider.watch(lambda snapshot: None)):
            yield source

    def _configured(self) -> Configured:
        registration = self.registration
        config = registration.config.model_validate(self.config())
        plugin = Plugin(name=registration.name, distribution=f"gateway-{registration.name}")
        return Configured(plugin=plugin, registration=registration, config=config, where="test")


def _fates(rules: Rules) -> Any:  # noqa: ANN401 - an iterator of pairs
    """Yield what may become of rules, each with what that is called."""
    yield "rules that are served", [RuleOutcome(rule=each, is_accepted=True, is_served=True) for each in rules]
    problems = ("another rule has this path", "ein Umlaut: \xfc")
    yield (
        "rules that are left out",
        [RuleOutcome(rule=each, is_accepted=False, is_served=False, problems=problems) for each in reversed(rules)],
    )
    yield "no rules", []
    stranger = SourcedRule(rule={"path": "/stranger"}, where="nowhere")
    yield "a rule of long ago", [RuleOutcome(rule=stranger, is_accepted=True, is_served=False, problems=problems)]


def _path(each: SourcedRule) -> object:
    """Return the path of a rule; ``None`` if it is none."""
    rule: object = each.rule  # as it was published
    return rule.get("path") if isinstance(rule, Mapping) and not each.problem else None


def _paths(published: Rules) -> list[object]:
    return [_path(each) for each in published if _path(each) is not None]


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a rule holds
    """Return a rule as dictionaries: other mappings need not be copied or compared."""
    return dict(value) if isinstance(value, Mapping) else value
