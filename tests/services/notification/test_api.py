"""Deliveries over HTTP, and the mailbox page."""

from pathlib import Path

import msgspec
import pytest

from tests.services.notification.conftest import MAILBOX, Sale, Shop, opened, registered, request
from tradepost.contracts.order import Guest
from tradepost.kernel.errors import NotFound
from tradepost.kernel.http.openapi import document
from tradepost.kernel.ids import new_id
from tradepost.services.notification import api, service
from tradepost.services.notification.api import DeliveryQuery, MailboxQuery
from tradepost.settings import NotificationSettings, read


async def listed(shop: Shop, **query: object) -> list[str]:
    call = request(query=msgspec.convert(query, DeliveryQuery))
    return [one.id for one in (await api.list_deliveries(call, shop.desk)).data]


async def mailbox(shop: Shop, **query: str) -> str:
    return (await api.show_mailbox(request(None, query=MailboxQuery(**query)), shop.desk)).text


async def test_deliveries_are_listed_newest_first_by_order_channel_and_status(shop: Shop) -> None:
    one, two = (Sale(new_id(), user_id=new_id()) for _ in range(2))
    await shop.hear(registered(str(one.user_id), phone="+491"))
    for fact in (one.created, one.paid, one.shipped, two.created):
        await shop.hear(fact)
    ids = {(d.order_id, d.template, str(d.channel)): d.id for d in await shop.deliveries()}
    created, paid = ids[one.id, "order_created", "email"], ids[one.id, "order_paid", "email"]
    sms, waiting = ids[one.id, "order_shipped", "sms"], ids[two.id, "order_created", "email"]

    assert (await listed(shop, order_id=one.id))[-2:] == [paid, created]
    assert len(await listed(shop, order_id=one.id)) == 4
    assert await listed(shop, order_id=one.id, channel="sms") == [sms]
    assert await listed(shop, status="waiting") == [waiting]
    assert await listed(shop, limit=1) == [waiting]
    assert await listed(shop, limit=1, starting_after=paid) == [created]
    assert await listed(shop, limit=1, ending_before=created) == [paid]


async def test_the_mailbox_shows_the_newest_message_first_and_filters_by_recipient(shop: Shop) -> None:
    await shop.hear(registered(ada := new_id(), phone="+491"), registered(bob := new_id(), "bob@example.com"))
    await shop.hear(Sale(new_id(), user_id=ada, number="T-1").shipped)
    await shop.hear(Sale(new_id(), user_id=bob, number="T-2").paid)

    page = await mailbox(shop)
    assert page.index("order T-2") < page.index("order T-1")
    assert "to +491" in page
    bobs = await mailbox(shop, to="BOB@")
    assert "T-2" in bobs
    assert "T-1" not in bobs
    assert "Nothing for “nobody”" in await mailbox(shop, to="nobody")


async def test_the_mailbox_is_paged(shop: Shop) -> None:
    guest = Guest(email="gus+1@example.com", name="Gus")
    for n in range(21):
        await shop.hear(Sale(new_id(), guest=guest, number=f"T-{n:02}").paid)
    page = await mailbox(shop, to="gus+1@")
    assert "T-01" in page
    assert "T-00" not in page
    oldest = (await shop.deliveries())[1]
    assert f'href="/mailbox?to=gus%2B1%40&amp;starting_after={oldest.id}"' in page
    older = await mailbox(shop, to="gus+1@", starting_after=oldest.id)
    assert "T-00" in older
    assert "Older messages" not in older


async def test_whatever_people_typed_in_is_only_text_in_the_mailbox(shop: Shop) -> None:
    guest = Guest(email='"<b>"@example.com', name="<script>alert(1)</script>")
    await shop.hear(Sale(new_id(), guest=guest, number="<i>").created)
    page = await mailbox(shop, to='"<b>')

    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<i>" not in page
    assert "<b>" not in page
    assert 'value="&#34;&lt;b&gt;"' in page
    assert "default-src &#39;none&#39;" not in page
    assert "default-src 'none'" in page


@pytest.mark.parametrize(
    "settings",
    [
        NotificationSettings(None, None, "shop@tradepost.test", mailbox=False),
        NotificationSettings("smtp://mail.test", None, "shop@tradepost.test", mailbox=True),
    ],
)
async def test_there_is_no_mailbox_where_others_could_read_it_or_mail_goes_out(
    database_url: str, tmp_path: Path, settings: NotificationSettings
) -> None:
    async with opened(database_url, tmp_path, settings) as shop:
        with pytest.raises(NotFound):
            await mailbox(shop)


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("shop.example.com", False)],
)
def test_only_a_host_that_nobody_else_reaches_has_a_mailbox(host: str, shown: bool) -> None:
    assert read({"HOST": host}).notification.mailbox is shown
    assert not read({"HOST": host, "TRADEPOST_TRUSTED_PROXIES": "127.0.0.1"}).notification.mailbox  # but a proxy's
    assert MAILBOX.mailbox


def test_the_table_of_endpoints_is_sound() -> None:
    paths = document(service.endpoints, "notification", "1")["paths"]
    assert set(paths) == {
        "/notification/deliveries",
        "/notification/deliveries/{delivery_id}/resend",
        "/mailbox",
    }
    assert paths["/mailbox"]["get"]["tags"] == ["notification"]
