"""A check: a statement whose rows are the violations of one sentence, and what came of running it."""

from dataclasses import dataclass
from typing import Any, Final

SAMPLE: Final = 3  # violations that are shown

# A log that retention has cut is judged from here on: by then every log was whole. `-infinity` when none was cut.
SINCE: Final = "current_setting('audit.since')::timestamptz"

_RUN: Final = """
SELECT count(*) OVER () AS violations, violation FROM ({sql}) AS found (violation) ORDER BY violation LIMIT {sample}
"""


@dataclass(frozen=True, slots=True)
class Check:
    """`sql` has one column of text: a violation of `sentence` per row, told so that it can be looked up."""

    name: str
    sentence: str
    sql: str


@dataclass(frozen=True, slots=True)
class Finding:
    """How many violations a check has found, and the first few."""

    check: str
    sentence: str
    violations: int
    examples: tuple[str, ...]


async def run(connection: Any, check: Check, *args: object) -> Finding:
    """What `check` finds in the transaction that `connection` is in."""
    rows = await connection.fetch(_RUN.format(sql=check.sql, sample=SAMPLE), *args)
    violations = rows[0]["violations"] if rows else 0
    return Finding(check.name, check.sentence, violations, tuple(str(row["violation"]) for row in rows))
