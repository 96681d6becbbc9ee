"""How much memory the server may take for pages of its own."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

MIB: Final = 1 << 20
SHARE: Final = 8  # of it one part; the rest is for the files' pages, the application and everybody else
LEAST_MB: Final = 128
MOST_MB: Final = 1024

# What a container may use, by version 2 and 1 of control groups; `max` where there is no limit.
_LIMITS: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def shared_buffers() -> str:
    """The setting, as `512MB`: an eighth of the memory that there is. A page of it is taken when it is first used."""
    return f"{min(max(_memory() // SHARE // MIB, LEAST_MB), MOST_MB)}MB"


def _memory() -> int:
    """Bytes that this machine has, or that this container may use."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _LIMITS:
        with suppress(OSError, ValueError):
            found.append(int(path.read_text()))
    return min(found)
