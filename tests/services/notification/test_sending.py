"""Messages that leave: by SMTP to a real server, by HTTP to an SMS gateway, again when that fails."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web

from tests import mail
from tests.mail import MailServer
from tests.services.notification.conftest import MAILBOX, Sale, Shop, opened, registered, request
from tradepost.contracts.user import UserErased
from tradepost.kernel.errors import NotFound
from tradepost.kernel.ids import new_id
from tradepost.kernel.mail import mail_server_of
from tradepost.kernel.telemetry import MESSAGES
from tradepost.services.notification import api
from tradepost.services.notification.domain import TRIES, Channel, NotResendable
from tradepost.services.notification.providers import Message, NotSent, Smtp, open_transports
from tradepost.services.notification.repository.deliveries import COPIED
from tradepost.settings import NotificationSettings, SettingsError

SENDER = "Shop <shop@tradepost.test>"


@pytest.fixture
def mail_server() -> Iterator[tuple[MailServer, str]]:
    with mail.mail_server() as running:
        yield running


@asynccontextmanager
async def sms_gateway(*statuses: int) -> AsyncIterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    """Answers with these statuses in turn and then 200; keeps what it gets."""
    answers, got = list(statuses), []

    async def take(call: web.Request) -> web.Response:
        got.append((call.headers["Idempotency-Key"], await call.json()))
        return web.Response(status=answers.pop(0) if answers else 200)

    app = web.Application()
    app.router.add_post("/sms", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}/sms", got
    await runner.cleanup()


def tried() -> Counter[str]:
    """Tries to send by what came of them, as `/metrics` has them."""
    samples = [sample for metric in MESSAGES.collect() for sample in metric.samples if sample.name.endswith("_total")]
    ours = [sample for sample in samples if sample.labels["service"] == "notification"]
    return sum((Counter({sample.labels["outcome"]: int(sample.value)}) for sample in ours), Counter())


def given_up(logs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The lines about messages that were given up."""
    found = [line for line in logs if line["event"] == "message_given_up"]
    return [{name: line[name] for name in line if name not in ("event", "log_level")} for line in found]


async def due_again(shop: Shop) -> None:
    await shop.db.fetch("UPDATE delivery SET next_try_at = now()")


async def test_an_e_mail_goes_out_by_smtp_once(
    database_url: str, tmp_path: Path, mail_server: tuple[MailServer, str]
) -> None:
    server, url = mail_server
    async with opened(database_url, tmp_path, NotificationSettings(url, None, SENDER)) as shop:
        sale = Sale(new_id(), user_id=(user := new_id()), number="T-Ä")
        await shop.hear(registered(user, phone="+491"))
        await shop.hear(sale.shipped)
        assert await shop.told() == [
            ("order_shipped", "email", "ada@example.com", "pending"),
            ("order_shipped", "sms", "+491", "sent"),
        ]
        assert shop.woken == ["notification.sender"]
        assert [kind for _, kind, _ in await shop.published()] == ["notification.sent"]

        await asyncio.gather(shop.send(), shop.send())
        await shop.send()
        (mail,) = server.mails
        one = next(one for one in await shop.deliveries() if one.channel == "email")
        assert (mail["Message-ID"], mail["To"], mail["From"]) == (
            f"<{one.id}@tradepost.test>",
            "ada@example.com",
            SENDER,
        )
        assert mail["Subject"] == "Your order T-Ä is on its way"
        assert mail.get_content().replace("\r\n", "\n") == one.body
        assert (one.status, one.attempts, one.error) == ("sent", 1, None)
        assert (await shop.published())[1:] == [(one.id, "notification.sent", 1)]
        rows = await shop.db.fetch("SELECT DISTINCT correlation_id, causation_id::text FROM event")
        assert [(row["correlation_id"], row["causation_id"]) for row in rows] == [(f"story of {sale.id}", one.event_id)]


async def test_a_server_that_is_busy_is_tried_again_until_there_is_no_hope(
    database_url: str, tmp_path: Path, mail_server: tuple[MailServer, str]
) -> None:
    server, url = mail_server
    server.refuse = "451 try again later"
    before = tried()
    async with opened(database_url, tmp_path, NotificationSettings(url, None, SENDER)) as shop:
        await shop.hear(registered(user := new_id()))
        await shop.hear(Sale(new_id(), user_id=user).paid)
        await shop.send()
        await shop.send()
        (one,) = await shop.deliveries()
        assert (one.status, one.attempts) == ("pending", 1)
        assert one.error is not None
        assert "try again later" in one.error
        assert await shop.published() == []

        with structlog.testing.capture_logs() as logs:
            for _ in range(TRIES):
                await due_again(shop)
                await shop.send()
        (one,) = await shop.deliveries()
        assert (one.status, one.attempts) == ("failed", TRIES)
        assert given_up(logs) == [{"delivery": one.id, "channel": "email", "attempts": TRIES, "code": 451}]
        assert await shop.published() == [(one.id, "notification.failed", 1)]

        server.refuse = None
        async with shop.db.transaction() as tx:
            again = await api.resend_delivery(request(delivery_id=one.id), shop.desk, tx)
        assert (again.status, again.attempts) == ("pending", 0)
        await shop.send()
        assert await shop.published() == [(one.id, "notification.failed", 1), (one.id, "notification.sent", 2)]
        assert [mail["Message-ID"] for mail in server.mails] == [f"<{one.id}.1@tradepost.test>"]
    assert tried() - before == Counter(pending=TRIES - 1, failed=1, sent=1)


async def test_a_recipient_who_does_not_exist_is_given_up_at_once(
    database_url: str, tmp_path: Path, mail_server: tuple[MailServer, str]
) -> None:
    server, url = mail_server
    server.refuse = "550 no such user as ada@example.com"
    async with opened(database_url, tmp_path, NotificationSettings(url, None, SENDER)) as shop:
        await shop.hear(registered(user := new_id()))
        await shop.hear(Sale(new_id(), user_id=user).paid)
        with structlog.testing.capture_logs() as logs:
            await shop.send()

        (one,) = await shop.deliveries()
        assert (one.status, one.attempts) == ("failed", 1)
        assert "ada@example.com" in (one.error or "")
        assert [kind for _, kind, _ in await shop.published()] == ["notification.failed"]
        assert given_up(logs) == [{"delivery": one.id, "channel": "email", "attempts": 1, "code": 550}]
        assert "ada@" not in str(logs)


async def test_a_large_piece_goes_by_the_server_and_each_message_goes_on_with_its_story(
    database_url: str, tmp_path: Path, mail_server: tuple[MailServer, str]
) -> None:
    server, url = mail_server
    async with opened(database_url, tmp_path, NotificationSettings(url, None, SENDER)) as shop:
        await shop.hear(registered(user := new_id()))
        sales = [Sale(new_id(), user_id=user, number=f"T-{number}") for number in range(COPIED)]
        await shop.hear(*(sale.paid for sale in sales))
        assert shop.woken == ["notification.sender"]
        assert await shop.published() == []
        while await shop.send():
            pass

        assert {mail["Subject"] for mail in server.mails} == {
            f"We have your payment for order {sale.number}" for sale in sales
        }
        assert len(server.mails) == len(await shop.published()) == COPIED
        rows = await shop.db.fetch("SELECT correlation_id FROM event")
        assert {row["correlation_id"] for row in rows} == {f"story of {sale.id}" for sale in sales}


async def test_nothing_is_sent_to_who_was_erased_meanwhile(
    database_url: str, tmp_path: Path, mail_server: tuple[MailServer, str]
) -> None:
    server, url = mail_server
    async with opened(database_url, tmp_path, NotificationSettings(url, None, SENDER)) as shop:
        await shop.hear(registered(user := new_id()))
        await shop.hear(Sale(new_id(), user_id=user).created)
        await shop.hear(UserErased(user_id=user))
        await shop.send()

        (one,) = await shop.deliveries()
        assert (one.status, one.error) == ("failed", "recipient_erased")
        assert server.mails == []


async def test_a_sender_that_was_away_too_long_changes_nothing(
    database_url: str, tmp_path: Path, mail_server: tuple[MailServer, str]
) -> None:
    _, url = mail_server
    async with opened(database_url, tmp_path, NotificationSettings(url, None, SENDER)) as shop:
        await shop.hear(registered(user := new_id()))
        await shop.hear(Sale(new_id(), user_id=user).paid)
        meanwhile = asyncio.Event()

        class Slow:
            async def send(self, message: Message) -> None:
                await due_again(shop)
                assert await jobs_send_with(shop) is False
                meanwhile.set()
                raise NotSent("late")

        usual = dict(shop.desk.transports)

        async def jobs_send_with(shop: Shop) -> bool:
            object.__setattr__(shop.desk, "transports", usual)
            return await shop.send()

        object.__setattr__(shop.desk, "transports", {**usual, "email": Slow()})
        await shop.send()
        (one,) = await shop.deliveries()
        assert meanwhile.is_set()
        assert (one.status, one.attempts, one.error) == ("sent", 2, None)
        assert [kind for _, kind, _ in await shop.published()] == ["notification.sent"]


async def test_an_sms_goes_out_by_http_with_its_id_as_key_and_again_after_an_error(
    database_url: str, tmp_path: Path
) -> None:
    async with (
        sms_gateway(503) as (url, got),
        opened(database_url, tmp_path, NotificationSettings(None, url, SENDER)) as shop,
    ):
        await shop.hear(registered(user := new_id(), phone="+491"))
        await shop.hear(Sale(new_id(), user_id=user).completed)
        await shop.send()
        await due_again(shop)
        await shop.send()

        sms = next(one for one in await shop.deliveries() if one.channel == "sms")
        key = f"{sms.id}@tradepost.test"
        assert got == [(key, {"id": key, "to": "+491", "text": "Your order T-1001 was delivered. Enjoy it!"})] * 2
        assert (sms.status, sms.attempts) == ("sent", 2)


async def test_an_sms_that_the_gateway_finds_wrong_is_given_up(database_url: str, tmp_path: Path) -> None:
    async with (
        sms_gateway(422) as (url, _),
        opened(database_url, tmp_path, NotificationSettings(None, url, SENDER)) as shop,
    ):
        await shop.hear(registered(user := new_id(), phone="nonsense"))
        await shop.hear(Sale(new_id(), user_id=user).completed)
        with structlog.testing.capture_logs() as logs:
            await shop.send()

        sms = next(one for one in await shop.deliveries() if one.channel == "sms")
        assert (sms.status, sms.attempts, sms.error) == ("failed", 1, "the gateway answered 422")
        assert given_up(logs) == [{"delivery": sms.id, "channel": "sms", "attempts": 1, "code": 422}]
        assert "nonsense" not in str(logs)


async def test_what_is_pending_when_the_server_is_taken_away_ends_in_the_mailbox(
    database_url: str, tmp_path: Path
) -> None:
    nowhere = NotificationSettings("smtp://127.0.0.1:1", None, SENDER)
    async with opened(database_url, tmp_path, nowhere) as shop:
        await shop.hear(registered(user := new_id()))
        await shop.hear(Sale(new_id(), user_id=user).paid)
        await shop.send()
        assert (await shop.deliveries())[0].status == "pending"
        await due_again(shop)
    async with opened(database_url, tmp_path, MAILBOX) as shop:
        await shop.send()
        assert (await shop.deliveries())[0].status == "sent"


async def test_resending_from_the_mailbox_is_a_message_of_its_own(shop: Shop) -> None:
    await shop.hear(registered(user := new_id()))
    await shop.hear(Sale(new_id(), user_id=user).paid)
    (one,) = await shop.deliveries()
    async with shop.db.transaction() as tx:
        await api.resend_delivery(request(delivery_id=one.id), shop.desk, tx)
    assert shop.woken == ["notification.sender"]
    with pytest.raises(NotResendable):
        async with shop.db.transaction() as tx:
            await api.resend_delivery(request(delivery_id=one.id), shop.desk, tx)
    await shop.send()

    assert await shop.published() == [(one.id, "notification.sent", 1), (one.id, "notification.sent", 2)]
    with pytest.raises(NotFound):
        async with shop.db.transaction() as tx:
            await api.resend_delivery(request(delivery_id=new_id()), shop.desk, tx)


async def test_a_recipient_that_would_end_its_header_is_refused_for_good() -> None:
    server = Smtp(mail_server_of("smtp://127.0.0.1:1"), SENDER)
    with pytest.raises(NotSent) as refused:
        await server.send(Message("<a@b>", "ada@example.com\r\nBcc: eve@example.com", "Hello", "Body"))
    assert refused.value.for_good


async def test_messages_go_where_the_url_says() -> None:
    url = "smtp+starttls://me:p%2Fw@mail.test"
    async with open_transports(NotificationSettings(url, None, SENDER)) as transports:
        assert transports[Channel.EMAIL] == Smtp(mail_server_of(url), SENDER)


async def test_a_mail_server_that_makes_no_sense_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="TRADEPOST_SMTP_URL"):
        async with open_transports(NotificationSettings("mail.test", None, SENDER)):
            pass
