"""Rows that share a handle become one product, one product at a time."""

from collections.abc import Iterable, Iterator

from tradepost.kernel.money import exponent
from tradepost.services.product.shopify.cells import Bad, handle
from tradepost.services.product.shopify.drafts import MAX_ROWS, ProductDraft, Rejection, Warning_
from tradepost.services.product.shopify.gather import gather
from tradepost.services.product.shopify.headers import Row
from tradepost.services.product.shopify.reader import Read

Assembled = ProductDraft | Rejection | Warning_


class Assembler:
    """Add what the reader found, take what is decided: each row ends up in one draft's `lines` or in one rejection.

    * Consecutive rows of a handle are one product. Its first row carries the product's fields: if those are bad, or the
      row cannot be read, all rows of the product are rejected. Any other bad row goes alone; a product whose first row
      only has a bad variant keeps its fields, its image and its other variants.
    * A handle that comes again later is `duplicate_handle`, all of those rows, also when they only add an image: the
      product has been handed on by then, and half of a row is worse than a clear line number. So are rows that give a
      product's handle to another title.
    * A SKU belongs to the first variant of the file that has it.

    A draft comes when its last row is known, followed by the remarks about its rows; all in file order. Memory: one
    product (at most `MAX_ROWS` rows), and a hash and a line for each handle and SKU.
    """

    def __init__(self, currency: str) -> None:
        exponent(currency)  # refuses an unknown one here, not in every row
        self._currency = currency
        self._handles: dict[int, int] = {}  # hash -> line of the first row
        self._skus: dict[int, int] = {}
        self._rows: list[Row | Rejection] = []
        self._handle = ""
        self._duplicate_of: int | None = None
        self._orphaned_by: int | None = None
        self._unreadable: int | None = None  # line of the last item, if that had no handle

    def add(self, item: Read) -> list[Assembled]:
        if isinstance(item, Warning_):
            return [item]
        try:
            name = item.handle if isinstance(item, Rejection) else handle(item.handle)
        except Bad as bad:
            item, name = Rejection(item.line, None, bad.reason, bad.detail), None
        decided = [] if name in (None, self._handle) else self._begin(name, item.line)
        self._unreadable = item.line if name is None else None
        return decided + self._keep(item, name)

    def close(self) -> list[Assembled]:
        """What remains to be said at the end of the file."""
        rows, self._rows = self._rows, []
        if not rows:
            return []
        if self._duplicate_of is not None:
            return [self._repeated(row, self._duplicate_of) for row in rows]
        return gather(rows, self._handle, self._currency, self._skus, self._orphaned_by)

    def _begin(self, name: str, line: int) -> list[Assembled]:
        decided = self.close()
        self._handle = name
        first = self._handles.setdefault(hash(name), line)
        self._duplicate_of = first if first != line else None
        self._orphaned_by = self._unreadable
        return decided

    def _keep(self, item: Row | Rejection, name: str | None) -> list[Assembled]:
        """Waits with the product's rows for the last of them; what has no handle waits with them, to stay in order."""
        if len(self._rows) < MAX_ROWS and (name is not None or self._rows):
            self._rows.append(item)
            return []
        if isinstance(item, Rejection):
            return [item]
        return [Rejection(item.line, name, "too_many_rows", f"a product has at most {MAX_ROWS} rows")]

    def _repeated(self, row: Row | Rejection, first: int) -> Rejection:
        if isinstance(row, Rejection):
            return row
        detail = f"the handle's rows began at line {first}; all rows of a product must follow one another"
        return Rejection(row.line, self._handle, "duplicate_handle", detail)


def assemble(rows: Iterable[Read], currency: str) -> Iterator[Assembled]:
    """Prices are read in `currency`; raises `UnknownCurrency`."""
    assembler = Assembler(currency)
    for row in rows:
        yield from assembler.add(row)
    yield from assembler.close()
