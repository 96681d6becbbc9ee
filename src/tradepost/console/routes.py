"""`tradepost routes`."""

from collections.abc import Iterator

from tradepost.gateway import api
from tradepost.kernel.http.endpoint import Access
from tradepost.main import SERVICES


def routes(*words: str) -> None:
    """List every endpoint: method, path, who may call it, its rate limit and its service.

    Parameters
    ----------
    words
        Only those whose line holds all of these words.
    """
    rows = [row for row in _rows() if all(word.lower() in " ".join(row).lower() for word in words)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _rows() -> Iterator[tuple[str, ...]]:
    tables = [(service.name, service.endpoints) for service in SERVICES] + [("gateway", api.endpoints)]
    for service, endpoints in tables:
        for endpoint in endpoints:
            yield endpoint.method, endpoint.path, _who(endpoint.access), endpoint.rate.value, service


def _who(access: Access) -> str:
    if access.public:
        return "public"
    if access.customer:
        return "customer" + (f" or {access.permission}" if access.permission else "")
    return "admin" if access.admin else str(access.permission)
