"""One-time links, and the letters that bring them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import structlog
from aiosmtpd.controller import UnthreadedController

from tests.services.user.house import PASSWORD, House
from tradepost.kernel.clock import now
from tradepost.services.user.jobs import send_letters
from tradepost.services.user.providers import Smtp, smtp_of
from tradepost.services.user.queries.session import revoked_sessions

NEW = "another fine password"


async def test_a_forgotten_password_is_replaced_once_by_a_link(house: House) -> None:
    await house.register()
    held = (await house.log_in()).json["access_token"]

    asked = await house.anonymous.post("/user/password/forgot", {"email": "ADA@shop.test"})
    token = await house.token("ada@shop.test", "reset_password")
    body = {"token": token, "password": NEW}
    first = await house.anonymous.post("/user/password/reset", body)
    second = await house.anonymous.post("/user/password/reset", {**body, "password": "yet another one"})

    assert (asked.status, first.status) == (202, 204)
    assert second.error == (422, "invalid_link")
    assert [(await house.log_in(password=password)).status for password in (PASSWORD, NEW)] == [401, 200]
    assert await revoked_sessions(house.desk.db) == {house.verifier.verify(held).session_id}
    assert (await house.letters("ada@shop.test"))[0]["template"] == "password_changed"
    assert await house.desk.db.fetchval("SELECT email_verified_at IS NOT NULL FROM account")
