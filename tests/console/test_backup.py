"""`tradepost backup` and `restore`: a shop that sells is backed up, and goes on elsewhere as if nothing had been."""

import asyncio
import errno
import json
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from tests import databases
from tests.patience import PATIENCE_S
from tests.shop import Shop, eventually, open_shop
from tradepost import settings as setting
from tradepost.console.audit import audit
from tradepost.console.backup.make import backup
from tradepost.console.backup.manifest import NAME, BackupError
from tradepost.console.backup.programs import ProgramError, is_harmless, split_password
from tradepost.console.backup.restore import restore
from tradepost.console.instance import NAMES
from tradepost.kernel import postgres
from tradepost.kernel.ids import new_id
from tradepost.kernel.keys import UnusableKey, load_or_create_keys
from tradepost.kernel.migrate import migrate
from tradepost.main import SERVICES
from tradepost.settings import Settings

pytestmark = pytest.mark.xdist_group("backup")  # what they share is made once

SECRET: Final = "5" * 64
APART: Final = ("order", "payment", "notification")
ORDERS: Final = 'SELECT count(*) FROM "order".orders'


def told(_line: str) -> None:
    """Nobody listens."""


def room(data: Path, urls: Mapping[str, str] | None = None) -> Settings:
    """The settings of an instance, with databases of its own or an embedded one."""
    named = {f"TRADEPOST_{name.upper()}_DATABASE_URL": url for name, url in (urls or {}).items()}
    return setting.read({"TRADEPOST_DATA": str(data), **named})


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of another server, where roles may get other passwords."""
    running = postgres.start(tmp_path_factory.mktemp("elsewhere") / "data", fsync=False)
    yield running.url
    running.stop()


@contextmanager
def server_in(data: Path) -> Iterator[str]:
    running = postgres.start(data, fsync=False)
    try:
        yield running.url
    finally:
        running.stop()


async def empty_databases(server: str, *names: str) -> list[str]:
    connection = await asyncpg.connect(server)
    try:
        for name in names:
            await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return [server.replace("/tradepost?", f"/{name}?") for name in names]


@asynccontextmanager
async def going_on(urls: Mapping[str, str], data: Path) -> AsyncIterator[Shop]:
    """The restored shop, whose roles get the passwords of the tests."""
    for url in sorted(set(urls.values())):
        schemas = [(service.name, service.package) for service in SERVICES if urls[service.name] == url]
        await migrate(url, schemas, databases.SECRET)
    async with open_shop(urls["user"], data, apart=urls) as shop:
        yield shop


async def clean(urls: Mapping[str, str], wait_s: float = PATIENCE_S) -> list[str]:
    """What an audit says that finds nothing."""
    lines: list[str] = []
    code = await audit(urls, journal=None, wait_s=wait_s, echo=lines.append)
    assert code == 0, lines
    return lines


async def count(urls: Mapping[str, str], service: str, sql: str) -> int:
    connection = await asyncpg.connect(urls[service])
    try:
        return int(await connection.fetchval(sql))
    finally:
        await connection.close()


async def sell(shop: Shop, until: asyncio.Event) -> None:
    buyer = shop.client(new_id())
    while not until.is_set():
        await asyncio.gather(*(shop.buy(buyer, "MUG-1") for _ in range(4)))


async def backed_up_while_selling(urls: Mapping[str, str], data: Path, folder: Path) -> int:
    """How many orders the shop had taken when it closed, at least one of them after the backup."""
    async with open_shop(urls["user"], data, apart=urls) as shop:
        await shop.product("MUG-1", stock=5_000)
        stop = asyncio.Event()
        selling = asyncio.create_task(sell(shop, stop))
        await eventually(lambda: count(urls, "order", ORDERS), lambda orders: orders >= 10)
        await backup(room(data, urls), folder, told)
        await shop.buy(shop.client(new_id()), "MUG-1")
        stop.set()
        await selling
    return await count(urls, "order", ORDERS)


@pytest.fixture(scope="module")
def sold(server: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A backup of a shop whose services share a database, and how many orders there were in the end."""
    folder = tmp_path_factory.mktemp("sold")
    (folder / "data").mkdir()
    (folder / "data/secret").write_text(SECRET)

    async def make() -> int:
        url = await databases.create(server)
        try:
            return await backed_up_while_selling(dict.fromkeys(NAMES, url), folder / "data", folder / "backup")
        finally:
            await databases.drop(server, url)

    return folder / "backup", asyncio.run(make())


async def test_a_shop_that_sold_meanwhile_is_restored_clean_and_every_consumer_goes_on(
    sold: tuple[Path, int], tmp_path: Path
) -> None:
    folder, orders = sold
    data = tmp_path / "data"

    await restore(room(data), folder, told)

    assert (data / "secret").read_text() == SECRET
    assert load_or_create_keys(data / "keys") == load_or_create_keys(folder / "secrets/keys")
    with server_in(data) as url:
        urls = dict.fromkeys(NAMES, url)
        restored = await count(urls, "order", ORDERS)
        assert 0 < restored < orders
        await goes_on(urls, tmp_path)
        assert await count(urls, "order", ORDERS) == restored + 2


async def goes_on(urls: Mapping[str, str], data: Path) -> None:
    """It finishes what was under way, and an order after that reaches every service."""
    async with going_on(urls, data / "own") as shop:
        buyer = shop.client(new_id())
        bought = await shop.buy(buyer, "MUG-1")
        assert bought.json["status"] == "paid"
        await clean(urls)
        await shop.turn_carrier(3_601)
        await shop.order_becomes(bought.json["order_id"], "shipped")
        refused = await shop.buy(buyer, "MUG-1", payment_method="pm_card_chargeDeclined")
        assert refused.status == 402
        await clean(urls)


@pytest.fixture(scope="module")
def sold_apart(server: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A backup of a shop whose services have four databases, and how many orders there were in the end."""
    folder = tmp_path_factory.mktemp("apart")

    async def make() -> int:
        made = [await databases.create(server) for _ in range(len(APART) + 1)]
        urls = dict.fromkeys(NAMES, made[-1]) | dict(zip(APART, made, strict=False))
        try:
            return await backed_up_while_selling(urls, folder / "data", folder / "backup")
        finally:
            for url in made:
                await databases.drop(server, url)

    return folder / "backup", asyncio.run(make())


async def test_several_databases_are_restored_to_as_many(
    sold_apart: tuple[Path, int], elsewhere: str, tmp_path: Path
) -> None:
    folder, orders = sold_apart
    fresh = await empty_databases(elsewhere, "o1", "p1", "n1", "rest1")
    targets = dict.fromkeys(NAMES, fresh[-1]) | dict(zip(APART, fresh, strict=False))

    await restore(room(tmp_path / "again", targets), folder, told)

    assert 0 < await count(targets, "order", ORDERS) < orders
    assert await count(targets, "order", "SELECT count(*) FROM log.source") == 1
    await goes_on(targets, tmp_path)


async def test_several_databases_are_restored_to_one(sold_apart: tuple[Path, int], tmp_path: Path) -> None:
    await restore(room(tmp_path / "data"), sold_apart[0], told)

    with server_in(tmp_path / "data") as url:
        await goes_on(dict.fromkeys(NAMES, url), tmp_path)


async def test_one_database_is_restored_to_several(sold: tuple[Path, int], elsewhere: str, tmp_path: Path) -> None:
    fresh = await empty_databases(elsewhere, "o2", "p2", "n2", "rest2")
    targets = dict.fromkeys(NAMES, fresh[-1]) | dict(zip(APART, fresh, strict=False))

    await restore(room(tmp_path / "again", targets), sold[0], told)

    await goes_on(targets, tmp_path)


def copied(backup_: Path, tmp_path: Path) -> Path:
    """A copy to do harm to."""
    copy = tmp_path / "copy"
    for path in backup_.rglob("*"):
        if path.is_file():
            place = copy / path.relative_to(backup_)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    return copy


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (lambda folder: flip(folder / "order.dump"), r"is damaged: order\.dump was changed"),
        (lambda folder: (folder / "log-1.dump").unlink(), r"is damaged: log-1\.dump is missing"),
        (lambda folder: os.truncate(folder / "user.dump", 100), r"is damaged: user\.dump was changed"),
        (lambda folder: (folder / "secrets/secret").write_text("0" * 64), r"is damaged: secrets/secret was changed"),
        (lambda folder: (folder / NAME).unlink(), "is no backup, or one that was never finished"),
        (lambda folder: os.truncate(folder / NAME, 100), r"manifest\.json is damaged"),
    ],
    ids=["a bit", "a file", "a tail", "the secret", "the manifest", "the manifest's end"],
)
async def test_a_damaged_backup_is_refused_and_nothing_is_made_of_it(
    sold: tuple[Path, int], tmp_path: Path, harm: Any, complaint: str
) -> None:
    copy = copied(sold[0], tmp_path)
    harm(copy)

    with pytest.raises(BackupError, match=complaint):
        await restore(room(tmp_path / "data"), copy, told)
    assert not (tmp_path / "data").exists()


async def test_a_backup_of_a_newer_version_is_refused(sold: tuple[Path, int], tmp_path: Path) -> None:
    copy = copied(sold[0], tmp_path)
    manifest = json.loads((copy / NAME).read_text())
    manifest["databases"][0]["migrations"]["order"].append("tradepost.services.order/0099_from_the_future.sql")
    (copy / NAME).write_text(json.dumps(manifest))

    with pytest.raises(BackupError, match="is newer than this one"):
        await restore(room(tmp_path / "data"), copy, told)
    assert not (tmp_path / "data").exists()


async def test_a_restore_that_fails_leaves_nothing_and_the_next_one_succeeds(
    sold: tuple[Path, int], tmp_path: Path, elsewhere: str
) -> None:
    (url,) = await empty_databases(elsewhere, "failing")
    targets, copy = dict.fromkeys(NAMES, url), copied(sold[0], tmp_path)
    manifest = json.loads((copy / NAME).read_text())
    manifest["databases"][0]["events"]["order"] += 1
    (copy / NAME).write_text(json.dumps(manifest))

    for where in (room(tmp_path / "data"), room(tmp_path / "external", targets)):
        with pytest.raises(BackupError, match=r"order\.dump has \d+ events, and \d+ were backed up"):
            await restore(where, copy, told)
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"lock"}
    assert await count(targets, "order", "SELECT count(*) FROM pg_namespace WHERE nspname IN ('order', 'log')") == 0

    await restore(room(tmp_path / "data"), sold[0], told)
    await restore(room(tmp_path / "external", targets), sold[0], told)
    assert (tmp_path / "data/postgres").is_dir()
    assert await count(targets, "order", ORDERS) > 0


async def test_what_a_killed_restore_has_left_is_replaced(
    sold: tuple[Path, int], tmp_path: Path, elsewhere: str
) -> None:
    (url,) = await empty_databases(elsewhere, "killed")
    targets, data = dict.fromkeys(NAMES, url), tmp_path / "data"
    connection = await asyncpg.connect(url)
    await connection.execute('CREATE SCHEMA tradepost_restoring; CREATE SCHEMA "order"; CREATE TABLE "order".half ()')
    await connection.close()
    left = postgres.start(data / "restoring", fsync=False)
    left._lock.release()  # as when the restore that started it is gone, and its server is not

    await restore(room(data), sold[0], told)
    await restore(room(tmp_path / "external", targets), sold[0], told)

    assert not left.is_alive
    assert {path.name for path in data.iterdir()} == {"lock", "postgres", "secret", "keys", "payment", "shipping"}
    assert await count(targets, "order", "SELECT count(*) FROM pg_class WHERE relname = 'half'") == 0


async def test_a_place_that_holds_a_shop_is_refused_and_left_alone(
    sold: tuple[Path, int], tmp_path: Path, elsewhere: str
) -> None:
    (url,) = await empty_databases(elsewhere, "occupied")
    connection = await asyncpg.connect(url)
    await connection.execute('CREATE SCHEMA "order"; CREATE TABLE "order".orders ()')
    await connection.close()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/secret").write_text(SECRET)

    with pytest.raises(BackupError, match=r"holds a shop \(secret\): move it away"):
        await restore(room(tmp_path / "data"), sold[0], told)
    with pytest.raises(BackupError, match=r"the database occupied holds a shop already \(order\)"):
        await restore(room(tmp_path / "external", dict.fromkeys(NAMES, url)), sold[0], told)

    assert {path.name for path in (tmp_path / "data").iterdir()} == {"secret", "lock"}
    assert await count({"order": url}, "order", ORDERS) == 0


async def test_a_backup_needs_a_new_folder_and_a_failed_one_leaves_none(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = room(tmp_path / "data", dict.fromkeys(NAMES, database_url))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/something").touch()
    with pytest.raises(BackupError, match="exists and is not empty"):
        await backup(where, tmp_path / "full", told)

    monkeypatch.setenv("PGOPTIONS", "-c search_path=x -c transaction_read_only=neither")  # pg_dump gets nowhere
    with pytest.raises(ProgramError, match=r"pg_dump failed: .*transaction_read_only"):
        await backup(where, tmp_path / "new", told)
    assert {path.name for path in tmp_path.iterdir()} == {"full"}


@pytest.mark.parametrize("name", ["keys", "payment"])
async def test_a_folder_of_secrets_that_cannot_be_read_is_not_left_out(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder, data = tmp_path / "data" / name, tmp_path / "data"
    folder.mkdir(parents=True)
    for reading in ("listdir", "scandir"):  # which root may
        monkeypatch.setattr(os, reading, refusing(getattr(os, reading), folder))

    with pytest.raises(UnusableKey, match=rf"^{folder} can't be used \(Permission denied\): run this as the user that"):
        await backup(room(data, dict.fromkeys(NAMES, database_url)), tmp_path / "new", told)
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def refusing(reading: Callable[[Any], Any], folder: Path) -> Callable[[Any], Any]:
    def read(place: Any) -> Any:
        if place == folder:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
        return reading(place)

    return read


def test_only_its_owner_can_read_a_backup(sold: tuple[Path, int]) -> None:
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (sold[0], *sold[0].rglob("*"))}
    assert modes == {0o600, 0o700}
    assert (sold[0] / "secrets/secret").read_text() == SECRET


@pytest.mark.parametrize(
    ("url", "shown", "password"),
    [
        ("postgresql://a:b%40c@h:5/x?sslmode=require", "postgresql://a@h:5/x?sslmode=require", "b@c"),
        ("postgresql://a:pw@/x?host=/run/s&port=5", "postgresql://a@/x?host=/run/s&port=5", "pw"),
        ("postgresql://h/x?user=a&password=p%26q", "postgresql://h/x?user=a", "p&q"),
        ("postgresql:///x", "postgresql:///x", None),
    ],
)
def test_a_password_is_on_no_command_line(url: str, shown: str, password: str | None) -> None:
    assert split_password(url) == (shown, {"PGPASSWORD": password} if password else {})


def test_an_older_servers_one_complaint_is_no_failure_and_any_other_is() -> None:
    unknown = 'pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "{}"\n'
    ignored = "Command was: SET transaction_timeout = 0;\npg_restore: warning: errors ignored on restore: {}\n"
    assert is_harmless(unknown.format("transaction_timeout") + ignored.format(1))
    assert not is_harmless(unknown.format("transaction_timeout"))  # it ended there
    assert not is_harmless(unknown.format("colour") + ignored.format(1))
    assert not is_harmless(2 * unknown.format("transaction_timeout") + ignored.format(2))
