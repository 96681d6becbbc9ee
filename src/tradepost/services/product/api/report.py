"""What an import answers: progress, remarks about rows, and the sums at the end."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from tradepost.kernel.errors import Refusal
from tradepost.services.product.commands.filing import Outcome
from tradepost.services.product.shopify import Rejection, Warning_

PROGRESS_ROWS: Final = 1_000
STOCK_NOTE: Final = "Quantities open the stock of variants that are new; the stock of others is left alone."

Note = Rejection | Warning_


class Report:
    """Counts rows and products. A row counts with its product, unless it was rejected by itself; a product is
    rejected when none of its rows was taken."""

    def __init__(self, *, dry_run: bool) -> None:
        self._dry_run = dry_run
        self._rows: Counter[str] = Counter()
        self._products: Counter[str] = Counter()
        self._warnings = 0
        self._taken: set[int] = set()  # hashes of handles, so that a long file stays small
        self._refused: set[int] = set()
        self._told = 0  # rows at the last line of progress

    def lines(self, notes: Iterable[Note], outcomes: Sequence[Outcome]) -> bytes:
        """The lines about a chunk of products, and about the rows that came to nothing before."""
        made = [self._remark(note) for note in notes]
        for outcome in outcomes:
            self._rows[outcome.status] += outcome.rows
            if outcome.status != "rejected":
                self._products[outcome.status] += 1
                self._taken.add(hash(outcome.handle))
            made += [self._remark(rejection) for rejection in outcome.rejections]
        return _encode(made + list(self._progress()))

    def end(self) -> bytes:
        """The last line."""
        return _encode([{"summary": {**self._counts(), "dry_run": self._dry_run, "stock": STOCK_NOTE}}])

    def failure(self, refusal: Refusal) -> bytes:
        """The last line instead, when the import had to stop: what was counted is done, and the file may be sent
        again."""
        told = {"error": refusal.error, "detail": refusal.detail, **self._counts(), "dry_run": self._dry_run}
        return _encode([{"failure": told}])

    def _remark(self, note: Note) -> dict[str, Any]:
        about = {"line": note.line, "handle": note.handle}
        if isinstance(note, Warning_):
            self._warnings += 1
            return {**about, "kind": "warning", "reason": note.code, "detail": note.detail}
        self._rows["rejected"] += 1
        if note.handle is not None:
            self._refused.add(hash(note.handle))
        return {**about, "kind": "rejection", "reason": note.reason, "detail": note.detail}

    def _progress(self) -> Iterator[dict[str, Any]]:
        counts = self._counts()
        if counts["rows"] // PROGRESS_ROWS > self._told // PROGRESS_ROWS:
            self._told = counts["rows"]
            yield {"progress": counts}

    def _counts(self) -> dict[str, int]:
        products = self._products + Counter(rejected=len(self._refused - self._taken))
        return {
            "rows": self._rows.total(),
            "products": products.total(),
            **{f"products_{status}": products[status] for status in _STATUSES},
            **{f"rows_{status}": self._rows[status] for status in _STATUSES},
            "warnings": self._warnings,
        }


_STATUSES: Final = ("created", "updated", "unchanged", "rejected")
_encode: Final = msgspec.json.Encoder().encode_lines
