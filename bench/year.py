"""A year of a wholesaler's real orders (UCI's "Online Retail", 19,960 invoices of about 20 lines) through the public
API, to the last settled order; then the audit, which must be clean.

The data is found in `online_retail.csv.xz` of the folder TRADEPOST_DATASETS, or of ../shared/data.

python -m bench.year [--quick] [--runs 3]
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Final

from bench.figures import Figure, Size, command, note
from bench.processes import memory
from bench.shop import TRADEPOST, open_shop

FILE: Final = "online_retail.csv.xz"
DATASETS: Final = Path(__file__).parents[2] / "shared/data"
QUICK: Final = 300  # invoices
_PLAYED: Final = re.compile(r"orders accepted +(\d+) in ([\d.]+) s")
_SETTLED: Final = re.compile(r"last order settled +([\d.]+) s after")


def measure(size: Size) -> list[Figure]:
    file = Path(os.environ.get("TRADEPOST_DATASETS", DATASETS)) / FILE
    if not file.exists():
        note(f"{file} is missing: the year is left out")
        return []
    with open_shop(TRADEPOST_CARRIER_PACE="5,30") as shop:
        worker = shop.start()
        words = [TRADEPOST, "simulate", str(file), *(["--limit", str(QUICK)] if size.quick else [])]
        url = f"http://127.0.0.1:{worker.port}"
        ours = {**shop.environment, "TRADEPOST_URL": url, "TRADEPOST_DATA": str(shop.folder / "application")}
        before = shop.cpu()
        done = subprocess.run(words, env=ours, capture_output=True, text=True, check=False)
        used = {name: (now - before[name]).total_s for name, now in shop.cpu().items()}
        held = memory(worker.pid)
    played, settled = _PLAYED.search(done.stdout), _SETTLED.search(done.stdout)
    if done.returncode or not played or not settled:
        raise SystemExit(f"the simulation failed: {done.stdout[-3000:]} {done.stderr[-1000:]}")
    orders, seconds = int(played[1]), float(played[2]) + float(settled[1])
    cpu = {f"{name}_us": used_s / orders * 1e6 for name, used_s in used.items()}
    return [
        Figure("year.s", seconds, {"orders": orders, "orders_per_s": orders / seconds, **cpu, "rss_mb": held.rss_mb})
    ]


if __name__ == "__main__":
    command(__doc__, measure)
