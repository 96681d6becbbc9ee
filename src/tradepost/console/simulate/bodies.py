"""What is sent: the bodies of requests, encoded, and the product file."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from tradepost.console.simulate.ledger import GivenBack
from tradepost.console.simulate.log import Invoice, Line, Product
from tradepost.kernel.money import to_major

CURRENCY: Final = "GBP"
DOMAIN: Final = "simulated.example"
LINES: Final = 500  # in one order
ROWS: Final = 500  # of the product file, in one piece
ELSEWHERE: Final = ("GB", "London", "N1 9GU")
PLACES: Final[Mapping[str, tuple[str, str, str]]] = {
    "Australia": ("AU", "Sydney", "2000"),
    "Austria": ("AT", "Wien", "1010"),
    "Bahrain": ("BH", "Manama", "317"),
    "Belgium": ("BE", "Bruxelles", "1000"),
    "Brazil": ("BR", "São Paulo", "01310-100"),
    "Canada": ("CA", "Ottawa", "K1A 0B1"),
    "Channel Islands": ("JE", "Saint Helier", "JE2 3AB"),
    "Cyprus": ("CY", "Nicosia", "1010"),
    "Czech Republic": ("CZ", "Praha", "110 00"),
    "Denmark": ("DK", "København", "1050"),
    "EIRE": ("IE", "Dublin", "D01 F5P2"),
    "European Community": ("BE", "Bruxelles", "1049"),
    "Finland": ("FI", "Helsinki", "00100"),
    "France": ("FR", "Paris", "75001"),
    "Germany": ("DE", "Berlin", "10115"),
    "Greece": ("GR", "Athina", "105 57"),
    "Hong Kong": ("HK", "Hong Kong", "999077"),
    "Iceland": ("IS", "Reykjavík", "101"),
    "Israel": ("IL", "Jerusalem", "9414901"),
    "Italy": ("IT", "Roma", "00184"),
    "Japan": ("JP", "Tokyo", "100-0001"),
    "Lebanon": ("LB", "Beirut", "1107"),
    "Lithuania": ("LT", "Vilnius", "01103"),
    "Malta": ("MT", "Valletta", "VLT 1010"),
    "Netherlands": ("NL", "Amsterdam", "1012 AB"),
    "Norway": ("NO", "Oslo", "0150"),
    "Poland": ("PL", "Warszawa", "00-001"),
    "Portugal": ("PT", "Lisboa", "1100-148"),
    "RSA": ("ZA", "Pretoria", "0002"),
    "Saudi Arabia": ("SA", "Riyadh", "11564"),
    "Singapore": ("SG", "Singapore", "018956"),
    "Spain": ("ES", "Madrid", "28013"),
    "Sweden": ("SE", "Stockholm", "111 29"),
    "Switzerland": ("CH", "Bern", "3011"),
    "USA": ("US", "New York", "10001"),
    "United Arab Emirates": ("AE", "Dubai", "00000"),
    "United Kingdom": ELSEWHERE,
}
HEADER: Final = (
    *("Handle", "Title", "Option1 Name", "Option1 Value", "Variant SKU", "Variant Price"),
    *("Variant Inventory Qty", "Variant Inventory Policy", "Published", "Status"),
)
_NOT_IN_HANDLES: Final = re.compile(r"[^a-z0-9._-]+")

encoder: Final = msgspec.json.Encoder()

CANCEL: Final = encoder.encode({"reason": "cancelled_in_the_log"})  # one reason, so that they are counted as one


class _Asked(msgspec.Struct, frozen=True, gc=False):
    """A line with a price that nobody asks: the server refuses it for that, and for nothing else, once it can be
    ordered."""

    sku: str
    quantity: int = 1
    price: int = 0


class _Address(msgspec.Struct, frozen=True):
    name: str
    line1: str
    city: str
    postal_code: str
    country: str


class _Guest(msgspec.Struct, frozen=True):
    email: str
    name: str


class _Order(msgspec.Struct, frozen=True, omit_defaults=True):
    items: Sequence[Line | _Asked]
    shipping_address: _Address | None = None
    user_id: str | None = None
    guest: _Guest | None = None


def email_of(customer: str) -> str:
    """The address of a customer of the log."""
    return f"customer-{customer}@{DOMAIN}"


def customers(names: Sequence[str]) -> bytes:
    """JSON lines for `/user/imports`."""
    return encoder.encode_lines([{"email": email_of(name), "name": f"Customer {name}"} for name in names])


def orders(invoice: Invoice, user_id: str | None) -> Iterator[tuple[Sequence[Line], bytes]]:
    """The orders that an invoice becomes, as many lines in each as one may have; for a guest without `user_id`."""
    name = f"Customer {invoice.customer}" if invoice.customer else f"Guest of invoice {invoice.number}"
    country, city, postal_code = PLACES.get(invoice.country, ELSEWHERE)
    address = _Address(name, "1 High Street", city, postal_code, country)
    guest = None if user_id else _Guest(f"guest-{invoice.number}@{DOMAIN}".lower(), name)
    for start in range(0, len(invoice.lines), LINES):
        lines = invoice.lines[start : start + LINES]
        yield lines, encoder.encode(_Order(lines, address, user_id, guest))


def question(skus: Sequence[str]) -> bytes:
    """An order that is refused with `price_changed` when all of its SKUs can be ordered."""
    return encoder.encode(_Order([_Asked(sku) for sku in skus], guest=_Guest(f"nobody@{DOMAIN}", "Nobody")))


def return_(back: GivenBack, invoice: Invoice) -> bytes:
    """The body of a return."""
    lines = [Line(sku, quantity) for sku, quantity in back.units.items()]
    return encoder.encode({"items": lines, "reason": f"invoice {invoice.number}"})


def product_file(products: Sequence[Product], stock_factor: float) -> Iterator[bytes]:
    """A Shopify product file, piece by piece. Two SKUs that differ in capitals only get different handles."""
    taken: set[str] = set()
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(HEADER)
    for start in range(0, len(products), ROWS):
        for product in products[start : start + ROWS]:
            rows.writerow(_row(product, _handle(product.sku, taken), round(product.demand * stock_factor)))
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()


def _row(product: Product, handle: str, stock: int) -> Sequence[str]:
    price = to_major(product.price, CURRENCY)
    variant = ("Title", "Default Title", product.sku, price, str(stock), "deny")
    return (handle, product.title, *variant, "TRUE", "active")


def _handle(sku: str, taken: set[str]) -> str:
    plain = _NOT_IN_HANDLES.sub("-", sku.lower()).strip("-") or "sku"
    handle, number = plain, 1
    while handle in taken:
        number += 1
        handle = f"{plain}-{number}"
    taken.add(handle)
    return handle
