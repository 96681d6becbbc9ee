"""The proof about log readers: three that are copied everywhere lose or reorder, ours does neither."""

from typing import Any

import asyncpg

from bench import log_readers
from bench.log_readers import Verdict, run_load, run_script
from tests import databases

ENOUGH = 100  # events
BY_ID, BELOW_XMIN, BY_XID, OURS = (
    "id > last",
    "id > last, xid < xmin",
    "(xid, id) > last, xid < xmin",
    "between ticks, by id",
)


SCRIPTS: tuple[tuple[Any, dict[str, int], dict[str, int]], ...] = (
    (log_readers.late_commit, {BY_ID: 1}, {}),
    (log_readers.crossed, {BY_ID: 1, BELOW_XMIN: 1}, {}),
    (log_readers.early_xid, {}, {BY_XID: 1}),
)


async def test_each_copied_reader_fails_by_an_interleaving_that_ours_survives(database_url: str) -> None:
    for script, lost, reordered in SCRIPTS:
        verdicts = await run_script(database_url, "probe", script)

        assert verdicts == [
            Verdict(name, lost.get(name, 0), reordered.get(name, 0), twice=0, committed=2)
            for name in (BY_ID, BELOW_XMIN, BY_XID, OURS)
        ]


async def test_under_load_ours_loses_nothing_and_keeps_the_order_of_each_key(
    server: str, database_url: str, superuser: "asyncpg.Connection[Any]"
) -> None:
    elsewhere = await databases.create(server)
    runs: list[Verdict] = []
    try:
        while sum(run.committed for run in runs) < ENOUGH:
            runs.append((await run_load(database_url, elsewhere, "probe", seconds=1.5))[-1])
    finally:
        await databases.drop(server, elsewhere)

    assert {(run.reader, run.lost, run.reordered, run.twice) for run in runs} == {(OURS, 0, 0, 0)}
    assert sum(run.committed for run in runs) == await superuser.fetchval("SELECT count(*) FROM probe.event")
