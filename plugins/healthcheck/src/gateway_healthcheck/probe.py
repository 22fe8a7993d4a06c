"""Asking something once whether it works."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway_healthcheck.config import ActiveConfig
    from gateway_healthcheck.tls import CheckTls

__all__ = ["Failed", "Place", "Probe", "build_probe"]


class Failed(Exception):
    """It does not work; the text says why, for operators."""


class Place:
    """What is asked.

    Attributes:
        scheme: ``http`` or ``https``, for probes that speak HTTP.
        address: Host name or IP address.
        port: TCP port.
        service: The service, for programs.
    """

    __slots__ = ("address", "port", "scheme", "service")

    def __init__(self, scheme: str, address: str, port: int, service: str = "") -> None:
        self.scheme = scheme
        self.address = address
        self.port = port
        self.service = service

    @property
    def authority(self) -> str:
        """``address:port`` as it stands in a ``Host`` field."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Probe(Protocol):
    """Asks; the caller sets the deadline."""

    async def __call__(self, place: Place) -> None:
        """Return if it works.

        Raises:
            Failed: If it does not.
            OSError: If it cannot be reached.
        """


def build_probe(config: ActiveConfig, commands: Mapping[str, tuple[str, ...]], tls: CheckTls) -> Probe:
    """Return what asks as ``config`` says.

    Args:
        config: How to ask.
        commands: What ``exec`` may run.
        tls: What is believed and shown over TLS.

    Raises:
        ValueError: If a file of certificates, that ``config`` itself names, cannot be used.
    """
    if config.type == "tcp":
        return _connect
    if config.type == "exec":
        assert config.command is not None  # noqa: S101 - the model sees to it
        return _Program((*commands[config.command], *config.args))
    from gateway_healthcheck.http_probe import GrpcProbe, HttpProbe  # noqa: PLC0415 - httpcore is heavy, and tcp does not need it

    if config.tls.model_fields_set:
        tls.of(config.tls, Place("https", "", 0), is_http2=False)  # now, so that it is found before anything serves
    return HttpProbe(config, tls) if config.type == "http" else GrpcProbe(config, tls)


async def _connect(place: Place) -> None:
    _, writer = await asyncio.open_connection(place.address, place.port)
    # Not closed in good order: nothing was said, and the other side may never answer.
    writer.transport.abort()


class _Program:
    """Runs a program; exit code 0 means that it works. It sees the instance in its environment.

    Args:
        argv: The program with its arguments; no shell sees them.
    """

    def __init__(self, argv: tuple[str, ...]) -> None:
        self._argv = argv

    async def __call__(self, place: Place) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            # Nothing of the gateway's own environment, where secrets may be.
            env={
                "PATH": os.defpath,
                "GATEWAY_SERVICE": place.service,
                "GATEWAY_ADDRESS": place.address,
                "GATEWAY_PORT": str(place.port),
            },
            start_new_session=True,
        )
        try:
            code = await process.wait()
        except BaseException:
            # With whatever it started itself.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.shield(process.wait())
            raise
        if code:
            raise Failed(f"{self._argv[0]} ended with {code}")
