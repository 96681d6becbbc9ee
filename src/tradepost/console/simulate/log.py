"""The order log as it was written: products, customers and invoices, read from a CSV, packed by xz or not."""

import csv
import lzma
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from sys import intern
from typing import Final, TextIO

import msgspec

from tradepost.console.trouble import Trouble

COLUMNS: Final = frozenset(
    {"InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"}
)
CANCELLATION: Final = "C"  # how the number of a cancellation begins
DATES: Final = ("%Y-%m-%d %H:%M:%S", "%m/%d/%Y %H:%M", "%Y-%m-%d %H:%M")
QUANTITY_LIMIT: Final = 1_000_000  # units in a line of an order
TEXT_LIMIT: Final = 255  # characters in a SKU or a title
HUNDRED: Final = Decimal(100)

UNREADABLE: Final = "unreadable"
NO_PRICE: Final = "no_price"
NEGATIVE: Final = "negative_quantity"  # without being a cancellation
POSITIVE: Final = "positive_quantity_in_a_cancellation"
TOO_MANY: Final = "quantity_too_large"


class LogError(Trouble):
    """The file is no order log."""


class Line(msgspec.Struct, frozen=True, gc=False):
    """Units of a SKU, bought or brought back."""

    sku: str
    quantity: int


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer bought, or with `is_cancellation` gives back. `customer` None: nobody knows."""

    number: str
    at: datetime
    customer: str | None
    country: str
    lines: Sequence[Line]

    @property
    def is_cancellation(self) -> bool:
        return self.number.startswith(CANCELLATION)


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """`price` in minor units; `demand` in units, over all orders that are played."""

    sku: str
    title: str
    price: int
    demand: int


@dataclass(frozen=True, kw_only=True)
class OrderLog:
    """Invoices in order of time, and the lines that none of them holds, counted by reason."""

    invoices: Sequence[Invoice]
    prices: Mapping[str, int]
    titles: Mapping[str, str]
    skipped: Mapping[str, int]

    @property
    def orders(self) -> Sequence[Invoice]:
        """The invoices that are not cancellations."""
        return [invoice for invoice in self.invoices if not invoice.is_cancellation]

    @property
    def customers(self) -> Sequence[str]:
        """Whoever is named, in the order in which they appear."""
        return list(dict.fromkeys(invoice.customer for invoice in self.invoices if invoice.customer))

    @property
    def products(self) -> Sequence[Product]:
        """What is ordered, by SKU."""
        demand: Counter[str] = Counter()
        for order in self.orders:
            for line in order.lines:
                demand[line.sku] += line.quantity
        return [
            Product(sku=sku, title=self.titles.get(sku, sku), price=self.prices[sku], demand=demand[sku])
            for sku in sorted(demand)
        ]


@dataclass
class _Reading:
    prices: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    titles: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    heads: dict[str, tuple[datetime, str | None, str]] = field(default_factory=dict)
    lines: dict[str, list[Line]] = field(default_factory=lambda: defaultdict(list))
    skipped: Counter[str] = field(default_factory=Counter)


def open_log(path: Path) -> TextIO:
    """Errors: LogError."""
    try:
        if path.suffix == ".xz":
            return lzma.open(path, "rt", encoding="utf-8-sig", errors="replace", newline="")
        return path.open(encoding="utf-8-sig", errors="replace", newline="")
    except OSError as error:
        raise LogError(f"{path} can't be read: {error.strerror or error}") from error


def read_log(path: Path, limit: int | None = None) -> OrderLog:
    """The log in `path`; with `limit` only that many invoices. Errors: LogError."""
    try:
        with open_log(path) as text:
            return parse(text, limit)
    except (csv.Error, lzma.LZMAError, EOFError) as error:
        raise LogError(f"{path} is damaged: {error}") from error


def parse(text: Iterable[str], limit: int | None = None) -> OrderLog:
    """Errors: LogError when a column is missing."""
    reading = _Reading()
    for row in _rows(text):
        reason = _take(reading, row)
        if reason is not None:
            reading.skipped[reason] += 1
    invoices = sorted(_invoices(reading), key=lambda invoice: invoice.at)
    return OrderLog(
        invoices=invoices[:limit],
        prices={sku: prices.most_common(1)[0][0] for sku, prices in reading.prices.items()},
        titles={sku: titles.most_common(1)[0][0] for sku, titles in reading.titles.items()},
        skipped=dict(reading.skipped),
    )


def _rows(text: Iterable[str]) -> Iterator[Mapping[str, str]]:
    rows = csv.DictReader(text)
    if missing := COLUMNS - set(rows.fieldnames or ()):
        raise LogError(f"this is no order log: there is no column {', '.join(sorted(missing))}")
    return rows


def _invoices(reading: _Reading) -> Iterator[Invoice]:
    for number, lines in reading.lines.items():
        at, customer, country = reading.heads[number]
        yield Invoice(number=number, at=at, customer=customer, country=country, lines=tuple(lines))


def _take(reading: _Reading, row: Mapping[str, str]) -> str | None:
    """The reason why the line is skipped, or None."""
    try:
        number, sku = row["InvoiceNo"].strip(), intern(row["StockCode"].strip())
        quantity, price, at = int(row["Quantity"]), _minor(row["UnitPrice"]), _instant(row["InvoiceDate"])
        title, customer = row["Description"].strip(), row["CustomerID"].strip().removesuffix(".0")
        country = intern(row["Country"].strip())
    except (ValueError, InvalidOperation, AttributeError, TypeError):  # of a short row some cells are None
        return UNREADABLE
    if not number or not 0 < len(sku) <= TEXT_LIMIT or "\0" in sku:
        return UNREADABLE
    is_cancellation = number.startswith(CANCELLATION)
    if reason := _fault(quantity, price, is_cancellation):
        return reason
    if not is_cancellation:
        reading.prices[sku][price] += 1
        if title:
            reading.titles[sku][intern(title[:TEXT_LIMIT])] += 1
    reading.heads.setdefault(number, (at, intern(customer) or None, country))
    reading.lines[number].append(Line(sku, abs(quantity)))
    return None


def _fault(quantity: int, price: int, is_cancellation: bool) -> str | None:
    if is_cancellation and quantity >= 0:
        return POSITIVE
    if not is_cancellation and quantity <= 0:
        return NEGATIVE
    if price <= 0:
        return NO_PRICE
    return TOO_MANY if abs(quantity) > QUANTITY_LIMIT else None


@lru_cache(maxsize=4096)
def _minor(text: str) -> int:
    """Minor units; what is above nothing costs at least one."""
    price = Decimal(text)
    rounded = int((price * HUNDRED).to_integral_value(ROUND_HALF_UP))
    return max(rounded, 1) if price > 0 else rounded


@lru_cache(maxsize=64)
def _instant(text: str) -> datetime:
    """As the log tells it, in the time of its own clock: it only serves to sort."""
    for form in DATES:
        try:
            return datetime.strptime(text.strip(), form)
        except ValueError:
            continue
    raise ValueError(text)
