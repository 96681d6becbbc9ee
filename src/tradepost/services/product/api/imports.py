"""Imports: a product file of any length goes in, a report comes out line by line."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from tradepost.kernel.database import Database
from tradepost.kernel.errors import FieldError, Refusal, Unavailable, UnsupportedMedia
from tradepost.kernel.events import Cause
from tradepost.kernel.http.body import Currency, Query
from tradepost.kernel.http.endpoint import Request, Streamed, Upload
from tradepost.kernel.log.dispatch import is_retryable
from tradepost.kernel.money import CURRENCIES, UnknownCurrency
from tradepost.services.product.api.report import Note, Report
from tradepost.services.product.commands import filing
from tradepost.services.product.commands.filing import Outcome
from tradepost.services.product.desk import Desk
from tradepost.services.product.domain.category import CategoryUnknown
from tradepost.services.product.repository.products import Raced
from tradepost.services.product.shopify import Assembled, Assembler, ProductDraft, Reader

CHUNK_PRODUCTS: Final = 200  # in one transaction
CHUNK_ROWS: Final = 2_000  # in one transaction, unless a single product has more
PIECE: Final = 64 * 1024  # bytes taken at once
TRIES: Final = 5
PAUSE_S: Final = 0.2
ACCEPTED: Final = frozenset({"text/csv", "application/csv", "application/octet-stream", ""})


class ImportQuery(Query, frozen=True, kw_only=True):
    """With `dry_run` everything is told and nothing done. The file's prices are in `currency`."""

    dry_run: bool = False
    currency: Currency = "USD"

    def __post_init__(self) -> None:
        if self.currency not in CURRENCIES:
            detail = f"{self.currency} is not an active ISO 4217 code."
            raise UnknownCurrency(detail, errors=[FieldError("?currency", detail)])


@dataclass
class _Chunk:
    """Products to write together, and remarks about other rows."""

    drafts: list[ProductDraft] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    rows: int = 0

    def add(self, item: Assembled) -> None:
        if isinstance(item, ProductDraft):
            self.drafts.append(item)
            self.rows += len(item.lines)
        else:
            self.notes.append(item)
            self.rows += 1

    @property
    def is_full(self) -> bool:
        return len(self.drafts) >= CHUNK_PRODUCTS or self.rows >= CHUNK_ROWS


async def import_products(request: Request[Upload, ImportQuery], desk: Desk) -> Streamed:
    """Import a Shopify product file. The same file again changes nothing. Products are written in chunks, each whole;
    a report without a `summary` at its end is of an import that stopped. Errors: UnsupportedMedia, CsvError,
    UnknownCurrency."""
    if request.content_type.partition(";")[0].strip().lower() not in ACCEPTED:
        raise UnsupportedMedia("Send `Content-Type: text/csv`.")
    items = _Items(request.body, request.query.currency)
    await items.begin()
    lines = _import(desk.db, items, request.cause, dry_run=request.query.dry_run)
    return Streamed(lines, "application/x-ndjson")


class _Items:
    """What is in the file, piece by piece."""

    def __init__(self, upload: Upload, currency: str) -> None:
        self._assembler = Assembler(currency)
        self._reader = Reader()
        self._pieces = _pieces(upload)
        self._first: list[Assembled] = []
        self._ended = False

    async def begin(self) -> None:
        """As far as it takes to know that this is a product file. Errors: CsvError."""
        while not self._first and not self._ended:
            self._first = await self._next()

    async def __aiter__(self) -> AsyncIterator[list[Assembled]]:
        yield self._first
        while not self._ended:
            yield await self._next()

    async def _next(self) -> list[Assembled]:
        piece = await anext(self._pieces, None)
        self._ended = piece is None
        found = self._reader.close() if piece is None else self._reader.feed(piece)
        items = [item for read in found for item in self._assembler.add(read)]
        return items + self._assembler.close() if piece is None else items


async def _pieces(upload: Upload) -> AsyncIterator[bytes]:
    async for chunk in upload.chunks:
        for start in range(0, len(chunk), PIECE):
            yield chunk[start : start + PIECE]


async def _import(db: Database, items: _Items, cause: Cause, *, dry_run: bool) -> AsyncIterator[bytes]:
    report = Report(dry_run=dry_run)
    try:
        async for chunk in _chunks(items):
            yield report.lines(chunk.notes, await _file(db, chunk.drafts, cause, dry_run=dry_run))
        yield report.end()
    except Refusal as refusal:
        yield report.failure(refusal)
    except Exception as error:
        if not is_retryable(error):
            raise
        yield report.failure(Unavailable("The database can't be reached. Send the file again."))


async def _chunks(items: _Items) -> AsyncIterator[_Chunk]:
    chunk = _Chunk()
    async for found in items:
        for item in found:
            chunk.add(item)
            if chunk.is_full:
                yield chunk
                chunk = _Chunk()
    yield chunk


async def _file(db: Database, drafts: Sequence[ProductDraft], cause: Cause, *, dry_run: bool) -> Sequence[Outcome]:
    """Again when others were in the way: what was committed after all is then found unchanged."""
    if not drafts:
        return ()
    for attempt in range(1, TRIES + 1):
        try:
            async with db.transaction() as tx:
                return await filing.file(tx, drafts, cause, dry_run=dry_run)
        except Exception as error:
            if attempt == TRIES or not (isinstance(error, Raced | CategoryUnknown) or is_retryable(error)):
                raise
            await asyncio.sleep(PAUSE_S * attempt)
    raise AssertionError("unreachable")
