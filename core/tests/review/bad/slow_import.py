"""Finding: slow-import: importing the plugin takes"""

from gateway import policy

# As a table that is computed, or a large grammar that is compiled.
TABLE = sum(number * number % 7 for number in range(2_500_000))


@policy
async def counted(exchange, call_next):
    """Counts."""
    return await call_next(exchange)
