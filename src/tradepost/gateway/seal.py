"""The client's address on its way from the gateway to a service, sealed so that nobody else can say it."""

import hmac
from collections.abc import Sequence
from typing import Final

from tradepost.kernel.migrate import password_of

HEADER: Final = b"x-internal-client"
PURPOSE: Final = "client-address"
DIGEST: Final = "sha256"
ADDRESS_LIMIT: Final = 64  # characters; an IPv6 address with a zone has fewer


class Seal:
    """Made of the installation's secret, so that the gateway and every service have the same."""

    def __init__(self, secret: str) -> None:
        self._key = bytes.fromhex(password_of(PURPOSE, secret))

    def header(self, address: str) -> tuple[bytes, bytes]:
        """What says that a call comes from `address`: `x-internal-client: <address> <mac>`."""
        text = address.encode("latin-1", "replace")
        return HEADER, b"%b %b" % (text, self._mac(text))

    def address_in(self, headers: Sequence[tuple[bytes, bytes]]) -> str | None:
        """The address that a gateway of ours has put there; None when there is none or somebody made it up."""
        for name, value in headers:
            if name == HEADER:
                address, _, mac = value.rpartition(b" ")
                if len(address) <= ADDRESS_LIMIT and hmac.compare_digest(mac, self._mac(address)):
                    return address.decode("latin-1")
        return None

    def _mac(self, address: bytes) -> bytes:
        return hmac.digest(self._key, address, DIGEST).hex().encode()
