"""Bytes in pieces of any size become records: physical lines joined where a quoted cell runs over a line end."""

import re
from collections import deque
from typing import Final, NamedTuple

MAX_RECORD: Final = 1_048_576  # bytes
_MAX_RESCANNED: Final = 16 * MAX_RECORD  # bytes that are looked at twice, in one file

_BOM: Final = b"\xef\xbb\xbf"
_QUOTED: Final = re.compile(rb'(?:[^"]++|"")*+')


class Record(NamedTuple):
    """`line` counts physical lines from 1; `fault` is a reason why the lines are no record, or None."""

    line: int
    lines: tuple[bytes, ...]
    fault: str | None


class Records:
    """Feed bytes, take records; `take` answers None until there is a whole one. Memory: one chunk and one record."""

    def __init__(self) -> None:
        self._tail = bytearray()  # begun, its line end not seen yet
        self._tail_ends_in_cr = False  # a line feed may still come and belong to it
        self._lines: deque[bytes] = deque()  # whole lines, not yet taken
        self._held: list[bytes] = []  # lines of the record that is being put together
        self._held_size = 0
        self._open = False  # inside quotes at the end of the last held line
        self._line = 1  # number of the first held line, or of the next one
        self._ended = False
        self._rescannable = _MAX_RESCANNED

    def feed(self, chunk: bytes) -> None:
        if not chunk:
            return
        if self._tail_ends_in_cr and not chunk.startswith(b"\n"):
            self._cut_tail()
        pieces = chunk.splitlines(keepends=True)  # of bytes, so only at LF, CR and CRLF
        rest = b"" if pieces[-1].endswith(b"\n") else pieces.pop()
        if self._tail and pieces:
            self._lengthen_tail(pieces[0])
            self._cut_tail()
            del pieces[0]
        self._lines.extend(pieces)
        if rest:
            self._lengthen_tail(rest)

    def end(self) -> None:
        """No more bytes will come."""
        if self._tail:
            self._cut_tail()
        self._ended = True

    def take(self) -> Record | None:
        while self._lines:
            line = self._lines.popleft()
            if self._line == 1 and not self._held:
                line = line.removeprefix(_BOM)
            self._held.append(line)
            self._held_size += len(line)
            if self._held_size > MAX_RECORD:
                return self._release("unterminated_quote" if len(self._held) > 1 else "row_too_long")
            if self._open or b'"' in line:
                self._open = ends_in_quotes(line, self._open)
            if not self._open:
                return self._release(None)
        return self._release("unterminated_quote") if self._ended and self._held else None

    def give_back(self, record: Record, resume: int) -> None:
        """Read `record.lines[resume:]` again, as the beginning of another record."""
        self._lines.extendleft(reversed(record.lines[resume:]))
        self._line = record.line + resume

    def may_rescan(self, size: int) -> bool:
        """Whether `size` more bytes may be looked at again: the whole is limited, so that no file takes for ever."""
        self._rescannable -= size
        return self._rescannable >= 0

    def _release(self, fault: str | None) -> Record:
        record = Record(self._line, tuple(self._held), fault)
        self._line += len(self._held)
        self._held.clear()
        self._held_size = 0
        self._open = False
        return record

    def _lengthen_tail(self, piece: bytes) -> None:
        self._tail_ends_in_cr = piece.endswith(b"\r")
        self._tail += piece[: MAX_RECORD + 1 - len(self._tail)]  # enough to be known as too long

    def _cut_tail(self) -> None:
        self._lines.append(bytes(self._tail))
        self._tail.clear()
        self._tail_ends_in_cr = False


def ends_in_quotes(line: bytes, inside: bool) -> bool:
    """Whether the line ends inside a quoted cell, given whether it began in one. As the csv module sees it: a quote
    opens a cell only as its first character, and `""` inside quotes is a quote."""
    at = 0
    if not inside:
        at = _opening(line, 0)
    while at >= 0:
        at = _closing(line, at)
        if at < 0:
            return True
        at = _opening(line, at)
    return False


def _opening(line: bytes, at: int) -> int:
    """Index after the next opening quote, or -1; `at` is in a cell outside quotes, 0 is the beginning of a cell."""
    if at == 0 and line.startswith(b'"'):
        return 1
    found = line.find(b',"', at)
    return found + 2 if found >= 0 else -1


def _closing(line: bytes, at: int) -> int:
    """Index after the next closing quote, or -1."""
    match = _QUOTED.match(line, at)
    end = match.end() if match else at
    return end + 1 if end < len(line) else -1
