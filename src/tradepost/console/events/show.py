"""`tradepost events show`."""

import asyncio
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter

from tradepost import settings
from tradepost.console.databases import Connections, connected
from tradepost.console.events.facts import facts, plain
from tradepost.console.events.reading import Logged, caused_by, find
from tradepost.console.events.taking import Taking, takings
from tradepost.console.trouble import Unknown, failing
from tradepost.kernel.brokers import envelope
from tradepost.kernel.ids import is_id

INDENT: Final = 2


class Shown(msgspec.Struct, frozen=True):
    """An event with what led to it, what it led to and what became of it, for `--json`."""

    event: msgspec.Raw
    cause: msgspec.Raw | None
    led_to: list[msgspec.Raw]
    groups: list[Taking]


def show(event_id: str, *, json: Annotated[bool, Parameter(negative=())] = False) -> None:
    """Show an event whole: its envelope, what caused it, what it caused, and which groups have taken it in.

    Parameters
    ----------
    event_id
        As `tradepost events tail` shows it.
    json
        As one JSON object.
    """
    with failing():
        if not is_id(event_id):
            raise Unknown(f"{event_id!r} is not the id of an event, such as 0193b2f0-7c1e-7000-8000-000000000001")
        asyncio.run(_show(event_id, json=json))


async def _show(event_id: str, *, json: bool) -> None:
    async with connected(settings.read()) as connections:
        one = await find(connections, event_id)
        if one is None:
            raise Unknown(f"no log holds an event {event_id}")
        cause = await _cause(connections, one)
        led = await caused_by(connections, one)
        groups = list((await takings(connections, [one])).get(one.event.id, ()))
    if json:
        shown = Shown(_raw(one), _raw(cause) if cause else None, [_raw(other) for other in led], groups)
        print(msgspec.json.encode(shown).decode())
        return
    print(msgspec.json.format(envelope.encode(one.source, one.event), indent=INDENT).decode())
    print("\ncaused by")
    print(f"  {_line(cause)}" if cause else f"  {one.event.causation_id or 'nothing: a story begins here'}")
    print("led to")
    print("\n".join(f"  {_line(other)}" for other in led) or "  nothing that was found")
    print("groups")
    print("\n".join(f"  {_told(taking)}" for taking in groups) or "  none subscribes to it")


async def _cause(connections: Connections, one: Logged) -> Logged | None:
    return None if one.event.causation_id is None else await find(connections, one.event.causation_id)


def _raw(one: Logged) -> msgspec.Raw:
    return msgspec.Raw(envelope.encode(one.source, one.event))


def _line(one: Logged) -> str:
    return f"{one.event.type}  {one.event.id}  {facts(one.event)}".rstrip()


def _told(taking: Taking) -> str:
    return f"{taking.group}: {taking.state}" + (f": {plain(taking.error)}" if taking.error else "")
