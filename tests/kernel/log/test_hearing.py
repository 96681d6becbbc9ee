"""How far behind a service hears: told of its own groups alone, and not at all when it can't be known."""

from datetime import timedelta

import pytest

from tests import databases
from tests.kernel.log.probing import RECORD, caught_up, move
from tradepost.kernel.database import Database
from tradepost.kernel.ids import new_id
from tradepost.kernel.log.clocks import Clocks
from tradepost.kernel.log.hearing import Hearing

NOT_AT_ALL = timedelta()


@pytest.mark.parametrize("has_a_clock", [True, False])
async def test_what_is_not_taken_in_is_late(database: Database, database_url: str, has_a_clock: bool) -> None:
    clocks = Clocks({"probe": database_url}, databases.SECRET, new_id(), frozenset())
    hearing = Hearing("probe", [RECORD], database, clocks)
    if has_a_clock:
        await clocks.of("probe")

    await caught_up(database, database_url)
    assert await hearing.late("probe") == NOT_AT_ALL

    await move(database, "a")
    assert NOT_AT_ALL < await hearing.late("probe", "else") < timedelta(minutes=2)
    assert await hearing.late("else") == NOT_AT_ALL

    await caught_up(database, database_url)
    assert await hearing.late("probe") == NOT_AT_ALL
    await clocks.close()


async def test_a_log_that_nobody_named_is_never_late(database: Database) -> None:
    await move(database, "a")
    hearing = Hearing("probe", [RECORD], database, Clocks({}, databases.SECRET, new_id(), frozenset()))
    assert await hearing.late("probe") == NOT_AT_ALL


async def test_a_log_that_can_not_be_reached_is_an_error(database: Database) -> None:
    clocks = Clocks({"probe": "postgresql://x@127.0.0.1:1/x"}, databases.SECRET, new_id(), frozenset())
    with pytest.raises(OSError, match="Connect call failed"):
        await Hearing("probe", [RECORD], database, clocks).late("probe")
