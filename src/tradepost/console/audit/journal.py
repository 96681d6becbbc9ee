"""The journal of a simulation, what was answered to whom, against the orders that there are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from tradepost.console.audit.check import Check, Finding, run
from tradepost.console.trouble import Trouble

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


class JournalError(Trouble):
    """The file is no journal."""


class _Line(msgspec.Struct, frozen=True):
    """A request has `method`, `path` and `key`; its answer has the same `n` and `status`. Each run counts anew."""

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


_BEGINS: Final = b'{"at":'
_decode: Final = msgspec.json.Decoder(_Line).decode


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
        if line.method is not None:
            requests[line.n] = line
        elif (request := requests.get(line.n)) and _is_placed(request, line):
            answered.append(_answered(path, request, line.told))
    return answered


async def compare(connection: Any, answered: list[Answered]) -> list[Finding]:
    """What is wrong with them in the transaction that `connection` is in."""
    keys, ids = [one.key for one in answered], [one.order_id for one in answered]
    totals = [one.total for one in answered]
    return [await run(connection, _EXISTS, keys, ids, totals), await run(connection, _ONE, keys, ids)]


def _is_placed(request: _Line, answer: _Line) -> bool:
    placing = request.method == "POST" and (request.path or "").partition("?")[0] == ORDERS
    return placing and answer.status is not None and 200 <= answer.status < 300


def _answered(path: Path, request: _Line, told: Mapping[str, Any]) -> Answered:
    order_id, total, number = told["order_id"], told["total_amount"], request.n
    if not isinstance(order_id, str) or not isinstance(total, int):
        raise JournalError(f"{path}: the answer to request {number} names no order and total")
    return Answered(request.key or f"request {number}", order_id, total)


def _lines(path: Path) -> Iterator[_Line]:
    """The lines. A writer that was killed leaves a torn one, at the end or before what the next run wrote."""
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        decoded = _decoded(line) or _decoded(line[max(line.rfind(_BEGINS), 0) :])
        if decoded is not None:
            yield decoded
        elif line and number < len(lines):
            raise JournalError(f"{path}, line {number}, is no line of a journal")


def _decoded(line: bytes) -> _Line | None:
    try:
        return _decode(line)
    except msgspec.DecodeError:
        return None
