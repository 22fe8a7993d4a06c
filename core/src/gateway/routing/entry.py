"""What a route matches, as the table takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from gateway.routing.hosts import ANY_HOST, parse_host

if TYPE_CHECKING:
    from gateway.routing.conditions import HeaderCondition, QueryCondition
    from gateway.routing.pattern import Pattern

__all__ = ["RouteEntry"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteEntry(Generic[T]):
    """A route: which requests it is for, and what they get.

    Attributes:
        id: Names the route in messages; no other entry of a table has it.
        pattern: The paths it is for.
        target: What ``RouteTable.match`` returns.
        hosts: The hosts it is for, as ``parse_host`` takes them; empty means every host.
        methods: The methods it is for; ``GET`` stands for HEAD too. ``None`` means every method.
        headers: What the header fields must be like, all of it.
        query: What the query parameters must be like, all of it.
        priority: Among the routes that match a request, the one with the higher priority gets it, however specific.
    """

    id: str
    pattern: Pattern
    target: T
    hosts: tuple[str, ...] = ()
    methods: frozenset[str] | None = None
    headers: tuple[HeaderCondition, ...] = ()
    query: tuple[QueryCondition, ...] = ()
    priority: int = 0

    def __post_init__(self) -> None:
        if self.methods is not None and not self.methods:
            raise ValueError(f"route {self.id!r} has no method; leave methods out to match them all")

    @property
    def canonical_hosts(self) -> tuple[str, ...]:
        """The hosts in canonical form, each once; ``("*",)`` when there are none.

        Raises:
            ValueError: If one of them is not a host.
        """
        return tuple(dict.fromkeys(map(parse_host, self.hosts))) or (ANY_HOST,)
