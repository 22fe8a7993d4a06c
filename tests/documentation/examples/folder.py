"""A connector: instances of the scheme ``file`` are folders, and answer with the files in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from gateway import ConnectorRegistration, ErrorType, GatewayError, Response, hookimpl

if TYPE_CHECKING:
    from gateway import BuildContext, Exchange, Instance, NoConfig

MAX_BYTES = 1024 * 1024


class FolderConnector:
    def __init__(self, context: BuildContext) -> None:
        self._resolve = context.resolve

    async def open(self, instance: Instance, exchange: Exchange) -> Response:
        folder = self._resolve(str(instance.endpoint.metadata["folder"])).resolve()
        file = anyio.Path(folder / exchange.upstream_path.lstrip("/"))
        # The path was normalised before it was matched, so '..' is gone; a symbolic link may still lead outside.
        if not (await file.resolve()).is_relative_to(folder) or not await file.is_file():
            raise GatewayError(ErrorType.NOT_FOUND, "there is no such file")
        if (await file.stat()).st_size > MAX_BYTES:
            raise GatewayError(ErrorType.BAD_GATEWAY, "the file is too large", detail=f"{file} is too large")
        return Response(200, body=await file.read_bytes())


@hookimpl
def gateway_register_protocols() -> list[ConnectorRegistration]:
    return [
        ConnectorRegistration(
            name="folder",
            summary="Answers with files",
            build=build,
            default_on=True,
            protocol="http",
            schemes=("file",),
        )
    ]


def build(config: NoConfig, context: BuildContext) -> FolderConnector:
    return FolderConnector(context)
