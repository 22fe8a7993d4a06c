"""What every extension point promises: a valid offer, a configuration that explains itself, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pytest
from pydantic import ValidationError

from gateway.config.fingerprint import fingerprint
from gateway.pluginhost.check import check_offers
from gateway.pluginhost.collect import build_manager, collect_offers
from gateway.registrations import Registration
from gateway.testing.contracts.cancelling import cancel_everywhere
from gateway.testing.contracts.expectation import expect
from gateway.testing.contracts.imports import foreign_imports
from gateway.testing.contracts.leaks import nothing_left
from gateway.testing.contracts.models import has_milliseconds, secrets_of, undescribed_fields, unmasked_fields
from gateway.testing.contracts.standstill import expect_a_running_loop
from gateway.testing.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from pydantic import BaseModel

__all__ = ["ComponentContract"]

R = TypeVar("R", bound=Registration)


class ComponentContract:
    """The base of all contracts. Extend one of the others.

    Attributes:
        plugin: The dotted name of the module with the hooks; or a registration by itself, of which then only that is
            checked.
        offer: The name of the registration, if the plugin has several of the kind; ``None`` takes the only one.
        kind: What kind of registration it is.
    """

    plugin: ClassVar[str | Registration]
    offer: ClassVar[str | None] = None
    kind: ClassVar[type[Registration]] = Registration
    pytestmark: ClassVar = pytest.mark.anyio

    # To be overridden.

    def config(self) -> Mapping[str, Any]:
        """Return its configuration, as it stands in the YAML; nothing by itself."""
        return MappingProxyType({})

    def folder(self) -> Path | None:
        """Return what relative paths in it are relative to; ``None`` is the working folder."""
        return None

    # What the contracts use.

    @pytest.fixture(autouse=True)
    def _may_have_async_fixtures(self, anyio_backend: object) -> None:
        """Let fixtures of a contract's tests be asynchronous: anyio runs them for whoever asks for its backend."""

    @property
    def registration(self) -> Registration:
        """The registration it is about."""
        return self.plugin if isinstance(self.plugin, Registration) else self.offered(self.kind, self.offer)

    def offered(self, kind: type[R], name: str | None = None) -> R:
        """Return an offer of the plugin, such as one that has to be built beside what it is about.

        Args:
            kind: What kind of registration it is.
            name: Its name; ``None`` takes the only one.
        """
        plugin = self.plugin
        if not isinstance(plugin, str):
            raise TypeError(f"{plugin.name!r} is an offer by itself; let 'plugin' name the module that has the others")
        offers = [offer for offer in _offers(plugin) if isinstance(offer, kind)]
        names = [offer.name for offer in offers]
        found = [each for each in offers if name is None or each.name == name]
        expect(len(found) == 1, f"{plugin} offers {names} of this kind; say which one by 'offer'")
        return found[0]

    @contextlib.asynccontextmanager
    async def bench(self) -> AsyncIterator[Workbench]:
        """Give a workbench, and look in the end whether what was built on it left anything behind or failed."""
        async with nothing_left(by=f"{self.registration.kind} {self.registration.name!r}"):
            plugin = self.plugin if isinstance(self.plugin, str) else ""
            async with Workbench(self.folder(), plugin=plugin) as bench:
                with _saying_whose_configuration():
                    yield bench
            # What was closed says so in the next turn of the loop.
            await asyncio.sleep(0)
        expect(not bench.complaints, "; ".join(bench.complaints))

    @contextlib.asynccontextmanager
    async def built(self) -> AsyncIterator[Any]:
        """Give the component, entered; it is exited in the end."""
        async with self.bench() as bench:
            yield await bench.build(self.registration, self.config())

    def _validated(self) -> BaseModel:
        with _saying_whose_configuration():
            return self.registration.config.model_validate(self.config())

    # The offer.

    def test_the_offer_is_valid(self) -> None:
        """Its names, model and places are such as the gateway accepts."""
        problems = [*check_offers([self.registration])]
        expect(not problems, "; ".join(problems))
        expect(self.registration.summary, "it has no summary, which is what `gateway plugins` says of it")

    def test_build_is_a_function_of_the_module(self) -> None:
        """A reload keeps a component if ``build`` is the same object, so no hook may make a new one each time."""
        build = self.registration.build
        if getattr(build, "__module__", "") == "gateway.authoring":
            return  # of a decorated function; the module makes it once
        found: Any = sys.modules.get(getattr(build, "__module__", ""))
        for name in getattr(build, "__qualname__", "").split("."):
            found = getattr(found, name, None)
        expect(
            found is build, f"build is {build!r}; make it a function of the module, or no reload keeps the component"
        )

    def test_the_module_imports_nothing_heavy(self) -> None:
        """Every plugin is imported when the gateway starts, used or not; libraries are for ``build``."""
        if isinstance(self.plugin, str):
            foreign = foreign_imports(self.plugin)
            expect(not foreign, f"{self.plugin} imports {', '.join(foreign)}; import it in build")

    # Its configuration.

    def test_every_field_is_described(self) -> None:
        """Editors and the reference show the descriptions."""
        missing = undescribed_fields(self.registration.config)
        expect(not missing, f"without description: {', '.join(missing)}; add Field(description=...)")
        self.registration.config.model_json_schema()

    def test_unknown_keys_are_refused(self) -> None:
        """A typing error must not go unnoticed."""
        with contextlib.suppress(ValidationError):
            self.registration.config.model_validate({**self.config(), "unheardOf": 1})
            expect(is_so=False, why="the key 'unheardOf' was accepted; extend gateway.Config")

    def test_equal_configurations_are_equal(self) -> None:
        """A reload that changes nothing must see so; a configuration cannot be changed afterwards."""
        model = self.registration.config
        first, second = self._validated(), self._validated()
        is_equal = first == second and fingerprint(first) == fingerprint(second)
        expect(is_equal, f"{model.__name__} of the same block twice is not equal; keep values in it, no objects")
        expect(model.model_config.get("frozen"), f"{model.__name__} can be changed; extend gateway.Config")

    def test_configurations_survive_being_written(self) -> None:
        """What it writes by its own keys, it reads again as the same."""
        model = self.registration.config
        if has_milliseconds(model):
            return  # bare numbers mean milliseconds in the YAML, and are kept as seconds
        first = self._validated()
        written = first.model_dump(by_alias=True, exclude_unset=True)
        second = model.model_validate(written)
        expect(second == first, f"{model.__name__} reads {written!r}, which it wrote, as {second!r}")

    def test_secrets_are_masked(self) -> None:
        """What is secret stands in no log, message or dump."""
        config = self._validated()
        bare = unmasked_fields(self.registration.config)
        expect(not bare, f"called like secrets, but plain text: {', '.join(bare)}; make them pydantic.SecretStr")
        shown = f"{config!r} {config} {config.model_dump(mode='json')}"
        told = sum(secret in shown for secret in secrets_of(config))
        expect(not told, f"{told} of its secrets stand in its repr or its dump")

    # Its life.

    async def test_its_life_leaves_nothing_behind(self) -> None:
        """Built, entered and exited, more than once, it has no task, thread or socket any more."""
        for _ in range(2):
            async with self.built():
                await asyncio.sleep(0)

    async def test_its_start_can_be_cancelled(self) -> None:
        """A gateway may be stopped while it starts."""
        async with self.bench() as bench:

            async def start() -> None:
                component = await bench.build(self.registration, self.config())
                expect(component is not None, "build returned None")

            await cancel_everywhere(start, "starting it", bench.clear)

    async def test_its_start_does_not_block(self) -> None:
        """A reload starts it while the gateway serves."""

        async def live() -> None:
            async with self.built():
                await asyncio.sleep(0)

        await expect_a_running_loop(live, "starting and stopping it")


@contextlib.contextmanager
def _saying_whose_configuration() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        error.add_note("The configuration is what 'config' of the test class returns: override it.")
        raise


@cache
def _offers(plugin: str) -> tuple[Any, ...]:
    return collect_offers(build_manager(), plugin, importlib.import_module(plugin))
