"""What happens to an event that can't be digested, and what never counts as its fault."""

from collections.abc import Sequence

import asyncpg
import pytest

from tests.kernel.log.probing import (
    RECORD,
    ProbeMoved,
    caught_up,
    consuming,
    effects,
    move,
    parked,
    record,
    until,
    with_handler,
)
from tradepost.kernel.database import CommitUnknown, Database, Tx
from tradepost.kernel.events import Cause, Event
from tradepost.kernel.log import consumer, dispatch
from tradepost.kernel.log.dispatch import is_retryable

pytestmark = pytest.mark.usefixtures("no_pause")
MOVED = Sequence[Event[ProbeMoved]]


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "TRY_AGAIN_S", 0.0)


FAULTLESS = [
    asyncpg.ConnectionDoesNotExistError("gone"),
    asyncpg.DeadlockDetectedError("40P01"),
    asyncpg.SerializationError("40001"),
    asyncpg.DiskFullError("53100"),
    asyncpg.TooManyConnectionsError("53300"),
    asyncpg.AdminShutdownError("57P01"),
    asyncpg.QueryCanceledError("57014"),
    asyncpg.LockNotAvailableError("55P03"),
    asyncpg.ReadOnlySQLTransactionError("25006"),
    asyncpg.IdleInTransactionSessionTimeoutError("25P03"),
    asyncpg.InvalidCachedStatementError("0A000"),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.InternalClientError("unexpected"),
    ConnectionResetError("reset"),
    TimeoutError("too long"),
    CommitUnknown("lost"),
]


async def test_what_is_never_an_events_fault_is_retried_and_parks_nothing(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "BACK_OFF_S", (0.0,))
    failures = [*FAULTLESS, *FAULTLESS]

    async def stumble(tx: Tx, events: MOVED) -> None:
        await record(tx, events)
        if failures:
            raise failures.pop()

    await move(database, "a", "b", "a")
    async with consuming(database, database_url, with_handler(stumble)) as at:
        seen = await effects(database, 3)

    assert seen == [("a", 1), ("b", 1), ("a", 2)]
    assert (failures, await parked(database), at.consumers[0].stopped) == ([], [], None)


@pytest.mark.parametrize(
    "error", [asyncpg.DataError("too big for int8"), asyncpg.CheckViolationError("23514"), ValueError("no"), KeyError()]
)
def test_what_is_an_events_fault_is_not_retried_for_ever(error: Exception) -> None:
    assert not is_retryable(error)


async def test_poison_in_a_piece_of_a_hundred_parks_its_key_alone(database: Database, database_url: str) -> None:
    things = [f"thing-{n:02}" for n in range(50)]
    async with database.transaction() as tx:
        for n in range(2):
            for thing in things:
                version = await tx.fetchval(
                    "INSERT INTO thing VALUES ($1, 1) ON CONFLICT (key) DO UPDATE SET version = thing.version + 1"
                    " RETURNING version",
                    thing,
                )
                bad = thing == "thing-33" and n == 0
                tx.append(ProbeMoved(thing=thing, poison=bad), sequence=version, cause=Cause("test"))
    async with consuming(database, database_url, RECORD):
        seen = await effects(database, 98)

    good = [thing for thing in things if thing != "thing-33"]
    assert seen == [(thing, 1) for thing in good] + [(thing, 2) for thing in good]
    assert await parked(database) == [("thing-33", 1), ("thing-33", 2)]
    assert await database.fetchval("SELECT parked FROM cursor") == 2


async def test_a_value_that_can_not_be_sent_is_the_events_fault(database: Database, database_url: str) -> None:
    async def overflow(tx: Tx, events: MOVED) -> None:
        for event in events:
            await tx.fetchval("SELECT $1::int", 2**40 if event.data.poison else 1)
        await record(tx, [event for event in events if not event.data.poison])

    await move(database, "bad", poison=True)
    await move(database, "good")
    async with consuming(database, database_url, with_handler(overflow)):
        assert await effects(database, 1) == [("good", 1)]
        assert await parked(database) == [("bad", 1)]


async def test_what_fails_only_at_the_commit_is_found_and_parked_too(
    database: Database, database_url: str, superuser: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await superuser.execute(
        "ALTER TABLE probe.effect ADD CONSTRAINT once UNIQUE (key, sequence) DEFERRABLE INITIALLY DEFERRED"
    )

    async def twice(tx: Tx, events: MOVED) -> None:
        await record(tx, events)
        await record(tx, [event for event in events if event.key == "doubled"])
        for event in events:
            sequence = 0 if event.key == "numbered" else 1  # the log refuses 0, when the event is inserted
            tx.append(ProbeMoved(thing=f"of-{event.key}"), sequence=sequence, cause=event.cause)

    await move(database, "a", "doubled", "b", "numbered", "c")
    group = with_handler(twice)
    async with consuming(database, database_url, group):
        seen = await effects(database, 3)

    assert seen[:3] == [("a", 1), ("b", 1), ("c", 1)]
    assert (await parked(database))[:2] == [("doubled", 1), ("numbered", 1)]
    published = await database.fetch(
        "SELECT key FROM event WHERE causation_id IS NOT NULL AND key IN"
        " ('of-a', 'of-b', 'of-c', 'of-doubled', 'of-numbered') ORDER BY id"
    )
    assert [row["key"] for row in published] == ["of-a", "of-b", "of-c"]


async def test_over_twenty_keys_at_once_stop_the_group_and_park_nothing(database: Database, database_url: str) -> None:
    await move(database, *(f"thing-{n}" for n in range(21)), poison=True)
    await move(database, "good")
    async with consuming(database, database_url, RECORD) as at:

        async def stopped() -> bool:
            return at.consumers[0].stopped is not None

        await until(stopped)

    assert "bad deployment" in (at.consumers[0].stopped or "")
    assert (await parked(database), await database.fetchval("SELECT count(*) FROM effect")) == ([], 0)
    assert await database.fetchval("SELECT (tick, last_id) = (1, 0) FROM cursor")


async def test_over_twenty_keys_one_by_one_within_a_minute_stop_the_group(
    database: Database, database_url: str
) -> None:
    await move(database, *(f"thing-{n}" for n in range(20)), poison=True)
    await caught_up(database, database_url)
    assert len(await parked(database)) == 20
    await move(database, "one-more", poison=True)
    async with consuming(database, database_url, RECORD) as at:

        async def stopped() -> bool:
            return at.consumers[0].stopped is not None

        await until(stopped)
    assert len(await parked(database)) == 20


async def test_news_of_keys_that_were_parked_long_ago_stops_nothing(
    database: Database, database_url: str, superuser: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    things = [f"thing-{n}" for n in range(20)]
    await move(database, *things, poison=True)
    await caught_up(database, database_url)
    await superuser.execute("UPDATE probe.parked SET at = at - interval '1 hour'")
    await move(database, *things, "good", "bad")
    await move(database, "bad", poison=True)
    async with consuming(database, database_url, RECORD) as at:
        assert await effects(database, 2) == [("good", 1), ("bad", 1)]

        async def all_parked() -> bool:
            return len(await parked(database)) == 41

        await until(all_parked)
        assert at.consumers[0].stopped is None
