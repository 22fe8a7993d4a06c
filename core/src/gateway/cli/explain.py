"""``gateway explain``: what becomes of a request, without sending it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from gateway.cli.arguments import UsageError, add_configuration_flags, add_json_flag
from gateway.cli.describe import Step, conditions_text, duration_text, path_text, pipeline_of, rule_data
from gateway.cli.loading import load
from gateway.cli.lookup import find_rule, parse_request
from gateway.cli.screen import Column
from gateway.cli.settings import DEFAULT, settings_of
from gateway.errors import ConfigurationError
from gateway.headers import Headers
from gateway.pipeline.explaining import explain_token
from gateway.runtime.explain import explain
from gateway.units import parse_duration

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from gateway.cli.arguments import Parser
    from gateway.cli.context import CommandContext
    from gateway.cli.lookup import Asked, Found
    from gateway.cli.screen import Screen
    from gateway.config import Configuration, Configured, ConfiguredRule
    from gateway.runtime.explain import Outcome

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declare the arguments of ``gateway explain``."""
    parser.add_argument("method", nargs="?", metavar="METHOD", help="the method, such as GET; may be left out")
    parser.add_argument("url", nargs="?", metavar="URL", help="http://host/path, or only /path")
    parser.add_argument(
        "-H",
        "--header",
        dest="headers",
        action="append",
        default=[],
        metavar="'Name: value'",
        help="a header field of the request; may be repeated",
    )
    parser.add_argument(
        "--token",
        dest="wants_token",
        action="store_true",
        help="print a token for the header field X-Gateway-Explain of live requests, and nothing else",
    )
    parser.add_argument(
        "--valid-for",
        dest="valid_for",
        default="15m",
        metavar="DURATION",
        help="how long that token is valid; without it 15m",
    )
    parser.add_argument(
        "--defaults",
        dest="shows_defaults",
        action="store_true",
        help="show the settings that nobody wrote, too",
    )
    add_configuration_flags(parser)
    add_json_flag(parser)


def run(args: argparse.Namespace, context: CommandContext) -> int:
    """Say what becomes of the request; 1 if no rule matches.

    Raises:
        ConfigurationError: With everything that is wrong with the configuration.
        UsageError: If there is no such request.
    """
    configuration = load(args, context)
    if args.wants_token:
        context.out.line(_token(configuration, args.valid_for))
        return 0
    if args.method is None:
        raise UsageError("gateway explain: say which request: gateway explain GET http://host/path")
    method, url = (args.method, args.url) if args.url is not None else ("GET", args.method)
    asked = parse_request(method, url, args.headers)
    found = find_rule(asked, configuration)
    explanation = _Explanation(asked, found, configuration, _run_policies(asked, found, configuration))
    if args.as_json:
        context.out.json(explanation.data())
    else:
        explanation.print(context.out, shows_defaults=args.shows_defaults)
    return 0 if explanation.found.rule is not None else 1


def _token(configuration: Configuration, valid_for: str) -> str:
    secret = configuration.gateway.admin.token
    if secret is None:
        raise UsageError("gateway explain: tokens are made with gateway.admin.token; set it")
    try:
        duration_s = parse_duration(valid_for)
    except ValueError as error:
        raise UsageError(f"gateway explain: --valid-for: {error}") from error
    return explain_token(secret.get_secret_value(), int(time.time() + duration_s))


def _run_policies(asked: Asked, found: Found, configuration: Configuration) -> Outcome | str | None:
    """Return what the policies do; why they could not be run; ``None`` if there are none to run."""
    if found.rule is None:
        return None
    running = explain(
        configuration,
        found.rule,
        method=asked.method,
        host=asked.host,
        path=found.path or "/",
        query=asked.query,
        headers=Headers(list(asked.headers.pairs)),
        params=found.params,
    )
    try:
        return asyncio.run(running)
    except ConfigurationError as error:
        return "\n".join(map(str, error.problems))
    except TimeoutError:
        return "there was no answer in time"


class _Explanation:
    """What there is to say about a request.

    Args:
        asked: The request.
        found: What it gets.
        configuration: All there is.
        outcome: What its policies did, or why they could not be run.
    """

    def __init__(self, asked: Asked, found: Found, configuration: Configuration, outcome: Outcome | str | None) -> None:
        self.found = found
        self._outcome = outcome
        self._asked = asked
        self._configuration = configuration

    def data(self) -> dict[str, Any]:
        """Return it for JSON."""
        found, rule = self.found, self.found.rule
        data: dict[str, Any] = {
            "method": self._asked.method,
            "host": self._asked.host,
            "path": found.path,
            "status": found.status or None,
            "reason": found.reason or None,
            "allowed": list(found.allowed),
            "rule": None,
            "pipeline": [self._step_data(step) for step in self._steps()],
            "ran": self._ran_data(),
        }
        return data | self._rule_data(rule) if rule is not None else data

    def print(self, screen: Screen, *, shows_defaults: bool = False) -> None:
        """Print it, with the settings that nobody wrote or without them."""
        found, rule = self.found, self.found.rule
        pairs = [
            ("request", f"{self._asked.method} {self._asked.host}{self._asked.raw_path}"),
            ("path", found.path or ""),
        ]
        if rule is not None:
            screen.pairs([*pairs, *self._rule_pairs(rule)])
        else:
            screen.pairs([*pairs, ("answer", found.answer)])
        rows = [row for step in self._steps() for row in self._step_rows(step)]
        rows += self._balancer_rows(rule) if rule is not None and rule.route.service else []
        defaults = [row for row in rows if row[-1] == DEFAULT]
        if not shows_defaults:
            rows = list(_written(rows))
        if rows:
            screen.line()
            columns = (
                Column("STAGE"),
                Column("POLICY", "bold"),
                Column("PLUGIN", gives_way=1),
                Column("SETTING"),
                Column("VALUE"),
                Column("FROM", "dim"),
            )
            screen.table(columns, rows)
            if defaults and not shows_defaults:
                screen.line(f"(settings that nobody wrote: {len(defaults)}; --defaults shows them)", "dim")
        self._print_ran(screen)

    # What its policies did.

    def _ran_data(self) -> dict[str, Any] | None:
        outcome = self._outcome
        if outcome is None:
            return None
        if isinstance(outcome, str):
            return {"error": outcome}
        steps = [step.data() for step in outcome.steps]
        return {"status": outcome.status, "forwarded": outcome.is_forwarded, "steps": steps}

    def _print_ran(self, screen: Screen) -> None:
        outcome = self._outcome
        if outcome is None:
            return
        screen.line()
        if isinstance(outcome, str):
            screen.line(f"The policies could not be run: {outcome}")
            return
        if outcome.steps:
            columns = (
                Column("STAGE"),
                Column("POLICY", "bold"),
                Column("DECISION"),
                Column("REASON", gives_way=1),
                Column("TIME"),
                Column("FROM", "dim"),
            )
            rows = [
                (step.stage, step.name, step.decision, step.reason, f"{step.own_s * 1000:.2f} ms", step.where)
                for step in outcome.steps
            ]
            screen.table(columns, rows)
        asked = "the service would be asked" if outcome.is_forwarded else f"answered {outcome.status} by the gateway"
        screen.line(f"In the end {asked}.")

    # The rule.

    def _rule_data(self, rule: ConfiguredRule) -> dict[str, Any]:
        balancer = self._component_data(rule.balancer) if rule.route.service else None
        return {
            "rule": rule_data(rule),
            "params": dict(self.found.params),
            "forwardedPath": self._forwarded(rule),
            "preserveHost": rule.route.preserve_host,
            "service": rule.route.service,
            "balancer": balancer,
        }

    def _rule_pairs(self, rule: ConfiguredRule) -> list[tuple[str, str]]:
        route, entry = rule.route, rule.matches
        forwarded = self._forwarded(rule)
        return [
            ("rule", f"{entry.id} ({rule.where})"),
            ("pattern", path_text(rule)),
            ("conditions", conditions_text(entry)),
            ("captured", ", ".join(f"{name}={value}" for name, value in self.found.params.items())),
            ("forwarded", forwarded if forwarded != self.found.path else ""),
            ("service", route.service and f"{route.service} ({route.protocol})"),
            ("host field", "that of the client" if route.preserve_host else "that of the instance"),
            ("timeout", duration_text(route.timeout_s)),
            ("upgrades", ", ".join(sorted(route.allow_upgrade))),
            ("credentials", self._credentials(rule)),
        ]

    def _forwarded(self, rule: ConfiguredRule) -> str:
        path = self.found.path or "/"
        return rule.rewrite(path) if rule.rewrite is not None else path

    def _credentials(self, rule: ConfiguredRule) -> str:
        if rule.auth.skips(self.found.path or "/"):
            return "not asked for on this path"
        return "required" if rule.auth.required else ""

    # Its pipeline.

    def _steps(self) -> Sequence[Step]:
        if self.found.rule is not None:
            return pipeline_of(self.found.rule)
        # Requests that no rule matches run the edge policies, so that a 404 has CORS headers too.
        edge = self._configuration.edge_policies
        return [Step(stage=each.registration.stage, label=each.name, components=(each,)) for each in edge]

    def _step_data(self, step: Step) -> dict[str, Any]:
        return {
            "stage": step.stage.name.lower(),
            "name": step.label,
            "note": step.note or None,
            "components": [self._component_data(component) for component in step.components],
        }

    def _component_data(self, component: Configured) -> dict[str, Any]:
        return {
            "kind": component.registration.kind,
            "name": component.name,
            "plugin": component.plugin.name,
            "where": component.where,
            "settings": {
                setting.key: {"value": setting.value, "where": setting.where} for setting in self._settings(component)
            },
        }

    def _step_rows(self, step: Step) -> list[tuple[str, ...]]:
        stage = step.stage.name.lower()
        if not step.components:
            return [(stage, step.label, "core", "", step.note, "")]
        rows: list[tuple[str, ...]] = []
        for component in step.components:
            rows += self._component_rows(stage, component, step.note)
        return rows

    def _balancer_rows(self, rule: ConfiguredRule) -> list[tuple[str, ...]]:
        return self._component_rows("balancer", rule.balancer, "")

    def _component_rows(self, stage: str, component: Configured, note: str) -> list[tuple[str, ...]]:
        """Return a row for each setting; the first says whose they are."""
        cells = [(setting.key, setting.text, setting.where) for setting in self._settings(component)]
        if note:
            cells.insert(0, ("", note, ""))
        head = (stage, component.name, component.plugin.distribution)
        first, *others = cells or [("", "", "")]
        return [(*head, *first), *(("", "", "", *cell) for cell in others)]

    def _settings(self, component: Configured) -> Sequence[Any]:
        return settings_of(component, self._configuration, self.found.rule)


def _written(rows: Sequence[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Yield the rows without settings that nobody wrote; each policy keeps one that says that it is there."""
    head: tuple[str, ...] = ()
    for row in rows:
        stage, policy, plugin, *cell = row
        if policy:
            if head:
                yield (*head, "", "", "")
            head = (stage, policy, plugin)
        if cell[-1] != DEFAULT:
            yield (*(head or ("", "", "")), *cell)
            head = ()
    if head:
        yield (*head, "", "", "")
