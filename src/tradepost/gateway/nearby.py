"""Who is on this machine: for pages that nobody else may see."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from tradepost.gateway.wire import Message

PASSED_ON: Final = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})


def is_from_here(scope: Message) -> bool:
    """Whether somebody on this machine asks, neither through a proxy on it nor for a page under another name. One that
    says nothing of whom it speaks for, and gives our name to us, may still be known by its HTTP/1.0."""
    client, headers = scope.get("client"), dict(scope["headers"])
    if client is None or not _is_loopback(client[0]) or not PASSED_ON.isdisjoint(headers):
        return False
    if scope["http_version"] == "1.0":
        return False
    return _is_our_name(headers.get(b"host", b"").decode("latin-1"))


def _is_our_name(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
