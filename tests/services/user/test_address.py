"""The address book."""

import asyncio
from typing import Any

from tests.kernel.http.driver import Client
from tests.services.user.house import House

ADDRESS = {"name": "Ada", "line1": "1 Main St", "city": "Springfield", "postal_code": "12345", "country": "US"}
JSON = {"content-type": "application/json"}


async def add(client: Client, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/user/me/addresses", {**ADDRESS, **fields})
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.json
    return found


async def defaults(client: Client) -> list[tuple[str, bool]]:
    listed = (await client.get("/user/me/addresses")).json
    return [(one["line1"], one["is_default"]) for one in listed["data"]]


async def test_an_address_is_added_read_changed_and_deleted(house: House) -> None:
    ada = await house.customer()

    added = await add(ada, line2="2nd floor")
    path = f"/user/me/addresses/{added['id']}"
    changed = await ada.call("PATCH", path, [b'{"city": "Shelbyville", "line2": null}'], JSON)

    assert {**ADDRESS, "line2": "2nd floor", "region": None, "phone": None, "is_default": True}.items() <= added.items()
    assert changed.json == {**added, "city": "Shelbyville", "line2": None}
    assert (await ada.get(path)).json == changed.json
    assert (await ada.call("DELETE", path, [b""])).status == 204
    assert (await ada.get(path)).error == (404, "address_not_found")


async def test_there_is_one_default_address_as_long_as_there_is_any(house: House) -> None:
    ada = await house.customer()
    one, _, three = await add(ada, line1="1"), await add(ada, line1="2"), await add(ada, line1="3", is_default=True)
    assert await defaults(ada) == [("3", True), ("2", False), ("1", False)]

    await ada.call("PATCH", f"/user/me/addresses/{one['id']}", [b'{"is_default": true}'], JSON)
    assert await defaults(ada) == [("3", False), ("2", False), ("1", True)]

    refused = await ada.call("PATCH", f"/user/me/addresses/{one['id']}", [b'{"is_default": false}'], JSON)
    assert (refused.status, refused.pointers) == (422, ["/is_default"])

    await ada.call("DELETE", f"/user/me/addresses/{one['id']}", [b""])
    await ada.call("DELETE", f"/user/me/addresses/{three['id']}", [b""])
    assert await defaults(ada) == [("2", True)]


async def test_addresses_added_at_once_leave_one_default(house: House) -> None:
    ada = await house.customer()

    await asyncio.gather(*(add(ada, line1=str(n), is_default=True) for n in range(6)))

    assert [is_default for _, is_default in await defaults(ada)].count(True) == 1


async def test_the_same_key_adds_an_address_once(house: House) -> None:
    ada = await house.customer()

    answers = [await ada.post("/user/me/addresses", ADDRESS, idempotency_key="k") for _ in range(2)]

    assert answers[0].json == answers[1].json
    assert await house.count("address") == 1


async def test_an_address_book_is_its_owners(house: House) -> None:
    ada, eve = await house.customer(), await house.customer("eve@shop.test")
    path = f"/user/me/addresses/{(await add(ada))['id']}"

    assert (await eve.get(path)).error == (404, "address_not_found")
    assert (await eve.call("PATCH", path, [b'{"city": "X"}'], JSON)).error == (404, "address_not_found")
    assert (await eve.call("DELETE", path, [b""])).error == (404, "address_not_found")
    assert (await eve.get("/user/me/addresses")).json == {"data": [], "has_more": False}
    assert (await ada.get(path)).json["city"] == "Springfield"


async def test_a_full_address_book_takes_no_more(house: House) -> None:
    ada = await house.customer()
    user_id = (await ada.get("/user/me")).json["id"]
    await house.desk.db.fetch(
        "INSERT INTO address (id, user_id, postal, is_default, created_at)"
        " SELECT gen_random_uuid(), $1, '{}', false, now() FROM generate_series(1, 50)",
        user_id,
    )

    answer = await ada.post("/user/me/addresses", ADDRESS)

    assert answer.error == (409, "too_many_addresses")
    assert await house.count("address") == 50
