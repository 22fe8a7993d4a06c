"""A gateway inside another program: its tests, a notebook, a service that brings its own front door."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from gateway.runtime.control import ControlPlane
from gateway.runtime.dataplane import DataPlane
from gateway.runtime.options import RunOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from gateway.config import Configuration
    from gateway.interfaces import Adapter, AdminRequest
    from gateway.messages import Response

__all__ = ["Gateway"]


class Gateway:
    """One gateway on the running event loop: ``async with Gateway.from_yaml(text) as gateway: ... gateway.url``.

    It does what ``gateway run`` does with one worker, but for signals, logging and the watchdog, which belong to the
    program. Enter and leave it on the same event loop.

    Args:
        options: Where the configuration comes from.
    """

    def __init__(self, options: RunOptions) -> None:
        self._options = options
        self._plane: DataPlane | None = None
        self._control: ControlPlane | None = None
        self._is_entered = False

    @classmethod
    def from_file(cls, path: str | Path, *, plugin_files: Sequence[Path] = ()) -> Self:
        """Take the configuration from a file."""
        return cls(RunOptions(path=Path(path), plugin_files=list(plugin_files)))

    @classmethod
    def from_yaml(cls, text: str, *, folder: str | Path = ".", plugin_files: Sequence[Path] = ()) -> Self:
        """Take the configuration from a text.

        Args:
            text: What a configuration file would hold.
            folder: What relative paths in it are relative to.
            plugin_files: Python files that are plugins too.
        """
        path = Path(folder) / "gateway.yaml"
        return cls(RunOptions(path=path, text=text, plugin_files=list(plugin_files)))

    @classmethod
    def from_mapping(
        cls, gateway: Mapping[str, Any], *, folder: str | Path = ".", plugin_files: Sequence[Path] = ()
    ) -> Self:
        """Take the configuration from what stands below ``gateway``."""
        return cls.from_yaml(json.dumps({"gateway": gateway}), folder=folder, plugin_files=plugin_files)

    @property
    def is_entered(self) -> bool:
        """Whether it serves."""
        return self._is_entered

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The addresses that are served, with the ports that the system chose."""
        return self.plane.addresses()

    @property
    def url(self) -> str:
        """The first address as ``http://host:port``; that of this machine, if it listens on all."""
        host, port = self.addresses[0]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def configuration(self) -> Configuration:
        """The configuration in force."""
        return self.control.configuration

    @property
    def plane(self) -> DataPlane:
        """What serves; not part of the public API."""
        assert self._plane is not None, "the gateway was not entered"  # noqa: S101 - a bug of the caller's
        return self._plane

    @property
    def control(self) -> ControlPlane:
        """What keeps it configured; not part of the public API."""
        assert self._control is not None, "the gateway was not entered"  # noqa: S101 - a bug of the caller's
        return self._control

    def adapter(self, name: str) -> Adapter:
        """Return an adapter of the configuration in force, for programs that accept the connections themselves.

        Raises:
            LookupError: If it is not on.
        """
        return self.plane.adapter(name)

    async def reload(self, text: str | None = None) -> None:
        """Serve the configuration as it is now.

        Args:
            text: What it is now; ``None`` reads the file again, if it came from one.

        Raises:
            ConfigurationError: With what is wrong with it; nothing has changed then.
        """
        if text is not None:
            self._options = dataclasses.replace(self._options, text=text)
        self.control.read_from(self._options)
        await self.control.reload()

    async def __aenter__(self) -> Self:
        configuration = await asyncio.to_thread(self._options.load)
        self._plane = DataPlane(self._answer_admin)
        self._control = ControlPlane(self._options, self._plane)
        try:
            await self._control.start(configuration)
        except BaseException:
            await self._stop(0.0)
            raise
        self._is_entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_entered = False
        await self._stop(self.configuration.gateway.shutdown_timeout)

    async def _stop(self, timeout_s: float) -> None:
        await self.control.settle()
        await self.plane.stop(timeout_s)
        await self.control.stop()

    async def _answer_admin(self, request: AdminRequest, authorization: str | None) -> Response:
        return await self.control.answer_admin(request, authorization)
