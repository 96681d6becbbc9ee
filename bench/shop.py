"""A shop to measure: its own PostgreSQL with the product's settings, one or several `tradepost run`, a catalogue,
customers with tokens, and the requests that they send."""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final

import asyncpg
import uvloop

from bench.figures import note
from bench.processes import Usage, usage
from tradepost.console.audit import drained
from tradepost.console.instance import NAMES, Instance
from tradepost.console.simulate.client import open_client
from tradepost.console.simulate.journal import open_journal
from tradepost.console.simulate.log import Invoice, Line, OrderLog
from tradepost.console.simulate.shop import set_up
from tradepost.kernel import postgres
from tradepost.kernel.auth import Signer
from tradepost.kernel.clock import now
from tradepost.kernel.ids import first_id, new_id
from tradepost.kernel.keys import load_or_create_keys
from tradepost.main import ISSUER, KEYS

TRADEPOST: Final = str(Path(sys.executable).with_name("tradepost"))
READY_S: Final = 120.0
STOP_S: Final = 60.0
LOOK_S: Final = 0.05
LOOKS: Final = 10  # times as long as a look took, until the next: looking costs PostgreSQL what is measured
LONGEST_S: Final = 2.0
PRODUCTS: Final = 1_000
CUSTOMERS: Final = 200
STOCK: Final = 1_000_000  # units of each product
REQUESTS: Final = 2_000  # different ones
SEED: Final = 4
LOG_CHARACTERS: Final = 3_000
WORDS: Final = ("mug", "lamp", "clock", "bowl", "candle", "frame", "basket", "teapot", "cushion", "mirror")
COLOURS: Final = ("red", "green", "blue", "white", "black", "yellow", "pink", "grey", "brown", "silver")

_PACE: Final = {"TRADEPOST_RATE_LIMITS": "off", "TRADEPOST_CARRIER_PACE": "0,0"}
_COUNTS: Final = """
SELECT count(*) AS placed, count(*) FILTER (WHERE status IN ('pending', 'reserved')) AS unsettled,
       count(*) FILTER (WHERE status NOT IN ('completed', 'cancelled')) AS unfinished
FROM "order".orders WHERE id >= $1
"""


@dataclass(frozen=True)
class Counts:
    """Of the orders since a moment: all, those that are neither paid nor cancelled, and those still on their way."""

    placed: int
    unsettled: int
    unfinished: int


@dataclass
class Worker:
    """One `tradepost run`."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        """In order, and wait for its end."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass
class Shop:
    """Processes, the database, and after `fill` products and customers."""

    folder: Path
    database_url: str
    postmaster: int
    environment: Mapping[str, str]
    workers: list[Worker] = field(default_factory=list)
    user_ids: Sequence[str] = ()
    skus: Sequence[str] = ()

    @property
    def secret(self) -> str:
        """The installation's."""
        return self.environment["TRADEPOST_SECRET"]

    @property
    def ports(self) -> list[int]:
        return [worker.port for worker in self.workers]

    @property
    def watched(self) -> dict[str, list[int]]:
        """For a `Plan`: the application's processes and PostgreSQL's."""
        return {"application": [worker.pid for worker in self.workers], "postgres": [self.postmaster]}

    def cpu(self) -> dict[str, Usage]:
        """What these have used so far."""
        return {name: usage(pids) for name, pids in self.watched.items()}

    def start(self, *names: str, **more: str) -> Worker:
        """Another process with these parts, ready."""
        worker = self.launch(*names, **more)
        self.await_ready(worker)
        return worker

    def launch(self, *names: str, **more: str) -> Worker:
        """The same, not waited for."""
        port = free_port()
        ours = {**self.environment, **more, "PORT": str(port), "TRADEPOST_DATA": str(self.folder / "application")}
        with (self.folder / "application.log").open("ab") as log:
            process = subprocess.Popen([TRADEPOST, "run", *(names or ("all",))], env=ours, stdout=log, stderr=log)
        worker = Worker(process, port)
        self.workers.append(worker)
        return worker

    def await_ready(self, worker: Worker) -> None:
        """Errors: SystemExit."""
        await_answer(f"http://127.0.0.1:{worker.port}/readyz", worker.process, self.folder / "application.log")

    def stop_worker(self, worker: Worker) -> None:
        self.workers.remove(worker)
        worker.stop()

    def stop(self) -> None:
        for worker in list(self.workers):
            self.stop_worker(worker)

    def fill(self, products: int = PRODUCTS, customers: int = CUSTOMERS) -> None:
        """Import the catalogue and the customers, and wait until all can be ordered."""
        log = catalogue(products, customers)
        users = uvloop.run(_set_up(Instance(f"http://127.0.0.1:{self.ports[0]}", self.folder / "application"), log))
        self.user_ids, self.skus = list(users.values()), [product.sku for product in log.products]
        self.settle()

    def token(self, user_id: str) -> str:
        """A customer's, good for ten minutes."""
        key = load_or_create_keys(self.folder / "application" / KEYS).current
        return Signer(key.private_pem, key.kid, ISSUER).issue(user_id, ["customer"], [], None, now())

    def orders(self, requests: int = REQUESTS) -> list[tuple[bytes, bytes]]:
        """Orders of two lines by all customers in turn, as a `Plan` takes them with keys."""
        chance = Random(SEED)
        tokens = [self.token(user_id) for user_id in self.user_ids]
        return [order(tokens[n % len(tokens)], chance.sample(self.skus, 2), chance) for n in range(requests)]

    def fetch(self, sql: str, *args: object) -> Sequence[Any]:
        """Rows, as the owner of the database."""
        return uvloop.run(_fetch(self.database_url, sql, *args))

    def counts(self, since: float) -> Counts:
        """Of the orders since that moment of the wall clock."""
        (row,) = self.fetch(_COUNTS, first_id(datetime.fromtimestamp(since, UTC)))
        return Counts(**row)

    def settle(self, since: float | None = None, patience_s: float = 600.0, *, arrived: bool = False) -> float:
        """Wait until every order since that moment is paid or cancelled, or has `arrived`; when that was. Without a
        moment, until all parcels have arrived, all events have taken effect and all messages were sent. Errors:
        SystemExit."""
        return uvloop.run(_settled(self.database_url, since, patience_s, arrived))


@contextmanager
def open_shop(settings: Mapping[str, str] | None = None, **environment: str) -> Iterator[Shop]:
    """PostgreSQL runs, on a new folder, with fsync; nothing else yet."""
    with tempfile.TemporaryDirectory(prefix="tradepost-bench-") as folder:
        Path(folder).chmod(0o711)  # as root the server runs under another account
        server = postgres.start(Path(folder, "postgres"), settings=settings or {})
        mine = {name: value for name, value in os.environ.items() if not name.startswith("TRADEPOST_")}
        more = {"TRADEPOST_DATABASE_URL": server.url, "TRADEPOST_SECRET": secrets.token_hex(32), **_PACE}
        shop = Shop(Path(folder), server.url, server.pid, {**mine, "HOST": "127.0.0.1", **more, **environment})
        try:
            yield shop
        except SystemExit:
            note(f"the application's last words: {_last_words(shop.folder / 'application.log')}")
            raise
        finally:
            shop.stop()
            server.stop()


@contextmanager
def filled_shop(settings: Mapping[str, str] | None = None, **environment: str) -> Iterator[Shop]:
    """One process with everything, products and customers."""
    with open_shop(settings, **environment) as shop:
        shop.start()
        shop.fill()
        yield shop


def catalogue(products: int, customers: int) -> OrderLog:
    """As `tradepost simulate` sets it up: named, priced and stocked products, and customers."""
    titles = {f"SKU-{n:05}": f"{COLOURS[n % 10]} {WORDS[n // 10 % 10]} {n}".title() for n in range(products)}
    lines = [Line(sku, STOCK) for sku in titles]
    invoices = [
        Invoice(number=str(n), at=datetime(2025, 1, 1), customer=str(n), country="", lines=lines if n == 0 else ())
        for n in range(customers)
    ]
    return OrderLog(invoices=invoices, prices={sku: 100 + n for n, sku in enumerate(titles)}, titles=titles, skipped={})


def order(token: str, skus: Sequence[str], chance: Random) -> tuple[bytes, bytes]:
    """One unit to three of each of these SKUs, to be sent with a key between the two halves."""
    items = ",".join(f'{{"sku":"{sku}","quantity":{chance.randint(1, 3)}}}' for sku in skus)
    body = f'{{"items":[{items}]}}'
    return post("/order/orders", body.encode(), token)


def post(path: str, body: bytes, token: str | None = None) -> tuple[bytes, bytes]:
    """A request with JSON."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{_bearer(token)}"
    return f"{head}Content-Length: {len(body)}\r\n".encode(), b"\r\n" + body


def get(path: str, token: str | None = None) -> tuple[bytes, bytes]:
    """A request without a body."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{_bearer(token)}".encode(), b"\r\n"


def _bearer(token: str | None) -> str:
    return f"Authorization: Bearer {token}\r\n" if token else ""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def await_answer(url: str, process: "subprocess.Popen[bytes]", log: Path | None = None) -> None:
    """Until the process answers there with 200. Errors: SystemExit when it ends, or the time is up."""
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(LOOK_S)
    raise SystemExit(f"{url} does not answer: {_last_words(log) if log else process.poll()}")


async def _set_up(instance: Instance, log: OrderLog) -> Mapping[str, str]:
    async with open_journal(None) as journal, open_client(instance, journal, 8) as client:
        return await set_up(client, log, 1.0)


async def _fetch(url: str, sql: str, *args: object) -> Sequence[Any]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(sql, *args))
    finally:
        await connection.close()


async def _settled(url: str, since: float | None, patience_s: float, arrived: bool) -> float:
    connection = await asyncpg.connect(url, server_settings={"enable_seqscan": "off"})
    try:
        until = time.monotonic() + patience_s
        while (began := time.monotonic()) < until:
            counts = Counts(**await connection.fetchrow(_COUNTS, first_id(datetime.fromtimestamp(since or 0, UTC))))
            if since is not None and not (counts.unfinished if arrived else counts.unsettled):
                return time.time()
            if since is None and not counts.unfinished:
                found = await drained.undone(dict.fromkeys(NAMES, connection))
                if not any(finding.violations for finding in found):
                    return time.time()
            await asyncio.sleep(min(max(LOOK_S, LOOKS * (time.monotonic() - began)), LONGEST_S))
    finally:
        await connection.close()
    raise SystemExit(f"not all done after {patience_s:g} s: {counts}")


def _last_words(log: Path) -> str:
    return log.read_text()[-LOG_CHARACTERS:] if log.exists() else "none"


def run_name() -> str:
    """What the idempotency keys of one run of the load begin with."""
    return new_id()[-12:]
