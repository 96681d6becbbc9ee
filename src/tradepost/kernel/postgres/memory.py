"""How much memory the server may take for pages of its own."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

MIB: Final = 1 << 20
SHARE: Final = 8  # of it one part; the rest is for the files' pages, the application and everybody else
LEAST_MB: Final = 128
MOST_MB: Final = 1024
STRICT: Final = "2"  # all that is asked for counts as taken (vm.overcommit_memory)


def shared_buffers(root: Path = Path("/")) -> str:
    """The setting, as `512MB`: an eighth of the memory that there is, of which a page is taken when it is first used;
    where all would be at once, as little as does."""
    with suppress(OSError):
        if (root / "proc/sys/vm/overcommit_memory").read_text().strip() == STRICT:
            return f"{LEAST_MB}MB"
    return f"{min(max(_memory(root) // SHARE // MIB, LEAST_MB), MOST_MB)}MB"


def _memory(root: Path) -> int:
    """Bytes that this machine has, or that this process and those beside it may use."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError):
        for path in _limits(root):
            with suppress(OSError, ValueError):  # `max` is none
                found.append(int(path.read_text()))
    return min(found)


def _limits(root: Path) -> Iterator[Path]:
    """The files that limit our control group and those around it, by version 2 and 1. Errors: OSError."""
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        _, controllers, name = line.split(":", 2)
        if not controllers:
            group, limit = root / "sys/fs/cgroup" / name.lstrip("/"), "memory.max"
        elif "memory" in controllers.split(","):
            group, limit = root / "sys/fs/cgroup/memory" / name.lstrip("/"), "memory.limit_in_bytes"
        else:
            continue
        yield from (around / limit for around in (group, *group.parents))
