"""What processes use, from /proc: CPU and memory. Linux only."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
MIB: Final = 1024  # KiB


@dataclass(frozen=True)
class Usage:
    """CPU seconds."""

    user_s: float
    system_s: float

    @property
    def total_s(self) -> float:
        return self.user_s + self.system_s

    def __sub__(self, earlier: "Usage") -> "Usage":
        return Usage(self.user_s - earlier.user_s, self.system_s - earlier.system_s)


def usage(pids: Iterable[int]) -> Usage:
    """What these and all below them have used, ended children included: a difference of two is right when children
    came and went in between."""
    user = system = 0
    for pid in _with_children(pids):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        user += int(stat[11]) + int(stat[13])
        system += int(stat[12]) + int(stat[14])
    return Usage(user * TICK_S, system * TICK_S)


@dataclass(frozen=True)
class Memory:
    """Of one process: what is in memory, and its share of that where it is shared with others."""

    rss_mb: float
    pss_mb: float


def memory(pid: int) -> Memory:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {name: int(kib) / MIB for name, kib in re.findall(r"^(Rss|Pss): +(\d+) kB", text, re.M)}
    return Memory(found["Rss"], found["Pss"])


def _with_children(pids: Iterable[int]) -> set[int]:
    found, more = set(), list(pids)
    while more:
        pid = more.pop()
        if pid in found:
            continue
        found.add(pid)
        with suppress(OSError):  # it may end while we look
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                with suppress(OSError):
                    more += [int(child) for child in task.read_text().split()]
    return found
