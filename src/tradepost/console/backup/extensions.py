"""The extensions that services use, all of them in the schema `extension`."""

from collections.abc import Sequence
from typing import Any, Final

_FOUND: Final = """
SELECT extname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE nspname = 'extension' ORDER BY extname
"""
_MADE: Final = 'CREATE SCHEMA IF NOT EXISTS extension; CREATE EXTENSION IF NOT EXISTS "{name}" SCHEMA extension'


async def extensions_of(connection: Any) -> tuple[str, ...]:
    """Their names in the database of `connection`."""
    return tuple(row["extname"] for row in await connection.fetch(_FOUND))


async def add_extensions(connection: Any, names: Sequence[str]) -> None:
    """Make them, where they are not there yet."""
    for name in names:
        await connection.execute(_MADE.format(name=name))
