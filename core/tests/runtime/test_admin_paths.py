"""Endpoints of plugins that are answered elsewhere too, and to whom."""

from __future__ import annotations

from textwrap import dedent

import pytest

from gateway.errors import ConfigurationError

pytestmark = pytest.mark.anyio


@pytest.fixture
def plugin(tmp_path):
    file = tmp_path / "checks.py"
    file.write_text(
        dedent("""
        import gateway

        class ChecksConfig(gateway.Config):
            path: str = ""
            open: bool = False

        async def answer(request):
            return gateway.Response.text(f"{request.method} {request.path} {request.accept or 'anything'}")

        def route(name):
            return gateway.AdminRouteRegistration(
                name=name,
                admin_path=f"/{name}",
                config=ChecksConfig,
                is_public=lambda config: config.open,
                paths=lambda config: [config.path] if config.path else [],
                build=lambda config, context: answer,
            )

        @gateway.hookimpl
        def gateway_register_admin_routes():
            return [route("checks"), route("more")]
        """)
    )
    return file


async def test_an_endpoint_is_answered_at_its_other_path_before_every_rule(gateway_factory, upstream, plugin):
    settings = {"plugins": {"checks": {"path": "/status/checks", "open": True}}}
    gateway = await gateway_factory(settings, upstream=upstream, plugin_files=[plugin])
    answer = await gateway.ask("GET", "/status/checks", headers={"accept": "text/tea"})
    assert answer.text == "GET /checks text/tea"
    assert (await gateway.ask("GET", "/_gateway/checks")).text == "GET /checks anything"
    assert (await gateway.ask("POST", "/status/checks")).status == 405
    assert (await gateway.ask("GET", "/status/checks/more")).text == "ok"
    assert len(upstream.requests) == 1


async def test_its_configuration_says_whether_it_is_public(gateway_factory, plugin):
    settings = {"plugins": {"checks": {"path": "/checks"}, "more": {"open": True}}}
    gateway = await gateway_factory(settings, plugin_files=[plugin])
    assert (await gateway.ask("GET", "/checks")).status == 401
    assert (await gateway.admin("/checks")).status == 200
    assert (await gateway.ask("GET", "/_gateway/more")).status == 200


async def test_two_endpoints_cannot_have_one_path(gateway_factory, plugin):
    settings = {"plugins": {"checks": {"path": "/same"}, "more": {"path": "/same"}}}
    with pytest.raises(ConfigurationError, match="'/same' cannot be answered by '/checks' and by '/more'"):
        await gateway_factory(settings, plugin_files=[plugin])
