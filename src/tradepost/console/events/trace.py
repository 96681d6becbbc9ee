"""`tradepost events trace`."""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from tradepost import settings
from tradepost.console.databases import Connections, connected
from tradepost.console.events.facts import facts, plain
from tradepost.console.events.reading import Logged, about, caused_by, in_order
from tradepost.console.events.taking import PARKED, WAITING, Taking, takings
from tradepost.console.trouble import Unknown, failing
from tradepost.kernel.ids import is_id

PLAIN_WIDTH: Final = 1_000

_BY_NUMBER: Final = 'SELECT id::text AS id, number FROM "order".orders WHERE number = $1'
_BY_ID: Final = 'SELECT id::text AS id, number FROM "order".orders WHERE id = $1::uuid'
_MESSAGES: Final = "SELECT id::text AS id FROM notification.delivery WHERE order_id = $1::uuid"


def trace(order: str) -> None:
    """Tell the whole story of an order across all services: each event below the one that caused it, with milliseconds
    since the first, and who has yet to take it in or has set it aside.

    Parameters
    ----------
    order
        Its id, or its number.
    """
    with failing():
        tree = asyncio.run(_trace(order))
    terminal = sys.stdout.isatty()
    Console(width=None if terminal else PLAIN_WIDTH, highlight=False, soft_wrap=False).print(tree)


async def _trace(order: str) -> Tree:
    async with connected(settings.read()) as connections:
        row = await _order(connections, order)
        messages = [found["id"] for found in await connections["notification"].fetch(_MESSAGES, row["id"])]
        story = await about(connections, [row["id"], *messages])
        story = await _with_branches(connections, story)
        if not story:
            raise Unknown(f"the logs hold nothing about order {row['number']} any more")
        return _tree(f"order {row['number']}  {row['id']}", story, await takings(connections, story))


async def _order(connections: Connections, order: str) -> Any:
    text = order.removeprefix("#")
    if not is_id(text) and not text.isdecimal():
        raise Unknown(f"{order!r} is neither the id nor the number of an order")
    sql, value = (_BY_ID, text) if is_id(text) else (_BY_NUMBER, int(text))
    row = await connections["order"].fetchrow(sql, value)
    if row is None:
        raise Unknown(f"there is no order {order}")
    return row


async def _with_branches(connections: Connections, story: Sequence[Logged]) -> list[Logged]:
    """The story and what followed from it without being about the order: stock that ran low, and who was told."""
    found = {one.event.id: one for one in story}
    waiting = [one for one in story if one.source == "order"]
    while waiting:
        led = await caused_by(connections, waiting.pop())
        fresh = [one for one in led if one.event.id not in found]
        found |= {one.event.id: one for one in fresh}
        waiting += fresh
    return in_order(found.values())


def _tree(title: str, story: Sequence[Logged], taken: Mapping[str, Sequence[Taking]]) -> Tree:
    ids, began = {one.event.id for one in story}, story[0].event.time
    children: defaultdict[str | None, list[Logged]] = defaultdict(list)
    for one in story:
        children[one.event.causation_id if one.event.causation_id in ids else None].append(one)
    tree = Tree(Text(title, "bold"))
    _grow(tree, None, children, began, taken)
    return tree


def _grow(
    branch: Tree,
    cause: str | None,
    children: Mapping[str | None, Sequence[Logged]],
    began: datetime,
    taken: Mapping[str, Sequence[Taking]],
) -> None:
    for one in children.get(cause, ()):
        grown = branch.add(_node(one, began))
        for taking in taken.get(one.event.id, ()):
            if taking.state == PARKED:
                grown.add(Text(f"{taking.group} parked it: {plain(taking.error or '')}", "red"))
            elif taking.state == WAITING:
                grown.add(Text(f"{taking.group} has yet to take it in", "yellow"))
        _grow(grown, one.event.id, children, began, taken)


def _node(one: Logged, began: datetime) -> Text:
    after = (one.event.time - began).total_seconds() * 1_000
    node = Text(f"+{after:,.0f} ms  ", "dim")
    node.append(one.event.type, "bold")
    if told := facts(one.event):
        node.append(f"  {told}")
    node.append(f"  {one.event.id}", "dim")
    return node
