"""A node of this run's own, which tests may kill, pause and start again; it doesn't outlive the run."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from brokers.kafka import Login
from brokers.node import Node, is_free

ROOT: Final = Path(__file__).parents[2]
PORTS: Final = range(20_000, 32_000, 4)  # below those that the system gives to connections
WORKERS: Final = 16  # each draws from ports of its own
ATTEMPTS: Final = 50
LOGIN: Final = Login("shop", "of-the-tests")
DECLARED_S: Final = 6.0  # RabbitMQ 3.10 loses a quorum queue that was made a moment before it is killed


def free_port() -> int:
    """A port that nobody has, and neither has the three above it."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ours = [port for number, port in enumerate(PORTS) if number % WORKERS == worker % WORKERS]
    for _ in range(ATTEMPTS):
        port = random.choice(ours)
        if all(is_free(port + n) for n in range(4)):
            return port
    raise RuntimeError("no free ports")


@contextmanager
def held(name: str, node: Node, environment: Mapping[str, str]) -> Iterator[Node]:
    """The node, not started yet; killed at the end, also where this process is: its pipe to the holder closes."""
    command = [sys.executable, "-m", "brokers", name, "hold"]
    holder = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, start_new_session=True)
    assert holder.stdin is not None
    try:
        yield node
    finally:
        holder.stdin.close()
        holder.wait()


def running(node: Node) -> Node:
    """The node, whatever the test before has left it in."""
    if node.pid is not None:
        node.resume()
    node.start()
    return node
