"""One process from start to end: its signals, its database, and its troubles told in one line each."""

import asyncio
import errno
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
import msgspec
import structlog

from tradepost.gateway.server import ListenError
from tradepost.gateway.upstreams import NoInstances
from tradepost.kernel import postgres
from tradepost.kernel.brokers.opening import NoClient
from tradepost.kernel.brokers.port import WrongBroker
from tradepost.kernel.keys import UnusableKey, usable
from tradepost.kernel.log.clocks import UnknownDatabase
from tradepost.kernel.log.ticks import Rebased
from tradepost.kernel.migrate import MigrationError
from tradepost.kernel.postgres import InstanceLock, PostgresError, read_secret
from tradepost.settings import Settings, SettingsError

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
CONNECT_S: Final = 10.0
WATCH_S: Final = 0.5
OLDEST: Final = 15  # major version of PostgreSQL
RESTORING: Final = "restoring"  # in the data folder, while `tradepost restore` fills it
RESTORING_SCHEMA: Final = "tradepost_restoring"  # in a database of one's own meanwhile
COLLECTED: Final = (10_000, 10, 100)  # garbage, by age: a batch of events is many thousand objects, dropped without it
FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class DatabaseError(Exception):
    """The operator's own PostgreSQL can't be used; the message is one line that names no secret."""


class HalfRestored(Exception):
    """A restore was cut off here, or is still under way; the message is one line."""


TOLD: Final = (
    PostgresError,
    SettingsError,
    MigrationError,
    ListenError,
    Rebased,
    WrongBroker,
    NoClient,
    NoInstances,
    UnknownDatabase,
    UnusableKey,
    DatabaseError,
    HalfRestored,
)
_HALF_RESTORED: Final = "SELECT current_database() FROM pg_namespace WHERE nspname = $1"
DATABASE: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError)

logger = structlog.get_logger()


class Whereabouts(msgspec.Struct, frozen=True):
    """Where this instance is found by command-line tools, in `run/gateway.json` of the data folder."""

    url: str
    pid: int


@dataclass(frozen=True)
class Backing:
    """The URL of each service's database, the installation's secret, and whether an embedded server still runs. `left`
    is a data folder that has a database, too, which is not used."""

    databases: Mapping[str, str]
    secret: str
    is_alive: Callable[[], bool]
    left: Path | None = None


@contextmanager
def backing(settings: Settings, names: Sequence[str], own: Sequence[str], *, embedded: bool) -> Iterator[Backing]:
    """The databases of the services of these `names`, of which `own` must be known; with `embedded`, the data folder is
    ours, and a server runs in it where no other is set. Errors: PostgresError, SettingsError, HalfRestored,
    UnusableKey."""
    _refuse_half_restored(settings.data)
    for name in settings.databases.keys() | settings.urls.keys():
        if name not in names:
            raise SettingsError(f"there is no service {name!r}: look at the TRADEPOST_{name.upper()}_... variables")
    urls = {name: settings.databases.get(name) or settings.database_url for name in names}
    known = {name: url for name, url in urls.items() if url is not None}
    missing = [name for name in own if name not in known]
    if not missing:
        with InstanceLock(settings.data) if embedded else nullcontext():
            left = settings.data if (settings.data / "postgres").exists() else None
            yield Backing(known, settings.secret or read_secret(settings.data), lambda: True, left)
        return
    if not embedded:
        variables = f"TRADEPOST_DATABASE_URL or TRADEPOST_{missing[0].upper()}_DATABASE_URL"
        raise SettingsError(f"{missing[0]} has no database: set {variables}; `tradepost up` brings one of its own")
    server = postgres.start(settings.data)
    try:
        databases = {name: url or server.url for name, url in urls.items()}
        yield Backing(databases, settings.secret or read_secret(settings.data), lambda: server.is_alive)
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # an impatient Ctrl-C must not leave it behind
        server.stop()


async def begin_again_without(backing: Backing) -> None:
    """Watch the embedded server. When it dies, this process becomes a new `tradepost up`, which recovers: what was
    under way is as after a crash, and clients see their connections end."""
    while backing.is_alive():
        await asyncio.sleep(WATCH_S)
    logger.critical("postgres_died", what="starting again")
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def _refuse_half_restored(data: Path) -> None:
    """Errors: HalfRestored, UnusableKey. The secret is the last that a restore moves in: with it, all is there."""
    with usable(data):
        is_half = (data / RESTORING).exists() and not (data / "secret").exists()
    if is_half:
        raise HalfRestored(
            f"a restore into {data} is under way or was cut off: then run it again, or delete {data / RESTORING}"
        )


async def check_databases(urls: Collection[str], left: Path | None) -> None:
    """Errors: those of `check_database`; DatabaseError when none of them has a shop, while one was `left` behind."""
    found = [await check_database(url) for url in urls]
    if left is not None and not any(found):
        raise DatabaseError(
            f"the database has no shop, and {left} has one: move it with `tradepost backup` and `restore`, "
            "or set TRADEPOST_DATA to another folder to begin anew"
        )


async def connect(url: str, services: Sequence[str] = (), **options: Any) -> Any:
    """A connection to the database at `url`, which is that of `services` where they are named. Errors: DatabaseError
    when the server doesn't let us in."""
    try:
        return await asyncpg.connect(url, timeout=CONNECT_S, **options)
    except DATABASE as error:
        raise DatabaseError(_why(url, services, error)) from error


async def check_database(url: str, *, restoring: bool = False) -> bool:
    """Whether there is a shop in it. Errors: DatabaseError when the server at `url` doesn't let us in, or is too old;
    HalfRestored, unless we are `restoring`."""
    connection = await connect(url)
    try:
        version = connection.get_server_version()
        if version.major < OLDEST:
            raise DatabaseError(f"the database runs PostgreSQL {version.major}: Tradepost needs {OLDEST} or newer")
        if not restoring and (name := await connection.fetchval(_HALF_RESTORED, RESTORING_SCHEMA)):
            raise HalfRestored(f"a restore into the database {name} is under way or was cut off: then run it again")
        return bool(await connection.fetchval("SELECT to_regclass('log.tick') IS NOT NULL"))
    finally:
        await connection.close()


def allow_many_connections() -> None:
    """As many open files as the system lets us have: a call may take two."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def collect_rarely() -> None:
    """From now on look for garbage less often, and never at what is there already."""
    gc.freeze()
    gc.set_threshold(*COLLECTED)


def local_url(settings: Settings) -> str:
    """Where this machine reaches the gateway."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


@contextmanager
def announced(data: Path, whereabouts: Whereabouts, *, gateway: bool) -> Iterator[None]:
    """Command-line tools find the gateway meanwhile, where there is one."""
    if not gateway:
        yield
        return
    path = data / "run" / "gateway.json"
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(whereabouts))
    fresh.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def signals(first: Callable[[], object], again: Callable[[], object]) -> Iterator[None]:
    """In the running loop: Ctrl-C, or being told to end, calls `first`, and `again` each further time."""
    loop, times = asyncio.get_running_loop(), 0

    def hear() -> None:
        nonlocal times
        times += 1
        (first if times == 1 else again)()

    for number in SIGNALS:
        loop.add_signal_handler(number, hear)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, interrupt)


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """The handler of signals outside the loop: being told to end is like Ctrl-C."""
    raise KeyboardInterrupt


def told(error: BaseException) -> str | None:
    """The one line that tells the operator about `error`, None when it is a bug and needs its traceback."""
    if isinstance(error, TOLD):
        return " ".join(str(error).split())
    if isinstance(error, asyncpg.DiskFullError) or (isinstance(error, OSError) and error.errno in FULL):
        return "the disk is full: free some space and start again"
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return f"the role in TRADEPOST_DATABASE_URL may not do what a migration needs ({error}): give it CREATEROLE"
    return None


def _why(url: str, services: Sequence[str], error: Exception) -> str:
    where, whose = "the database", f"{', '.join(services)}: " if services else ""
    variables = "".join(f" or TRADEPOST_{name.upper()}_DATABASE_URL" for name in services[:1])
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in ("postgresql", "postgres"):  # of anything else nobody knows what is secret
            where = f"the database {parts.path.lstrip('/')} at {parts.netloc.rpartition('@')[2] or 'the local socket'}"
    return f"{whose}{where} can't be used: {_reason(error)}; see TRADEPOST_DATABASE_URL{variables}"


def _reason(error: Any) -> str:
    if isinstance(error, asyncpg.InvalidPasswordError):
        return "the password is wrong"
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_S:g} s"
    if isinstance(error, OSError):
        refused = isinstance(error, ConnectionRefusedError) or not error.strerror
        return f"it can't be reached ({'connection refused' if refused else error.strerror})"
    if isinstance(error, asyncpg.PostgresError):
        return str(error)
    return "its URL is not of the form postgresql://role:password@host:5432/name"
