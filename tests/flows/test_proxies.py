"""Behind a proxy that is named, a stranger's wrong passwords hold up nobody but himself."""

from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Final

import pytest

from tests.kernel.http.driver import Client, Response
from tests.shop import Shop, open_shop
from tradepost.gateway.proxies import Proxies
from tradepost.kernel.clock import now
from tradepost.services.user.api import session

ADA: Final = {"email": "ada@shop.test", "password": "a fine long password", "name": "Ada"}
HERS: Final = "2001:db8:0:1::7"
HIS: Final = "198.51.100.7"


@pytest.fixture
async def shop(database_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    """One that delays log-ins, and believes 192.0.2.1, as which the test's own clients connect."""
    proxies = Proxies([ip_network("192.0.2.1")])
    async with open_shop(database_url, tmp_path, rate_limits="on", proxies=proxies) as opened:
        yield opened


async def log_in(shop: Shop, address: str, password: str = ADA["password"]) -> Response:
    client = Client(shop.app, {"x-forwarded-for": address})
    return await client.post("/user/login", {"email": ADA["email"], "password": password})


async def test_wrong_passwords_are_counted_where_the_client_is(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.public.post("/user/register", ADA)
    moment = now()
    monkeypatch.setattr(session, "now", lambda: moment)
    wrong = [await log_in(shop, f"{made_up}, {HIS}", "wrong") for made_up in ("junk", HERS, *["192.0.2.1"] * 4)]
    his, hers = await log_in(shop, HIS), await log_in(shop, HERS)

    assert [answer.status for answer in wrong] == [401] * 6
    assert his.error == (429, "login_delayed")
    assert hers.status == 200


async def test_a_session_tells_where_it_was_begun(shop: Shop) -> None:
    await shop.public.post("/user/register", ADA)
    token = (await log_in(shop, f"{HIS}, {HERS}")).json["access_token"]
    listed = await Client(shop.app, {"authorization": f"Bearer {token}"}).get("/user/sessions")

    assert [one["address"] for one in listed.json["data"]] == [HERS]
