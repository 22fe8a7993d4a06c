"""The contract of route sources: one that keeps it, the one of ``gateway new-plugin``, and those that do not."""

# What is written from templates has no types here.
# mypy: disable-error-code="valid-type,misc,has-type"

import asyncio
import re
import tempfile
import time
from pathlib import Path

import pytest
from core.tests.testing.broken.harness import breach, told_in_the_end, written

from gateway import RouteSourceRegistration, SourcedRule
from gateway.testing import RouteSourceContract

Lines = written("route-source", "listed", "source").ListedSource
ListedConfig = written("route-source", "listed", "config").ListedConfig


def build(config, context):
    return Lines(config, context.resolve(config.path))


class LineContract(RouteSourceContract):
    plugin = RouteSourceRegistration(name="listed", summary="A rule a line", config=ListedConfig, build=build)

    @property
    def file(self):
        return Path(tempfile.gettempdir()) / "gateway-broken-routes.txt"

    def config(self):
        if not self.file.is_file():
            self.file.write_text("/orders/* orders\n/users/* users\n")
        return {"path": str(self.file), "interval": "5ms"}

    def paths(self):
        return ["/orders/*", "/users/*"]

    async def change(self):
        self.file.write_text("/orders/* orders\n/carts/* carts\n")
        return True

    async def spoil(self):
        self.file.write_text("/orders/* orders\nnonsense\n/users/* users\n")
        return True

    async def fail(self):
        self.file.write_bytes(b"\xff")
        return True

    async def mend(self):
        self.file.write_text("/orders/* orders\n/users/* users\n")


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


class TestLines(LineContract):
    """The reference."""


class OneByOne(Lines):
    async def watch(self, publish):
        def each(rules):
            for rule in rules:
                publish([rule])

        await super().watch(each)


class AnyOrder(Lines):
    def rules(self, text):
        return super().rules(text)[::-1]


class PlainMappings(Lines):
    def rules(self, text):
        return [rule.rule for rule in super().rules(text)]


class Nowhere(Lines):
    def rule(self, words, where):
        return super().rule(words, "")


class SetsTooMuch(Lines):
    def rule(self, words, where):
        rule = super().rule(words, where)
        return SourcedRule(rule={**rule.rule, "authRequired": False}, where=where)


class OddValues(Lines):
    def rule(self, words, where):
        rule = super().rule(words, where)
        return SourcedRule(rule={**rule.rule, "path": Path(words[0])}, where=where)


class ChangesOnly(Lines):
    known: tuple = ()

    def rules(self, text):
        rules = super().rules(text)
        fresh = [rule for rule in rules if rule not in self.known] if self.known else rules
        self.known = rules
        return fresh

    async def watch(self, publish):
        def changed(rules):
            if rules:
                publish(rules[-1:] if rules != list(self.known) else rules)

        await super().watch(changed)


class ChangesWhatItPublished(Lines):
    kept: list = []  # noqa: RUF012 - that is what is wrong

    def rules(self, text):
        self.kept = self.kept or []
        self.kept[:] = super().rules(text)
        return self.kept


class AllOrNothing(Lines):
    def rules(self, text):
        rules = super().rules(text)
        return [] if any(rule.problem for rule in rules) else rules


class TellsNobody(Lines):
    def rules(self, text):
        return [rule for rule in super().rules(text) if not rule.problem]


class LosesEverything(Lines):
    async def watch(self, publish):
        try:
            await super().watch(publish)
        except ValueError:
            publish([])
            raise


class Swallows(Lines):
    async def watch(self, publish):
        try:
            await super().watch(publish)
        except asyncio.CancelledError:
            raise RuntimeError("cancelled") from None


class Blocks(Lines):
    def rules(self, text):
        time.sleep(0.15)
        return super().rules(text)


class SettlesLater(Lines):
    async def settled(self, outcomes):
        pass


class KnowsAllRules(Lines):
    def settled(self, outcomes):
        for outcome in outcomes:
            {"line 1": 1, "line 2": 2}[outcome.rule.where]


class SettlesSlowly(Lines):
    def settled(self, outcomes):
        time.sleep(0.03)


@pytest.mark.parametrize(
    ("source", "check", "said"),
    [
        (OneByOne, "test_it_publishes_everything_at_once", r"are for \['/users/\*'\], not for"),
        (AnyOrder, "test_it_publishes_everything_at_once", "in this order"),
        (PlainMappings, "test_what_it_publishes_is_let_in", "publish gateway.SourcedRule|no attribute"),
        (Nowhere, "test_what_it_publishes_is_let_in", "says not where it comes from"),
        (SetsTooMuch, "test_what_it_publishes_is_let_in", "'authRequired' is not allowed"),
        (OddValues, "test_what_it_publishes_is_let_in", "a value is a PosixPath"),
        (ChangesOnly, "test_changes_are_all_rules", "publish all of them each time"),
        (ChangesWhatItPublished, "test_changes_are_all_rules", "changed after they were published"),
        (AllOrNothing, "test_what_is_wrong_is_left_out_alone", "leave out only what is wrong"),
        (TellsNobody, "test_what_is_wrong_is_left_out_alone", "nobody learns|nothing new was published"),
        (LosesEverything, "test_it_does_not_lose_what_it_knew_when_the_source_fails", "the source failed, and"),
        (Swallows, "test_it_ends_when_it_is_cancelled", "let CancelledError pass"),
        (SettlesLater, "test_it_may_be_told_what_became_of_its_rules", "it is a synchronous function"),
        (KnowsAllRules, "test_it_may_be_told_what_became_of_its_rules", "settled raised KeyError"),
        (SettlesSlowly, "test_it_may_be_told_what_became_of_its_rules", "do what takes long in 'watch'"),
        (Blocks, "test_it_does_not_block", "blocked the event loop"),
    ],
)
def test_it_is_caught(source, check, said, monkeypatch):
    patience = {"watching.PATIENCE_S": 0.3, "leaks.SETTLE_S": 0.05}

    def build(config, context):
        return source(config, context.resolve(config.path))

    assert re.search(said, told_in_the_end(said, lambda: breach(LineContract, build, check), patience, monkeypatch))
