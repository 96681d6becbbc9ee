"""The rules, without a database."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.contracts.user import UserErased, UserRegistered, UserUpdated
from tradepost.kernel.errors import Invalid
from tradepost.services.user.domain import account as domain
from tradepost.services.user.domain.account import Account, AccountErased, LastAdmin, Status
from tradepost.services.user.domain.customer_line import LINE_LIMIT, Lines
from tradepost.services.user.domain.letter import TEMPLATES, TRIES, Letter, compose, next_try
from tradepost.services.user.domain.password import DELAYS, CommonPassword, refuse_common
from tradepost.services.user.domain.profile import login_name, parse_email, parse_name, parse_phone
from tradepost.services.user.domain.secret import link_of, link_token, successor
from tradepost.services.user.domain.session import GRACE, LIFE, Verdict, expiry, judge

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
KEY = b"k" * 32
ID = "0193d8a0-0000-7000-8000-000000000001"


def ada() -> Account:
    return domain.register(id_=ID, email="ada@shop.test", name="Ada", phone=None, now=NOW)[0]


def test_each_move_publishes_its_fact_and_counts_it() -> None:
    account, registered = domain.register(id_=ID, email="ada@shop.test", name="Ada", phone="+1 555 0100", now=NOW)
    edited, updated = domain.edit(account, name="Ada L.", phone=None)
    erased, gone = domain.erase(edited, admins=())

    assert registered == UserRegistered(user_id=ID, email="ada@shop.test", name="Ada", phone="+1 555 0100")
    assert updated == UserUpdated(user_id=ID, email="ada@shop.test", name="Ada L.", phone=None)
    assert gone == UserErased(user_id=ID)
    assert [account.version, edited.version, erased.version] == [1, 2, 3]
    assert (erased.email, erased.name, erased.status) == (None, "Erased", Status.ERASED)


def test_what_changes_nothing_that_is_published_publishes_nothing() -> None:
    assert domain.edit(ada(), name="Ada", phone=None) == (ada(), None)
    assert domain.confirm_email(ada(), "ada@shop.test", NOW)[1] is None
    assert domain.assign(ada(), ["customer"], ["order:read"], ())[0].version == 1


@pytest.mark.parametrize("move", ["assign", "disable", "erase"])
def test_the_last_administrator_stays(move: str) -> None:
    args = (["customer"], []) if move == "assign" else ()
    with pytest.raises(LastAdmin):
        getattr(domain, move)(ada(), *args, {ID})
    getattr(domain, move)(ada(), *args, {ID, "another"})


def test_an_erased_account_does_not_move_again() -> None:
    erased, _ = domain.erase(ada(), ())
    for move in (
        lambda: domain.edit(erased, name="Eve", phone=None),
        lambda: domain.enable(erased),
        lambda: domain.disable(erased, ()),
        lambda: domain.erase(erased, ()),
        lambda: domain.assign(erased, ["admin"], [], ()),
    ):
        with pytest.raises(AccountErased):
            move()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("ada@shop.test", "ada@shop.test"),
        (" Ada.L+x@Shop.TEST ", "Ada.L+x@shop.test"),
        ("info@müller.de", "info@xn--mller-kva.de"),
        ("admin@tradepost.local", "admin@tradepost.local"),
    ],
)
def test_addresses_are_brought_into_one_form(sent: str, kept: str) -> None:
    assert parse_email(sent) == kept
    assert login_name(sent) == kept.lower()


@pytest.mark.parametrize("sent", ["", "ada", "ada@", "@shop.test", "a b@shop.test", "ada@localhost", "a@b\r\nc.de"])
def test_what_is_no_address_is_refused(sent: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_email(sent)
    assert (refused.value.error, refused.value.errors[0].pointer) == ("invalid_email", "/email")


def test_names_and_phones_are_one_printable_line() -> None:
    assert parse_name("  Ada Lovelace ") == "Ada Lovelace"
    assert [parse_phone(text) for text in (None, "", "+1 (555) 010-0199")] == [None, None, "+1 (555) 010-0199"]
    for name in ("", "  ", "A\nB", "x" * 201):
        with pytest.raises(Invalid):
            parse_name(name)
    for phone in ("1234", "call me", "+1 555 0100\n2", "1" * 20):
        with pytest.raises(Invalid):
            parse_phone(phone)


def test_common_passwords_and_the_address_itself_are_refused() -> None:
    for password in ("PassWord123", "ada.lovelace", "Ada.Lovelace@shop.test"):
        with pytest.raises(CommonPassword):
            refuse_common(password, "ada.lovelace@shop.test", {"password123"})
    refuse_common("a fine long password", "ada.lovelace@shop.test", {"password123"})


def test_the_delay_after_wrong_passwords_doubles_up_to_five_minutes() -> None:
    assert [delay.total_seconds() for delay in DELAYS] == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300]


@pytest.mark.parametrize(
    ("used", "left", "revoked", "verdict"),
    [
        (None, 1, None, Verdict.ROTATE),
        (None, 0, None, Verdict.DEAD),
        (None, 1, NOW, Verdict.DEAD),
        (NOW - GRACE, 1, None, Verdict.REPEAT),
        (NOW - GRACE - timedelta(milliseconds=1), 1, None, Verdict.REUSED),
        (NOW - GRACE - timedelta(days=1), 1, NOW, Verdict.DEAD),
        (NOW, 0, None, Verdict.DEAD),
    ],
)
def test_what_a_refresh_token_is_worth(
    used: datetime | None, left: int, revoked: datetime | None, verdict: Verdict
) -> None:
    assert judge(used, NOW + timedelta(seconds=left), revoked, NOW) is verdict


def test_a_session_in_use_ends_after_ninety_days_all_the_same() -> None:
    assert expiry(NOW, NOW) == NOW + timedelta(days=30)
    assert expiry(NOW, NOW + timedelta(days=80)) == NOW + LIFE


@given(st.binary(min_size=32, max_size=32), st.uuids(), st.integers(0, 63), st.sampled_from("Ab3_-="))
def test_only_the_very_secret_of_a_link_opens_it(key: bytes, link: object, place: int, other: str) -> None:
    token = link_token(key, str(link))
    forged = token[:place] + other + token[place + 1 :]
    assert link_of(key, token) == str(link)
    assert forged == token or link_of(key, forged) is None
    assert link_of(b"another key", token) is None


@given(st.text())
def test_any_text_at_all_is_at_most_no_link(text: str) -> None:
    assert link_of(KEY, text) is None


def test_the_successor_takes_both_the_token_and_its_salt() -> None:
    made = {successor(token, salt) for token in ("a", "b") for salt in (b"1", b"2")}
    assert len(made) == 4
    assert successor("a", b"1") == successor("a", b"1")


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_letter_has_its_link_behind_a_hash_sign(template: str) -> None:
    letter = Letter(id=ID, template=template, recipient="x@y.test", link_id=ID, attempts=0, expires_at=NOW)
    _, text = compose(letter, "https://shop.test", KEY)
    page = TEMPLATES[template].page
    assert (f"https://shop.test{page}#token={link_token(KEY, ID)}\n" in text) == bool(page)
    assert "{" not in text


def test_letters_are_tried_eight_times() -> None:
    pauses = [next_try(attempts, NOW) for attempts in range(1, TRIES + 1)]
    assert pauses[0] == NOW + timedelta(seconds=10)
    assert pauses[-2:] == [NOW + timedelta(seconds=640), None]


@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=30), st.integers(1, 50))
def test_lines_are_the_same_however_they_arrive(sent: list[bytes], step: int) -> None:
    raw, lines = b"\n".join(sent), Lines()
    got = [line for at in range(0, len(raw), step) for line in lines.feed(raw[at : at + step])] + list(lines.end())
    assert got == [
        (number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
        for number, line in enumerate(raw.split(b"\n"), start=1)
        if (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip()
    ]


def test_of_an_endless_line_little_is_kept() -> None:
    lines = Lines()
    for _ in range(100):
        assert list(lines.feed(b"x" * 10_000)) == []
    (number, line), (following, _) = lines.feed(b"\n{}\n")
    assert (number, len(line), following) == (1, LINE_LIMIT + 1, 2)
