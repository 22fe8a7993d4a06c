"""The endpoints ``/_gateway/grpc/descriptors``: what is known of services, and from where."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from gateway import ErrorType, GatewayError, Response
from gateway_grpc.descriptors.turn import turn
from gateway_grpc.descriptors.upload import checked_name, uploaded_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gateway import AdminRequest, BuildContext
    from gateway_grpc.config import GrpcConfig

__all__ = ["DeleteDescriptors", "ListDescriptors", "ReloadDescriptors", "UploadDescriptors"]

RELOAD_PATIENCE_S = 40.0
"""How long it waits for sources; a URL has 30 s, unless the configuration says more."""
FIRST_LOOK_S = 0.002
LOOK_S = 0.05
"""Between two looks; files are read within milliseconds."""
CREATED = 201
UNPROCESSABLE = 422


class _Descriptors:
    """The descriptors of all workers.

    Args:
        context: The gateway.
    """

    def __init__(self, context: BuildContext) -> None:
        self._context = context

    async def all(self) -> list[dict[str, Any]]:
        """Return what workers say of descriptors; the same of several workers once."""
        reports = [each for worker in await self._context.collect("descriptors") for each in _as_list(worker)]
        return list({json.dumps(report, sort_keys=True): report for report in reports}.values())

    async def reload(self, origin: str | None = None) -> list[str] | None:
        """Have sources asked again, and wait for it.

        Args:
            origin: The one; ``None`` is all of them.

        Returns:
            What is wrong with descriptors then; ``None`` if there is no such source.
        """
        if not any(await self._context.collect("reload", origin)):
            return None
        try:
            async with asyncio.timeout(RELOAD_PATIENCE_S):
                reports = await self.all()
                look_s = FIRST_LOOK_S
                while any(report["isReloading"] for report in reports):
                    await asyncio.sleep(look_s)
                    look_s = min(2 * look_s, LOOK_S)
                    reports = await self.all()
        except TimeoutError:
            return ["sources are still being asked; GET /_gateway/grpc/descriptors tells what becomes of it"]
        return _unique(problem for report in reports for problem in report["problems"])


class ListDescriptors:
    """``GET /grpc/descriptors``: places, services and methods.

    Args:
        context: The gateway.
    """

    def __init__(self, context: BuildContext) -> None:
        self._descriptors = _Descriptors(context)

    async def __call__(self, request: AdminRequest) -> Response:
        """Answer a request."""
        reports = await self._descriptors.all()
        files = _unique(file for report in reports for file in report["files"])
        services = {
            json.dumps(service, sort_keys=True): service for report in reports for service in report["services"]
        }
        return Response.json(
            {
                "files": files,
                "count": len(files),
                "services": sorted(services.values(), key=lambda service: str(service["name"])),
                "problems": _unique(problem for report in reports for problem in report["problems"]),
            }
        )


class ReloadDescriptors:
    """``POST /grpc/descriptors/reload``: asks all sources again, or one with ``?file=``.

    Args:
        context: The gateway.
    """

    def __init__(self, context: BuildContext) -> None:
        self._descriptors = _Descriptors(context)

    async def __call__(self, request: AdminRequest) -> Response:
        """Answer a request.

        Raises:
            GatewayError: ``not_found`` if there is no such source.
        """
        problems = await self._descriptors.reload(_file_of(request))
        if problems is None:
            message = "there are no such descriptors; GET /_gateway/grpc/descriptors lists them"
            raise GatewayError(ErrorType.NOT_FOUND, message)
        return _refused(problems) if problems else Response.json({"message": "Descriptors reloaded"})


class _Uploads:
    """The folder with descriptors that were uploaded.

    What other descriptors contradict, or rules cannot do without, changes nothing.

    Args:
        config: The block ``protocols.grpc``.
        context: The gateway.
    """

    def __init__(self, config: GrpcConfig, context: BuildContext) -> None:
        self._descriptors = _Descriptors(context)
        self._under_way: set[asyncio.Task[list[str] | None]] = set()
        self._folder = context.resolve(config.upload_directory) if config.upload_directory is not None else None

    def file(self, name: str) -> Path:
        """Return where a file is.

        Raises:
            GatewayError: ``forbidden`` if there is no folder; ``bad_request`` if the name is none.
        """
        if self._folder is None:
            message = "no descriptors are taken here; write uploadDirectory into protocols.grpc"
            raise GatewayError(ErrorType.FORBIDDEN, message)
        return self._folder / checked_name(name)

    async def change(self, file: Path, data: bytes | None) -> list[str] | None:
        """Have ``file`` hold ``data``, or be gone; whole or not at all, even if whoever asked leaves meanwhile.

        Returns:
            What would be wrong then, in which case nothing has changed; ``None`` if there is no file that could go.

        Raises:
            GatewayError: ``unavailable`` if others change the folder for too long.
        """
        changing = asyncio.create_task(self._change(file, data))
        self._under_way.add(changing)
        changing.add_done_callback(self._under_way.discard)
        return await asyncio.shield(changing)

    async def _change(self, file: Path, data: bytes | None) -> list[str] | None:
        if data is None and not await asyncio.to_thread(file.is_file):
            return None
        async with turn(file.parent):
            before = await asyncio.to_thread(_read, file)
            return None if before is None and data is None else await self._replace(file, before, data)

    async def _replace(self, file: Path, before: bytes | None, data: bytes | None) -> list[str]:
        """Replace ``before`` by ``data``, unless something were wrong then."""
        known = await self._problems()
        await asyncio.to_thread(_write, file, data)
        origin = str(file.parent)
        problems = [problem for problem in await self._descriptors.reload(origin) or () if problem not in known]
        if problems:
            await asyncio.to_thread(_write, file, before)
            await self._descriptors.reload(origin)
        return problems

    async def _problems(self) -> set[str]:
        return {problem for report in await self._descriptors.all() for problem in report["problems"]}


class UploadDescriptors:
    """``POST /grpc/descriptors``: takes a file in the field ``descriptor`` of a form.

    Args:
        config: The block ``protocols.grpc``.
        context: The gateway.
    """

    def __init__(self, config: GrpcConfig, context: BuildContext) -> None:
        self._uploads = _Uploads(config, context)

    async def __call__(self, request: AdminRequest) -> Response:
        """Answer a request.

        Raises:
            GatewayError: If uploads are not wanted, or there is none in the request.
        """
        name, data = uploaded_file(request.body)
        file = self._uploads.file(name)
        problems = await asyncio.to_thread(_problems_of, name, data) or await self._uploads.change(file, data)
        if problems:
            return _refused(problems)
        return Response.json({"message": "Descriptor loaded successfully", "file": name}, status=CREATED)


class DeleteDescriptors:
    """``DELETE /grpc/descriptors?file=``: removes a file that was uploaded.

    Args:
        config: The block ``protocols.grpc``.
        context: The gateway.
    """

    def __init__(self, config: GrpcConfig, context: BuildContext) -> None:
        self._uploads = _Uploads(config, context)

    async def __call__(self, request: AdminRequest) -> Response:
        """Answer a request.

        Raises:
            GatewayError: ``not_found`` if there is no such file; if uploads are not wanted, or it names none.
        """
        name = _file_of(request) or ""
        problems = await self._uploads.change(self._uploads.file(name), None)
        if problems is None:
            raise GatewayError(ErrorType.NOT_FOUND, "no such file was uploaded")
        return _refused(problems) if problems else Response.json({"message": "Descriptor removed", "file": name})


def _problems_of(name: str, data: bytes) -> list[str]:
    """Return why a file holds no descriptors, if so."""
    from gateway_grpc.descriptors.schema import DescriptorError, DescriptorSet, check_set  # noqa: PLC0415 - who uploads nothing does not wait for it

    try:
        check_set(DescriptorSet(name, data))
    except DescriptorError as error:
        return [str(error)]
    return []


def _file_of(request: AdminRequest) -> str | None:
    return parse_qs(request.query).get("file", [None])[0]


def _refused(problems: list[str]) -> Response:
    return Response.json({"error": "; ".join(problems), "problems": problems}, status=UNPROCESSABLE)


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _as_list(report: object) -> list[dict[str, Any]]:
    assert isinstance(report, list)  # noqa: S101 - what the inventory returns
    return report


def _read(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def _write(file: Path, data: bytes | None) -> None:
    """Replace a file whole, so that nobody reads half of it; ``None`` removes it."""
    if data is None:
        file.unlink(missing_ok=True)
        return
    # Its name does not end like those of descriptors.
    new = file.with_name(f"{file.name}.new")
    new.write_bytes(data)
    new.replace(file)
