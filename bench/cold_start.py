"""From `tradepost up` to the answer to a first order: on a new data folder, and on the same folder again.

A first order takes a product too: it is made, and the order placed as soon as it can be ordered.

python -m bench.cold_start [--quick] [--runs 3]
"""

import json
import os
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Final

from bench.figures import Figure, Size, command
from bench.processes import memory
from bench.shop import STOP_S, TRADEPOST, free_port
from tradepost.console.instance import staff_token

READY: Final = "Ctrl-C"
ANSWER_S: Final = 30.0


def measure(_size: Size) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="tradepost-bench-") as folder:
        Path(folder).chmod(0o711)
        data = Path(folder, "data")
        cold = _first_order(data, "MUG-1")
        again = _first_order(data, "MUG-2")
    return [
        Figure("cold_start.s", cold["order_s"], {"ready_s": cold["ready_s"], "rss_mb": cold["rss_mb"]}),
        Figure("second_start.s", again["order_s"], {"ready_s": again["ready_s"], "rss_mb": again["rss_mb"]}),
    ]


def _first_order(data: Path, sku: str) -> dict[str, float]:
    port = free_port()
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TRADEPOST_")}
    began = time.monotonic()
    process = subprocess.Popen(
        [TRADEPOST, "up"],
        env={**ours, "TRADEPOST_DATA": str(data), "HOST": "127.0.0.1", "PORT": str(port)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        while not (line := process.stdout.readline()).startswith(READY):
            if not line:
                raise SystemExit(f"`tradepost up` ended with {process.wait()}")
        ready_s = time.monotonic() - began
        product = {"name": "Mug", "price": 1999, "currency": "USD", "sku": sku, "stock": 10}
        _post(port, data, "/product/products", product)
        _post(port, data, "/order/orders", {"items": [{"sku": sku, "quantity": 1}]})
        return {"ready_s": ready_s, "order_s": time.monotonic() - began, "rss_mb": memory(process.pid).rss_mb}
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_S)


def _post(port: int, data: Path, path: str, body: object) -> None:
    """Errors: HTTPError unless it is accepted."""
    headers = {"Authorization": f"Bearer {staff_token(data)}", "Content-Type": "application/json"}
    if path == "/product/products":
        headers["Prefer"] = "wait=10"
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
        answer.read()


if __name__ == "__main__":
    command(__doc__, measure)
