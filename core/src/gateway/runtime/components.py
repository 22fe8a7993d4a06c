"""Components and their lives: built once, entered, shared by generations, exited when nobody uses them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from gateway.config.fingerprint import fingerprint
from gateway.errors import ConfigurationError, Problem
from gateway.runtime.context import ComponentContext
from gateway.runtime.supervision import end_tasks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Sequence

    from gateway.config import Configured
    from gateway.interfaces import Directory
    from gateway.runtime.context import Surroundings

__all__ = ["Component", "ComponentStore"]

logger = logging.getLogger("gateway.runtime")

ENTER_TIMEOUT_S = 10.0
EXIT_TIMEOUT_S = 5.0


class Component:
    """A built component and how many generations use it.

    Args:
        configured: What it was built from.
        instance: What ``build`` returned.
        context: What ``build`` was given.
        key: What the store knows it by; ``None`` if it is not shared.
        parts: Other components that it uses, which live while it does.
        release: Gives up one use of a part.

    Attributes:
        instance: What ``build`` returned.
        configured: What it was built from.
        uses: How many generations hold it.
    """

    def __init__(
        self,
        configured: Configured,
        instance: Any,  # noqa: ANN401 - of any interface
        context: ComponentContext,
        key: Hashable = None,
        parts: Sequence[Component] = (),
        release: Callable[[Component], Awaitable[None]] | None = None,
    ) -> None:
        self.configured = configured
        self.instance = instance
        self.key = key
        self.uses = 0
        self._context = context
        self._parts = tuple(parts)
        self._held: list[Component] = []
        self._release = release
        self._life: asyncio.Task[None] | None = None
        self._exit = asyncio.Event()
        self._is_entered = False

    @property
    def name(self) -> str:
        """How messages call it."""
        registration = self.configured.registration
        return f"{registration.kind} {registration.name!r}"

    @property
    def directory(self) -> Directory:
        """The services, as the component sees them."""
        return self._context.directory

    @property
    def is_current(self) -> bool:
        """Whether it can stay; one that read files may know that they are others now."""
        is_current = getattr(self.instance, "is_current", None)
        return self._context.is_current and (is_current is None or bool(is_current()))

    @property
    def has_life(self) -> bool:
        """Whether there is anything to enter or to run beside it."""
        return hasattr(self.instance, "__aenter__") or self._context.has_background or bool(self._parts)

    async def enter(self) -> None:
        """Enter the component and start its background work; a second call does nothing.

        Raises:
            ConfigurationError: If it fails, or takes longer than 10 s.
        """
        if self._is_entered:
            return
        self._is_entered = True
        self._context.begin()
        for part in self._parts:
            part.uses += 1
            self._held.append(part)
            await part.enter()
        if hasattr(self.instance, "__aenter__"):
            entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._life = asyncio.get_running_loop().create_task(self._live(entered), name=f"gateway {self.name}")
            limit = asyncio.timeout(ENTER_TIMEOUT_S)
            try:
                async with limit:
                    await asyncio.shield(entered)
            except Exception as error:
                if limit.expired():
                    self._life.cancel()
                    raise self._refusal(f"did not start within {ENTER_TIMEOUT_S:.0f} s") from None
                raise self._refusal(f"could not start: {type(error).__name__}: {error}") from error
            except asyncio.CancelledError:
                self._life.cancel()
                raise
        self._context.start_background()

    async def exit(self) -> None:
        """End its background work and exit it; what goes wrong is logged."""
        await self._context.stop_background()
        await self._end_life()
        self._context.end()
        while self._held and self._release is not None:
            await self._release(self._held.pop())

    async def _end_life(self) -> None:
        if self._life is None:
            return
        self._exit.set()
        done, _ = await asyncio.wait([self._life], timeout=EXIT_TIMEOUT_S)
        if not done:
            logger.warning("%s did not stop within %.0f s and is cancelled", self.name, EXIT_TIMEOUT_S)
            await end_tasks([self._life])

    async def _live(self, entered: asyncio.Future[None]) -> None:
        # One task enters and exits: a component may hold a task group, which must be left where it was entered.
        try:
            async with self.instance:
                entered.set_result(None)
                await self._exit.wait()
        except Exception as error:
            if not entered.done():
                entered.set_exception(error)
            elif self._exit.is_set():
                logger.exception("%s failed while it stopped", self.name)
            else:
                # Such as a task group of its own that broke down.
                logger.exception("%s failed, and is out of order until the configuration is reloaded", self.name)
        finally:
            if not entered.done():
                entered.set_exception(RuntimeError("it was cancelled"))

    def _refusal(self, what: str) -> ConfigurationError:
        return ConfigurationError([_problem(self.configured, what)])


class ComponentStore:
    """Builds components, and hands out the same one for the same registration and equal configuration.

    So a reload keeps connection pools, breaker windows and limiter tables of everything it does not change. ``build``
    stands for the code of a registration: a plugin file that was loaded again has another function there.

    Args:
        surroundings: What every build context is made of.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._components: dict[Hashable, Component] = {}

    def __len__(self) -> int:
        return len(self._components)

    def obtain(self, configured: Configured) -> Component:
        """Return the component for ``configured``, built now if it is new.

        Raises:
            ConfigurationError: If ``build`` fails.
        """
        registration = configured.registration
        # The component holds the registration, so that the id stays its own.
        key = (registration.kind, registration.name, id(registration.build), fingerprint(configured.config))
        component = self._components.get(key)
        if component is None or not component.is_current:
            # One that is not current any more lives on in the generations that use it.
            component = self._components[key] = self.build(configured, key)
        return component

    def build(self, configured: Configured, key: Hashable = None) -> Component:
        """Build a component that is not shared.

        Args:
            configured: What to build it from.
            key: The store's own.

        Raises:
            ConfigurationError: If ``build`` fails.
        """
        registration = configured.registration
        parts: list[Component] = []

        def obtain_part(wanted: Configured) -> Any:  # noqa: ANN401 - of any interface
            parts.append(self.obtain(wanted))
            return parts[-1].instance

        context = ComponentContext(
            registration.kind, registration.name, configured.plugin, self._surroundings, obtain_part
        )
        try:
            instance = registration.build(configured.config, context)
        except Exception as error:
            problem = _problem(configured, f"could not be built: {type(error).__name__}: {error}")
            logger.debug("%s", problem, exc_info=True)
            raise ConfigurationError([problem]) from error
        return Component(configured, instance, context, key, parts, self.release)

    async def release(self, component: Component) -> None:
        """Give up one use; the last one exits the component."""
        component.uses -= 1
        if component.uses > 0:
            return
        if self._components.get(component.key) is component:
            del self._components[component.key]
        await component.exit()

    def forget_unused(self) -> None:
        """Drop what was built for a configuration that then could not be served; nothing of it was entered."""
        for key in [key for key, component in self._components.items() if not component.uses]:
            del self._components[key]


def _problem(configured: Configured, what: str) -> Problem:
    registration, plugin = configured.registration, configured.plugin
    message = f"{registration.kind} {registration.name!r} (plugin {plugin.name!r} of {plugin.distribution}) {what}"
    return Problem(message, where=configured.where)
