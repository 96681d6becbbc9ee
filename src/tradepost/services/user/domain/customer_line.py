"""Lines of a customer import: cut out of what arrives, and what becomes of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

LINE_LIMIT: Final = 16 * 1024  # bytes

_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer, checked."""

    line: int
    email: str
    name: str
    phone: str | None


class LineReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a line; lines count from 1."""

    line: int
    status: Literal["created", "existing", "rejected"]
    email: str | None = None
    user_id: str | None = None
    reason: str | None = None


class Lines:
    """Cuts a stream into numbered lines, blank ones left out. Of a line over the limit only so much is kept that it is
    seen to be too long."""

    def __init__(self) -> None:
        self._count = 0
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """The lines that end in `chunk`."""
        *ended, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest[: LINE_LIMIT + 1]
        for line in ended:
            yield from self._numbered(line)

    def end(self) -> Iterator[tuple[int, bytes]]:
        """What stands behind the last line feed."""
        yield from self._numbered(self._rest)

    def _numbered(self, line: bytes) -> Iterator[tuple[int, bytes]]:
        self._count += 1
        if self._count == 1:
            line = line.removeprefix(_BOM)
        if line.strip():
            yield self._count, line
