"""Logging in, staying logged in, logging out."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from tests import databases
from tests.kernel.http.driver import Client, Response
from tests.services.user.house import PASSWORD, House
from tests.shop import eventually
from tradepost.kernel.clock import now
from tradepost.kernel.events import Cause
from tradepost.services.user.api import session as api
from tradepost.services.user.commands.account import set_status
from tradepost.services.user.commands.session import Grant, log_in, renew
from tradepost.services.user.domain.account import Status
from tradepost.services.user.domain.password import FREE_FAILURES_EVERYWHERE, InvalidCredentials, LoginDelayed
from tradepost.services.user.domain.session import RefreshTokenReused
from tradepost.services.user.passwords import Passwords
from tradepost.services.user.queries.session import revoked_sessions
from tradepost.services.user.repository.session import Origin, record_failure


async def refresh(house: House, token: str) -> Response:
    return await house.anonymous.post("/user/token/refresh", {"refresh_token": token})


async def test_logging_in_gives_tokens_that_are_good_for_ten_minutes(house: House) -> None:
    user_id = await house.register()

    answer = await house.log_in("ADA@Shop.test")

    assert answer.status == 200
    told = answer.json
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 600)
    assert told["user"] == {"id": user_id, "email": "ada@shop.test", "name": "Ada", "roles": ["customer"]}
    caller = house.verifier.verify(told["access_token"])
    assert (caller.user_id, caller.roles, caller.permissions) == (user_id, frozenset({"customer"}), frozenset())
    stored = await house.desk.db.fetch("SELECT hash FROM refresh_token")
    assert all(told["refresh_token"].encode() not in row["hash"] for row in stored)


async def test_a_wrong_password_and_an_unknown_address_look_the_same(house: House) -> None:
    await house.register()

    wrong, unknown = await house.log_in(password="wrong"), await house.log_in("eve@shop.test")

    assert wrong.error == unknown.error == (401, "invalid_credentials")
    assert wrong.json["detail"] == unknown.json["detail"]
    assert await house.count("session") == 0


async def test_after_five_wrong_passwords_even_the_right_one_has_to_wait(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.register()
    moment = now()

    with monkeypatch.context() as patched:
        patched.setattr(api, "now", lambda: moment)
        answers = [await house.log_in(password=f"wrong {n}") for n in range(6)]
        delayed = await house.log_in()
        other = await house.log_in("eve@shop.test")

    assert [answer.status for answer in answers] == [401] * 6
    assert delayed.error == (429, "login_delayed")
    assert delayed.headers["retry-after"] == "1"
    assert other.status == 401
    await house.desk.db.fetch("UPDATE login_failure SET ready_at = now() WHERE email = 'ada@shop.test'")
    assert (await house.log_in()).status == 200
    assert await house.desk.db.fetchval("SELECT count(*) FROM login_failure WHERE email = 'ada@shop.test'") == 0


async def test_a_stranger_who_guesses_delays_nobody_but_himself(house: House) -> None:
    await house.register()
    stranger, moment = Origin(address="198.51.100.7", user_agent=""), now()
    for n in range(8):
        with suppress(InvalidCredentials, LoginDelayed):
            await log_in(house.desk.door, "ada@shop.test", f"wrong {n}", stranger, moment)
    with pytest.raises(LoginDelayed):
        await log_in(house.desk.door, "ada@shop.test", PASSWORD, stranger, moment)

    assert (await house.log_in()).status == 200
    with pytest.raises(LoginDelayed):
        await log_in(house.desk.door, "ada@shop.test", PASSWORD, stranger, moment)


async def test_guessing_from_everywhere_is_delayed_but_for_where_the_owner_is(house: House) -> None:
    await house.register()
    home, elsewhere = (Origin(address=address, user_agent="") for address in ("2001:db8:0:1::7", "198.51.100.7"))
    nearby, moment = Origin(address="2001:db8:0:1::8", user_agent=""), now()
    await log_in(house.desk.door, "ada@shop.test", PASSWORD, home, moment)
    for n in range(FREE_FAILURES_EVERYWHERE + 1):
        await record_failure(house.desk.db, "ada@shop.test", f"192.0.2.{n}", moment)

    with pytest.raises(LoginDelayed):
        await log_in(house.desk.door, "ada@shop.test", PASSWORD, elsewhere, moment)
    await log_in(house.desk.door, "ada@shop.test", PASSWORD, nearby, moment)
    await log_in(house.desk.door, "ada@shop.test", PASSWORD, elsewhere, moment)  # she has shown up since


async def test_guessing_in_parallel_gets_no_further(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.register()
    moment = now()
    monkeypatch.setattr(api, "now", lambda: moment)

    answers = await asyncio.gather(*(house.log_in(password=f"wrong {n}") for n in range(20)))

    assert sorted(answer.status for answer in answers) == [401] * 6 + [429] * 14


async def test_without_rate_limits_nobody_waits(unlimited: House) -> None:
    await unlimited.register()

    assert {(await unlimited.log_in(password="wrong")).status for _ in range(8)} == {401}
    assert (await unlimited.log_in()).status == 200
    assert await unlimited.count("login_failure") == 0


async def test_a_weak_hash_is_replaced_at_log_in(house: House) -> None:
    await house.register()
    before = await house.desk.db.fetchval("SELECT password_hash FROM account")
    stronger = Passwords(passes=2, memory_kib=16)
    origin = Origin(address="192.0.2.1", user_agent="")

    await log_in(replace(house.desk.door, passwords=stronger), "ada@shop.test", PASSWORD, origin, now())

    after = await house.desk.db.fetchval("SELECT password_hash FROM account")
    assert before.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert after.startswith("$argon2id$v=19$m=16,t=2,p=1$")
    assert await stronger.verify(PASSWORD, after)


async def test_no_session_slips_in_while_the_account_is_being_closed(house: House) -> None:
    user_id = await house.register()
    async with house.desk.db.transaction() as tx:
        await set_status(tx, user_id, Status.DISABLED, now(), Cause("test"))
        slow = asyncio.create_task(house.log_in())  # the password is found good before this transaction ends
        await eventually(lambda: databases.waiters(house.desk.db), lambda waiting: waiting == 1)

    assert (await slow).error == (401, "invalid_credentials")
    assert await house.count("session") == 0


async def test_who_loses_a_role_while_the_password_is_checked_gets_no_token_with_it(house: House) -> None:
    user_id = await house.register()
    await house.desk.db.fetch("UPDATE account SET roles = '{customer,admin}', permissions = '{order:read}'")

    class Slow(Passwords):
        async def verify(self, password: str, stored: str | None) -> bool:
            await house.desk.db.fetch("UPDATE account SET roles = '{customer}', permissions = '{}'")
            return await super().verify(password, stored)

    slow = replace(house.desk.door, passwords=Slow(passes=1, memory_kib=8))
    origin = Origin(address="192.0.2.1", user_agent="")

    grant = await log_in(slow, "ada@shop.test", PASSWORD, origin, now())

    assert (grant.account.id, grant.account.roles, grant.account.permissions) == (user_id, ("customer",), ())


async def test_refreshing_moves_on_and_an_answer_that_got_lost_can_be_had_again(house: House) -> None:
    await house.register()
    first = (await house.log_in()).json["refresh_token"]

    one, two = await asyncio.gather(refresh(house, first), refresh(house, first))
    lost = await refresh(house, first)

    successors = {answer.json["refresh_token"] for answer in (one, two, lost)}
    assert len(successors) == 1
    assert first not in successors
    assert await house.count("refresh_token") == 2
    assert (await refresh(house, successors.pop())).status == 200


async def test_a_token_that_comes_back_after_its_grace_ends_the_session_for_both(house: House) -> None:
    await house.register()
    logged_in = (await house.log_in()).json
    successor = (await refresh(house, logged_in["refresh_token"])).json["refresh_token"]
    await house.desk.db.fetch("UPDATE refresh_token SET used_at = used_at - interval '21 seconds'")

    stolen = await refresh(house, logged_in["refresh_token"])

    assert stolen.error == (401, "refresh_token_reused")
    assert (await refresh(house, successor)).error == (401, "invalid_refresh_token")
    session_id = house.verifier.verify(logged_in["access_token"]).session_id
    assert await revoked_sessions(house.desk.db) == {session_id}


async def test_a_session_that_is_not_used_for_thirty_days_is_over(house: House) -> None:
    await house.register()
    token = (await house.log_in()).json["refresh_token"]

    async with house.desk.db.transaction() as tx:
        within = await renew(tx, token, now() + timedelta(days=29))
    assert isinstance(within, Grant)
    async with house.desk.db.transaction() as tx:
        after = await renew(tx, within.refresh_token, now() + timedelta(days=60))
    assert not isinstance(after, Grant)
    assert not isinstance(after, RefreshTokenReused)
    assert after.error == "invalid_refresh_token"


async def test_what_is_no_refresh_token_is_refused(house: House) -> None:
    assert (await refresh(house, "nonsense")).error == (401, "invalid_refresh_token")


async def test_logging_out_ends_this_session_alone(house: House) -> None:
    await house.register()
    here, there = (await house.log_in()).json, (await house.log_in()).json

    answer = await house.holding(here["access_token"]).post("/user/logout")

    assert answer.status == 204
    assert await revoked_sessions(house.desk.db) == {house.verifier.verify(here["access_token"]).session_id}
    assert (await refresh(house, here["refresh_token"])).error == (401, "invalid_refresh_token")
    assert (await refresh(house, there["refresh_token"])).status == 200


async def test_sessions_are_listed_and_ended_by_their_owner_only(house: House) -> None:
    ada, eve = await house.customer(), await house.customer("eve@shop.test")
    await house.log_in()

    listed = (await ada.get("/user/sessions?limit=1")).json
    newest = listed["data"][0]

    assert (listed["has_more"], newest["current"], newest["address"]) == (True, False, "192.0.2.1")
    assert (await ada.get(f"/user/sessions?starting_after={newest['id']}")).json["data"][0]["current"] is True
    assert (await eve.call("DELETE", f"/user/sessions/{newest['id']}", [b""])).error == (404, "session_not_found")
    assert await revoked_sessions(house.desk.db) == set()
    assert (await ada.call("DELETE", f"/user/sessions/{newest['id']}", [b""])).status == 204
    assert await revoked_sessions(house.desk.db) == {newest["id"]}


async def test_the_five_hundred_and_first_session_ends_the_oldest(house: House) -> None:
    user_id = await house.register()
    await house.desk.db.fetch(
        "INSERT INTO session (id, user_id, created_at, last_used_at, expires_at, address, user_agent)"
        " SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, $1, now(), now(),"
        " now() + interval '1 day', '', '' FROM generate_series(1, 500) AS n",
        user_id,
    )

    await house.log_in()

    assert await revoked_sessions(house.desk.db) == {"00000000-0000-7000-8000-000000000001"}


async def test_the_public_keys_are_there_for_everybody(house: House) -> None:
    answer = await Client(house.app).get("/.well-known/jwks.json")

    assert answer.status == 200
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert [(key["kty"], key["crv"], key["use"], key["alg"]) for key in answer.json["keys"]] == [
        ("EC", "P-256", "sig", "ES256")
    ]
    assert "d" not in answer.json["keys"][0]


async def test_a_disabled_account_learns_so_only_with_the_right_password(house: House) -> None:
    user_id = await house.register()
    await house.admin.post(f"/user/users/{user_id}/disable")

    assert (await house.log_in()).error == (403, "account_disabled")
    assert (await house.log_in(password="wrong")).error == (401, "invalid_credentials")
    assert (await house.log_in(password=PASSWORD + " ")).error == (401, "invalid_credentials")
