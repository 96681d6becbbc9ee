"""Identifiers: UUIDv7, so that new rows land at the end of an index."""

import re
from datetime import datetime
from typing import Final

from uuid_utils import uuid7

LOWEST_ID: Final = "00000000-0000-0000-0000-000000000000"  # no one's: where a walk through all begins
_VERSION: Final = "7"  # of UUIDs, whose first 48 bits are milliseconds

_CANONICAL: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new_id() -> str:
    """A new UUIDv7 in its canonical text form."""
    return str(uuid7())


def is_id(text: str) -> bool:
    """Whether `text` is a UUID in canonical form; anything else names nothing that we have."""
    return _CANONICAL.fullmatch(text) is not None


def first_id(moment: datetime) -> str:
    """The lowest id that can be made at that moment: all that were made before are below it."""
    text = f"{int(moment.timestamp() * 1000):012x}"
    return f"{text[:8]}-{text[8:]}-7000-8000-000000000000"


def made_at(id_: str) -> float | None:
    """When an id of ours was made, in seconds since 1970; None for what is none."""
    return int(id_[:8] + id_[9:13], 16) / 1000 if is_id(id_) and id_[14] == _VERSION else None
