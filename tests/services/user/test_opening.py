"""Opening the desk, and what it is told by the settings."""

from pathlib import Path
from typing import Any, cast

import pytest

from tradepost.kernel.auth import Verifier
from tradepost.kernel.clock import now
from tradepost.kernel.database import Database
from tradepost.kernel.http.openapi import document
from tradepost.kernel.keys import keys_of
from tradepost.kernel.log.watch import Watch
from tradepost.kernel.mail import mail_server_of
from tradepost.kernel.service import Room
from tradepost.services.user import service
from tradepost.services.user.desk import ISSUER
from tradepost.services.user.opening import load_or_create_key
from tradepost.services.user.providers import Smtp
from tradepost.settings import DEFAULT_SENDER, UserSettings, read


def room(db: Database, data: Path, settings: UserSettings) -> Room:
    return Room(db=db, watch=cast(Watch, None), settings=settings, data=data)


async def test_keys_and_administrator_outlive_a_restart(db: Database, tmp_path: Path) -> None:
    settings = UserSettings("admin@shop.test", None)
    async with service.open(room(db, tmp_path, settings)) as first:
        token = first.signer.issue("somebody", ["customer"], [], "session", now())
    async with service.open(room(db, tmp_path, settings)) as second:
        caller = Verifier(keys_of(second.jwks), ISSUER).verify(token)

    assert caller.user_id == "somebody"
    assert (first.first_admin[0], len(first.first_admin[1]), second.first_admin) == ("admin@shop.test", 20, None)
    assert first.key == second.key
    assert first.smtp is None


async def test_letters_go_where_the_url_says(db: Database, tmp_path: Path) -> None:
    url = "smtp+starttls://me:p%2Fw@mail.test"
    async with service.open(room(db, tmp_path, UserSettings("admin@shop.test", None, smtp_url=url))) as desk:
        assert desk.smtp == Smtp(server=mail_server_of(url), sender=DEFAULT_SENDER)


async def test_a_mail_server_that_makes_no_sense_stops_the_start(db: Database, tmp_path: Path) -> None:
    settings = UserSettings("admin@shop.test", None, smtp_url="mail.test")
    with pytest.raises(ValueError, match="TRADEPOST_SMTP_URL"):
        async with service.open(room(db, tmp_path, settings)):
            pass
    assert await db.fetchval("SELECT count(*) FROM account") == 0


def test_every_endpoint_can_be_described() -> None:
    described: Any = document(service.endpoints, "user", "1")
    assert set(described["paths"]) == {endpoint.path for endpoint in service.endpoints}


def test_settings_come_from_the_environment() -> None:
    environment = {
        "HOST": "0.0.0.0",
        "PORT": "9000",
        "TRADEPOST_RATE_LIMITS": "off",
        "TRADEPOST_ADMIN_EMAIL": "a@b.test",
        "TRADEPOST_SMTP_URL": "smtp://mail.test",
        "TRADEPOST_MAIL_FROM": "me@b.test",
    }
    assert read(environment).user == UserSettings(
        "a@b.test", None, False, "smtp://mail.test", "me@b.test", "http://127.0.0.1:9000"
    )
    assert read({"TRADEPOST_PUBLIC_URL": "https://shop.test/"}).user.public_url == "https://shop.test"
    assert read({}).user == UserSettings("admin@tradepost.local", None)


def test_the_key_of_links_is_made_once_and_read_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "links.key"
    made = load_or_create_key(path)

    assert (len(made), load_or_create_key(path)) == (32, made)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["links.key"]
    path.write_bytes(b"short")
    with pytest.raises(ValueError, match="damaged"):
        load_or_create_key(path)
