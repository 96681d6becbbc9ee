"""Two plots as SVG, written by hand: how each figure stands to its floor, and where the CPU of an order goes."""

from collections.abc import Mapping, Sequence
from html import escape
from statistics import median
from typing import Final

from bench.figures import Figure, shown
from bench.targets import TARGETS, Target

WIDTH: Final = 860
ROW: Final = 24
LEFT: Final = 400  # where bars begin
TOP: Final = 48
SCALE: Final = 2.0  # the longest bar shown, in floors
COLOURS: Final = {"goal": "#1a7f37", "floor": "#2f81f7", "below": "#cf222e", "postgres": "#8250df"}

_SVG: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" \
font-family="system-ui, sans-serif" font-size="13">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="16" y="26" font-size="16" font-weight="600" fill="#1f2328">{title}</text>
{body}
</svg>
"""


def standing(figures: Mapping[str, Sequence[Figure]]) -> str:
    """A bar for each figure that has a floor: longer is better, the line is the floor."""
    rows: list[str] = []
    for name, runs in figures.items():
        target = TARGETS.get(name)
        if target is not None and target.floor is not None:
            rows.append(_bar(len(rows), target, median(run.value for run in runs), target.floor))
    x = LEFT + (WIDTH - LEFT - 90) / SCALE
    bottom = TOP + len(rows) * ROW
    rows.append(f'<line x1="{x}" y1="{TOP - 8}" x2="{x}" y2="{bottom}" stroke="#1f2328" stroke-dasharray="3 3"/>')
    rows.append(_text(x, TOP - 12, "floor", anchor="middle"))
    return _SVG.format(width=WIDTH, height=bottom + 16, title="Measured against its floors", body="\n".join(rows))


def cpu(figures: Mapping[str, Sequence[Figure]]) -> str:
    """Microseconds of an order, of the application and of PostgreSQL, when placed and to its delivery."""
    parts: list[tuple[str, str, float]] = []
    for name, title in (("place.cpu_us", "placed"), ("shipped.cpu_us", "to delivered")):
        if runs := figures.get(name):
            parts.append((f"{title}: application", "floor", median(run.value for run in runs)))
            parts.append((f"{title}: PostgreSQL", "postgres", median(run.beside["postgres_us"] for run in runs)))
    longest = max((us for *_, us in parts), default=1.0)
    rows: list[str] = []
    for at, (title, colour, us) in enumerate(parts):
        y = TOP + at * ROW
        rows.append(_text(LEFT - 10, y + 15, title, anchor="end"))
        rows.append(_rect(y, (WIDTH - LEFT - 90) * us / longest, COLOURS[colour]))
        rows.append(_text(LEFT + (WIDTH - LEFT - 90) * us / longest + 6, y + 15, f"{shown(us)} us"))
    height = TOP + len(parts) * ROW + 16
    return _SVG.format(width=WIDTH, height=height, title="CPU of one order", body="\n".join(rows))


def _bar(at: int, target: Target, value: float, floor: float) -> str:
    share = floor / max(value, 1e-9) if target.less_is_better else value / floor
    reached = target.goal is not None and target.holds(value, target.goal)
    colour = COLOURS["goal" if reached else "floor" if share >= 1 else "below"]
    y, width = TOP + at * ROW, (WIDTH - LEFT - 90) * min(share, SCALE) / SCALE
    unit = f"{value:.0%}" if target.unit == "%" else f"{shown(value)} {target.unit}"
    label = _text(LEFT - 10, y + 15, target.what, anchor="end")
    return "\n".join((label, _rect(y, width, colour), _text(LEFT + width + 6, y + 15, unit)))


def _rect(y: float, width: float, colour: str) -> str:
    return f'<rect x="{LEFT}" y="{y + 3}" width="{max(width, 1):.1f}" height="{ROW - 7}" rx="2" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="#1f2328" text-anchor="{anchor}">{escape(text)}</text>'
