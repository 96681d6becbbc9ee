"""Importing customers."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from tests.services.user.house import House

CHUNK = 7_000


async def send(house: House, raw: bytes, *, chunk: int = CHUNK) -> list[dict[str, Any]]:
    """The report's lines."""
    staff = house.as_("staff", "user:write")
    sent = [raw[at : at + chunk] for at in range(0, len(raw), chunk)] or [b""]
    answer = await staff.call("POST", "/user/imports", sent, {"content-type": "application/x-ndjson"})
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson")
    return [msgspec.json.decode(line) for line in answer.body.splitlines()]


def lines(customers: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(msgspec.json.encode(customer) + b"\n" for customer in customers)


def customers(count: int) -> list[dict[str, Any]]:
    return [{"email": f"user{n}@shop.test", "name": f"User {n}", "phone": "+1 555 010 0199"} for n in range(count)]


async def test_customers_are_imported_and_published(house: House) -> None:
    *report, summary = await send(house, lines(customers(3)))

    assert summary == {"summary": {"created": 3, "existing": 0, "rejected": 0}}
    assert [(one["line"], one["status"], one["email"]) for one in report] == [
        (n + 1, "created", f"user{n}@shop.test") for n in range(3)
    ]
    events = await house.events()
    assert [(kind, sequence) for kind, _, sequence, _ in events] == [("user.registered", 1)] * 3
    assert {key for _, key, _, _ in events} == {one["user_id"] for one in report}
    assert await house.count("letter") == 0
    assert (await house.log_in("user0@shop.test", "")).error == (401, "invalid_credentials")


async def test_an_imported_customer_chooses_a_password_by_link(house: House) -> None:
    await send(house, lines(customers(1)))

    await house.anonymous.post("/user/password/forgot", {"email": "user0@shop.test"})
    token = await house.token("user0@shop.test", "reset_password")
    await house.anonymous.post("/user/password/reset", {"token": token, "password": "a fine long one"})

    assert (await house.log_in("user0@shop.test", "a fine long one")).status == 200


async def test_the_same_file_twice_changes_nothing(house: House) -> None:
    raw = lines(customers(1_100))
    *first, _ = await send(house, raw)
    *again, summary = await send(house, raw)

    assert summary == {"summary": {"created": 0, "existing": 1_100, "rejected": 0}}
    assert [one["user_id"] for one in again] == [one["user_id"] for one in first]
    assert (await house.count("account"), await house.count("event")) == (1_100, 1_100)


async def test_two_imports_of_one_file_at_once_make_each_customer_once(house: House) -> None:
    one, two = await asyncio.gather(
        send(house, lines(customers(600))), send(house, lines(list(reversed(customers(600)))))
    )

    assert one[-1]["summary"]["created"] + two[-1]["summary"]["created"] == 600
    assert (await house.count("account"), await house.count("event")) == (600, 600)


async def test_a_bad_line_stops_no_other(house: House) -> None:
    await house.register("ada@shop.test")
    raw = (
        b'\xef\xbb\xbf{"email": "one@shop.test", "name": "One"}\r\n'
        b"\n"
        b"not json\n"
        b'{"email": "nobody", "name": "Nobody"}\n'
        b'{"email": "two@shop.test", "name": "Two", "roles": ["admin"]}\n'
        b'{"email": "two@shop.test"}\n'
        b'{"email": "two@shop.test", "name": "\xff"}\n'
        b'{"email": "two@shop.test", "name": "T\\u0000"}\n'
        b'{"email": "ADA@shop.test", "name": "Ada"}\n'
        b'{"email": "ONE@shop.test", "name": "One again"}\n' + b"x" * 20_000 + b"\n"
        b'{"email": "last@shop.test", "name": "Last", "phone": ""}'
    )

    *report, summary = await send(house, raw, chunk=11)

    assert [(one["line"], one["status"]) for one in report] == [
        (1, "created"),
        (3, "rejected"),
        (4, "rejected"),
        (5, "rejected"),
        (6, "rejected"),
        (7, "rejected"),
        (8, "rejected"),
        (9, "existing"),
        (10, "existing"),
        (11, "rejected"),
        (12, "created"),
    ]
    assert all(one["reason"] for one in report if one["status"] == "rejected")
    assert report[2]["email"] == "nobody"
    assert summary == {"summary": {"created": 2, "existing": 2, "rejected": 7}}
    assert await house.count("account") == 3


async def test_a_file_that_is_cut_short_keeps_what_came_before(house: House) -> None:
    staff = house.as_("staff", "user:write")
    answer = await staff.call("POST", "/user/imports", [lines(customers(500)), b'{"email": "half', None])

    assert answer.error == (400, "incomplete_body")
    assert await house.count("account") == 500


async def test_importing_takes_its_permission(house: House) -> None:
    for permission in ("user:read", "product:write"):
        answer = await house.as_("staff", permission).call("POST", "/user/imports", [lines(customers(1))])
        assert answer.error == (403, "forbidden")
    assert await house.count("account") == 0
