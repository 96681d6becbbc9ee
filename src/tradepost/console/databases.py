"""The databases of the services, as the command line sees them: all of them as their owner, or one as its service."""

import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Final

import asyncpg

from tradepost.console.instance import InstanceError, database_urls, secret_of
from tradepost.kernel.brokers.opening import NoClient
from tradepost.kernel.database import Database, connect
from tradepost.kernel.log.clocks import Clocks
from tradepost.kernel.log.subscription import Group
from tradepost.kernel.log.ticks import Rebased
from tradepost.kernel.migrate import role_of, url_as
from tradepost.kernel.postgres import PostgresError
from tradepost.main import SERVICES
from tradepost.settings import Settings, SettingsError

FAILED: Final = 2
GROUPS: Final[Mapping[str, tuple[str, Group]]] = {
    group.name: (service.name, group) for service in SERVICES for group in service.groups
}

# Whether retention has dropped the first partition of the log of `schema`.
LOG_IS_CUT: Final = "(SELECT min(low) FROM log.partitions('{schema}')) > 0"

Connections = Mapping[str, Any]  # by service; those of one database are one connection


class Unknown(Exception):
    """What the operator named is not there; the message is one line."""


@contextmanager
def failing() -> Iterator[None]:
    """Whatever keeps the command from its work ends the process with 2 and one line on standard error."""
    try:
        yield
    except (InstanceError, SettingsError, PostgresError, NoClient, Rebased, Unknown, OSError) as error:
        raise SystemExit(say(str(error) or type(error).__name__)) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise SystemExit(say(f"the database: {error}")) from None
    except KeyboardInterrupt:
        raise SystemExit(0) from None


def say(line: str, code: int = FAILED) -> int:
    """One line on standard error; the exit code that goes with it."""
    print(f"tradepost: {' '.join(line.split())}", file=sys.stderr)
    return code


def group_named(name: str) -> tuple[str, Group]:
    """The group and its service's name. Errors: Unknown."""
    if name not in GROUPS:
        raise Unknown(f"there is no group {name!r}; there are {', '.join(GROUPS)}")
    return GROUPS[name]


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Connections]:
    """A connection to each service's database, as its owner. Errors: InstanceError."""
    urls = database_urls(settings)
    async with AsyncExitStack() as stack:
        by_url: dict[str, Any] = {}
        for url in dict.fromkeys(urls.values()):
            by_url[url] = await asyncpg.connect(url, server_settings={"application_name": "tradepost console"})
            stack.push_async_callback(by_url[url].close)
        yield {name: by_url[url] for name, url in urls.items()}


@asynccontextmanager
async def as_service(settings: Settings, name: str) -> AsyncIterator[Database]:
    """The service's database as the service itself sees it. Errors: InstanceError."""
    url = database_urls(settings)[name]
    async with connect(url_as(url, role_of(name), secret_of(settings)), name) as database:
        yield database


@asynccontextmanager
async def clocks(settings: Settings, sources: tuple[str, ...]) -> AsyncIterator[Clocks]:
    """The clocks of these publishers. Errors: InstanceError, Rebased."""
    made = Clocks(database_urls(settings), secret_of(settings), "console", frozenset())
    try:
        for source in sources:
            await made.of(source)
        yield made
    finally:
        await made.close()
