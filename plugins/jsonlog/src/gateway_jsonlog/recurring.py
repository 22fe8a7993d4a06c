"""The part of a line that is the same for many requests: who asked, by which route and instance, what came of it."""

from __future__ import annotations

from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway import Endpoint, Instance, Route

__all__ = ["MAX_PARTS", "MAX_PART_LENGTH", "RecurringParts", "readable"]

MAX_PARTS = 4096
"""Parts that are remembered; beyond that it begins anew."""
MAX_PART_LENGTH = 1024
"""Longer ones are not remembered: they hold what strangers send."""

Key = tuple[str, str, str, str, int, str, bytes, "Instance | None"]
"""Client, host, version of HTTP, method, status, id of the route, user agent, instance."""


class RecurringPart:
    """A part of lines, and what it was made of, as far as the key does not say it.

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


class RecurringParts:
    """Makes parts and remembers them.

    Attributes:
        known: Those that are remembered; to be looked into, for that is quicker than a call.
    """

    def __init__(self) -> None:
        self.known: dict[Key, RecurringPart] = {}

    def make(self, key: Key, route: Route, instance: Instance | None) -> RecurringPart:
        """Return a part that is not known, or is no longer right."""
        client, host, version, method, status, _, agent, _ = key
        text = (
            f',"client":{quoted(client)},"host":{quoted(host)},"method":{quoted(method)},"protocol":"HTTP/{version}"'
            f',"status":{status},"route":{quoted(route.id)},"path_template":{quoted(route.path)}'
        )
        if route.service:
            text += f',"service":{quoted(route.service)}'
        if instance is not None:
            text += f',"instance":{quoted(instance.endpoint.id or instance.authority)}'
        if agent:
            text += f',"user_agent":{quoted(readable(agent))}'
        part = RecurringPart(text, route, None if instance is None else instance.endpoint)
        if len(text) <= MAX_PART_LENGTH:
            if len(self.known) >= MAX_PARTS:
                self.known.clear()
            self.known[key] = part
        return part


def readable(value: bytes) -> str:
    r"""Return the value of a field as text; bytes that are no UTF-8 as ``\xHH``."""
    return value.decode("utf-8", "backslashreplace")
