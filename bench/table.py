"""Results as a Markdown table: each figure with its runs, the baselines of its runs, and what was to be reached."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Final

from bench.figures import Figure, Report, shown
from bench.targets import TARGETS, Target

_HEAD: Final = """\
# Measured performance

Written by `make bench`; {machine}. PostgreSQL, its brokers and the load run on the same machine, with `fsync` on. Each
row is the median of its runs with the least and the most; what stands beside it comes from the same runs.{quick}

| figure | measured | of | floor | goal | beside it |
|---|---|---|---|---|---|
"""
_QUICK: Final = "\n\n**These come from a quick run, which only shows that the scripts work.**"


def render(report: Report) -> str:
    """The page."""
    rows = "\n".join(_row(name, figures) for name, figures in by_name(report).items())
    return _HEAD.format(machine=report.machine, quick=_QUICK if report.quick else "") + rows + "\n"


def by_name(report: Report) -> Mapping[str, Sequence[Figure]]:
    """Each figure's runs, in the order of the targets."""
    found: dict[str, list[Figure]] = {}
    for run in report.runs:
        for figure in run:
            found.setdefault(figure.name, []).append(figure)
    known = [name for name in TARGETS if name in found]
    return {name: found[name] for name in (*known, *(name for name in found if name not in TARGETS))}


def _row(name: str, figures: Sequence[Figure]) -> str:
    target = TARGETS.get(name, Target(name, ""))
    values = sorted(figure.value for figure in figures)
    middle = median(values)
    measured = f"**{_with_unit(middle, target)}**{_mark(middle, target)}"
    if len(values) > 1:
        measured += f" ({_with_unit(values[0], target)} to {_with_unit(values[-1], target)})"
    limits = [_with_unit(limit, target) if limit is not None else "" for limit in (target.floor, target.goal)]
    runs = f"{len(values)} run{'s' if len(values) > 1 else ''}"
    return f"| {target.what} | {measured} | {runs} | {limits[0]} | {limits[1]} | {', '.join(_beside(figures))} |"


def _beside(figures: Sequence[Figure]) -> Iterator[str]:
    for name in figures[0].beside:
        values = [figure.beside[name] for figure in figures if name in figure.beside]
        yield f"{name.replace('_', ' ')} {shown(median(values))}"


def _mark(value: float, target: Target) -> str:
    if target.goal is not None and target.holds(value, target.goal):
        return " ✓✓"
    if target.floor is not None:
        return " ✓" if target.holds(value, target.floor) else " ✗"
    return ""


def _with_unit(value: float, target: Target) -> str:
    if target.unit == "%":
        return f"{value:.0%}" if value >= 0.1 else f"{value:.1%}"
    return f"{shown(value)} {target.unit}".strip()
