"""Registration, the profile, and erasure."""

import asyncio
from hashlib import sha256
from typing import Any

import msgspec

from tests.services.user.house import PASSWORD, SOMEBODY, House

BODY = {"email": "Ada@Shop.TEST", "password": PASSWORD, "name": " Ada ", "phone": "+1 555 010 0199"}
ADDRESS = {"name": "Ada", "line1": "1 Main St", "city": "Springfield", "postal_code": "12345", "country": "US"}


async def test_registration_makes_a_customer_and_publishes_it(house: House) -> None:
    answer = await house.anonymous.post("/user/register", BODY)

    assert answer.status == 201
    user_id = answer.json["user_id"]
    told = {"email": "Ada@shop.test", "name": "Ada", "phone": "+1 555 010 0199", "roles": ["customer"]}
    assert {**answer.json, "created_at": ""} == {
        **told,
        "user_id": user_id,
        "email_verified": False,
        "created_at": "",
    }
    assert await house.events() == [("user.registered", user_id, 1, {"user_id": user_id, **told})]
    assert [(one["template"], one["status"]) for one in await house.letters("Ada@shop.test")] == [
        ("verify_email", "waiting")
    ]


async def test_an_address_is_taken_whatever_its_case(house: House) -> None:
    await house.register("ada@shop.test")

    answer = await house.anonymous.post("/user/register", {**BODY, "email": "ADA@shop.test"})

    assert answer.error == (409, "email_taken")
    assert (await house.count("account"), len(await house.events())) == (1, 1)


async def test_of_many_who_want_one_address_at_once_one_gets_it(house: House) -> None:
    answers = await asyncio.gather(*(house.anonymous.post("/user/register", BODY) for _ in range(8)))

    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
    assert (await house.count("account"), await house.count("letter"), len(await house.events())) == (1, 1, 1)


async def test_a_bad_registration_leaves_nothing(house: House) -> None:
    bad: tuple[tuple[dict[str, Any], str, str], ...] = (
        ({"email": "ada"}, "invalid_email", "/email"),
        ({"password": "short"}, "invalid_request", "/password"),
        ({"password": "x" * 1025}, "invalid_request", "/password"),
        ({"password": "password123"}, "common_password", "/password"),
        ({"name": "  "}, "invalid_request", "/name"),
        ({"phone": "call me"}, "invalid_request", "/phone"),
        ({"roles": ["admin"]}, "invalid_request", "/roles"),
    )
    for change, error, pointer in bad:
        answer = await house.anonymous.post("/user/register", {**BODY, **change})
        assert (answer.error, answer.pointers) == ((422, error), [pointer])
    assert (await house.count("account"), await house.events()) == (0, [])


async def test_the_same_key_registers_once_and_keeps_no_plain_hash_of_the_body(house: House) -> None:
    first = await house.anonymous.post("/user/register", BODY, idempotency_key="k-1")
    again = await house.anonymous.post("/user/register", BODY, idempotency_key="k-1")
    other = await house.anonymous.post("/user/register", {**BODY, "name": "Eve"}, idempotency_key="k-1")

    assert (first.status, again.status, again.json) == (201, 201, first.json)
    assert again.headers["idempotent-replayed"] == "true"
    assert other.error == (422, "idempotency_key_reused")
    row = await house.desk.db.fetchrow("SELECT body_hash, body FROM idempotency")
    assert row is not None
    assert row["body"] == msgspec.json.encode(first.json["user_id"])
    assert row["body_hash"] != sha256(msgspec.json.encode(BODY)).digest()


async def test_the_owner_edits_name_and_phone(house: House) -> None:
    ada = await house.customer()
    before = await ada.get("/user/me")

    edited = await ada.call(
        "PATCH", "/user/me", [b'{"name": "Ada L."}'], {"content-type": "application/json", "if-match": '"1"'}
    )
    stale = await ada.call(
        "PATCH", "/user/me", [b'{"phone": null}'], {"content-type": "application/json", "if-match": '"1"'}
    )

    assert before.headers["etag"] == '"1"'
    assert (edited.status, edited.headers["etag"]) == (200, '"2"')
    assert edited.json == {**before.json, "name": "Ada L."}
    assert stale.error == (412, "stale_version")
    kinds = [(kind, sequence, data["name"]) for kind, _, sequence, data in await house.events()]
    assert kinds == [("user.registered", 1, "Ada"), ("user.updated", 2, "Ada L.")]


async def test_an_account_shows_nothing_secret_and_only_to_its_owner_and_staff(house: House) -> None:
    ada = await house.customer()
    eve = await house.customer("eve@shop.test")
    me = (await ada.get("/user/me")).json
    path = f"/user/users/{me['id']}"

    assert set(me) == {
        "id", "email", "name", "phone", "roles", "permissions", "email_verified", "status", "created_at",
    }  # fmt: skip
    assert (await ada.get(path)).json == me
    assert (await eve.get(path)).error == (404, "user_not_found")
    assert (await house.as_("staff", "order:read").get(path)).error == (404, "user_not_found")
    assert (await house.as_("staff", "user:read").get(path)).json == me
    assert (await house.anonymous.get(path)).error == (401, "unauthenticated")


async def test_erasure_leaves_an_id_and_nothing_personal(house: House) -> None:
    ada = await house.customer()
    user_id = (await ada.get("/user/me")).json["id"]
    await ada.post("/user/me/addresses", ADDRESS, idempotency_key="k")

    assert (await ada.call("DELETE", "/user/me", [b""])).status == 204

    assert (await house.events())[-1] == ("user.erased", user_id, 2, {"user_id": user_id})
    row = await house.desk.db.fetchrow("SELECT * FROM account")
    assert row is not None
    assert (row["email"], row["name"], row["phone"], row["password_hash"]) == (None, "Erased", None, None)
    for table in ("address", "letter", "link"):
        assert await house.count(table) == 0
    assert await house.desk.db.fetchval("SELECT count(*) FROM idempotency WHERE body::text LIKE '%Main%'") == 0
    session = await house.desk.db.fetchrow("SELECT revoked_at, address FROM session")
    assert session is not None
    assert session["revoked_at"] is not None
    assert session["address"] == ""
    assert (await house.log_in()).error == (401, "invalid_credentials")
    assert await house.register("ada@shop.test") != user_id


async def test_erasing_an_account_that_is_not_there_is_not_found(house: House) -> None:
    answer = await house.admin.post(f"/user/users/{SOMEBODY}/erase")
    assert answer.error == (404, "user_not_found")
    assert await house.events() == []
