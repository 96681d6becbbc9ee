"""What administrators do: roles, closing accounts, API keys; and the first of them."""

import asyncio
from base64 import urlsafe_b64decode
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tests.kernel.http.driver import Response
from tests.services.user.house import SOMEBODY, House
from tradepost.kernel.errors import Unauthenticated
from tradepost.services.user.api.api_key import Kept
from tradepost.services.user.commands.first_admin import ensure_admin
from tradepost.services.user.domain.secret import api_key_of
from tradepost.services.user.jobs import purge_all
from tradepost.services.user.queries.session import revoked_sessions


async def assign(house: House, user_id: str, body: dict[str, Any], **headers: str) -> Response:
    sent = {"content-type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
    return await house.admin.call("PUT", f"/user/users/{user_id}/roles", [msgspec.json.encode(body)], sent)


async def test_roles_are_in_the_next_token_and_the_present_ones_end(house: House) -> None:
    user_id = await house.register()
    before = (await house.log_in()).json["access_token"]

    answer = await assign(house, user_id, {"roles": ["staff"], "permissions": ["order:read", "user:read"]})

    assert (answer.status, answer.json["roles"], answer.json["permissions"]) == (
        200, ["staff"], ["order:read", "user:read"],
    )  # fmt: skip
    assert answer.headers["etag"] == '"2"'
    assert await revoked_sessions(house.desk.db) == {house.verifier.verify(before).session_id}
    caller = house.verifier.verify((await house.log_in()).json["access_token"])
    assert (caller.roles, caller.permissions) == (frozenset({"staff"}), frozenset({"order:read", "user:read"}))
    kind, key, sequence, data = (await house.events())[-1]
    assert (kind, key, sequence, data["roles"]) == ("user.updated", user_id, 2, ["staff"])


async def test_roles_and_permissions_are_those_we_know(house: House) -> None:
    user_id = await house.register()
    bad: tuple[dict[str, Any], ...] = (
        {},
        {"roles": []},
        {"roles": ["king"]},
        {"roles": ["staff"], "permissions": ["moon:write"]},
    )
    for body in bad:
        assert (await assign(house, user_id, body)).error == (422, "invalid_request")
    assert len(await house.events()) == 1


async def test_a_stale_version_changes_no_roles(house: House) -> None:
    user_id = await house.register()

    assert (await assign(house, user_id, {"roles": ["staff"]}, if_match='"7"')).error == (412, "stale_version")
    assert (await house.admin.get(f"/user/users/{user_id}")).json["roles"] == ["customer"]


async def test_two_administrators_can_not_depose_each_other_at_once(house: House) -> None:
    both = [await house.register(f"{name}@shop.test") for name in ("ada", "eve")]
    for user_id in both:
        await assign(house, user_id, {"roles": ["admin"]})

    answers = await asyncio.gather(*(assign(house, user_id, {"roles": ["customer"]}) for user_id in both))

    assert sorted(answer.status for answer in answers) == [200, 409]
    admins = (await house.admin.get("/user/users?role=admin")).json["data"]
    assert len(admins) == 1
    gone = [await house.admin.post(f"/user/users/{admins[0]['id']}/{move}") for move in ("disable", "erase")]
    assert [answer.error for answer in gone] == [(409, "last_admin")] * 2


async def test_a_disabled_account_is_out_until_it_is_enabled(house: House) -> None:
    user_id = await house.register()
    tokens = (await house.log_in()).json

    assert (await house.admin.post(f"/user/users/{user_id}/disable")).json["status"] == "disabled"

    assert await revoked_sessions(house.desk.db) == {house.verifier.verify(tokens["access_token"]).session_id}
    refreshed = await house.anonymous.post("/user/token/refresh", {"refresh_token": tokens["refresh_token"]})
    assert refreshed.error == (401, "invalid_refresh_token")
    assert (await house.admin.post(f"/user/users/{user_id}/enable")).json["status"] == "active"
    assert (await house.log_in()).status == 200


async def test_accounts_are_listed_by_page_and_filter(house: House) -> None:
    ids = [await house.register(f"user{n}@shop.test") for n in range(4)]
    await assign(house, ids[1], {"roles": ["staff", "customer"]})
    await house.admin.post(f"/user/users/{ids[2]}/disable")

    async def listed(query: str) -> tuple[list[int], bool]:
        page = (await house.admin.get(f"/user/users?{query}")).json
        return [ids.index(one["id"]) for one in page["data"]], page["has_more"]

    assert await listed("limit=3") == ([3, 2, 1], True)
    assert await listed(f"limit=3&starting_after={ids[1]}") == ([0], False)
    assert await listed(f"limit=2&ending_before={ids[0]}") == ([2, 1], True)
    assert await listed("role=staff") == ([1], False)
    assert await listed("role=customer&status=active") == ([3, 1, 0], False)
    assert await listed("status=disabled") == ([2], False)
    assert await listed("email=USER3@shop.test") == ([3], False)


async def test_administration_is_for_administrators(house: House) -> None:
    staff = house.as_("staff", "user:read", "user:write")
    for method, path in (
        ("GET", "/user/users"),
        ("GET", "/user/api-keys"),
        ("POST", "/user/api-keys"),
        ("DELETE", f"/user/api-keys/{SOMEBODY}"),
        ("PUT", f"/user/users/{SOMEBODY}/roles"),
        ("POST", f"/user/users/{SOMEBODY}/disable"),
        ("POST", f"/user/users/{SOMEBODY}/erase"),
        ("GET", "/user/letters"),
    ):
        assert (await staff.call(method, path, [b""])).error == (403, "forbidden")
        assert (await house.anonymous.call(method, path, [b""])).error == (401, "unauthenticated")


async def test_an_api_key_is_shown_once_and_exchanged_until_it_is_revoked(house: House) -> None:
    made_by = await house.register()
    admin = house.as_("admin", user_id=made_by)

    created = await admin.post("/user/api-keys", {"name": "ERP", "permissions": ["order:read"]}, idempotency_key="k")
    key = created.json["api_key"]
    exchanged = await house.anonymous.post("/user/token/api-key", {"api_key": key})

    assert (created.status, key[:4], len(key)) == (201, "tpk_", 47)
    assert (exchanged.status, exchanged.json["token_type"], exchanged.json["expires_in"]) == (200, "Bearer", 600)
    caller = house.verifier.verify(exchanged.json["access_token"])
    assert (caller.user_id, caller.roles, caller.permissions) == (
        created.json["id"], frozenset({"staff"}), frozenset({"order:read"}),
    )  # fmt: skip
    (listed,) = (await admin.get("/user/api-keys")).json["data"]
    assert (listed["hint"], listed["created_by"], listed["last_used_at"] is None) == (key[:8], made_by, False)
    assert key not in str(listed)

    assert (await admin.call("DELETE", f"/user/api-keys/{caller.user_id}", [b""])).status == 204
    again = await house.anonymous.post("/user/token/api-key", {"api_key": key})
    assert again.error == (401, "invalid_api_key")
    assert caller.session_id in await revoked_sessions(house.desk.db)
    assert (await admin.get("/user/api-keys")).json["data"] == []


async def test_an_api_key_asked_for_again_is_the_same_one_and_lies_nowhere(house: House) -> None:
    admin, body = house.as_("admin", user_id=await house.register()), {"name": "ERP", "permissions": ["order:read"]}

    first = await admin.post("/user/api-keys", body, idempotency_key="k")
    again = await admin.post("/user/api-keys", body, idempotency_key="k")
    other = await admin.post("/user/api-keys", {**body, "name": "POS"}, idempotency_key="k")
    second = await admin.post("/user/api-keys", body, idempotency_key="k-2")

    assert (again.status, again.json, again.headers["idempotent-replayed"]) == (201, first.json, "true")
    assert other.error == (422, "idempotency_key_reused")
    assert second.json["api_key"] != first.json["api_key"]
    assert await house.count("api_key") == 2
    assert (await house.anonymous.post("/user/token/api-key", {"api_key": again.json["api_key"]})).status == 200
    bare = first.json["api_key"].removeprefix("tpk_")
    for table in ("api_key", "idempotency"):
        rows = str([dict(row) for row in await house.desk.db.fetch(f"SELECT * FROM {table}")])
        assert bare not in rows
        assert repr(urlsafe_b64decode(f"{bare}="))[2:-1] not in rows


async def test_who_has_the_database_and_another_key_can_not_make_the_secret_again(house: House) -> None:
    body = {"name": "ERP", "permissions": ["order:read"]}
    made_by = await house.register()
    first = await house.as_("admin", user_id=made_by).post("/user/api-keys", body, idempotency_key="k")

    thief = house.at(replace(house.desk, key=bytes(32))).as_("admin", user_id=made_by)
    again = await thief.post("/user/api-keys", body, idempotency_key="k")

    assert again.error == (422, "idempotency_key_reused")
    assert first.json["api_key"] != api_key_of(bytes(32), msgspec.json.decode(await kept(house), type=Kept).salt)
    assert await house.count("api_key") == 1


async def kept(house: House) -> bytes:
    """What is stored of the only answer about an API key."""
    body: bytes = await house.desk.db.fetchval("SELECT body FROM idempotency WHERE scope LIKE '%api-keys'")
    return body


async def test_a_revoked_session_is_refused_as_soon_as_the_verifier_is_told(house: House) -> None:
    ada = await house.customer()
    await ada.post("/user/logout")
    for session_id in await revoked_sessions(house.desk.db):
        house.verifier.revoke(session_id=session_id)

    assert (await ada.get("/user/me")).error == (401, "invalid_token")
    with pytest.raises(Unauthenticated):
        house.verifier.verify(ada.headers["authorization"].removeprefix("Bearer "))


async def test_of_processes_that_start_at_once_one_makes_the_administrator(house: House) -> None:
    desk = house.desk
    made = await asyncio.gather(
        *(ensure_admin(desk.db, desk.passwords, "Admin@tradepost.local", None) for _ in range(5))
    )

    (shown,) = [one for one in made if one is not None]
    assert await ensure_admin(desk.db, desk.passwords, "Admin@tradepost.local", None) is None
    assert (shown[0], len(shown[1])) == ("Admin@tradepost.local", 20)
    assert (await house.log_in(*shown)).json["user"]["roles"] == ["admin"]
    ((kind, _, sequence, data),) = await house.events()
    assert (kind, sequence, data["roles"]) == ("user.registered", 1, ["admin"])


async def test_a_password_that_was_set_is_not_shown(house: House) -> None:
    desk = house.desk
    assert await ensure_admin(desk.db, desk.passwords, "admin@shop.test", "as you like") is None
    assert (await house.log_in("admin@shop.test", "as you like")).status == 200


async def test_an_account_with_the_administrators_address_becomes_the_administrator(house: House) -> None:
    user_id = await house.register("admin@shop.test")
    desk = house.desk

    assert await ensure_admin(desk.db, desk.passwords, "admin@shop.test", "as you like") is None

    answer = await house.log_in("admin@shop.test", "as you like")
    assert (answer.json["user"]["id"], answer.json["user"]["roles"]) == (user_id, ["admin", "customer"])


async def test_what_has_had_its_time_is_purged_and_nothing_else(house: House) -> None:
    await house.register()
    for _ in range(3):
        await house.log_in()
    await house.log_in(password="wrong")
    db = house.desk.db
    await db.fetch("UPDATE session SET expires_at = now() WHERE id = (SELECT id FROM session ORDER BY id LIMIT 1)")
    await db.fetch(
        "UPDATE session SET revoked_at = now() - interval '2 days'"
        " WHERE id = (SELECT id FROM session ORDER BY id DESC LIMIT 1)"
    )

    assert await purge_all(house.desk) is False
    tables = ("session", "refresh_token", "letter", "link", "login_failure")
    assert [await house.count(table) for table in tables] == [1, 1, 1, 1, 2]

    await db.fetch("UPDATE link SET expires_at = now() - interval '31 days'")
    await db.fetch("UPDATE letter SET expires_at = now() - interval '31 days'")
    await db.fetch("UPDATE login_failure SET forget_at = now()")
    assert await purge_all(house.desk) is False
    assert [await house.count(table) for table in tables] == [1, 1, 0, 0, 0]
