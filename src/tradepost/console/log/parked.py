"""`tradepost log parked`, `retry` and `drop`."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from cyclopts import Parameter

from tradepost import settings
from tradepost.console.databases import GROUPS, as_service, group_named
from tradepost.console.trouble import Unknown, failing, say
from tradepost.kernel.log import parked as store
from tradepost.kernel.log.parked import Parked
from tradepost.main import SERVICES
from tradepost.settings import Settings

NOTHING_DONE: Final = 1

Flag = Annotated[bool, Parameter(negative=())]


def parked(*, group: str | None = None, json: Flag = False) -> None:
    """List the keys that wait because a group could not digest an event about them: the first of their events, its
    error, and how many wait behind it.

    Parameters
    ----------
    group
        Only those of this group.
    json
        One line of JSON per key.
    """
    with failing():
        found = asyncio.run(_parked(settings.read(), group))
    if json:
        for one in found:
            print(msgspec.json.encode(one).decode())
        return
    for one in found:
        print(_told(one))
    if not found:
        print("nothing is parked")


def retry(
    group: str | None = None, key: str | None = None, *, all_: Annotated[bool, Parameter("--all", negative=())] = False
) -> None:
    """Apply what is parked after all: a key's events in their order, all or none.

    Parameters
    ----------
    group
        The group that parked them.
    key
        Whose events; as `tradepost log parked` shows it.
    all_
        All keys of the group, or of all groups.
    """
    with failing():
        if all_ == (key is not None) or (key is not None and group is None):
            raise Unknown("name a group and a key, or say --all")
        code = asyncio.run(_retry(settings.read(), group, key))
    raise SystemExit(code)


def drop(group: str, key: str, *, yes: Flag = False) -> None:
    """Give up what is parked for a key: its events never take effect in this group, and later ones flow again.

    Parameters
    ----------
    group
        The group that parked them.
    key
        Whose events; as `tradepost log parked` shows it.
    yes
        Do not ask.
    """
    with failing():
        code = asyncio.run(_drop(settings.read(), group, key, yes=yes))
    raise SystemExit(code)


async def _parked(now: Settings, group: str | None) -> list[Parked]:
    if group is not None:
        group_named(group)
    found: list[Parked] = []
    for service in SERVICES:
        if any(group in (None, one.name) for one in service.groups):
            async with as_service(now, service.name) as database:
                found += await store.list_parked(database, group)
    return sorted(found, key=lambda one: one.since)


async def _retry(now: Settings, group: str | None, key: str | None) -> int:
    waiting = [one for one in await _parked(now, group) if key in (None, one.key)]
    if not waiting:
        return say("nothing of that is parked", NOTHING_DONE)
    places = list(dict.fromkeys((one.group, one.key) for one in waiting))
    failed = [name for name in places if not await _retried(now, *name)]
    return NOTHING_DONE if failed else 0


async def _retried(now: Settings, name: str, key: str) -> bool:
    """Whether the key's events took effect; if not, it was said why."""
    service, group = GROUPS[name]
    async with as_service(now, service) as database:
        try:
            count = await store.retry(database, group, key)
        except Exception as error:
            say(f"{name} {key}: failed again, so nothing was changed: {type(error).__name__}: {error}")
            return False
    print(f"{name} {key}: {_events(count)} took effect")
    return True


async def _drop(now: Settings, name: str, key: str, *, yes: bool) -> int:
    service, group = group_named(name)
    waiting = [one for one in await _parked(now, name) if one.key == key]
    if not waiting:
        return say("nothing of that is parked", NOTHING_DONE)
    for one in waiting:
        print(_told(one))
    lost = _events(sum(one.events for one in waiting))
    print(f"lost to {group.name}: {lost}; the logs keep them, and other groups are not touched")
    if not yes and not _agreed():
        return NOTHING_DONE
    async with as_service(now, service) as database:
        count = await store.drop(database, name, key)
    print(f"{name} {key}: {_events(count)} given up")
    return 0


def _agreed() -> bool:
    if not sys.stdin.isatty():
        say("nothing was given up: say --yes where nobody can be asked")
        return False
    return input("Give them up? [y/N] ").strip().lower() in ("y", "yes")


def _told(one: Parked) -> str:
    waited = int((datetime.now(UTC) - one.since).total_seconds())
    lines: Sequence[str] = (
        f"{one.group} {one.key}: {_events(one.events)} of {one.source} parked for {waited} s",
        f"  {one.type} {one.event_id}",
        "  " + one.error.partition("\n")[0],
    )
    return "\n".join(lines)


def _events(count: int) -> str:
    return f"{count} event{'' if count == 1 else 's'}"
