"""The upload of a sync, line by line: JSON lines or CSV, as the content type says."""

import csv
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from tradepost.kernel.errors import FieldError, Invalid, Malformed, Refusal, TooLarge, UnsupportedMedia
from tradepost.kernel.http.body import Body, ShortText, Units
from tradepost.kernel.http.decoding import decode_json, field_error, pointer_to
from tradepost.services.inventory.domain.sync import Line, Outcome, rejected

LINE_LIMIT: Final = 16 * 1024  # bytes
FAULTS_LIMIT: Final = 20  # columns of a header that are told
JSON_LINES: Final = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
CSV: Final = "text/csv"

Delta = Annotated[int, Meta(ge=-(2**31) + 1, le=2**31 - 1)]  # units
Parse = Callable[[bytes], "Row"]


class Row(Body, frozen=True, kw_only=True):
    """A line as sent."""

    sku: ShortText
    available: Units | None = None
    delta: Delta | None = None
    if_version: Annotated[int, Meta(ge=1)] | None = None

    def __post_init__(self) -> None:
        if (self.available is None) == (self.delta is None):
            raise ValueError("Send either `available` or `delta`")


_ROW: Final = msgspec.json.Decoder(Row)
_COLUMNS: Final = frozenset(Row.__struct_fields__)


async def read(chunks: AsyncIterator[bytes], content_type: str) -> AsyncIterator[Line | Outcome]:
    """The lines of an upload; an unreadable one is rejected already. Of a CSV the header is read before this answers.
    Errors: UnsupportedMedia, Invalid `csv_header_invalid`."""
    kind = content_type.partition(";")[0].strip().lower()
    numbered = _numbered(chunks)
    if kind in JSON_LINES:
        return _parsed(numbered, _from_json)
    if kind == CSV:
        first = await anext(numbered, None)
        header = first[1] if first is not None else None
        return _parsed(numbered, _csv_parser(header or b""))
    raise UnsupportedMedia("Send `Content-Type: application/x-ndjson` or `text/csv`.")


async def _numbered(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes | None]]:
    """Lines that are not blank, with their numbers from 1; None for one that is too long to be kept."""
    number, rest, too_long = 0, b"", False
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            number += 1
            if too_long or line.strip():
                yield number, None if too_long or len(line) > LINE_LIMIT else line
            too_long = False
        if len(rest) > LINE_LIMIT:
            too_long, rest = True, b""
    if too_long or rest.strip():
        yield number + 1, None if too_long else rest


async def _parsed(numbered: AsyncIterator[tuple[int, bytes | None]], parse: Parse) -> AsyncIterator[Line | Outcome]:
    async for number, raw in numbered:
        try:
            yield _line(number, parse(_kept(raw)))
        except Refusal as refusal:
            yield rejected(number, None, refusal)


def _kept(raw: bytes | None) -> bytes:
    if raw is None:
        raise TooLarge(f"A line may have {LINE_LIMIT} bytes.", code="line_too_long")
    return raw


def _line(number: int, row: Row) -> Line:
    return Line(number=number, sku=row.sku, available=row.available, delta=row.delta, if_version=row.if_version)


def _from_json(raw: bytes) -> Row:
    try:
        return decode_json(_ROW, raw)
    except Invalid as invalid:
        raise _unfit("; ".join(f"{one.pointer} {one.detail}".strip() for one in invalid.errors)) from None


def _csv_parser(header: bytes) -> Parse:
    columns = [cell.strip().lower() for cell in _cells(header.removeprefix(b"\xef\xbb\xbf"))]
    if faults := [*_faults(columns)][:FAULTS_LIMIT]:
        detail = f"The first line names the columns: sku, then some of {', '.join(sorted(_COLUMNS - {'sku'}))}."
        raise Invalid(detail, code="csv_header_invalid", errors=faults)

    def parse(raw: bytes) -> Row:
        cells = _cells(raw)
        if len(cells) != len(columns):
            raise _unfit(f"The line has {len(cells)} cells; the header has {len(columns)}")
        filled = {column: cell for column, cell in zip(columns, cells, strict=True) if cell != ""}
        try:
            return msgspec.convert(filled, Row, strict=False)
        except msgspec.ValidationError as error:
            fault = field_error(str(error))
            raise _unfit(f"{fault.pointer} {fault.detail}".strip()) from None

    return parse


def _faults(columns: Sequence[str]) -> Iterator[FieldError]:
    if "sku" not in columns:
        yield FieldError("/sku", "There is no such column.")
    for column, times in Counter(columns).items():
        if column not in _COLUMNS:
            yield FieldError(pointer_to([column]), "There should be no such column.")
        elif times > 1:
            yield FieldError(pointer_to([column]), "There are several such columns.")


def _cells(raw: bytes) -> Sequence[str]:
    """One record; a quoted cell can't go on in the next line."""
    try:
        text = raw.decode().removesuffix("\r")
        (cells,) = csv.reader([text], strict=True) if text else ([],)
    except (UnicodeDecodeError, csv.Error) as error:
        raise Malformed(f"The line is not CSV in UTF-8: {error}.", code="malformed_csv") from None
    if "\0" in text:
        raise _unfit("NUL characters can't be stored")
    return cells


def _unfit(detail: str) -> Invalid:
    return Invalid(f"{detail}.", code="invalid_line")
