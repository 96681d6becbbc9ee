"""Ports for the servers that tests start. Nobody else is given one while the test's process lives: it stays bound here,
and only who asks for that very port may listen beside us (SO_REUSEADDR), again and again."""

import socket
from typing import Final

_HELD: Final[list[socket.socket]] = []


def free_port() -> int:
    """One of 127.0.0.1 on which nobody listens."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    _HELD.append(held)
    return int(held.getsockname()[1])
