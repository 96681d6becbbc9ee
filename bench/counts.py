"""How many statements a hundred orders take from request to delivered, and a read: exact, whatever the machine does.

The services run in lockstep, without ticks: in each round every group is handed all that is new in the logs at once, in
one transaction, then the jobs run that were woken, and the carrier when nothing else happens. So each step has the same
hundred orders on every machine. Moving a position, beginning and committing are not counted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg

from tradepost import settings as setting
from tradepost.contracts.product import ProductCreated, Variant
from tradepost.contracts.user import UserRegistered
from tradepost.kernel.clock import now
from tradepost.kernel.database import Database, connect
from tradepost.kernel.events import Cause, Fact
from tradepost.kernel.http.idempotency import scope_of
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.batch import Raw
from tradepost.kernel.log.clocks import Clocks
from tradepost.kernel.log.dispatch import apply
from tradepost.kernel.log.subscription import Group
from tradepost.kernel.log.watch import Watch
from tradepost.kernel.migrate import role_of, url_as
from tradepost.kernel.service import Job, Room, Service
from tradepost.main import SERVICES
from tradepost.services.order import commands, queries
from tradepost.services.order.domain.placement import Item, Placement
from tradepost.services.order.newest import Newest, NewestOrders

ORDERS: Final = 100
ROUNDS: Final = 40
_NEWS: Final = """
SELECT id, event_id::text AS event_id, type, key, slot, sequence, at, correlation_id,
       causation_id::text AS causation_id, traceparent, data::text AS data
FROM "{source}".event WHERE id > $1 ORDER BY id
"""
_COMPLETED: Final = """SELECT count(*) FROM "order".orders WHERE status = 'completed'"""


@dataclass
class _Lockstep:
    """All services with their desks; positions by group and source; statements counted by who sent them."""

    owner: Any
    databases: Mapping[str, Database]
    desks: Mapping[str, Any]
    positions: dict[tuple[str, str], int] = field(default_factory=dict)
    woken: set[str] = field(default_factory=set)
    counted: Counter[str] = field(default_factory=Counter)

    async def publish(self, fact: Fact) -> None:
        """As its publisher would."""
        async with self.databases[fact.publisher()].transaction() as tx:
            tx.append(fact, sequence=1, cause=Cause("bench"))

    async def round(self) -> bool:
        """Every group and every job that was woken, once; whether there was anything to do."""
        busy = False
        for service in SERVICES:
            for group in service.groups:
                for source in group.sources():
                    busy |= await self._hand_over(service, group, source)
        for service in SERVICES:
            for job in service.jobs:
                if job.name in self.woken:
                    self.woken.remove(job.name)
                    busy = True
                    await self._run(service, job)
        return busy

    async def carry(self) -> None:
        """The carrier's round, which time begins and nobody wakes."""
        for service in SERVICES:
            for job in service.jobs:
                if service.name == "shipping" and "webhooks" not in job.name:
                    await self._run(service, job)

    async def _hand_over(self, service: Service, group: Group, source: str) -> bool:
        place = group.name, source
        rows = await self.owner.fetch(_NEWS.format(source=source), self.positions.get(place, 0))
        if not rows:
            return False
        self.positions[place] = rows[-1]["id"]
        known = group.of(source)
        events = [Raw(*row.values()) for row in rows if row["type"] in known]
        if events:
            with self.counting(service.name, group.name):
                async with self.databases[service.name].transaction() as tx:
                    await apply(tx, events, known)
        return bool(events)

    async def _run(self, service: Service, job: Job) -> None:
        with self.counting(service.name, job.name):
            while await job.run(self.desks[service.name]):
                pass

    @contextmanager
    def counting(self, service: str, name: str) -> Iterator[None]:
        """What the service sends meanwhile is counted under `name`."""
        before = self.databases[service].statements
        yield
        self.counted[name] += self.databases[service].statements - before


async def count(url: str, secret: str, folder: Path) -> dict[str, int]:
    """Statements by what sent them, in an empty shop's migrated database at `url`. Errors: SystemExit when the orders
    do not come to their end."""
    async with AsyncExitStack() as stack:
        shop = await _open(stack, url, secret, folder)
        user_id = new_id()
        await shop.publish(UserRegistered(user_id=user_id, email="ann@example.com", name="Ann"))
        skus = await _products(shop)
        while await shop.round():
            pass
        shop.counted.clear()
        order_id = await _place(shop, user_id, skus)
        await _play(shop)
        await _read(shop, order_id, user_id)
        return dict(sorted(shop.counted.items()))


async def _open(stack: AsyncExitStack, url: str, secret: str, folder: Path) -> _Lockstep:
    owner = await asyncpg.connect(url)
    stack.push_async_callback(owner.close)
    names = [service.name for service in SERVICES]
    clocks = Clocks(dict.fromkeys(names, url), secret, new_id(), frozenset(names))
    stack.push_async_callback(clocks.close)
    environment = {"TRADEPOST_DATA": str(folder), "TRADEPOST_CARRIER_PACE": "0,0", "TRADEPOST_RATE_LIMITS": "off"}
    settings = setting.read(environment).of_services
    databases: dict[str, Database] = {}
    desks: dict[str, Any] = {}
    shop = _Lockstep(owner, databases, desks)
    for service in SERVICES:
        db = databases[service.name] = await stack.enter_async_context(
            connect(url_as(url, role_of(service.name), secret), service.name)
        )
        db.on_wake = shop.woken.update
        room = Room(db, Watch(await clocks.of(service.name), service.name), settings.get(service.name), folder)
        desks[service.name] = await stack.enter_async_context(service.open(room))
    return shop


async def _products(shop: _Lockstep) -> list[str]:
    skus = [f"SKU-{number}" for number in range(20)]
    for sku in skus:
        variant = Variant(variant_id=new_id(), sku=sku, price=500, name=sku, opening_stock=10_000)
        fact = ProductCreated(product_id=new_id(), name=sku, status="active", currency="GBP", variants=(variant,))
        await shop.publish(fact)
    return skus


async def _place(shop: _Lockstep, user_id: str, skus: Sequence[str]) -> str:
    """A hundred orders of two lines in one batch; the id of one of them."""
    placements = [
        Placement(
            order_id=new_id(),
            scope=scope_of(user_id, "POST", "/order/orders"),
            key=new_id(),
            body_hash=bytes(32),
            user_id=user_id,
            guest=None,
            items=tuple(Item(quantity=1, sku=skus[(number + line) % len(skus)]) for line in range(2)),
            currency=None,
            shipping_address=None,
            payment_method="pm_card_visa",
            cause=Cause("bench"),
            now=now(),
        )
        for number in range(ORDERS)
    ]
    with shop.counting("order", "place"):
        async with shop.databases["order"].transaction() as tx:
            await commands.place(tx, placements, looks=False)
    return placements[0].order_id


async def _play(shop: _Lockstep) -> None:
    for _ in range(ROUNDS):
        if not await shop.round():
            if await shop.owner.fetchval(_COMPLETED) == ORDERS:
                return
            await shop.carry()
    raise SystemExit(f"after {ROUNDS} rounds {await shop.owner.fetchval(_COMPLETED)} of {ORDERS} orders are completed")


async def _read(shop: _Lockstep, order_id: str, user_id: str) -> None:
    db = shop.databases["order"]
    with shop.counting("order", "read an order"):
        await queries.fates(db, [queries.Asked(order_id, user_id)])
    orders, mine = NewestOrders(), Newest(user_id, 10)
    for what in ("list my orders", "list my orders again"):
        with shop.counting("order", what):
            await orders.read(db, [mine])
