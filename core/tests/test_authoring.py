from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway import (
    AuthenticatorRegistration,
    Config,
    Exchange,
    NoConfig,
    PolicyRegistration,
    Principal,
    Request,
    Response,
    Route,
    Stage,
    authenticator,
    policy,
)

if TYPE_CHECKING:
    from gateway import Handler

pytestmark = pytest.mark.anyio


class Greeting(Config):
    text: str = "hello"


here = types.SimpleNamespace(Greeting=Greeting)


async def answer(exchange: Exchange) -> Response:
    return Response.text("from the service")


def an_exchange() -> Exchange:
    return Exchange(Request("GET", "/"), cast("Any", None))


async def run(registration: PolicyRegistration, config: Config) -> Response:
    component = registration.build(config, cast("Any", None))
    handler: Handler = component.wrap(answer, Route(id="r", path="/"))
    return await handler(an_exchange())


async def test_a_decorated_function_is_a_policy():
    @policy
    async def greet(exchange, call_next):
        """Greet everybody.

        At length.
        """
        response = await call_next(exchange)
        response.headers["x-greeting"] = "hello"
        return response

    assert isinstance(greet, PolicyRegistration)
    assert (greet.name, greet.summary, greet.stage, greet.config) == (
        "greet",
        "Greet everybody.",
        Stage.TRANSFORM,
        NoConfig,
    )
    response = await run(greet, NoConfig())
    assert (response.body, response.headers["x-greeting"]) == (b"from the service", "hello")


async def test_stage_and_name_can_be_chosen():
    @policy(stage=Stage.EDGE, name="polite")
    async def greet(exchange, call_next):
        return await call_next(exchange)

    assert (greet.name, greet.summary, greet.stage) == ("polite", "", Stage.EDGE)


@pytest.mark.parametrize("annotation", [Greeting, "Greeting", "here.Greeting"])
async def test_a_third_parameter_gets_the_configuration(annotation):
    async def greet(exchange, call_next, config):
        return Response.text(config.text)

    greet.__annotations__["config"] = annotation
    registration = policy(greet)
    assert registration.config is Greeting
    assert (await run(registration, Greeting(text="moin"))).body == b"moin"


async def test_other_annotations_need_not_exist_at_run_time():
    @policy
    async def greet(exchange: OnlyForTypeCheckers, call_next: Missing, config: Greeting) -> AlsoMissing:  # type: ignore[name-defined]  # noqa: F821 - as below TYPE_CHECKING
        return await call_next(exchange)

    assert greet.config is Greeting


@pytest.mark.parametrize("annotation", [None, "Nowhere", int, "int", "1 +"])
def test_a_configuration_that_is_no_model_is_refused_at_import(annotation):
    async def greet(exchange, call_next, config):
        return await call_next(exchange)

    if annotation is not None:
        greet.__annotations__["config"] = annotation
    with pytest.raises(TypeError, match=r"'config' of .*greet must be annotated with a gateway\.Config model"):
        policy(greet)


def test_a_function_that_is_not_async_is_refused_at_import():
    def greet(exchange, call_next):
        return Response.text("too early")

    with pytest.raises(TypeError, match="greet must be an 'async def'"):
        policy(cast("Any", greet))
    with pytest.raises(TypeError, match="greet must be an 'async def'"):
        authenticator("Basic")(cast("Any", greet))


def test_a_function_with_other_parameters_is_refused_at_import():
    async def too_few(exchange):
        return Response()

    async def too_many(exchange, call_next, config: Greeting, more):
        return Response()

    async def by_name(exchange, call_next, *, config: Greeting):
        return Response()

    for function in (too_few, too_many, by_name):
        with pytest.raises(TypeError, match=r"must take \(exchange, call_next\) or \(exchange, call_next, config\)"):
            policy(function)


async def test_a_decorated_function_is_an_authenticator():
    @authenticator('Basic realm="here"')
    async def basic(request):
        """Ask for the magic word."""
        return Principal(subject="jo") if request.headers.get("authorization") else None

    assert isinstance(basic, AuthenticatorRegistration)
    assert (basic.name, basic.challenge, basic.summary) == ("basic", 'Basic realm="here"', "Ask for the magic word.")
    component = basic.build(NoConfig(), cast("Any", None))
    assert await component.authenticate(Request("GET", "/")) is None


async def test_an_authenticator_may_have_a_configuration_and_another_name():
    @authenticator("Key", name="magic")
    async def key(request, config: Greeting):
        return Principal(subject=config.text)

    assert (key.name, key.config) == ("magic", Greeting)
    component = key.build(Greeting(text="jo"), cast("Any", None))
    assert (await component.authenticate(Request("GET", "/"))).subject == "jo"
