"""Identifiers: UUIDv7, so that new rows land at the end of an index."""

import re
from typing import Final

from uuid_utils import uuid7

LOWEST_ID: Final = "00000000-0000-0000-0000-000000000000"  # no one's: where a walk through all begins

_CANONICAL: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new_id() -> str:
    """A new UUIDv7 in its canonical text form."""
    return str(uuid7())


def is_id(text: str) -> bool:
    """Whether `text` is a UUID in canonical form; anything else names nothing that we have."""
    return _CANONICAL.fullmatch(text) is not None
