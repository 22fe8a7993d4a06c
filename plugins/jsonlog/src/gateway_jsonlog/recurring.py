"""Parts of lines that are the same for many requests, and so are put together once and remembered."""

from __future__ import annotations

from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from gateway import Endpoint, Instance, Route

__all__ = ["MAX_PARTS", "MAX_PART_LENGTH", "AnswerParts", "ClientParts", "Quoted", "readable"]

MAX_PARTS = 4096
"""Parts of a kind that are remembered; beyond that it begins anew."""
MAX_PART_LENGTH = 1024
"""Longer ones are not remembered: they hold what strangers send."""

Key = TypeVar("Key")
Part = TypeVar("Part")


class Remembered(dict[Key, Part]):
    """Parts by what they were made of. Where it counts, ask ``get`` first: the subscript of a subclass is slow."""

    def keep(self, key: Key, part: Part, length: int) -> None:
        """Remember a part, unless it is long."""
        if length <= MAX_PART_LENGTH:
            if len(self) >= MAX_PARTS:
                self.clear()
            self[key] = part


class Quoted(Remembered[str, str]):
    """Texts as they stand in JSON."""

    def __missing__(self, text: str) -> str:
        """Quote one that is not known."""
        part = quoted(text)
        self.keep(text, part, len(part))
        return part


class ClientParts(Remembered["tuple[str, str, str, bytes]", str]):
    """Who asked: by client, host, version of HTTP and user agent. It begins with the quote that ends the request id."""

    def __missing__(self, key: tuple[str, str, str, bytes]) -> str:
        """Make a part that is not known."""
        client, host, version, agent = key
        part = f'","client":{quoted(client)},"host":{quoted(host)},"protocol":"HTTP/{version}"'
        if agent:
            part += f',"user_agent":{quoted(readable(agent))}'
        self.keep(key, part, len(part))
        return part


class AnswerPart:
    """Where a request went and what came of it, up to the path.

    Args:
        text: The part.
        route: The route, of which a reload makes another one.
        endpoint: What was known of the instance; ``None`` if none was asked.
    """

    __slots__ = ("endpoint", "route", "text")

    def __init__(self, text: str, route: Route, endpoint: Endpoint | None) -> None:
        self.text = text
        self.route = route
        self.endpoint = endpoint


class AnswerParts(Remembered["tuple[Instance | None, int, str, str]", AnswerPart]):
    """Parts by instance, status, method and id of the route. Such a part is right as long as both others are."""

    def make(self, instance: Instance | None, status: int, method: str, route: Route) -> AnswerPart:
        """Return a part that is not known, or is no longer right."""
        text = (
            f',"method":{quoted(method)},"status":{status},"route":{quoted(route.id)}'
            f',"path_template":{quoted(route.path)}'
        )
        if route.service:
            text += f',"service":{quoted(route.service)}'
        if instance is not None:
            text += f',"instance":{quoted(instance.id)}'
        text += ',"path":'
        part = AnswerPart(text, route, None if instance is None else instance.endpoint)
        self.keep((instance, status, method, route.id), part, len(text))
        return part


def readable(value: bytes) -> str:
    r"""Return the value of a field as text; bytes that are no UTF-8 as ``\xHH``."""
    return value.decode("utf-8", "backslashreplace")
