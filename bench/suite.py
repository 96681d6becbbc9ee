"""All figures, one script after the other: `make bench`. Results go to `bench/results.json`, the table to
`docs/performance-results.md`, the plots beside it. With `--quick`, all of that goes to a folder of its own.

python -m bench.suite [--quick] [--runs 3] [--only placing,reads] [--into FOLDER]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench import plots, table
from bench.figures import Figure, Report, machine, note

ROOT: Final = Path(__file__).parents[1]
# Each script with about how many seconds one run takes, in full and quick.
SCRIPTS: Final[Mapping[str, tuple[int, int]]] = {
    "placing": (100, 40),
    "least": (80, 25),
    "reads": (90, 40),
    "saga": (420, 90),
    "paid": (270, 90),
    "writes": (100, 70),
    "hot_sku": (60, 20),
    "scale": (120, 60),
    "overload": (120, 60),
    "cold_start": (15, 15),
    "year": (180, 40),
    "million": (900, 90),
}


def main() -> None:
    """Exits with 1 when a script failed; what the others found is written all the same."""
    given = _arguments()
    names = given.only.split(",") if given.only else list(SCRIPTS)
    runs = given.runs or (1 if given.quick else 3)
    expected_s = sum(SCRIPTS[name][given.quick] * runs for name in names)
    note(f"{len(names)} scripts, {runs} runs each: about {expected_s / 60:.0f} minutes on two quiet cores")
    reports: list[Report] = []
    failed: list[str] = []
    for at, name in enumerate(names, 1):
        note(f"[{at}/{len(names)}] {name}, about {SCRIPTS[name][given.quick] * runs / 60:.1f} minutes")
        report = _run(name, runs, quick=given.quick)
        reports += [report] if report else []
        failed += [] if report else [name]
    write(joined(reports, quick=given.quick), given.into or (Path(tempfile.mkdtemp()) if given.quick else ROOT))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def _run(name: str, runs: int, *, quick: bool) -> Report | None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "report.json")
        words = [f"--runs={runs}", f"--json={path}", *(["--quick"] if quick else [])]
        done = subprocess.run([sys.executable, "-m", f"bench.{name}", *words], cwd=ROOT, check=False)
        note(f"{name} took {time.monotonic() - began:.0f} s{'' if done.returncode == 0 else ' and failed'}")
        return msgspec.json.decode(path.read_bytes(), type=Report) if done.returncode == 0 else None


def joined(reports: Sequence[Report], *, quick: bool) -> Report:
    """All scripts' first runs as one run, and so on."""
    count = max((len(report.runs) for report in reports), default=0)
    runs: list[list[Figure]] = [[] for _ in range(count)]
    for report in reports:
        for at, figures in enumerate(report.runs):
            runs[at] += figures
    return Report(machine(), quick, runs)


def write(report: Report, folder: Path) -> None:
    """Results, table and plots below `folder`."""
    figures = table.by_name(report)
    content = {
        "bench/results.json": msgspec.json.format(msgspec.json.encode(report)).decode() + "\n",
        "docs/performance-results.md": table.render(report),
        "docs/performance-standing.svg": plots.standing(figures),
        "docs/performance-cpu.svg": plots.cpu(figures),
    }
    for name, text in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        note(f"written: {path}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--only", help=f"of {', '.join(SCRIPTS)}")
    parser.add_argument("--into", type=Path)
    given = parser.parse_args()
    if given.only and (unknown := set(given.only.split(",")) - SCRIPTS.keys()):
        parser.error(f"there is no script {', '.join(sorted(unknown))}")
    return given


if __name__ == "__main__":
    main()
