"""Commands that can't do their work: one line says why, and nothing is left behind."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
import pytest

from tests.console import story as stories
from tests.console.calling import Called, tradepost
from tests.console.commands import commands
from tests.console.story import Story
from tests.databases import SECRET
from tests.patience import PATIENCE_S
from tests.ports import free_port
from tradepost.console.backup.manifest import FORMAT, NAME, Manifest
from tradepost.kernel.clock import now
from tradepost.kernel.keys import CURRENT, load_or_create_keys
from tradepost.main import KEYS
from tradepost.process import RESTORING_SCHEMA

AWAY: Final = "postgresql://nobody:hush@127.0.0.1:1/none"
ID: Final = "0193b2f0-7c1e-7000-8000-000000000001"
EXAMPLES: Final = {
    "up": "up",
    "run": "run all",
    "import": "import file",
    "simulate": "simulate file",
    "audit": "audit --wait 0",
    "carrier advance": "carrier advance 60",
    "log lag": "log lag --wait 1",
    "log parked": "log parked",
    "log retry": "log retry --all",
    "log drop": f"log drop shipping {ID} --yes",
    "log split": "log split order payment 8",
    "log merge": "log merge order payment 8",
    "log dead": "log dead",
    "log redrive": "log redrive shipping",
    "log switch": "log switch",
    "log recover": "log recover",
    "log rebase": "log rebase",
    "keys list": "keys list",
    "keys rotate": "keys rotate",
    "events tail": "events tail",
    "events show": f"events show {ID}",
    "events trace": "events trace 1001",
    "events replay": "events replay product.availability",
    "events announce": "events announce product",
    "backup": "backup made",
    "restore": "restore kept",
}
PROCESSES: Final = ("up", "run")  # which set up their process, so they get one
AS_A_SERVICE: Final = (
    "log parked", "log retry", "log drop", "log split", "log merge", "events replay", "events announce",
)  # fmt: skip
ON_AN_INSTANCE: Final = ("import", "simulate", "carrier advance")
BY_A_BROKER: Final = ("log dead", "log redrive")
ON_DATABASES: Final = [
    name for name in EXAMPLES if name not in (*ON_AN_INSTANCE, *BY_A_BROKER, "keys list", "keys rotate")
]
RABBITMQ: Final = {"TRADEPOST_BROKER": "rabbitmq", "TRADEPOST_RABBITMQ_URL": "amqp://shop:hush@127.0.0.1:1/"}
UNREADABLE: Final = "run this as the user that it belongs to, or restore it from a backup"
ORDERS: Final = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with files to name, and a data folder in which nothing is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "file").write_text(f"{ORDERS}1,A,Mug,1,2010-12-01 08:26:00,2.5,17850,UK\n")
    (tmp_path / "kept").mkdir()
    made = Manifest(FORMAT, "0.1.0", now(), 0.0, (), {})
    (tmp_path / "kept" / NAME).write_bytes(msgspec.json.encode(made))
    return tmp_path


def call(name: str, place: Path, url: str = "", **environment: str) -> Called:
    words = EXAMPLES.get(name, name).split()
    settings = {"TRADEPOST_DATA": str(place / "data"), "TRADEPOST_SECRET": "", **environment}
    if words[0] not in PROCESSES:
        return tradepost(url, *words, **settings)
    ours = {key: value for key, value in os.environ.items() if not key.startswith("TRADEPOST_")}
    done = subprocess.run(
        [sys.executable, "-c", "from tradepost.cli import main; main()", *words],
        env={**ours, "TRADEPOST_DATABASE_URL": url, "PORT": str(free_port()), **settings},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Called(done.returncode, done.stdout, done.stderr)


def told(called: Called) -> str:
    """The one line that it ended with, which names no secret."""
    assert called.code in (1, 2), called
    assert (called.err.count("\n"), called.err[:11]) == (1, "tradepost: "), called.err
    assert "hush" not in called.err
    return called.err.removeprefix("tradepost: ").rstrip()


def test_there_is_an_example_of_every_command() -> None:
    assert sorted(EXAMPLES) == sorted(set(commands()) - {"routes"})  # which needs nothing


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in ("up", "restore")])  # they bring their own
def test_where_nothing_runs_it_says_so_and_leaves_the_folder_empty(place: Path, name: str) -> None:
    line = told(call(name, place, **(RABBITMQ if name in BY_A_BROKER else {})))

    data = place / "data"
    expected = {
        "run": "user has no database: set TRADEPOST_DATABASE_URL or TRADEPOST_USER_DATABASE_URL",
        "log rebase": f"there is no shop in {data}: set TRADEPOST_DATA to the folder of one",
        "keys list": f"there are no keys in {data / 'keys'}: set TRADEPOST_DATA",
        "keys rotate": f"there are no keys in {data / 'keys'}: set TRADEPOST_DATA",
        **dict.fromkeys(BY_A_BROKER, "RabbitMQ at 127.0.0.1:1: connecting: "),
        **dict.fromkeys(ON_AN_INSTANCE, f"no Tradepost runs on {data}: start `tradepost up`, or set TRADEPOST_URL"),
    }
    assert expected.get(name, f"no PostgreSQL runs in {data}: start `tradepost up`, or set TRADEPOST_DATA") in line
    assert [*data.iterdir(), *place.glob("made*"), *place.glob(".made*")] == []


@pytest.mark.parametrize("name", AS_A_SERVICE)
def test_the_secret_of_a_shop_is_asked_for_and_not_made(place: Path, name: str) -> None:
    line = told(call(name, place, AWAY))

    data = place / "data"
    assert (
        line
        == f"there is no secret in {data}: set TRADEPOST_SECRET to that of the shop, or TRADEPOST_DATA to its folder"
    )
    assert list(data.iterdir()) == []


@pytest.mark.parametrize("name", ON_DATABASES)
def test_a_database_that_is_away_is_named(place: Path, name: str) -> None:
    line = told(call(name, place, AWAY, TRADEPOST_SECRET=SECRET))

    assert "the database none at 127.0.0.1:1 can't be used: it can't be reached (connection refused)" in line
    assert "; see TRADEPOST_DATABASE_URL" in line


@pytest.mark.parametrize("name", ON_DATABASES)
def test_a_database_url_that_is_none_is_told_without_what_it_says(place: Path, name: str) -> None:
    for url in ("mysql://shop:hush@127.0.0.1/none", "postgresql://shop:hush@127.0.0.1:port/none", "hush"):
        line = told(call(name, place, url, TRADEPOST_SECRET=SECRET))
        assert (
            "its URL is not of the form postgresql://role:password@host:5432/name; see TRADEPOST_DATABASE_URL" in line
        )


@pytest.mark.parametrize("name", [*BY_A_BROKER, *PROCESSES])
@pytest.mark.parametrize(
    "url", ["http://shop:hush@127.0.0.1/", "amqp://shop:hush@[::1/", "amqp://shop:hush@host:port/"]
)
def test_a_url_that_is_none_of_rabbitmq_is_told_without_what_it_says(
    place: Path, told_once: Story, name: str, url: str
) -> None:
    called = call(name, place, told_once.url, **RABBITMQ | {"TRADEPOST_RABBITMQ_URL": url}, TRADEPOST_SECRET=SECRET)

    assert told(called) == "TRADEPOST_RABBITMQ_URL is not of the form amqp://user:password@host:5672/vhost"


@pytest.mark.parametrize("words", ["up", "run user", "run notification"])
def test_a_mail_server_that_makes_no_sense_ends_the_start(place: Path, story: Story, words: str) -> None:
    wrong = {"TRADEPOST_SMTP_URL": "smtp://shop:hush@mail.test:port"}
    line = told(call(words, place, story.url, **wrong, TRADEPOST_SECRET=SECRET))

    forms = "smtp://user:password@host:587, smtp+starttls://... or smtps://..."
    assert line == f"TRADEPOST_SMTP_URL is not of the form {forms}"


@pytest.mark.parametrize(
    ("part", "file", "why"),
    [
        ("user", "keys/signing-current.pem", "is not a private key: restore it from a backup"),
        ("user", "keys/links.key", "is damaged; without it open links don't work, so remove it and start again"),
        ("payment", "payment/webhook-secrets", "holds a webhook secret that is not `whsec_` and base64"),
        ("shipping", "shipping/local.webhook-secret", "does not hold `whsec_` and base64"),
    ],
)
def test_a_damaged_key_file_ends_the_start_and_is_named(
    place: Path, story: Story, part: str, file: str, why: str
) -> None:
    path = place / "data" / file
    path.parent.mkdir()
    path.write_text("hush!")

    for words in ("up", f"run {part}"):
        assert told(call(words, place, story.url, TRADEPOST_SECRET=SECRET)).startswith(f"{path} {why}")


@pytest.mark.parametrize(
    ("part", "file"),
    [
        ("user", "keys/signing-current.pem"),
        ("user", "keys/signing-previous.pem"),
        ("user", "keys/links.key"),
        ("order", "keys/signing-current.pem"),
        ("payment", "payment/webhook-secrets"),
        ("shipping", "shipping/local.webhook-secret"),
        ("order", "secret"),
    ],
)
def test_a_key_file_that_cannot_be_read_ends_the_start_and_is_named(
    place: Path, story: Story, part: str, file: str
) -> None:
    path = place / "data" / file
    path.mkdir(parents=True)
    secret = "" if file == "secret" else SECRET

    for words in ("up", f"run {part}"):
        line = told(call(words, place, story.url, TRADEPOST_SECRET=secret))
        assert line == f"{path} can't be used (Is a directory): {UNREADABLE}"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        *((name, "keys/signing-current.pem") for name in (*ON_AN_INSTANCE, "keys list", "keys rotate")),
        *((name, "secret") for name in AS_A_SERVICE),
    ],
)
def test_a_key_file_that_a_command_cannot_read_is_named(place: Path, told_once: Story, name: str, file: str) -> None:
    path = place / "data" / file
    path.mkdir(parents=True)

    line = told(call(name, place, told_once.url, TRADEPOST_URL="http://127.0.0.1:1"))
    assert line == f"{path} can't be used (Is a directory): {UNREADABLE}"


@pytest.mark.parametrize("name", ON_AN_INSTANCE)
def test_an_instance_whose_whereabouts_cannot_be_read_is_none(
    place: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert told(call(name, place)).startswith(f"no Tradepost runs on {place / 'data'}: start `tradepost up`, or set ")


@pytest.mark.parametrize("name", ON_AN_INSTANCE)
@pytest.mark.parametrize("url", ["127.0.0.1:8000", "http://127.0.0.1:port", "http://[::1", "ftp://127.0.0.1/"])
def test_a_url_that_is_none_of_an_instance_is_told(place: Path, name: str, url: str) -> None:
    line = told(call(name, place, TRADEPOST_URL=url))

    assert line == f"TRADEPOST_URL is {url!r}; expected something like http://127.0.0.1:8000"


@pytest.mark.parametrize("name", ON_AN_INSTANCE)
def test_an_instance_that_is_away_is_named(place: Path, name: str) -> None:
    admin = {"TRADEPOST_ADMIN_EMAIL": "ada@shop.test", "TRADEPOST_ADMIN_PASSWORD": "hush"}

    for more in (admin, {}):
        line = told(call(name, place, TRADEPOST_URL="http://127.0.0.1:1", **more))
        assert "http://127.0.0.1:1 does not answer: " in line if more else "there are no keys in " in line


@pytest.mark.parametrize("name", ON_AN_INSTANCE)
def test_an_instance_that_ends_meanwhile_is_told(place: Path, name: str) -> None:
    load_or_create_keys(place / "data" / KEYS)

    line = told(call(name, place, TRADEPOST_URL="http://127.0.0.1:1"))

    assert line.startswith(("POST /product/imports: ", "http://127.0.0.1:1 does not answer: "))


@pytest.mark.parametrize("name", ["import", "simulate", "carrier advance", "keys list", "keys rotate"])
def test_a_damaged_key_is_named(place: Path, name: str) -> None:
    path = place / "data" / KEYS / CURRENT
    load_or_create_keys(path.parent)
    path.write_text("hush")

    assert f"{path} is not a private key: restore it from a backup" in told(
        call(name, place, TRADEPOST_URL="http://127.0.0.1:1")
    )


@pytest.mark.parametrize("name", ["up", "run", "log rebase"])
def test_what_a_restore_has_left_is_no_shop(place: Path, story: Story, name: str) -> None:
    stories.done(story.url, f"CREATE SCHEMA {RESTORING_SCHEMA}")
    assert told(call(name, place, story.url, TRADEPOST_SECRET=SECRET)).startswith("a restore into the database ")

    (place / "data" / "restoring").mkdir()
    line = told(call(name, place, story.url, TRADEPOST_SECRET=SECRET))
    assert line.startswith(f"a restore into {place / 'data'} is under way or was cut off: then run it again")


def test_another_secret_than_that_of_the_shop_is_told(place: Path, told_once: Story) -> None:
    for name in AS_A_SERVICE:
        line = told(call(name, place, told_once.url, TRADEPOST_SECRET="0" * 64))
        assert line.endswith("is TRADEPOST_SECRET, or the data folder, that of the shop?"), line


@pytest.mark.parametrize("name", ["routes", *EXAMPLES])
@pytest.mark.parametrize("name_of_setting", ["PORT", "TRADEPOST_BROKER", "TRADEPOST_SECRET"])
def test_a_wrong_setting_is_named(place: Path, name: str, name_of_setting: str) -> None:
    if name == "routes":
        assert tradepost("", name, **{name_of_setting: "hush"}).code == 0
    else:
        assert told(call(name, place, AWAY, **{name_of_setting: "wrong"})).startswith(f"{name_of_setting} is ")


@pytest.mark.parametrize("name", ["routes", *EXAMPLES])
def test_an_option_that_it_does_not_have_is_told(name: str) -> None:
    called = tradepost("", *name.split(), "--no-such-option")

    assert (called.code, called.out) == (2, "")
    assert told(called)


@pytest.mark.parametrize(
    "words",
    [
        "nonsense", "log nonsense", "run nonsense", "import nowhere", "import kept", "simulate file --limit 0",
        "simulate file --rate x", "simulate file --run -", "audit --wait soon", "audit --journal nowhere",
        "carrier advance far", "log lag --wait soon", "log parked --group nobody", "log retry", "log retry shipping",
        "log drop shipping", "log drop nobody key --yes", "log split order payment low", "log split nobody payment 8",
        "log split order nobody 8", "log merge order payment low", "log redrive nobody", "events tail --type nonsense",
        "events tail --publisher nobody", "events tail -n many", "events show nonsense", "events trace nonsense",
        "events replay nobody", "events announce nobody", "backup", "restore", "restore nowhere",
    ],
)  # fmt: skip
def test_a_wrong_value_is_told(place: Path, story: Story, words: str) -> None:
    called = tradepost(
        story.url, *words.split(), TRADEPOST_DATA=str(place / "data"), TRADEPOST_URL="http://127.0.0.1:1"
    )

    assert told(called)
