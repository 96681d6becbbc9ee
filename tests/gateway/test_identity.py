"""Tokens are checked with the keys that are good now, wherever these come from."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import pytest

from tests.gateway.apart import Double, Scope, answer, nowhere, serving
from tests.patience import PATIENCE_S
from tests.shop import eventually
from tradepost.gateway import identity as keeping
from tradepost.gateway.identity import SOONEST_S, Folder, Identity, KeySource
from tradepost.gateway.jwks import JwkSet, Unreachable
from tradepost.gateway.pool import open_session
from tradepost.kernel.auth import Signer
from tradepost.kernel.clock import now
from tradepost.kernel.errors import Unauthenticated
from tradepost.kernel.keys import CURRENT, Keys, jwks, load_or_create_keys, rotate_keys

ISSUER = "tradepost"


def token(keys: Keys, session_id: str = "s-1") -> str:
    return Signer(keys.current.private_pem, keys.current.kid, ISSUER).issue("u-1", [], [], session_id, now())


class User:
    """Instances of the user service that publish these keys."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.asked = 0
        self.double = Double(respond=self.respond)

    async def respond(self, _double: Double, scope: Scope, _receive: Any, send: Any) -> None:
        assert scope["path"] == "/.well-known/jwks.json"
        self.asked += 1
        await answer(send, 200, msgspec.json.encode(jwks(self.keys.public)))


async def nobody() -> set[str]:
    return set()


@asynccontextmanager
async def kept_current(source: KeySource) -> AsyncIterator[Identity]:
    identity = Identity(source, ISSUER, nobody)
    await identity.start()
    task = asyncio.create_task(identity.keep_current())
    yield identity
    task.cancel()


async def accepts(identity: Identity, signed: str) -> bool:
    try:
        return identity.verifier.verify(signed).user_id == "u-1"
    except Unauthenticated:
        return False


async def test_the_first_key_is_made_where_there_is_none_and_a_rotated_one_is_noticed(tmp_path: Path) -> None:
    async with kept_current(Folder(tmp_path / "keys")) as identity:
        first = load_or_create_keys(tmp_path / "keys")
        assert await accepts(identity, token(first))
        rotated = token(rotate_keys(tmp_path / "keys"))
        assert await eventually(lambda: accepts(identity, rotated), bool)
        assert await accepts(identity, token(first))


async def test_a_key_that_is_rotated_just_after_the_keys_were_read_is_found_at_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_before_a_rotation(folder: Path) -> Keys:
        keys = load_or_create_keys(folder)
        rotate_keys(folder)
        return keys

    folder = Folder(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(keeping, "load_or_create_keys", load_before_a_rotation)
        await folder.read()
    found = await folder.read()

    assert found is not None
    assert found.keys() == load_or_create_keys(tmp_path).public.keys()
    assert await folder.read() is None


async def test_keys_that_were_rotated_within_one_tick_of_the_clock_are_told_apart(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    await folder.read()
    at = (tmp_path / CURRENT).stat().st_mtime_ns
    keys = rotate_keys(tmp_path)
    os.utime(tmp_path / CURRENT, ns=(at, at))
    found = await folder.read()

    assert found is not None
    assert found.keys() == keys.public.keys()


async def test_a_key_that_is_lost_is_not_replaced_by_another(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    await folder.read()
    (tmp_path / "signing-current.pem").unlink()

    with pytest.raises(FileNotFoundError):
        await folder.read()
    assert list(tmp_path.iterdir()) == []


async def test_keys_are_had_from_the_first_instance_of_user_that_answers(tmp_path: Path) -> None:
    user = User(load_or_create_keys(tmp_path))
    async with serving(user.double) as url, open_session() as session:
        source = JwkSet(session, [nowhere(), url])
        first, second = await source.read(), await source.read()

    assert first is not None
    assert first.keys() == user.keys.public.keys()
    assert (second, user.asked) == (None, 2)


async def test_a_new_key_is_asked_for_as_soon_as_a_token_names_it_but_not_for_every_token(tmp_path: Path) -> None:
    user = User(load_or_create_keys(tmp_path / "user"))
    stranger = load_or_create_keys(tmp_path / "stranger")
    async with (
        serving(user.double) as url,
        open_session() as session,
        kept_current(JwkSet(session, [url])) as identity,
    ):
        user.keys = rotate_keys(tmp_path / "user")
        fresh = token(user.keys)
        assert await eventually(lambda: accepts(identity, fresh), bool)
        before, began = user.asked, monotonic()
        for _ in range(50):
            assert not await accepts(identity, token(stranger))
            await asyncio.sleep(0.01)

        assert user.asked - before <= (monotonic() - began) / SOONEST_S + 1


async def test_the_last_keys_are_kept_while_user_is_away(tmp_path: Path) -> None:
    user = User(load_or_create_keys(tmp_path))
    async with open_session() as session:
        async with serving(user.double) as url:
            identity = Identity(JwkSet(session, [url]), ISSUER, nobody)
            await identity.start()
        with pytest.raises(Unreachable):
            await identity.refresh()

        assert await accepts(identity, token(user.keys))


async def test_the_start_waits_for_keys(tmp_path: Path) -> None:
    user, url = User(load_or_create_keys(tmp_path)), nowhere()
    async with open_session() as session:
        identity = Identity(JwkSet(session, [url, nowhere()]), ISSUER, nobody)
        starting = asyncio.create_task(identity.start())
        await asyncio.sleep(0.3)
        assert not starting.done()
        async with serving(user.double) as late:
            identity._source._urls.append(late)  # type: ignore[attr-defined]
            await asyncio.wait_for(starting, PATIENCE_S)

    assert await accepts(identity, token(user.keys))


async def test_a_session_that_ended_is_refused_from_the_next_look_on(tmp_path: Path) -> None:
    ended: set[str] = set()

    async def tell() -> set[str]:
        return ended

    identity = Identity(Folder(tmp_path), ISSUER, tell)
    await identity.start()
    signed = token(load_or_create_keys(tmp_path), "s-9")
    before = await accepts(identity, signed)
    ended.add("s-9")
    await identity.refresh()

    assert (before, await accepts(identity, signed)) == (True, False)
