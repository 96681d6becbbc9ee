"""Bytes of a product file become rows; a record that cannot be a row is rejected and the next one goes on."""

import csv
from collections.abc import Iterable, Iterator
from typing import Final

from tradepost.services.product.shopify.drafts import MAX_HTML, Rejection, Warning_
from tradepost.services.product.shopify.headers import Columns, CsvError, Row, columns, listed
from tradepost.services.product.shopify.records import MAX_RECORD, Record, Records, ends_in_quotes

Read = Row | Rejection | Warning_

_PIECE: Final = 65_536  # bytes taken from a chunk at a time

_DETAILS: Final = {
    "invalid_utf8": "the row is not UTF-8 text; save the file as UTF-8",
    "nul_byte": "the row holds a NUL character",
    "row_too_long": f"the row is longer than {MAX_RECORD} bytes",
    "field_too_long": f"a cell is longer than {MAX_HTML} characters",
    "unterminated_quote": f"a quoted cell begins in this row and is not closed within {MAX_RECORD} bytes or the file",
    "malformed_quotes": "a quoted cell is followed by something else than a comma",
}


class Reader:
    """Feed bytes in chunks of any size; the answers do not depend on where the chunks were cut.

    Raises `CsvError` when the file as a whole is no product file. After a record that ran over several lines and turned
    out broken (as one forgotten quote makes it), reading resumes at the first of them that begins a well-formed row.
    """

    def __init__(self) -> None:
        self._records = Records()
        self._columns: Columns | None = None

    def feed(self, chunk: bytes) -> list[Read]:
        self._records.feed(chunk)
        return self._drain()

    def close(self) -> list[Read]:
        self._records.end()
        found = self._drain()
        if self._columns is None:
            raise CsvError("the file is empty: there is no line of headers", code="csv_empty")
        return found

    def _drain(self) -> list[Read]:
        found: list[Read] = []
        while record := self._records.take():
            if self._columns is None:
                found += self._headers(record)
            elif read := self._row(record, self._columns):
                found.append(read)
        return found

    def _headers(self, record: Record) -> list[Read]:
        names = _header_names(record)
        if not any(map(str.strip, names)):
            return []
        self._columns = columns(names)
        ignored = self._columns.ignored
        return [Warning_(record.line, None, "columns_ignored", f"not read: {listed(ignored)}")] if ignored else []

    def _row(self, record: Record, shape: Columns) -> Read | None:
        if record.fault:
            return self._broken(record, shape, record.fault)
        data = b"".join(record.lines) if len(record.lines) > 1 else record.lines[0]
        text = data.decode("utf-8", "replace")
        cells = _cells(text)
        if isinstance(cells, str):
            return self._broken(record, shape, cells)
        if not any(cells) or not any(map(str.strip, cells)):
            return None  # a blank line, or only commas, as spreadsheets leave behind
        if not _fits(cells, shape):
            return self._broken(record, shape, "wrong_columns", len(cells))
        row = Row(record.line, *[cell.strip() for cell in shape.pick([*cells[: shape.count], ""])])
        return _undecodable(row, data, text) or row

    def _broken(self, record: Record, shape: Columns, reason: str, seen: int = 0) -> Rejection:
        covered = self._resume_after(record, shape)
        detail = _DETAILS.get(reason) or f"the row has {seen} cells, the header has {shape.count}"
        if covered > 1:
            detail += f"; nothing was read from line {record.line} to {record.line + covered - 1}"
        return Rejection(record.line, None, reason, detail)

    def _resume_after(self, record: Record, shape: Columns) -> int:
        """Gives back what follows the broken row, if a row can be found there; answers how many lines it did cost."""
        for index in range(1, len(record.lines)):
            if not self._records.may_rescan(len(record.lines[index])):
                break
            if self._begins_row(record, index, shape):
                if self._records.may_rescan(sum(map(len, record.lines[index:]))):
                    self._records.give_back(record, index)
                    return index
                break
        return len(record.lines)

    def _begins_row(self, record: Record, index: int, shape: Columns) -> bool:
        """Whether a record begins at that line which has the right width, or which runs on past the broken one.

        A line with a quote first is more often the end of a description than the beginning of a row that runs on.
        """
        inside = False
        for end in range(index, len(record.lines)):
            inside = ends_in_quotes(record.lines[end], inside)
            if not inside:
                cells = _cells(b"".join(record.lines[index : end + 1]).decode("utf-8", "replace"))
                return not isinstance(cells, str) and _fits(cells, shape)
            if not self._records.may_rescan(len(record.lines[end])):
                return False
        return record.fault is None and not record.lines[index].startswith(b'"')


def read(chunks: Iterable[bytes]) -> Iterator[Read]:
    """All rows of a file, lazily; memory is bounded by one record and 64 KiB, whatever the size of the chunks."""
    reader = Reader()
    for chunk in chunks:
        for start in range(0, len(chunk), _PIECE):
            yield from reader.feed(chunk[start : start + _PIECE])
    yield from reader.close()


def _header_names(record: Record) -> list[str]:
    data = b"".join(record.lines)
    if b"\0" in data:
        raise CsvError("the line of headers holds NUL bytes: save the file as UTF-8, not UTF-16", code="csv_not_utf8")
    names = record.fault or _cells(data.decode("utf-8", "replace"))
    if isinstance(names, str):
        raise CsvError(f"the line of headers: {_DETAILS[names]}", code="csv_malformed")
    if not _is_utf8(data):
        raise CsvError("the line of headers is not UTF-8 text: save the file as UTF-8", code="csv_not_utf8")
    return names


def _cells(text: str) -> list[str] | str:
    """The cells, or the reason why there are none."""
    try:
        cells = next(csv.reader((text,), strict=True))
    except csv.Error as error:
        # The limit is the csv module's own, 131,072 characters a cell; it is global and so is left alone.
        return "field_too_long" if "field limit" in str(error) else "malformed_quotes"
    if len(text) > MAX_HTML and max(map(len, cells)) > MAX_HTML:
        return "field_too_long"
    return cells


def _fits(cells: list[str], shape: Columns) -> bool:
    """More cells than headers do no harm while they are empty."""
    return len(cells) == shape.count or (len(cells) > shape.count and not any(cells[shape.count :]))


def _undecodable(row: Row, data: bytes, text: str) -> Rejection | None:
    reason = "nul_byte" if b"\0" in data else "invalid_utf8" if "\ufffd" in text and not _is_utf8(data) else None
    if reason is None:
        return None
    readable = row.handle and "\ufffd" not in row.handle and "\0" not in row.handle
    return Rejection(row.line, row.handle.lower() if readable else None, reason, _DETAILS[reason])


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
