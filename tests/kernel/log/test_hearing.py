"""What a service has yet to hear: of its own groups alone, and an error when it can't be known."""

import pytest

from tests import databases
from tests.kernel.log.probing import RECORD, ProbeMoved, caught_up, move
from tradepost.kernel.database import Database
from tradepost.kernel.events import Fact
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.clocks import Clocks
from tradepost.kernel.log.hearing import Hearing


class ProbeElse(Fact, frozen=True, kw_only=True):
    type = "probe.else"
    key_field = "thing"

    thing: str


@pytest.mark.parametrize("has_a_clock", [True, False])
async def test_what_was_not_taken_in_is_unheard(database: Database, database_url: str, has_a_clock: bool) -> None:
    clocks = Clocks({"probe": database_url}, databases.SECRET, new_id(), frozenset())
    hearing = Hearing("probe", [RECORD], database, clocks)
    if has_a_clock:
        await clocks.of("probe")
    await move(database, "a", "b")
    await caught_up(database, database_url)
    assert await hearing.unheard(["a", "b"], ProbeMoved) == set()

    await move(database, "b", "c")
    assert await hearing.unheard(["a", "b"], ProbeMoved) == {"b"}
    assert await hearing.unheard(["a", "b"], ProbeElse) == set()
    assert await hearing.unheard([], ProbeMoved) == set()

    await caught_up(database, database_url)
    assert await hearing.unheard(["a", "b", "c"], ProbeMoved) == set()
    await clocks.close()


async def test_over_a_broker_it_is_what_the_inbox_lacks(database: Database, database_url: str) -> None:
    clocks = Clocks({"probe": database_url}, databases.SECRET, new_id(), frozenset())
    hearing = Hearing("probe", [RECORD], database, clocks)
    await move(database, "a", "b")
    await database.fetch("INSERT INTO intake VALUES ('probe', 'recorder', 'rabbitmq', 0)")
    await database.fetch("INSERT INTO inbox SELECT event_id, 'recorder' FROM event WHERE key = 'a'")

    assert await hearing.unheard(["a", "b"], ProbeMoved) == {"b"}
    await clocks.close()


async def test_of_a_log_that_nobody_named_nothing_is_known(database: Database) -> None:
    await move(database, "a")
    hearing = Hearing("probe", [RECORD], database, Clocks({}, databases.SECRET, new_id(), frozenset()))
    assert await hearing.unheard(["a"], ProbeMoved) == set()


async def test_a_log_that_can_not_be_reached_is_an_error(database: Database) -> None:
    clocks = Clocks({"probe": "postgresql://x@127.0.0.1:1/x"}, databases.SECRET, new_id(), frozenset())
    with pytest.raises(OSError, match="Connect call failed"):
        await Hearing("probe", [RECORD], database, clocks).unheard(["a"], ProbeMoved)
