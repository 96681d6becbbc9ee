"""Figures: what a script has measured in one run, with the baselines of that run beside it, and its command line."""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

QUICK: Final = "small sizes, to see that it works: its figures say little"


class Figure(msgspec.Struct, frozen=True):
    """`name` is a key of `targets.TARGETS`; `beside` what was measured in the same run, baselines first."""

    name: str
    value: float
    beside: Mapping[str, float] = {}


@dataclass(frozen=True)
class Size:
    """How much to measure: seconds of one load, orders stored, whatever a script makes of them."""

    quick: bool

    def of(self, full: float, quick: float) -> float:
        """One of the two."""
        return quick if self.quick else full

    @property
    def seconds(self) -> float:
        """Of one load."""
        return self.of(15.0, 3.0)


class Report(msgspec.Struct, frozen=True):
    """All runs of a script."""

    machine: str
    quick: bool
    runs: Sequence[Sequence[Figure]]


def command(description: str | None, measure: Callable[[Size], Sequence[Figure]]) -> None:
    """The script's command line: run it once or more often, print each figure, and write all to `--json`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=QUICK)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write a report to this file")
    given = parser.parse_args()
    runs = []
    for number in range(1, given.runs + 1):
        began = time.monotonic()
        runs.append(list(measure(Size(given.quick))))
        print(f"run {number} of {given.runs}, {time.monotonic() - began:.0f} s", flush=True)
        for figure in runs[-1]:
            print(f"  {line(figure)}", flush=True)
    if given.json:
        given.json.write_bytes(msgspec.json.encode(Report(machine(), given.quick, runs)))


def line(figure: Figure) -> str:
    """For the eye."""
    beside = ", ".join(f"{name} {shown(value)}" for name, value in figure.beside.items())
    return f"{figure.name:<34}{shown(figure.value):>10}   {beside}"


def shown(value: float) -> str:
    """Three digits that count."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def note(text: str) -> None:
    """Progress, not a result."""
    print(text, file=sys.stderr, flush=True)


def machine() -> str:
    """Processor, cores, memory, versions: what the figures hold for."""
    text = Path("/proc/cpuinfo").read_text()
    model = next((row.partition(":")[2].strip() for row in text.splitlines() if row.startswith("model name")), "")
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{model or platform.machine()}, {cores} cores, {memory_gib:.0f} GiB, Python {platform.python_version()}"
