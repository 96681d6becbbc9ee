"""Who the client is behind proxies that the operator has named: they, and nobody else, are believed who called them."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from tradepost.gateway.wire import Headers, Message

HEADER: Final = b"x-forwarded-for"
HOPS_LIMIT: Final = 20  # entries that are looked at, so that a long list is no work
ENTRY_LIMIT: Final = 64  # characters; an IPv6 address with a zone and a port has fewer

_PORT: Final = r"(?::\d{1,5})?"
_ENTRY: Final = re.compile(rf"([\d.]+){_PORT}|\[(.+)\]{_PORT}|(.+)")


class Proxies:
    """Those in `networks`. The first one puts who called it into X-Forwarded-For, alone or last; the others append."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self._networks = networks

    def client_of(self, scope: Message) -> str | None:
        """The last address in the list that is none of theirs, or the first if all are; what isn't an address ends the
        list at the one behind it. None when who connects to us is none of them."""
        peer = scope.get("client")
        believed = _address(peer[0]) if peer else None
        if believed is None or not self._has(believed):
            return None
        for entry in _from_the_last(scope["headers"]):
            address = _address(entry) if len(entry) <= ENTRY_LIMIT else None
            if address is None:
                break
            believed = address
            if not self._has(address):
                break
        return str(believed)

    def _has(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)


def _from_the_last(headers: Headers) -> Iterator[str]:
    """The entries of all such headers, which are one list in the order in which they came."""
    whole = b",".join(value for name, value in headers if name == HEADER)
    entries = whole.rsplit(b",", HOPS_LIMIT)[-HOPS_LIMIT:]
    return (entry.strip(b" \t").decode("latin-1") for entry in reversed(entries))


@lru_cache(maxsize=10_000)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Of `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::7` or `[2001:db8::7]:4711`; None of anything else."""
    found = _ENTRY.fullmatch(text)
    if found is None:
        return None
    try:
        address = ip_address((found[1] or found[2] or found[3]).partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
