"""Plugins in a few lines: one decorated ``async def`` is a policy or an authenticator."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_type_hints, overload

from pydantic import BaseModel

from gateway.interfaces import BuildContext, Route, Stage
from gateway.plugin_config import NoConfig
from gateway.registrations import AuthenticatorRegistration, PolicyRegistration

if TYPE_CHECKING:
    from gateway.exchange import Exchange, Handler
    from gateway.messages import Request, Response
    from gateway.principal import Principal

__all__ = ["authenticator", "policy"]

PolicyFunction = Callable[..., Coroutine[Any, Any, "Response"]]
AuthenticatorFunction = Callable[..., Coroutine[Any, Any, "Principal | None"]]


@overload
def policy(function: PolicyFunction) -> PolicyRegistration: ...
@overload
def policy(
    *, stage: Stage = ..., name: str | None = ..., waits: bool = ...
) -> Callable[[PolicyFunction], PolicyRegistration]: ...
def policy(
    function: PolicyFunction | None = None,
    *,
    stage: Stage = Stage.TRANSFORM,
    name: str | None = None,
    waits: bool = True,
) -> PolicyRegistration | Callable[[PolicyFunction], PolicyRegistration]:
    """Make a policy of ``async def (exchange, call_next)``, or ``(exchange, call_next, config)``.

    ``await call_next(exchange)`` runs what is further in and returns its ``Response``. A third parameter annotated with
    a ``gateway.Config`` model receives the effective configuration of the route.

    Args:
        function: The function, when used without parentheses.
        stage: Where it stands in the pipeline.
        name: Its name in the configuration; ``None`` takes the function's.
        waits: ``False`` promises that it awaits nothing but ``call_next``, which spares the exchange a task.

    Raises:
        TypeError: If it is no such function.
    """

    def register(function: PolicyFunction) -> PolicyRegistration:
        config = _config_of(function, "exchange, call_next")

        def build(effective: BaseModel, context: BuildContext) -> FunctionPolicy:
            return FunctionPolicy(function, effective if config is not NoConfig else None, waits=waits)

        return PolicyRegistration(
            name=name or function.__name__, summary=_summary(function), config=config, build=build, stage=stage
        )

    return register if function is None else register(function)


def authenticator(
    challenge: str, *, name: str | None = None, waits: bool = True
) -> Callable[[AuthenticatorFunction], AuthenticatorRegistration]:
    """Make an authenticator of ``async def (request)``, or ``(request, config)``.

    Args:
        challenge: The scheme for ``WWW-Authenticate``, such as ``Basic realm="here"``.
        name: Its name in the configuration; ``None`` takes the function's.
        waits: ``False`` promises that it awaits nothing, which spares the exchange a task.

    Raises:
        TypeError: If it is no such function.
    """

    def register(function: AuthenticatorFunction) -> AuthenticatorRegistration:
        config = _config_of(function, "request")

        def build(effective: BaseModel, context: BuildContext) -> FunctionAuthenticator:
            return FunctionAuthenticator(function, effective if config is not NoConfig else None, waits=waits)

        return AuthenticatorRegistration(
            name=name or function.__name__,
            summary=_summary(function),
            config=config,
            build=build,
            challenge=challenge,
        )

    return register


class FunctionPolicy:
    """The policy behind ``@policy``."""

    def __init__(self, function: PolicyFunction, config: BaseModel | None, *, waits: bool = True) -> None:
        self.waits = waits
        self._function = function
        self._config = config

    def wrap(self, next: Handler, route: Route) -> Handler:  # noqa: A002 - the interface's name
        """Return the function, bound to what is further in."""
        function, config = self._function, self._config

        if config is None:

            def handler(exchange: Exchange) -> Coroutine[Any, Any, Response]:
                return function(exchange, next)
        else:

            def handler(exchange: Exchange) -> Coroutine[Any, Any, Response]:
                return function(exchange, next, config)

        return handler


class FunctionAuthenticator:
    """The authenticator behind ``@authenticator``."""

    def __init__(self, function: AuthenticatorFunction, config: BaseModel | None, *, waits: bool = True) -> None:
        self.waits = waits
        self._function = function
        self._config = config

    async def authenticate(self, request: Request) -> Principal | None:
        """Call the function."""
        if self._config is None:
            return await self._function(request)
        return await self._function(request, self._config)


def _config_of(function: Callable[..., Any], leading: str) -> type[BaseModel]:
    """Check what was decorated, and return the model of its configuration.

    Args:
        function: What was decorated.
        leading: The parameters it has in any case; one more is its configuration.
    """
    if not inspect.iscoroutinefunction(function):
        msg = f"{function.__qualname__} must be an 'async def'; put async before def"
        raise TypeError(msg)
    parameters = list(inspect.signature(function).parameters.values())
    count = leading.count(",") + 1
    if len(parameters) - count not in (0, 1) or any(each.kind is each.KEYWORD_ONLY for each in parameters):
        msg = f"{function.__qualname__} must take ({leading}) or ({leading}, config)"
        raise TypeError(msg)
    return NoConfig if len(parameters) == count else _model(function, parameters[-1])


def _model(function: Callable[..., Any], parameter: inspect.Parameter) -> type[BaseModel]:
    annotation = parameter.annotation
    try:
        # Only this one must exist at run time: others may name what is imported for type checkers.
        only = SimpleNamespace(__annotations__={"config": annotation})
        annotation = get_type_hints(only, globalns=function.__globals__)["config"]
    except (NameError, AttributeError, SyntaxError, TypeError):
        pass  # the message below quotes what is written
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    msg = (
        f"parameter {parameter.name!r} of {function.__qualname__} must be annotated with a gateway.Config model, "
        f"not {annotation!r}"
    )
    raise TypeError(msg)


def _summary(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]


if TYPE_CHECKING:
    from gateway.interfaces import Authenticator, Policy

    _policy: type[Policy] = FunctionPolicy
    _authenticator: type[Authenticator] = FunctionAuthenticator
