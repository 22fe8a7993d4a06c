"""Components and their lives: built once, entered, shared by generations, exited when nobody uses them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from gateway.errors import ConfigurationError, Problem
from gateway.runtime.context import ComponentContext

if TYPE_CHECKING:
    from gateway.config import Configured
    from gateway.runtime.context import Surroundings

__all__ = ["Component", "ComponentStore"]

logger = logging.getLogger("gateway.runtime")

ENTER_TIMEOUT_S = 10.0
EXIT_TIMEOUT_S = 5.0


class Component:
    """A built component and how many generations use it.

    Attributes:
        instance: What ``build`` returned.
        configured: What it was built from.
        uses: How many generations hold it.
    """

    def __init__(self, configured: Configured, instance: Any, context: ComponentContext) -> None:  # noqa: ANN401 - of any interface
        self.configured = configured
        self.instance = instance
        self.uses = 0
        self._context = context
        self._life: asyncio.Task[None] | None = None
        self._exit = asyncio.Event()
        self._is_entered = False

    @property
    def name(self) -> str:
        """How messages call it."""
        registration = self.configured.registration
        return f"{registration.kind} {registration.name!r}"

    async def enter(self) -> None:
        """Enter the component and start its background work; a second call does nothing.

        Raises:
            ConfigurationError: If it fails, or takes longer than 10 s.
        """
        if self._is_entered:
            return
        self._is_entered = True
        if hasattr(self.instance, "__aenter__"):
            entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._life = asyncio.get_running_loop().create_task(self._live(entered), name=f"gateway {self.name}")
            try:
                async with asyncio.timeout(ENTER_TIMEOUT_S):
                    await asyncio.shield(entered)
            except TimeoutError:
                self._life.cancel()
                raise self._refusal(f"did not start within {ENTER_TIMEOUT_S:.0f} s") from None
            except Exception as error:
                raise self._refusal(f"could not start: {type(error).__name__}: {error}") from error
        self._context.start_background()

    async def exit(self) -> None:
        """End its background work and exit it; what goes wrong is logged."""
        await self._context.stop_background()
        if self._life is None:
            return
        self._exit.set()
        done, _ = await asyncio.wait([self._life], timeout=EXIT_TIMEOUT_S)
        if not done:
            logger.warning("%s did not stop within %.0f s and was cancelled", self.name, EXIT_TIMEOUT_S)
            self._life.cancel()

    async def _live(self, entered: asyncio.Future[None]) -> None:
        # One task enters and exits: a component may hold a task group, which must be left where it was entered.
        try:
            async with self.instance:
                entered.set_result(None)
                await self._exit.wait()
        except Exception as error:
            if entered.done():
                logger.exception("%s failed while it stopped", self.name)
            else:
                entered.set_exception(error)

    def _refusal(self, what: str) -> ConfigurationError:
        plugin = self.configured.plugin
        message = f"{self.name} (plugin {plugin.name!r} of {plugin.distribution}) {what}"
        return ConfigurationError([Problem(message, where=self.configured.where)])


class ComponentStore:
    """Builds components, and hands out the same one for the same registration and equal configuration.

    So a reload keeps connection pools, breaker windows and limiter tables of everything it does not change.

    Args:
        surroundings: What every build context is made of.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._components: dict[tuple[str, str, str], list[Component]] = {}

    def obtain(self, configured: Configured) -> Component:
        """Return the component for ``configured``, built now if it is new.

        Raises:
            ConfigurationError: If ``build`` fails.
        """
        registration = configured.registration
        key = (registration.kind, registration.name, repr(configured.config))
        bucket = self._components.setdefault(key, [])
        for component in bucket:
            if _is_same(component.configured, configured):
                return component
        component = self.build(configured)
        bucket.append(component)
        return component

    def build(self, configured: Configured) -> Component:
        """Build a component that is not shared.

        Raises:
            ConfigurationError: If ``build`` fails.
        """
        registration, plugin = configured.registration, configured.plugin
        context = ComponentContext(registration.kind, registration.name, plugin, self._surroundings)
        try:
            instance = registration.build(configured.config, context)
        except Exception as error:
            message = (
                f"{registration.kind} {registration.name!r} (plugin {plugin.name!r} of {plugin.distribution}) "
                f"could not be built: {type(error).__name__}: {error}"
            )
            logger.debug("%s", message, exc_info=True)
            raise ConfigurationError([Problem(message, where=configured.where)]) from error
        return Component(configured, instance, context)

    async def release(self, component: Component) -> None:
        """Give up one use; the last one exits the component."""
        component.uses -= 1
        if component.uses > 0:
            return
        for bucket in self._components.values():
            if component in bucket:
                bucket.remove(component)
        await component.exit()


def _is_same(one: Configured, other: Configured) -> bool:
    # The build function stands for the code: a plugin file that was loaded again has another one.
    return one.registration.build is other.registration.build and one.config == other.config
