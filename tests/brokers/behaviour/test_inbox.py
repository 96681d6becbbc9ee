"""The inbox remembers what was taken in for a week, day by day, and forgets it by the day."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.brokers.behaviour.rig import Shop
from tradepost.kernel.migrate import INBOX_DAYS, INBOX_DAYS_AHEAD

DAYS = (
    "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'probe.inbox'::regclass"
)
KEEP = "SELECT log.keep_inbox('probe', $1, $2)"
SEEN = "SELECT event_id FROM probe.inbox ORDER BY event_id"


def id_of(day: int) -> UUID:
    """A UUIDv7 of noon, so many days from today."""
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=day)
    return UUID(int=(int(noon.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62) | 1)


def partition_of(day: int) -> str:
    return f"inbox_{datetime.now(UTC) + timedelta(days=day):%Y%m%d}"


async def days(connection: Any) -> list[str]:
    return sorted(row["relname"] for row in await connection.fetch(DAYS))


async def note(connection: Any, *ids: UUID) -> None:
    await connection.executemany("INSERT INTO probe.inbox VALUES ($1, 'recorder')", [(id_,) for id_ in ids])


async def seen(connection: Any) -> list[UUID]:
    return [row["event_id"] for row in await connection.fetch(SEEN)]


async def test_there_is_a_partition_for_each_day_kept_and_ahead(superuser: "asyncpg.Connection[Any]") -> None:
    assert await days(superuser) == sorted(
        [*(partition_of(day) for day in range(-INBOX_DAYS, INBOX_DAYS_AHEAD + 1)), "inbox_rest"]
    )
    assert await superuser.fetchval(KEEP, INBOX_DAYS, INBOX_DAYS_AHEAD) == 0


async def test_what_is_older_than_the_days_kept_goes_and_the_oldest_day_kept_stays(
    superuser: "asyncpg.Connection[Any]",
) -> None:
    await superuser.fetchval(KEEP, INBOX_DAYS + 3, INBOX_DAYS_AHEAD)
    await note(superuser, *(id_of(day) for day in (-INBOX_DAYS - 1, -INBOX_DAYS, 0, INBOX_DAYS_AHEAD)))

    await superuser.fetchval(KEEP, INBOX_DAYS, INBOX_DAYS_AHEAD)

    assert await seen(superuser) == [id_of(day) for day in (-INBOX_DAYS, 0, INBOX_DAYS_AHEAD)]
    assert partition_of(-INBOX_DAYS - 1) not in await days(superuser)
    assert partition_of(-INBOX_DAYS) in await days(superuser)


async def test_an_id_outside_of_all_days_is_remembered_for_a_month(superuser: "asyncpg.Connection[Any]") -> None:
    await note(superuser, id_of(-31), id_of(-29), id_of(INBOX_DAYS_AHEAD + 2))

    await superuser.fetchval(KEEP, INBOX_DAYS, INBOX_DAYS_AHEAD)

    assert await seen(superuser) == [id_of(-29), id_of(INBOX_DAYS_AHEAD + 2)]


async def test_a_day_that_was_not_made_ahead_in_time_is_still_remembered(superuser: "asyncpg.Connection[Any]") -> None:
    await note(superuser, id_of(INBOX_DAYS_AHEAD + 1), id_of(INBOX_DAYS_AHEAD + 2))

    made = await superuser.fetchval(KEEP, INBOX_DAYS, INBOX_DAYS_AHEAD + 3)

    assert made == 1
    assert await seen(superuser) == [id_of(INBOX_DAYS_AHEAD + 1), id_of(INBOX_DAYS_AHEAD + 2)]
    with pytest.raises(asyncpg.UniqueViolationError):
        await note(superuser, id_of(INBOX_DAYS_AHEAD + 1))


@pytest.mark.parametrize("kind", ["rabbitmq", "kafka"], indirect=True)
async def test_days_are_made_and_dropped_while_a_group_takes_in(shop: Shop) -> None:
    keeper: asyncpg.Connection[Any] = await asyncpg.connect(shop.url, server_settings={"lock_timeout": "30s"})
    async with shop.running(shop.group()):
        for n in range(20):
            await shop.move(*(f"thing-{m}" for m in range(20)))
            await keeper.fetchval("SELECT log.keep_inbox($1, $2, $3)", shop.name, 7 + n % 2 * 5, 3 + n)
        await shop.took_all_once()
    await keeper.close()
