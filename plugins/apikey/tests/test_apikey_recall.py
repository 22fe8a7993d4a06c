"""Whom the authenticator knows at once, by fields that a connection brings again."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway import Headers, Request, Unauthorized
from gateway.headers import Section
from gateway.metrics import Metrics
from gateway_apikey.authenticator import ApiKeyAuthenticator
from gateway_apikey.config import ApiKeyConfig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.anyio

KEY = "red-3b1f8e3f2d6c4a5b"


class Enough(Exception):
    """The file was looked at."""


class Context:
    """As much of a build context as keys need.

    Attributes:
        watch: What was started in the background.
    """

    logger = logging.getLogger("gateway.plugins.gateway-apikey")

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.background = self
        self.watch: Callable[[], Awaitable[None]]

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        self.watch = run

    def resolve(self, path: str) -> Path:
        return Path(path)


@pytest.fixture
def make(clock):
    """Make an authenticator with a clock."""

    def build(context: Context | None = None, **block: Any) -> ApiKeyAuthenticator:
        looks = iter([None])

        async def sleep(seconds: float) -> None:
            for _ in looks:
                return
            raise Enough

        config = ApiKeyConfig.model_validate(block)
        return ApiKeyAuthenticator(config, cast("Any", context or Context()), clock=clock, sleep=sleep)

    return build


def section(key: str = KEY, name: str = "x-api-key") -> Section:
    """Return fields as a connection brings them again and again."""
    return Section([(b"host", b"gateway.test"), (name.encode(), key.encode())])


def request(fields: Section, query: str = "") -> Request:
    return Request("GET", "/", query=query, headers=Headers.shared(fields))


async def test_who_was_let_in_is_recalled_by_the_same_fields(make):
    keys, fields = make(keys={"red": {"key": KEY}}), section()
    assert keys.recall(request(fields)) is None
    principal = await keys.authenticate(request(fields))
    assert principal.subject == "red"
    assert keys.recall(request(fields)) is principal


@pytest.mark.parametrize(
    ("block", "fields"), [({}, section()), ({"scheme": "Key"}, section(f"Key {KEY}", "authorization"))]
)
async def test_another_connection_is_asked_for_itself(make, block, fields):
    keys = make(keys={"red": {"key": KEY}}, **block)
    principal = await keys.authenticate(request(fields))
    assert keys.recall(request(fields)) is principal
    assert keys.recall(request(Section(fields.pairs))) is None


async def test_wrong_keys_are_recalled_neither_before_nor_after_they_are_refused(make):
    keys = make(keys={"red": {"key": KEY}})
    await keys.authenticate(request(section()))
    for fields in (section("wrong"), section(""), Section([*section().pairs, (b"x-api-key", KEY.encode())])):
        for _ in range(2):
            assert keys.recall(request(fields)) is None
            with pytest.raises(Unauthorized):
                await keys.authenticate(request(fields))


async def test_a_request_that_was_changed_on_its_way_is_not_recalled(make):
    keys, fields = make(keys={"red": {"key": KEY}}), section()
    await keys.authenticate(request(fields))
    changed = request(fields)
    changed.headers["x-api-key"] = "wrong"
    assert keys.recall(changed) is None
    stripped = request(fields)
    stripped.headers.drop(frozenset({b"x-api-key"}))
    assert keys.recall(stripped) is None


async def test_a_disabled_key_is_never_recalled(make):
    keys, fields = make(keys={"red": {"key": KEY, "disabled": True}}), section()
    for _ in range(2):
        assert keys.recall(request(fields)) is None
        with pytest.raises(Unauthorized, match="disabled"):
            await keys.authenticate(request(fields))


async def test_a_key_with_an_end_is_asked_about_each_time(make, clock):
    ends_at = datetime.fromtimestamp(clock(), UTC) + timedelta(seconds=60)
    keys, fields = make(keys={"red": {"key": KEY, "expiresAt": ends_at.isoformat()}}), section()
    assert (await keys.authenticate(request(fields))).subject == "red"
    assert keys.recall(request(fields)) is None
    clock.advance(60)
    assert keys.recall(request(fields)) is None
    with pytest.raises(Unauthorized, match="expired"):
        await keys.authenticate(request(fields))


async def test_a_key_that_no_field_carries_is_not_recalled_by_the_fields(make):
    """The next request of the connection has the same fields, and may have another query."""
    keys, fields = make(keys={"red": {"key": KEY}}, queryParam="key"), Section([(b"host", b"gateway.test")])
    assert (await keys.authenticate(request(fields, f"key={KEY}"))).subject == "red"
    assert keys.recall(request(fields, "key=wrong")) is None
    assert keys.recall(request(fields)) is None


@pytest.mark.parametrize("content", ["blue: {key: another}", f"red: {{key: {KEY}, disabled: true}}"])
async def test_a_file_that_is_read_again_makes_it_forget(make, tmp_path, content):
    context, file, fields = Context(), tmp_path / "keys.yaml", section()
    file.write_text(f"red: {{key: {KEY}}}")
    async with make(context, keysFile=str(file)) as keys:
        principal = await keys.authenticate(request(fields))
        assert keys.recall(request(fields)) is principal
        file.write_text(content)
        with pytest.raises(Enough):
            await context.watch()
        assert keys.recall(request(fields)) is None
        with pytest.raises(Unauthorized):
            await keys.authenticate(request(fields))
        assert keys.recall(request(fields)) is None


async def test_two_authenticators_recall_their_own(make):
    """Two routes may have other keys, and a connection asks both."""
    red, blue, fields = make(keys={"red": {"key": KEY}}), make(keys={"blue": {"key": KEY}}), section()
    assert (await red.authenticate(request(fields))).subject == "red"
    assert blue.recall(request(fields)) is None
    assert (await blue.authenticate(request(fields))).subject == "blue"
    assert (red.recall(request(fields)).subject, blue.recall(request(fields)).subject) == ("red", "blue")


async def test_a_key_that_a_plugin_added_to_one_request_is_not_known_of_the_next(make):
    authenticator = make(keys=[{"key": KEY, "id": "red"}])
    section = Section([(b"accept", b"*/*")])
    first, second = (Request("GET", "/", headers=Headers.shared(section)) for _ in range(2))
    first.headers.extend_lines(frozenset({b"x-api-key"}), b"x-api-key: %b\r\n" % KEY.encode())
    assert await authenticator.authenticate(first) is not None
    assert authenticator.recall(second) is None
    assert await authenticator.authenticate(second) is None
