"""Parts of lines that are the same for many requests, and so are put together once and remembered."""

from __future__ import annotations

from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from gateway import Endpoint, Instance, Route

    AnswerKey = tuple[Instance | None, int, str, str]
    AnswerPart = tuple[Route, Endpoint | None, str]

__all__ = ["MAX_PARTS", "MAX_PART_LENGTH", "AnswerParts", "ClientParts", "Quoted", "readable"]

MAX_PARTS = 4096
"""Parts of a kind that are remembered; beyond that it begins anew."""
MAX_PART_LENGTH = 1024
"""Longer ones are not remembered: they hold what strangers send."""

Key = TypeVar("Key")
Part = TypeVar("Part")


class Remembered(Generic[Key, Part]):
    """Parts by what they were made of.

    Attributes:
        parts: Those that are remembered. Where it counts, they are looked up here, and made if they are missing.
    """

    def __init__(self) -> None:
        self.parts: dict[Key, Part] = {}

    def keep(self, key: Key, part: Part, length: int) -> None:
        """Remember a part, unless it is long."""
        if length <= MAX_PART_LENGTH:
            if len(self.parts) >= MAX_PARTS:
                self.parts.clear()
            self.parts[key] = part


class Quoted(Remembered[str, str]):
    """Texts as they stand in JSON."""

    def make(self, text: str) -> str:
        """Quote one that is not known."""
        part = quoted(text)
        self.keep(text, part, len(part))
        return part


class ClientParts(Remembered["tuple[str, str, str, bytes]", str]):
    """Who asked: by client, host, version of HTTP and user agent. It begins with the quote that ends the request id."""

    def part(self, client: str, host: str, version: str, agent: bytes) -> str:
        """Return a part."""
        key = client, host, version, agent
        part = self.parts.get(key)
        if part is None:
            part = f'","client":{quoted(client)},"host":{quoted(host)},"protocol":"HTTP/{version}"'
            if agent:
                part += f',"user_agent":{quoted(readable(agent))}'
            self.keep(key, part, len(part))
        return part


class AnswerParts(Remembered["AnswerKey", "AnswerPart"]):
    """Where a request went and what came of it, up to the path: by instance, status, method and id of the route.

    With each stand the route, of which a reload makes another one, and what was known of the instance: it is right as
    long as both are the same.
    """

    def make(self, instance: Instance | None, status: int, method: str, route: Route) -> str:
        """Return a part that is not known, or is no longer right."""
        part = (
            f',"method":{quoted(method)},"status":{status},"route":{quoted(route.id)}'
            f',"path_template":{quoted(route.path)}'
        )
        if route.service:
            part += f',"service":{quoted(route.service)}'
        if instance is not None:
            part += f',"instance":{quoted(instance.id)}'
        part += ',"path":'
        endpoint = None if instance is None else instance.endpoint
        self.keep((instance, status, method, route.id), (route, endpoint, part), len(part))
        return part


def readable(value: bytes) -> str:
    r"""Return the value of a field as text; bytes that are no UTF-8 as ``\xHH``."""
    return value.decode("utf-8", "backslashreplace")
