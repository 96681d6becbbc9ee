"""`tradepost events tail`."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final

from cyclopts import Parameter

from tradepost import settings
from tradepost.console.databases import connected
from tradepost.console.events.facts import facts, plain
from tradepost.console.events.following import Follower
from tradepost.console.events.reading import PUBLISHERS, Logged, newest
from tradepost.console.trouble import Unknown, failing
from tradepost.contracts import FACTS
from tradepost.kernel.brokers import envelope

SHOWN: Final = 20
SHOWN_LIMIT: Final = 100_000
POLL_S: Final = 0.25

Flag = Annotated[bool, Parameter(negative=())]


def tail(
    *,
    follow: Annotated[bool, Parameter(name=("--follow", "-f"), negative=())] = False,
    type_: Annotated[str | None, Parameter("--type")] = None,
    key: str | None = None,
    publisher: str | None = None,
    lines: Annotated[int, Parameter(name=("--lines", "-n"))] = SHOWN,
    json: Flag = False,
) -> None:
    """Show the newest events of all logs, by time.

    Parameters
    ----------
    follow
        Go on with what is published from now on, until Ctrl-C.
    type_
        Only events of this type.
    key
        Only those about this order, SKU or other key.
    publisher
        Only those of this service.
    lines
        How many to begin with.
    json
        One line of JSON per event: its envelope, as a broker carries it.
    """
    with failing(stopped=0):
        if type_ is not None and type_ not in {fact.type for fact in FACTS}:
            raise Unknown(f"there is no event type {type_!r}; they are such as order.created")
        sources = [name for name in PUBLISHERS if publisher in (None, name)]
        if not sources:
            raise Unknown(f"there is no publisher {publisher!r}; there are {', '.join(PUBLISHERS)}")
        if type_ is not None:
            sources = [name for name in sources if type_.startswith(f"{name}.")]
        count = max(0, min(lines, SHOWN_LIMIT))
        asyncio.run(_tail(sources, type_, key, count, follow=follow, json=json))


async def _tail(
    sources: Sequence[str], type_: str | None, key: str | None, count: int, *, follow: bool, json: bool
) -> None:
    def wanted(one: Logged) -> bool:
        return type_ in (None, one.event.type) and key in (None, one.event.key)

    async with connected(settings.read()) as connections:
        follower = Follower(connections, sources)
        async with follower.begun():
            _print(await newest(connections, sources, type_, key, count), json=json)
        while follow:
            _print(await follower.news(wanted), json=json)
            await asyncio.sleep(POLL_S)


def _print(found: Sequence[Logged], *, json: bool) -> None:
    for one in found:
        print(envelope.encode(one.source, one.event).decode() if json else line_of(one), flush=True)


def line_of(one: Logged) -> str:
    """An event in one line of text."""
    event = one.event
    at = event.time.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
    return f"{at}  {event.id}  {event.type:<26}  {plain(event.key)}  #{event.sequence}  {facts(event)}".rstrip()
