"""The journal of a simulation, what was answered to whom, against the orders that there are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from tradepost.console.audit.check import Check, Finding, run

ORDERS: Final = "/order/orders"

_EXISTS: Final = Check(
    "journal.orders",
    "each order that was answered exists once, with its total",
    """
    SELECT format('key %s was answered order %s over %s, %s', key, answered.id, answered.total,
                  CASE WHEN orders.id IS NULL THEN 'which does not exist'
                       ELSE 'which comes to ' || total_amount END)
    FROM unnest($1::text[], $2::text[], $3::bigint[]) AS answered (key, id, total)
    LEFT JOIN "order".orders ON orders.id::text = answered.id
    WHERE orders.id IS NULL OR total_amount <> answered.total
    """,
)
_ONE: Final = Check(
    "journal.keys",
    "each key was answered one order, and each order to one key",
    """
    SELECT format('key %s was answered %s orders', key, count(DISTINCT id))
    FROM unnest($1::text[], $2::text[]) AS answered (key, id) GROUP BY key HAVING count(DISTINCT id) > 1
    UNION ALL
    SELECT format('order %s was answered to %s keys', id, count(DISTINCT key))
    FROM unnest($1::text[], $2::text[]) AS answered (key, id) GROUP BY id HAVING count(DISTINCT key) > 1
    """,
)


class JournalError(Exception):
    """The file is no journal; the message is one line."""


class _Line(msgspec.Struct, frozen=True):
    """A request has `method`, `path` and `key`; the answer of the same `n` has `status`."""

    n: int
    method: str | None = None
    path: str | None = None
    key: str | None = None
    status: int | None = None
    body: Any = None
    order_id: str | None = None
    total_amount: int | None = None

    @property
    def told(self) -> Mapping[str, Any]:
        """What the answer says, wherever it has it."""
        said = self.body if isinstance(self.body, dict) else {}
        return {"order_id": self.order_id, "total_amount": self.total_amount, **said}


@dataclass(frozen=True, slots=True)
class Answered:
    """An order that somebody was told is placed, under the key of the request."""

    key: str
    order_id: str
    total: int


def read(path: Path) -> list[Answered]:
    """The orders that the journal says were answered with 2xx. Errors: JournalError, OSError."""
    requests: dict[int, _Line] = {}
    answered: list[Answered] = []
    for line in _lines(path):
        if line.status is None:
            requests[line.n] = line
        elif (request := requests.get(line.n)) and _is_placed(request, line):
            told = line.told
            key = request.key or f"request {line.n}"
            answered.append(Answered(key, str(told["order_id"]), int(told["total_amount"])))
    return answered


async def findings(connection: Any, answered: list[Answered]) -> list[Finding]:
    """What is wrong with them in the transaction that `connection` is in."""
    keys, ids = [one.key for one in answered], [one.order_id for one in answered]
    totals = [one.total for one in answered]
    return [await run(connection, _EXISTS, keys, ids, totals), await run(connection, _ONE, keys, ids)]


def _is_placed(request: _Line, answer: _Line) -> bool:
    placing = request.method == "POST" and (request.path or "").partition("?")[0].endswith(ORDERS)
    return placing and answer.status is not None and 200 <= answer.status < 300


def _lines(path: Path) -> Iterator[_Line]:
    """The lines; the last one may be torn, where the writer was killed."""
    decode = msgspec.json.Decoder(_Line).decode
    *whole, last = path.read_bytes().split(b"\n")
    for number, line in enumerate(whole, 1):
        try:
            yield decode(line)
        except msgspec.DecodeError as error:
            raise JournalError(f"{path}, line {number}, is no line of a journal: {error}") from error
    try:
        yield decode(last)
    except msgspec.DecodeError:
        return
