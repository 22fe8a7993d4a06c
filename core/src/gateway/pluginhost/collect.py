"""From a loaded plugin to its registrations: its hooks, each called once, or the registrations in its module."""

from __future__ import annotations

import difflib
import traceback
from types import ModuleType
from typing import TYPE_CHECKING

import pluggy

from gateway import hookspecs
from gateway.pluginhost.check import check_offers
from gateway.registrations import (
    AdapterRegistration,
    AdminRouteRegistration,
    AuthenticatorRegistration,
    BalancerRegistration,
    CommandRegistration,
    ConnectorRegistration,
    DiscoveryRegistration,
    HealthCheckerRegistration,
    LimiterRegistration,
    ObserverRegistration,
    PolicyRegistration,
    Registration,
    RouteSourceRegistration,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.pluginhost.plugin import Offer

__all__ = ["HOOKS", "PluginFault", "build_manager", "collect_offers", "describe_error"]

HOOKS: Mapping[str, tuple[type[Offer], ...]] = {
    "gateway_register_protocols": (AdapterRegistration, ConnectorRegistration),
    "gateway_register_authenticators": (AuthenticatorRegistration,),
    "gateway_register_limiters": (LimiterRegistration,),
    "gateway_register_policies": (PolicyRegistration,),
    "gateway_register_balancers": (BalancerRegistration,),
    "gateway_register_observers": (ObserverRegistration,),
    "gateway_register_discovery_providers": (DiscoveryRegistration,),
    "gateway_register_route_sources": (RouteSourceRegistration,),
    "gateway_register_health_checkers": (HealthCheckerRegistration,),
    "gateway_register_admin_routes": (AdminRouteRegistration,),
    "gateway_register_commands": (CommandRegistration,),
}
"""Every hook and what it may return."""

_PREFIX = "gateway_"


class PluginFault(Exception):
    """A plugin cannot be used; the text says why and what its author can do."""


def build_manager() -> pluggy.PluginManager:
    """Return a manager that knows the hooks and no plugin."""
    manager = pluggy.PluginManager("gateway")
    manager.add_hookspecs(hookspecs)
    return manager


def collect_offers(manager: pluggy.PluginManager, name: str, plugin: object) -> tuple[Offer, ...]:
    """Return everything ``plugin`` offers, checked.

    Args:
        manager: Where it is registered; afterwards it knows the plugin.
        name: The plugin's name.
        plugin: A module or another object with hook implementations, or a module with registrations.

    Raises:
        PluginFault: If a hook is unknown or fails, or something it offers cannot be used.
    """
    _check_hooks(manager, plugin)
    try:
        manager.register(plugin, name=name)
    except (pluggy.PluginValidationError, ValueError) as error:
        raise PluginFault(" ".join(str(error).split())) from error
    hooks = [caller.name for caller in manager.get_hookcallers(plugin) or ()]
    offers = [offer for hook in hooks for offer in _call(manager, plugin, hook)]
    if not hooks and isinstance(plugin, ModuleType):
        offers = _module_level(plugin)
    for problem in check_offers(offers):
        raise PluginFault(problem)
    return tuple(offers)


def describe_error(error: BaseException) -> str:
    """Return an exception in one line, with the line of code it came from."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{type(error).__name__}: {error.msg} (at {error.filename}:{error.lineno})"  # which was not run
    frames = traceback.extract_tb(error.__traceback__)
    at = f" (at {frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{at}"


def _check_hooks(manager: pluggy.PluginManager, plugin: object) -> None:
    for name in filter(lambda name: name.startswith(_PREFIX), dir(plugin)):
        is_marked = manager.parse_hookimpl_opts(plugin, name) is not None
        if is_marked and name not in HOOKS:
            raise PluginFault(f"there is no hook {name!r}; {_suggestion(name)}")
        if name in HOOKS and not is_marked and callable(getattr(plugin, name)):
            raise PluginFault(f"{name} would never be called; put @gateway.hookimpl above it")


def _suggestion(name: str) -> str:
    close = difflib.get_close_matches(name, HOOKS, n=1)
    return f"did you mean {close[0]!r}?" if close else f"the hooks are {', '.join(sorted(HOOKS))}"


def _call(manager: pluggy.PluginManager, plugin: object, hook: str) -> Iterator[Offer]:
    others = [other for other in manager.get_plugins() if other is not plugin]
    try:
        results = manager.subset_hook_caller(hook, others)()
        items = [item for result in results for item in result]
    except (Exception, SystemExit) as error:
        raise PluginFault(f"{hook} raised {describe_error(error)}") from error
    if not results:
        raise PluginFault(f"{hook} returned None; return a list of registrations, which may be empty")
    for item in items:
        yield _expected(hook, item)


def _expected(hook: str, item: object) -> Offer:
    for expected in HOOKS[hook]:
        if isinstance(item, expected):
            return item
    names = " or ".join(expected.__name__ for expected in HOOKS[hook])
    raise PluginFault(f"{hook} returned {item!r}; return a list of {names}")


def _module_level(module: ModuleType) -> list[Offer]:
    """Return the registrations among the module's variables; one that has two names counts once."""
    found = [value for value in vars(module).values() if isinstance(value, Registration | CommandRegistration)]
    return list({id(offer): offer for offer in found}.values())
