"""Product files written down in a test, and what became of them."""

from tradepost.services.product.shopify import Assembled, ProductDraft, Rejection, Warning_, assemble, read

VARIANTS = "Handle,Title,Option1 name,Option1 value,Price,SKU,Inventory quantity,Product image URL"


def run(data: bytes, currency: str = "USD") -> list[Assembled]:
    return list(assemble(read([data]), currency))


def sheet(header: str, *rows: str) -> list[Assembled]:
    return run("\n".join([header, *rows]).encode())


def products(header: str, *rows: str) -> list[ProductDraft]:
    return [item for item in sheet(header, *rows) if isinstance(item, ProductDraft)]


def refusals(found: list[Assembled]) -> list[tuple[int, str | None, str]]:
    return [(item.line, item.handle, item.reason) for item in found if isinstance(item, Rejection)]


def warnings(found: list[Assembled]) -> list[tuple[int, str]]:
    return [(item.line, item.code) for item in found if isinstance(item, Warning_)]
