"""Who an address stands for."""

import ipaddress
from functools import lru_cache
from typing import Final

NETWORK_BITS: Final = 64  # of an IPv6 address: whoever has one has all of them


@lru_cache(maxsize=10_000)
def network_of(address: str) -> str:
    """What a client without a name is counted by: its IPv4 address, or the network of its IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, NETWORK_BITS), strict=False))
    return address
