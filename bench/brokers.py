"""Events a second from commit to effect over the log, RabbitMQ and Kafka, beside a plain program on the same broker.

Ours: one producer commits events in batches, one relay publishes them, one consumer takes each in once, in order, with
its effect in PostgreSQL. Plain: the same bodies through aio-pika or aiokafka as one would write it, persistent, with
confirms and acknowledgements, and no database at all; bare: without confirms and acknowledgements. CPU is that of the
Python processes. Run: `python -m bench.brokers --help`; the brokers by `make rabbitmq kafka`.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Final

import uvloop

from bench import plain
from tradepost.kernel import postgres
from tradepost.kernel.brokers.opening import open_broker
from tradepost.kernel.brokers.port import Broker, Topology
from tradepost.kernel.clock import now
from tradepost.kernel.database import Database, Tx, connect
from tradepost.kernel.events import Cause, Event, Fact
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.clocks import Clocks
from tradepost.kernel.log.subscription import Group, on
from tradepost.kernel.log.team import Team
from tradepost.kernel.migrate import migrate, role_of, url_as
from tradepost.kernel.postgres import read_secret
from tradepost.kernel.right_of_way import RightOfWay
from tradepost.kernel.staff import consumers_of, receivers_of, relays_of
from tradepost.kernel.tasks import end
from tradepost.settings import KAFKA_BOOTSTRAP, RABBITMQ_URL, BrokerSettings

SOURCE: Final = "bench"
SINK: Final = "sink"
BATCH: Final = 100  # events in one transaction of the producer
LINES: Final = 2
PATIENCE_S: Final = 300.0
KINDS: Final = ("log", "rabbitmq", "kafka")


class BenchSold(Fact, frozen=True, kw_only=True):
    """About as much as an order says."""

    type: ClassVar[str] = "bench.sold"
    key_field: ClassVar[str] = "order_id"

    order_id: str
    user_id: str
    total_amount: int
    currency: str
    items: tuple[Mapping[str, Any], ...]


async def keep(tx: Tx, events: Sequence[Event[BenchSold]]) -> None:
    """The effect: a row."""
    await tx.execute(
        "INSERT INTO effect (event_id, key, amount) SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[])",
        [event.id for event in events],
        [event.key for event in events],
        [event.data.total_amount for event in events],
    )


GROUP: Final = Group(SINK, (on(BenchSold, keep),))


def sold() -> BenchSold:
    item = {"product_id": new_id(), "sku": "MUG-1", "quantity": 2, "price": 1999, "name": "A mug"}
    return BenchSold(
        order_id=new_id(), user_id=new_id(), total_amount=3998, currency="USD", items=tuple(item for _ in range(LINES))
    )


def broker_of(kind: str) -> Broker | None:
    """The one on loopback, or where the product's own variables say."""
    settings = BrokerSettings(
        kind,
        rabbitmq_url=os.environ.get("TRADEPOST_RABBITMQ_URL", RABBITMQ_URL),
        kafka_bootstrap=os.environ.get("TRADEPOST_KAFKA_BOOTSTRAP", KAFKA_BOOTSTRAP),
    )
    return open_broker(settings, Topology((SOURCE,), (GROUP,)))


@asynccontextmanager
async def at_work(
    url: str, secret: str, name: str, team: Callable[[Database, Clocks], Team[Any] | None]
) -> AsyncIterator[Database]:
    """A process of the schema `name`, with its team at work."""
    clocks = Clocks({SOURCE: url, SINK: url}, secret, new_id(), frozenset({name}))
    async with connect(url_as(url, role_of(name), secret), name) as db:
        db.on_events = (await clocks.of(name)).poke
        made = team(db, clocks)
        tasks = [asyncio.create_task(made.run())] if made else []
        try:
            yield db
        finally:
            await end(tasks)
            await clocks.close()


async def produce(url: str, secret: str, kind: str, events: int) -> None:
    """Commit so many events, and relay them until all have taken effect."""
    broker = broker_of(kind)
    if broker:
        await broker.declare()
    relay = (lambda db, clocks: relays_of(SOURCE, db, clocks, broker)) if broker else (lambda _db, _clocks: None)
    async with at_work(url, secret, SOURCE, relay) as db:
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        for _ in range(events // BATCH):
            async with db.transaction() as tx:
                for _ in range(BATCH):
                    tx.append(sold(), sequence=1, cause=Cause("bench"))
        await asyncio.to_thread(sys.stdin.readline)
    if broker:
        await broker.close()


async def consume(url: str, secret: str, kind: str, events: int) -> None:
    """Take them in, and say when all have taken effect."""
    broker = broker_of(kind)

    def team(db: Database, clocks: Clocks) -> Team[Any]:
        if broker is None:
            return consumers_of(SINK, [GROUP], db, clocks, RightOfWay())
        return receivers_of(SINK, [GROUP], db, clocks, broker, RightOfWay())

    async with at_work(url, secret, SINK, team) as db:
        while not await db.fetchval("SELECT EXISTS (SELECT FROM intake UNION ALL SELECT FROM cursor)"):
            await asyncio.sleep(0.1)
        await asyncio.sleep(2)  # for a reception that has begun
        say("ready")
        while await db.fetchval("SELECT count(*) FROM effect") < events:
            await asyncio.sleep(0.1)
        say("done")
        await asyncio.to_thread(sys.stdin.readline)
    if broker:
        await broker.close()


def say(word: str) -> None:
    print(json.dumps({"said": word, "at": time.time(), "cpu_s": time.process_time()}), flush=True)


class Child:
    """A process of this program that says when it is ready and when it is done."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.brokers", "child", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a process ended: {self.process.args!r}")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def tell(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def cpu_s(self) -> float:
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def measured(producer: Child, consumer: Child, events: int) -> dict[str, float]:
    """Events a second, and microseconds of CPU an event in each process."""
    for child in (consumer, producer):
        child.hear()
    before = [child.cpu_s() for child in (producer, consumer)]
    began = time.time()
    producer.tell()
    done = consumer.hear()
    seconds = done["at"] - began
    cpu = [(child.cpu_s() - was) / events * 1e6 for child, was in zip((producer, consumer), before, strict=True)]
    for child in (producer, consumer):
        child.tell()
        child.process.wait(60)
    return {"events_s": events / seconds, "producer_us": cpu[0], "consumer_us": cpu[1]}


def ours(kind: str, server: str, secret: str, events: int) -> dict[str, float]:
    name = f"bench_{kind}_{new_id()[-8:]}"
    url = uvloop.run(made(server, name, secret))
    broker = broker_of(kind)
    if broker is not None:
        uvloop.run(emptied(kind))
    words = (url, secret, kind, str(events))
    consumer = Child("consume", *words)
    producer = Child("produce", *words)
    return measured(producer, consumer, events)


async def made(server: str, name: str, secret: str) -> str:
    import asyncpg

    connection = await asyncpg.connect(server)
    await connection.execute(f'CREATE DATABASE "{name}"')
    await connection.close()
    head, _, query = server.partition("?")
    url = f"{head.rpartition('/')[0]}/{name}?{query}"
    await migrate(url, [(SOURCE, "bench.probe"), (SINK, "bench.probe")], secret)
    return url


async def emptied(kind: str) -> None:
    """The broker without anything of an earlier run."""
    broker: Any = broker_of(kind)
    await broker.reset()
    await broker.declare()
    await broker.close()


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "child":
        what, url, secret, kind, events = sys.argv[2:]
        plainly = {
            f"{side}-{how}": getattr(plain, side) for side in ("produce", "consume") for how in ("plain", "bare")
        }
        if what in plainly:
            uvloop.run(plainly[what](kind, int(events), what.endswith("plain"), say))
        else:
            uvloop.run({"produce": produce, "consume": consume}[what](url, secret, kind, int(events)))
        return
    parser = argparse.ArgumentParser(
        "bench.brokers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    print(f"{asked.events} events, {now():%Y-%m-%d}, {os.cpu_count()} cores, fsync on; us are of CPU an event")
    print(f"{'':<18}{'events/s':>10}{'producer us':>13}{'consumer us':>13}{'of plain':>10}")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        server = postgres.start(Path(folder) / "data")
        try:
            for _ in range(asked.rounds):
                for kind in asked.kinds.split(","):
                    show(kind, server.url, read_secret(Path(folder) / "data"), asked.events)
        finally:
            server.stop()


def show(kind: str, server: str, secret: str, events: int) -> None:
    found = {"ours": ours(kind, server, secret, events)}
    for how in ("plain", "bare") if kind != "log" else ():
        words = ("-", "-", kind, str(events))
        consumer = Child(f"consume-{how}", *words)
        found[how] = measured(Child(f"produce-{how}", *words), consumer, events)
    for name, figures in found.items():
        share = f"{figures['events_s'] / found['plain']['events_s']:.0%}" if "plain" in found else ""
        print(
            f"{kind + ' ' + name:<18}{figures['events_s']:>10.0f}{figures['producer_us']:>13.0f}"
            f"{figures['consumer_us']:>13.0f}{share:>10}",
            flush=True,
        )


if __name__ == "__main__":
    main()
