"""Descriptors, as whoever runs the gateway sees and changes them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.testing.running import ADMIN_TOKEN
from gateway_grpc.descriptors.upload import uploaded_file

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.testing import Answer, GatewayFactory, RunningGateway

pytestmark = pytest.mark.anyio

Service = Any
"""The one of conftest.py, which cannot be imported."""
PATH = "/grpc/descriptors"


def form(data: bytes, name: str = "library.desc", field: str = "descriptor") -> bytes:
    """Return what a form sends."""
    head = f'Content-Disposition: form-data; name="{field}"; filename="{name}"\r\nContent-Type: x/y\r\n\r\n'
    return b'--limit\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n--limit\r\n' + (
        head.encode() + data + b"\r\n--limit--\r\n"
    )


async def upload(gateway: RunningGateway, data: bytes, name: str = "library.desc") -> Answer:
    return await gateway.admin(PATH, method="POST", body=form(data, name))


def uploading(service: Service, **block: Any) -> dict[str, Any]:
    """Return the configuration of a gateway that takes uploads."""
    descriptors = {"uploadDirectory": "uploads", "descriptorsPath": "/api/grpc/descriptors", **block}
    settings: dict[str, Any] = service.settings(
        {"protoDescriptorBase64": None}, gateway={"protocols": {"grpc": descriptors}}
    )
    return settings


# What is known.


async def test_places_services_and_methods_are_listed(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings())
    listed = (await gateway.admin(PATH)).json()
    assert (listed["files"], listed["count"], listed["problems"]) == (["protoDescriptorBase64"], 1, [])
    (library,) = listed["services"]
    assert library["name"] == "library.v1.Library"
    assert {
        "name": "List",
        "path": "/library.v1.Library/List",
        "request": "library.v1.Book",
        "response": "library.v1.Book",
        "clientStreaming": False,
        "serverStreaming": True,
    } in library["methods"]


async def test_without_services_there_is_nothing(gateway_factory: GatewayFactory) -> None:
    gateway = await gateway_factory({})
    assert (await gateway.admin(PATH)).json() == {"files": [], "count": 0, "services": [], "problems": []}
    assert (await gateway.admin(f"{PATH}/reload", method="POST")).status == 404


async def test_what_is_wrong_is_told(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings({"protoDescriptorBase64": "%"}))
    problem, *_ = (await gateway.admin(PATH)).json()["problems"]
    assert "is no base64" in problem


async def test_nobody_without_the_token_sees_or_changes_anything(
    gateway_factory: GatewayFactory, service: Service, descriptors: Any, tmp_path: Path
) -> None:
    gateway = await gateway_factory(uploading(service))
    for target in (f"/_gateway{PATH}", "/api/grpc/descriptors"):
        assert (await gateway.ask("GET", target)).status == 401
        assert (await gateway.ask("POST", target, body=form(descriptors.set()))).status == 401
        assert (await gateway.ask("DELETE", f"{target}?file=a.desc")).status == 401
        assert (await gateway.ask("POST", f"{target}/reload")).status == 401
    assert not (tmp_path / "uploads").exists()


# Asking again.


async def test_sources_are_asked_again(
    gateway_factory: GatewayFactory, service: Service, descriptors: Any, tmp_path: Path
) -> None:
    file = tmp_path / "library.desc"
    file.write_bytes(descriptors.set())
    block = {"protoDescriptorBase64": None, "protoDescriptor": "library.desc", "autoReload": False}
    gateway = await gateway_factory(service.settings(block))
    file.write_bytes(descriptors.set(descriptors.text.replace('"Echo"', '"Echo2"')))
    assert (await service.call(gateway, "Echo")).status == 200
    assert (await gateway.admin(f"{PATH}/reload?file=another.desc", method="POST")).status == 404
    assert (await service.call(gateway, "Echo")).status == 200
    answer = await gateway.admin(f"{PATH}/reload?file={file}", method="POST")
    assert (answer.status, answer.json()) == (200, {"message": "Descriptors reloaded"})
    assert (await service.call(gateway, "Echo")).status == 404

    file.write_bytes(b"broken")
    answer = await gateway.admin(f"{PATH}/reload", method="POST")
    assert (answer.status, "holds no FileDescriptorSet" in answer.json()["error"]) == (422, True)
    assert (await service.call(gateway, "Echo2")).status != 404


async def test_a_service_that_describes_itself_is_asked_by_the_next_request(
    gateway_factory: GatewayFactory, serve: Any
) -> None:
    service = await serve(describes_itself="v1")
    gateway = await gateway_factory(service.settings({"protoDescriptorBase64": None, "autoReload": False}))
    assert (await gateway.admin(PATH)).json()["services"] == []
    assert (await service.call(gateway, "Echo")).status == 200
    listed = (await gateway.admin(PATH)).json()
    assert listed["files"] == ["server reflection"]
    assert "library.v1.Library" in [each["name"] for each in listed["services"]]
    assert (await gateway.admin(f"{PATH}/reload", method="POST")).status == 200
    assert (await service.call(gateway, "Echo")).status == 200


# Uploads.


async def test_uploaded_descriptors_count_at_once(
    gateway_factory: GatewayFactory, service: Service, descriptors: Any, tmp_path: Path
) -> None:
    gateway = await gateway_factory(uploading(service, autoReload=False))
    assert (await service.call(gateway, "Echo")).status == 503
    answer = await upload(gateway, descriptors.set())
    assert (answer.status, answer.json()["file"]) == (201, "library.desc")
    assert (await service.call(gateway, "Echo")).status == 200
    assert (tmp_path / "uploads" / "library.desc").read_bytes() == descriptors.set()
    assert (await gateway.admin(PATH)).json()["files"] == [str(tmp_path / "uploads")]

    # The original gateway has it on the port of everything else.
    token = {"authorization": f"Bearer {ADMIN_TOKEN}"}
    assert (await gateway.ask("GET", "/api/grpc/descriptors", headers=token)).json()["count"] == 1
    assert (await gateway.ask("POST", "/api/grpc/descriptors/reload", headers=token)).status == 200


async def test_what_contradicts_the_others_changes_nothing(
    gateway_factory: GatewayFactory, service: Service, descriptors: Any, tmp_path: Path
) -> None:
    gateway = await gateway_factory(uploading(service))
    assert (await upload(gateway, descriptors.set())).status == 201
    other = descriptors.set(descriptors.text.replace('"Echo"', '"Echo2"'))
    answer = await upload(gateway, other, "other.desc")
    assert (answer.status, "contradict each other" in answer.json()["error"]) == (422, True)
    assert [file.name for file in (tmp_path / "uploads").glob("[!.]*")] == ["library.desc"]
    # In its own place it is welcome, and gone with what was there before.
    assert (await upload(gateway, other)).status == 201
    assert (await service.call(gateway, "Echo")).status == 404


async def test_uploads_can_be_removed_unless_rules_need_them(
    gateway_factory: GatewayFactory, service: Service, descriptors: Any, tmp_path: Path
) -> None:
    gateway = await gateway_factory(uploading(service))
    empty = descriptors.set('name: "empty.proto"')
    assert (await upload(gateway, descriptors.set())).status == 201
    assert (await upload(gateway, empty, "empty.desc")).status == 201
    removed = await gateway.admin(f"{PATH}?file=empty.desc", method="DELETE")
    assert (removed.status, removed.json()["file"]) == (200, "empty.desc")
    assert (await gateway.admin(f"{PATH}?file=empty.desc", method="DELETE")).status == 404
    # Without the last one nothing is known any more.
    assert (await gateway.admin(f"{PATH}?file=library.desc", method="DELETE")).status == 422
    assert (tmp_path / "uploads" / "library.desc").exists()
    assert (await service.call(gateway, "Echo")).status == 200


async def test_two_uploads_at_once_do_not_undo_each_other(
    gateway_factory: GatewayFactory, service: Service, descriptors: Any, tmp_path: Path
) -> None:
    """They contradict each other: one of them is taken, and the other refused."""
    gateway = await gateway_factory(uploading(service))
    other = descriptors.set(descriptors.text.replace('"Echo"', '"Echo2"'))
    answers = await asyncio.gather(
        upload(gateway, descriptors.set()), *(upload(gateway, other, f"other-{number}.desc") for number in range(2))
    )
    assert sorted(answer.status for answer in answers) in ([201, 422, 422], [201, 201, 422])
    kept = {answer.json()["file"] for answer in answers if answer.status == 201}
    assert {file.name for file in (tmp_path / "uploads").glob("[!.]*")} == kept


async def test_an_upload_does_not_undo_a_removal(
    gateway_factory: GatewayFactory, service: Service, descriptors: Any, tmp_path: Path
) -> None:
    gateway = await gateway_factory(uploading(service))
    assert (await upload(gateway, descriptors.set())).status == 201
    assert (await upload(gateway, descriptors.set('name: "empty.proto"'), "empty.desc")).status == 201
    refused, removed = await asyncio.gather(
        upload(gateway, descriptors.set(descriptors.text.replace('"Echo"', '"Echo2"')), "other.desc"),
        gateway.admin(f"{PATH}?file=empty.desc", method="DELETE"),
    )
    assert (refused.status, removed.status) == (422, 200)
    assert [file.name for file in (tmp_path / "uploads").glob("[!.]*")] == ["library.desc"]


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("library.desc", b"broken", 422),
        ("library.desc", b"", 422),
        ("../library.desc", None, 400),
        ("/etc/library.desc", None, 400),
        (".desc", None, 400),
        ("library.txt", None, 400),
        ("a" * 200 + ".desc", None, 400),
    ],
)
async def test_other_files_are_not_taken(
    gateway_factory: GatewayFactory,
    service: Service,
    descriptors: Any,
    tmp_path: Path,
    name: str,
    data: bytes | None,
    status: int,
) -> None:
    gateway = await gateway_factory(uploading(service))
    assert (await upload(gateway, descriptors.set() if data is None else data, name)).status == status
    assert not (tmp_path / "uploads").exists()


@pytest.mark.parametrize("target", ["", "?file=", "?file=../library.desc", "?file=uploads", "?name=library.desc"])
async def test_only_uploads_are_removed(
    gateway_factory: GatewayFactory, service: Service, descriptors: Any, tmp_path: Path, target: str
) -> None:
    (tmp_path / "library.desc").write_bytes(descriptors.set())
    gateway = await gateway_factory(uploading(service))
    assert (await gateway.admin(f"{PATH}{target}", method="DELETE")).status == 400
    assert (tmp_path / "library.desc").exists()


async def test_uploads_need_a_folder(gateway_factory: GatewayFactory, service: Service, descriptors: Any) -> None:
    gateway = await gateway_factory(service.settings())
    assert (await upload(gateway, descriptors.set())).status == 403
    assert (await gateway.admin(f"{PATH}?file=a.desc", method="DELETE")).status == 403


# Forms.


@given(st.binary(max_size=200).filter(lambda data: b"\r\n--limit" not in b"\r\n" + data))
def test_a_file_arrives_as_it_was_sent(data: bytes) -> None:
    assert uploaded_file(form(data)) == ("library.desc", data)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"--limit",
        b"--limit--\r\n",
        form(b"x").removesuffix(b"--limit--\r\n"),
        form(b"x", field="file"),
        form(b"x", name=""),
        form(b"x").replace(b"\r\n\r\n", b"\r\n"),
        b'{"descriptor": "x"}',
    ],
)
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(GatewayError):
        uploaded_file(body)


@given(st.binary(max_size=200))
def test_nothing_breaks_the_reading_of_forms(body: bytes) -> None:
    for each in (body, b"--limit\r\n" + body, b"--limit\r\n" + body + b"\r\n--limit--"):
        with pytest.raises(GatewayError):
            uploaded_file(each)
