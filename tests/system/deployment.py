"""A shop in pieces: seven services, relay and gateway as processes of their own, each service with its own database and
each process with its own data folder, on one machine. Any of them can be killed and started again."""

import os
import secrets
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg

from tests.ports import free_port
from tests.system.test_up import TRADEPOST
from tradepost.console.instance import NAMES
from tradepost.kernel import postgres

READY_S: Final = 600.0  # for ten processes that start at once on busy cores
STOP_S: Final = 40.0
HEALTH_S: Final = 3.0
CONNECTIONS: Final = "500"


@dataclass
class Deployment:
    """`environment` is what command-line tools need to work on it."""

    folder: Path
    environment: Mapping[str, str]
    ports: Mapping[str, int]
    settings: Mapping[str, str]
    processes: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['gateway']}"

    def start(self, name: str) -> None:
        """The part of this name, as its own process; `order-2` is a second process of order."""
        data = self.folder / name
        ours = {**self.environment, "TRADEPOST_DATA": str(data), "PORT": str(self.ports[name]), **self.settings}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [TRADEPOST, "run", name.partition("-")[0]], env=ours, stdout=log, stderr=log
            )

    def kill(self, name: str) -> None:
        """No warning, no clean-up."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def is_ready(self, name: str) -> bool:
        """Whether it says so."""
        with suppress(OSError):
            url = f"http://127.0.0.1:{self.ports[name]}/readyz"
            with urllib.request.urlopen(url, timeout=HEALTH_S) as answer:
                return bool(answer.status == 200)
        return False

    def await_ready(self, seconds: float = READY_S) -> float:
        """Until everything that was started says that it is ready; how long that took."""
        began = time.monotonic()
        while waiting := [name for name in self.processes if not self.is_ready(name)]:
            assert time.monotonic() - began < seconds, f"{waiting} not ready within {seconds} s: {self.folder}"
            time.sleep(0.1)
        return time.monotonic() - began

    def run(self, *words: str | Path, timeout_s: float = 600) -> "subprocess.CompletedProcess[str]":
        """A command of `tradepost` on this shop."""
        return subprocess.run(
            [TRADEPOST, *words],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def stop(self) -> None:
        """All, in order."""
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def create_databases(server: str) -> dict[str, str]:
    """One for each service on the server; their URLs."""
    connection = await asyncpg.connect(server)
    try:
        for name in NAMES:
            await connection.execute(f'CREATE DATABASE "shop_{name}"')
    finally:
        await connection.close()
    head, _, query = server.partition("?")
    return {name: f"{head.rpartition('/')[0]}/shop_{name}?{query}" for name in NAMES}


@contextmanager
def deployed(folder: Path, databases: Mapping[str, str], broker: Mapping[str, str], *more: str) -> Iterator[Deployment]:
    """Everything started and ready; `broker` is its settings, `more` further processes."""
    names = (*NAMES, "gateway", *(() if broker["TRADEPOST_BROKER"] == "log" else ("relay",)), *more)
    ports = {name: free_port() for name in names}
    instances = {
        name: [f"http://127.0.0.1:{ports[one]}" for one in names if one.partition("-")[0] == name] for name in NAMES
    }
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TRADEPOST_SECRET": secrets.token_hex(32),
        "TRADEPOST_DATA": str(folder / "user"),  # where the signing keys are
        "TRADEPOST_URL": f"http://127.0.0.1:{ports['gateway']}",
        **{f"TRADEPOST_{name.upper()}_DATABASE_URL": url for name, url in databases.items()},
        **{f"TRADEPOST_{name.upper()}_URLS": ",".join(urls) for name, urls in instances.items()},
        **broker,
    }
    settings = {"TRADEPOST_RATE_LIMITS": "off", "TRADEPOST_CARRIER_PACE": "0,0"}
    shop = Deployment(folder, environment, ports, settings)
    try:
        for name in names:
            shop.start(name)
        shop.await_ready()
        yield shop
    finally:
        shop.stop()


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """The URL of a PostgreSQL for all the databases, durable as in earnest."""
    running = postgres.start(folder, settings={"max_connections": CONNECTIONS})
    try:
        yield running.url
    finally:
        running.stop()
