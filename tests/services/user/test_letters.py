"""One-time links, and the letters that bring them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from email import message_from_bytes, policy
from typing import Any

import pytest
import structlog
from aiosmtpd.smtp import SMTP

from tests.services.user.house import PASSWORD, House
from tradepost.kernel.clock import now
from tradepost.kernel.mail import mail_server_of
from tradepost.kernel.telemetry import MESSAGES
from tradepost.services.user.desk import Desk
from tradepost.services.user.domain.letter import FIRST_PAUSE
from tradepost.services.user.jobs import send_letters
from tradepost.services.user.providers import Smtp
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
    assert (second.error, second.pointers) == ((422, "invalid_link"), ["/token"])
    assert [(await house.log_in(password=password)).status for password in (PASSWORD, NEW)] == [401, 200]
    assert await revoked_sessions(house.desk.db) == {house.verifier.verify(held).session_id}
    assert (await house.letters("ada@shop.test"))[0]["template"] == "password_changed"
    assert await house.desk.db.fetchval("SELECT email_verified_at IS NOT NULL FROM account")


async def test_asking_for_an_unknown_address_tells_nothing_and_writes_nothing(house: House) -> None:
    await house.register()

    known = await house.anonymous.post("/user/password/forgot", {"email": "ada@shop.test"})
    unknown = await house.anonymous.post("/user/password/forgot", {"email": "eve@shop.test"})

    assert (known.status, known.body) == (unknown.status, unknown.body)
    assert await house.letters("eve@shop.test") == []


async def test_nobody_can_be_flooded_with_letters(house: House) -> None:
    await house.register()

    for _ in range(5):
        answer = await house.anonymous.post("/user/password/forgot", {"email": "ada@shop.test"})
        assert answer.status == 202

    assert [one["template"] for one in await house.letters("ada@shop.test")].count("reset_password") == 3


async def test_a_link_that_is_too_old_sets_no_password(house: House) -> None:
    await house.register()
    await house.anonymous.post("/user/password/forgot", {"email": "ada@shop.test"})
    token = await house.token("ada@shop.test", "reset_password")
    await house.desk.db.fetch("UPDATE link SET expires_at = now()")

    answer = await house.anonymous.post("/user/password/reset", {"token": token, "password": NEW})

    assert answer.error == (422, "invalid_link")
    assert (await house.log_in()).status == 200


async def test_a_link_is_good_for_its_own_purpose_only(house: House) -> None:
    await house.register()
    token = await house.token("ada@shop.test", "verify_email")

    answer = await house.anonymous.post("/user/password/reset", {"token": token, "password": NEW})

    assert answer.error == (422, "invalid_link")
    assert (await house.anonymous.post("/user/email/verify", {"token": token})).json["email_verified"] is True
    assert (await house.anonymous.post("/user/email/verify", {"token": token})).error == (422, "invalid_link")
    assert [kind for kind, *_ in await house.events()] == ["user.registered"]


async def test_a_link_is_asked_for_again_until_the_address_is_verified(house: House) -> None:
    ada = await house.customer()

    assert (await ada.post("/user/email/verify/again")).status == 202
    await house.anonymous.post("/user/email/verify", {"token": await house.token("ada@shop.test", "verify_email")})
    assert (await ada.post("/user/email/verify/again")).status == 202

    assert len(await house.letters("ada@shop.test")) == 2


async def test_who_asks_again_under_the_same_key_gets_one_letter(house: House) -> None:
    ada = await house.customer()

    answers = [await ada.post("/user/email/verify/again", idempotency_key="k") for _ in range(2)]

    assert [answer.status for answer in answers] == [202, 202]
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert len(await house.letters("ada@shop.test")) == 2


async def test_an_address_changes_when_the_link_to_the_new_one_is_used(house: House) -> None:
    ada = await house.customer()

    wrong = await ada.post("/user/email/change", {"email": "ada@new.test", "current_password": "wrong"})
    asked = await ada.post("/user/email/change", {"email": "ada@new.test", "current_password": PASSWORD})
    before = (await ada.get("/user/me")).json["email"]
    answer = await house.anonymous.post(
        "/user/email/verify", {"token": await house.token("ada@new.test", "verify_email")}
    )

    assert (wrong.error, wrong.pointers) == ((422, "wrong_password"), ["/current_password"])
    assert (asked.status, before) == (202, "ada@shop.test")
    assert (answer.status, answer.json["email"]) == (200, "ada@new.test")
    assert [(kind, sequence, data["email"]) for kind, _, sequence, data in await house.events()] == [
        ("user.registered", 1, "ada@shop.test"),
        ("user.updated", 2, "ada@new.test"),
    ]
    assert (await house.letters("ada@shop.test"))[0]["template"] == "email_changed"
    assert [(await house.log_in(email)).status for email in ("ada@shop.test", "ada@new.test")] == [401, 200]


async def test_an_address_that_somebody_else_got_meanwhile_stays_theirs(house: House) -> None:
    ada = await house.customer()
    await ada.post("/user/email/change", {"email": "new@shop.test", "current_password": PASSWORD})
    token = await house.token("new@shop.test", "verify_email")
    await house.register("New@shop.test")

    answer = await house.anonymous.post("/user/email/verify", {"token": token})

    assert answer.error == (409, "email_taken")
    assert (await ada.get("/user/me")).json["email"] == "ada@shop.test"


async def test_a_new_password_stops_a_stranger_from_moving_the_account_away(house: House) -> None:
    ada = await house.customer()
    await ada.post("/user/email/change", {"email": "thief@shop.test", "current_password": PASSWORD})
    theirs = await house.token("thief@shop.test", "verify_email")
    await house.anonymous.post("/user/password/forgot", {"email": "ada@shop.test"})
    token = await house.token("ada@shop.test", "reset_password")
    await house.anonymous.post("/user/password/reset", {"token": token, "password": NEW})

    assert (await house.anonymous.post("/user/email/verify", {"token": theirs})).error == (422, "invalid_link")


async def test_changing_the_password_ends_every_other_session(house: House) -> None:
    ada = await house.customer()
    other = (await house.log_in()).json["access_token"]

    wrong = await ada.post("/user/password/change", {"current_password": "wrong", "new_password": NEW})
    answer = await ada.post("/user/password/change", {"current_password": PASSWORD, "new_password": NEW})

    assert (wrong.error, answer.status) == ((422, "wrong_password"), 204)
    assert await revoked_sessions(house.desk.db) == {house.verifier.verify(other).session_id}
    assert [(await house.log_in(password=password)).status for password in (PASSWORD, NEW)] == [401, 200]


async def test_no_secret_is_stored_or_published(house: House) -> None:
    await house.register()
    token = await house.token("ada@shop.test", "verify_email")

    for table in ("letter", "link", "event"):
        rows = await house.desk.db.fetch(f"SELECT t::text AS row FROM {table} AS t")
        assert rows
        assert not [row for row in rows if token[-40:] in row["row"] or PASSWORD in row["row"]]


class Mailbox:
    """What the mail server of the test was handed."""

    def __init__(self) -> None:
        self.letters: list[Any] = []
        self.answer = "250 OK"
        self.port = 0

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        if self.answer.startswith("250"):
            self.letters.append(envelope)
        return self.answer


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    """A mail server on a free port."""
    mailbox = Mailbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(mailbox), "127.0.0.1", 0)
    mailbox.port = server.sockets[0].getsockname()[1]
    yield mailbox
    server.close()
    await server.wait_closed()


def with_mail(house: House, port: int) -> Desk:
    return replace(house.desk, smtp=Smtp(server=mail_server_of(f"smtp://127.0.0.1:{port}"), sender="shop@shop.test"))


async def test_letters_go_to_the_mail_server_once(house: House, mailbox: Mailbox) -> None:
    await house.register()
    token = await house.token("ada@shop.test", "verify_email")
    desk = with_mail(house, mailbox.port)

    with structlog.testing.capture_logs() as logs:
        assert await send_letters(desk) is False
        assert await send_letters(desk) is False

    (letter,) = mailbox.letters
    message = message_from_bytes(letter.content, policy=policy.default)
    assert letter.rcpt_tos == ["ada@shop.test"]
    assert message["Subject"] == "Confirm your e-mail address"
    assert f"https://shop.test/account/verify-email#token={token}" in message.get_content()
    (told,) = await house.letters("ada@shop.test")
    assert (told["status"], told["attempts"], message["Message-ID"]) == ("sent", 1, f"<{told['id']}@shop.test>")
    assert token not in str(logs)


async def test_with_a_mail_server_nobody_reads_the_links_here(house: House, mailbox: Mailbox) -> None:
    await house.register()

    (letter,) = await house.at(with_mail(house, mailbox.port)).letters("ada@shop.test")

    assert (letter["subject"], letter["text"]) == ("Confirm your e-mail address", None)


@pytest.mark.parametrize(("refusal", "status"), [("451 later", "waiting"), ("550 never to ada@shop.test", "failed")])
async def test_a_letter_that_is_refused_waits_or_fails(
    house: House, mailbox: Mailbox, refusal: str, status: str
) -> None:
    await house.register()
    mailbox.answer = refusal
    outcome = MESSAGES.labels("user", "email", {"waiting": "pending"}.get(status, status))._value
    before = outcome.get()

    with structlog.testing.capture_logs() as logs:
        await send_letters(with_mail(house, mailbox.port))

    (told,) = await house.letters("ada@shop.test")
    assert (told["status"], told["attempts"], refusal[:3] in told["error"]) == (status, 1, True)
    assert outcome.get() == before + 1
    (line,) = logs
    assert (line["letter"], line["attempts"]) == (told["id"], 1)
    told_more = {"waiting": ("letter_not_sent", None), "failed": ("letter_refused", 550)}[status]
    assert (line["event"], line.get("code")) == told_more
    assert "ada@" not in str(logs)


async def test_a_mail_server_that_is_down_is_asked_again_later(house: House) -> None:
    await house.register()
    desk, before = with_mail(house, 1), now()  # nobody listens there

    await send_letters(desk)
    await send_letters(desk)

    (told,) = await house.letters("ada@shop.test")
    assert (told["status"], told["attempts"]) == ("waiting", 1)
    assert await house.desk.db.fetchval("SELECT due_at FROM letter") >= before + FIRST_PAUSE


async def test_two_senders_share_the_letters(house: House, mailbox: Mailbox) -> None:
    for n in range(12):
        await house.register(f"ada{n}@shop.test")
    desk = with_mail(house, mailbox.port)

    await asyncio.gather(send_letters(desk), send_letters(desk))

    assert len(mailbox.letters) == len({letter.rcpt_tos[0] for letter in mailbox.letters}) == 12


async def test_a_letter_with_an_expired_link_is_not_sent(house: House, mailbox: Mailbox) -> None:
    await house.register()
    await house.desk.db.fetch("UPDATE letter SET expires_at = now()")

    await send_letters(with_mail(house, mailbox.port))

    assert [letter["status"] for letter in await house.letters("ada@shop.test")] == ["expired"]
    assert mailbox.letters == []
