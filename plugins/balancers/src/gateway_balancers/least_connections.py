"""The balancer ``least_connections``: whoever has least to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_balancers.load_table import LoadTables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import Exchange, Instance
    from gateway_balancers.load_table import LoadTable

__all__ = ["LeastConnections"]


class LeastConnections:
    """Takes the instance with the fewest attempts in flight for its weight, in O(log n); equals take turns.

    Attempts count from their beginning to the end of the response body, whichever route they came by.

    Args:
        tables: What it shares with the balancers of other routes; ``None`` shares nothing.
    """

    def __init__(self, tables: LoadTables | None = None) -> None:
        self._tables = tables if tables is not None else LoadTables()
        self._table: LoadTable | None = None

    def select(self, instances: Sequence[Instance], exchange: Exchange) -> Instance:
        """Return the least busy instance."""
        table = self._table
        if table is None:
            table = self._table = self._tables.table(instances[0].service)
        return table.pick(instances, exchange.excluded)


if TYPE_CHECKING:
    from gateway.interfaces import Balancer

    _: type[Balancer] = LeastConnections
