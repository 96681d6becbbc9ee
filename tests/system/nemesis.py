"""The proof: a shop in pieces sells while its processes, its relay, its gateway and its broker are killed at random;
then it is healed, and nothing may be lost or done twice. For minutes instead of seconds:

    python -m tests.system.nemesis rabbitmq --seconds 300
"""

import argparse
import asyncio
import random
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from brokers import kafka, rabbitmq
from brokers.__main__ import nodes
from brokers.node import Node
from tests.brokers import own
from tests.system.deployment import Deployment, create_databases, deployed, server
from tests.system.test_up import TRADEPOST

KINDS: Final = ("rabbitmq", "kafka")
BROKER: Final = "broker"
RECOVERY_S: Final = 15.0  # the longest wait before the next fault
OPENED_S: Final = 120.0
HEALED_S: Final = 120.0
SETTLED_S: Final = 300
RATE: Final = 30  # invoices a second
YEAR: Final = Path(__file__).parents[3] / "shared" / "data" / "online_retail.csv.xz"


@dataclass(frozen=True)
class Fault:
    """What was killed, when, and how long it took until everything said again that it is ready; None: over 15 s."""

    at_s: float
    victim: str
    recovery_s: float | None


@contextmanager
def broker(kind: str, folder: Path) -> Iterator[tuple[Node, Mapping[str, str]]]:
    """A broker of our own that runs, and the settings by which a shop finds it."""
    port = own.free_port()
    if kind == "rabbitmq":
        node = rabbitmq.node(folder / "rabbitmq", port)
    else:
        jars = kafka.jars_in(nodes()["kafka"].folder.parent)
        node = kafka.node(folder / "kafka", port, jars, session_ms=kafka.BRIEF_MS)
    variable = {"rabbitmq": "TRADEPOST_RABBITMQ_URL", "kafka": "TRADEPOST_KAFKA_BOOTSTRAP"}[kind]
    node.start()
    try:
        yield node, {"TRADEPOST_BROKER": kind, variable: node.address}
    finally:
        node.stop()


def storm(shop: Deployment, node: Node, seconds: float, broker_kills: int, dice: random.Random) -> list[Fault]:
    """Kill one thing after the other for so long at least, the broker so often at least, first of all and while orders
    come, and a process after each time; each is started again at once.

    How many more die is the machine's affair: the next one only does when all have recovered from the last.
    """
    began = time.monotonic()
    turns = ((0.0, [BROKER]), (0.5, list(shop.processes)))
    due = [(seconds * (n + turn) / broker_kills, whom) for n in range(broker_kills) for turn, whom in turns]
    faults: list[Fault] = []
    while (at_s := time.monotonic() - began) < seconds or due:
        is_due = bool(due) and at_s >= due[0][0]
        victim = dice.choice(due.pop(0)[1] if is_due else [*shop.processes, BROKER])
        _strike(shop, node, victim)
        recovery_s = _recovery(shop, node)
        faults.append(Fault(at_s, victim, recovery_s))
        print(f"{at_s:6.1f} s  {victim:<13} back after {recovery_s or RECOVERY_S:.1f} s", flush=True)
        time.sleep(dice.uniform(0.5, 3))
    return faults


def _strike(shop: Deployment, node: Node, victim: str) -> None:
    if victim == BROKER:
        node.kill()
        node.start()
    else:
        shop.kill(victim)
        shop.start(victim)


def _recovery(shop: Deployment, node: Node) -> float | None:
    began = time.monotonic()
    while time.monotonic() - began < RECOVERY_S:
        if node.answers() and all(shop.is_ready(name) for name in shop.processes):
            return time.monotonic() - began
        time.sleep(0.1)
    return None


def play(shop: Deployment, file: Path, journal: Path, limit: int, rate: float) -> "subprocess.Popen[str]":
    """The simulation, under way."""
    words = ["--limit", str(limit), "--rate", str(rate), "--journal", str(journal), "--wait", str(SETTLED_S)]
    return subprocess.Popen(
        [TRADEPOST, "simulate", str(file), *words],
        env=dict(shop.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _await_first_order(simulation: "subprocess.Popen[str]", journal: Path) -> None:
    """The shop opens unharmed: its goods and customers are there."""
    until = time.monotonic() + OPENED_S
    while not (journal.exists() and journal.stat().st_size):
        assert simulation.poll() is None, simulation.communicate()[0]
        assert time.monotonic() < until, "no order was placed"
        time.sleep(0.1)


def prove(
    kind: str, file: Path, folder: Path, seconds: float, rate: float, seed: int, broker_kills: int
) -> Sequence[Fault]:
    """The whole of it. Errors: AssertionError, with what the simulation and its audit said."""
    dice = random.Random(seed)
    with broker(kind, folder) as (node, found), server(folder / "postgres") as url:
        databases = asyncio.run(create_databases(url))
        with deployed(folder, databases, found) as shop:
            simulation = play(shop, file, folder / "journal", int(seconds * rate), rate)
            _await_first_order(simulation, folder / "journal")
            faults = storm(shop, node, seconds, broker_kills, dice)
            shop.await_ready(HEALED_S)
            said, _ = simulation.communicate(timeout=SETTLED_S + HEALED_S)
            print(said)
            assert simulation.returncode == 0, said
            assert "audit: clean" in said, said
            return faults


def main() -> None:
    parser = argparse.ArgumentParser(
        "nemesis", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--file", type=Path, default=YEAR)
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    with tempfile.TemporaryDirectory(prefix="nemesis-") as folder:
        Path(folder).chmod(0o711)
        faults = prove(asked.kind, asked.file, Path(folder), asked.seconds, asked.rate, asked.seed, 3)
    late = sum(fault.recovery_s is None for fault in faults)
    slowest = max((fault.recovery_s for fault in faults if fault.recovery_s is not None), default=0.0)
    print(f"{len(faults)} faults, slowest recovery {slowest:.1f} s, {late} took over {RECOVERY_S:.0f} s")
    print("nothing lost, nothing twice")


if __name__ == "__main__":
    main()
