"""The databases of the services, as the command line sees them: all of them as their owner, or one as its service."""

from asyncio import gather
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from tradepost.console.instance import database_urls, secret_of
from tradepost.console.trouble import Unknown
from tradepost.kernel.database import Database, connect
from tradepost.kernel.log.clocks import Clocks
from tradepost.kernel.log.subscription import Group
from tradepost.kernel.migrate import role_of, url_as
from tradepost.main import SERVICES
from tradepost.process import DatabaseError
from tradepost.process import connect as connect_to
from tradepost.settings import Settings

SESSION: Final = {"application_name": "tradepost console"}
GROUPS: Final[Mapping[str, tuple[str, Group]]] = {
    group.name: (service.name, group) for service in SERVICES for group in service.groups
}

# Whether retention has dropped the first partition of the log of `schema`.
LOG_IS_CUT: Final = "(SELECT min(low) FROM log.partitions('{schema}')) > 0"

Connections = Mapping[str, Any]  # by service; those of one database are one connection


def group_named(name: str) -> tuple[str, Group]:
    """The group and its service's name. Errors: Unknown."""
    if name not in GROUPS:
        raise Unknown(f"there is no group {name!r}; there are {', '.join(GROUPS)}")
    return GROUPS[name]


@dataclass(frozen=True)
class Reached:
    """The databases that let us in, and for each of the others a line that says why and which services it holds."""

    connections: Connections
    troubles: Sequence[str]


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Connections]:
    """A connection to each service's database, as its owner. Errors: InstanceError, DatabaseError."""
    async with reached(settings) as found:
        if found.troubles:
            raise DatabaseError("; ".join(found.troubles))
        yield found.connections


@asynccontextmanager
async def reached(settings: Settings) -> AsyncIterator[Reached]:
    """A connection to each database that lets us in, as its owner. Errors: InstanceError."""
    homes = _homes(database_urls(settings))
    connections: dict[str, Any] = {}
    async with AsyncExitStack() as stack:

        async def trouble_with(url: str, services: Sequence[str]) -> str | None:
            try:
                opened = await connect_to(url, services, server_settings=SESSION)
            except DatabaseError as error:
                return str(error)
            stack.push_async_callback(opened.close)
            connections.update(dict.fromkeys(services, opened))
            return None

        troubles = await gather(*(trouble_with(url, services) for url, services in homes.items()))
        yield Reached(connections, [one for one in troubles if one is not None])


@asynccontextmanager
async def as_service(settings: Settings, name: str) -> AsyncIterator[Database]:
    """The service's database as the service itself sees it. Errors: InstanceError, DatabaseError."""
    url = database_urls(settings)[name]
    secret = secret_of(settings)
    await (await connect_to(url, [name])).close()  # as its owner, so that the error is about the URL that was set
    async with connect(url_as(url, role_of(name), secret), name) as database:
        yield database


@asynccontextmanager
async def clocks(settings: Settings, sources: tuple[str, ...]) -> AsyncIterator[Clocks]:
    """The clocks of these publishers. Errors: InstanceError, DatabaseError, Rebased."""
    urls = database_urls(settings)
    made = Clocks(urls, secret_of(settings), "console", frozenset())
    for url, services in _homes({name: urls[name] for name in sources}).items():
        await (await connect_to(url, services)).close()
    try:
        for source in sources:
            await made.of(source)
        yield made
    finally:
        await made.close()


def _homes(urls: Mapping[str, str]) -> Mapping[str, list[str]]:
    """The services by the URL of their database."""
    homes: dict[str, list[str]] = {}
    for name, url in urls.items():
        homes.setdefault(url, []).append(name)
    return homes
