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
from tradepost.kernel.service import Room
from tradepost.services.user import service
from tradepost.services.user.desk import ISSUER
from tradepost.services.user.opening import load_or_create_key
from tradepost.settings import UserSettings, read


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


async def test_a_mail_server_that_makes_no_sense_stops_the_start(db: Database, tmp_path: Path) -> None:
    settings = UserSettings("admin@shop.test", None, smtp_url="mail.test")
    with pytest.raises(ValueError, match="TRADEPOST_SMTP_URL"):
        async with service.open(room(db, tmp_path, settings)):
            pass
    assert await db.fetchval("SELECT count(*) FROM account") == 0
