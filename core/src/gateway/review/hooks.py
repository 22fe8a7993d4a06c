"""The hooks a plugin implements, against those that there are."""

from __future__ import annotations

import difflib
import inspect
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.deprecation import GatewayDeprecationWarning
from gateway.pluginhost.collect import HOOKS, PluginFault, build_manager, collect_offers, describe_error
from gateway.review.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.pluginhost.plugin import Offer
    from gateway.review.subject import Subject

__all__ = ["check_hooks", "load_offers", "place_of"]

_PREFIX = "gateway_register"


def check_hooks(plugin: object) -> Iterator[Finding]:
    """Yield what is wrong with functions that are called like hooks.

    Args:
        plugin: The module, or the object that the entry point names.
    """
    manager = build_manager()
    for name in dir(plugin):
        function = getattr(plugin, name)
        options = manager.parse_hookimpl_opts(plugin, name)
        if not callable(function) or (options is None and not name.startswith(_PREFIX)):
            continue
        file, line = place_of(function)
        if name not in HOOKS:
            problem, remedy = f"there is no hook {name!r}", _suggestion(name)
            yield Finding(code="hook", problem=problem, remedy=remedy, file=file, line=line)
        elif options is None:
            problem, remedy = f"{name} would never be called", "put @gateway.hookimpl above it"
            yield Finding(code="hook", problem=problem, remedy=remedy, file=file, line=line)
        else:
            yield from _check_signature(name, function, file, line)


def _check_signature(name: str, function: object, file: Path | None, line: int) -> Iterator[Finding]:
    from gateway import hookspecs  # noqa: PLC0415 - the specs, whose names are those of the hooks

    known = set(inspect.signature(getattr(hookspecs, name)).parameters)
    if inspect.iscoroutinefunction(function):
        problem, remedy = f"{name} is a coroutine function, and hooks are not awaited", "write def instead of async def"
        yield Finding(code="hook", problem=problem, remedy=remedy, file=file, line=line)
    for argument in inspect.signature(function).parameters:  # type: ignore[arg-type]  # callable(), as the caller saw
        if argument not in known:
            problem = f"{name} has an argument {argument!r}, which the hook does not pass"
            remedy = (
                f"the hook passes {', '.join(sorted(known)) or 'nothing'}; what a component needs comes with build()"
            )
            yield Finding(code="hook", problem=problem, remedy=remedy, file=file, line=line)


def load_offers(subject: Subject) -> tuple[object | None, tuple[Offer, ...], list[Finding]]:
    """Import a plugin and ask it what it offers, whatever happens in there.

    Returns:
        The plugin, what it offers, and what is wrong with that.
    """
    plugin = subject.plugin
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", GatewayDeprecationWarning)
        try:
            module = subject.candidate.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin does while it is imported
            problem = f"importing {plugin.module} raised {describe_error(error)}"
            return (
                None,
                (),
                [
                    Finding(
                        code="load",
                        problem=problem,
                        remedy="mend it, and check again: nothing else could be run",
                        file=plugin.file,
                    )
                ],
            )
        findings = list(check_hooks(module))
        offers: tuple[Offer, ...] = ()
        if not findings:
            try:
                offers = collect_offers(build_manager(), plugin.name, module)
            except PluginFault as fault:
                problem, _, remedy = str(fault).partition("; ")
                findings.append(_of_module("registration", problem, remedy or "return registrations", module))
    if not offers and not findings:
        remedy = "implement a hook, or make a registration a variable of the module, as @policy does"
        findings.append(_of_module("registration", "it offers nothing", remedy, module))
    findings += [
        Finding(
            code="deprecated",
            problem=str(warning.message),
            remedy="use what replaces it, before it is gone",
            file=Path(warning.filename),
            line=warning.lineno,
            level="warning",
        )
        for warning in caught
        if issubclass(warning.category, GatewayDeprecationWarning)
    ]
    return module, offers, findings


def place_of(function: object) -> tuple[Path | None, int]:
    """Return the file and the line where a function or class begins; ``(None, 0)`` if it has none."""
    function = inspect.unwrap(function) if callable(function) else function
    try:
        file = inspect.getsourcefile(function)  # type: ignore[arg-type]  # a TypeError says that it is none of those
        _, line = inspect.getsourcelines(function)  # type: ignore[arg-type]  # as above
    except (OSError, TypeError):
        return None, 0
    return (Path(file), line) if file is not None else (None, 0)


def _of_module(code: str, problem: str, remedy: str, module: object) -> Finding:
    file = getattr(module, "__file__", None)
    return Finding(code=code, problem=problem, remedy=remedy, file=Path(file) if file else None)


def _suggestion(name: str) -> str:
    close = difflib.get_close_matches(name, HOOKS, n=1)
    return f"did you mean {close[0]!r}?" if close else f"the hooks are {', '.join(sorted(HOOKS))}"
