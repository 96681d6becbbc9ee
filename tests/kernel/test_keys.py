"""Signing keys survive a restart, stay private, and rotate without turning anybody away."""

import base64
import errno
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tradepost.kernel.auth import Signer, Verifier
from tradepost.kernel.keys import CURRENT, Keys, UnusableKey, jwks, keys_of, load_or_create_keys, rotate_keys, usable

ISSUER = "http://tradepost.test"


def token(keys: Keys) -> str:
    return Signer(keys.current.private_pem, keys.current.kid, ISSUER).issue("u-1", [], [], None, datetime.now(UTC))


def test_the_key_is_the_same_after_a_restart(tmp_path: Path) -> None:
    assert load_or_create_keys(tmp_path / "keys").current.kid == load_or_create_keys(tmp_path / "keys").current.kid


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    load_or_create_keys(tmp_path / "keys")

    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert [(file.name, file.stat().st_mode & 0o777) for file in (tmp_path / "keys").iterdir()] == [(CURRENT, 0o600)]


def test_of_many_that_start_at_once_all_have_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        kids = {keys.current.kid for keys in pool.map(load_or_create_keys, [tmp_path] * 32)}

    assert len(kids) == 1
    assert [file.name for file in tmp_path.iterdir()] == [CURRENT]


def test_after_a_rotation_tokens_of_before_are_good_and_after_two_they_are_not(tmp_path: Path) -> None:
    first = load_or_create_keys(tmp_path)
    old = token(first)
    second = rotate_keys(tmp_path)
    third = rotate_keys(tmp_path)

    assert second.previous is not None
    assert third.previous is not None
    assert (second.previous.kid, third.previous.kid) == (first.current.kid, second.current.kid)
    assert Verifier(second.public, ISSUER).verify(old).user_id == "u-1"
    assert Verifier(second.public, ISSUER).verify(token(second)).user_id == "u-1"
    assert first.current.kid not in third.public


def test_the_kid_is_the_thumbprint_of_rfc_7638(tmp_path: Path) -> None:
    keys = load_or_create_keys(tmp_path)
    (jwk,) = jwks(keys.public)["keys"]
    required = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    digest = base64.urlsafe_b64encode(hashlib.sha256(required.encode()).digest()).rstrip(b"=").decode()

    assert jwk["kid"] == keys.current.kid == digest
    assert set(jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


def test_a_published_set_can_be_read_back_and_others_keys_are_passed_over(tmp_path: Path) -> None:
    rotate_keys(tmp_path)
    keys = load_or_create_keys(tmp_path)
    published = jwks(keys.public)
    published["keys"] += [{"kty": "RSA", "kid": "rsa"}, {"kty": "oct", "kid": "oct", "k": "eA"}]
    published["keys"].append({**published["keys"][0], "kid": "enc", "use": "enc"})

    assert {kid: key.public_numbers() for kid, key in keys_of(published).items()} == {
        kid: key.public_numbers() for kid, key in keys.public.items()
    }


@pytest.mark.parametrize("other", ["rsa", "p384", "text"])
def test_a_file_that_is_not_a_key_of_ours_is_refused(tmp_path: Path, other: str) -> None:
    key = rsa.generate_private_key(65537, 2048) if other == "rsa" else ec.generate_private_key(ec.SECP384R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / CURRENT).write_bytes(b"text" if other == "text" else pem)

    with pytest.raises(ValueError, match=CURRENT):
        load_or_create_keys(tmp_path)


@pytest.mark.parametrize("refused", ["exists", "mkdir", "read_bytes"])
def test_what_the_system_keeps_from_us_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    load_or_create_keys(tmp_path)

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, refused, refuse)
    with pytest.raises(
        UnusableKey, match=f"^{tmp_path}.* can't be used \\(Permission denied\\): run this as the user "
    ):
        load_or_create_keys(tmp_path)


def test_a_full_disk_is_not_taken_for_a_key_that_is_kept_from_us(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"), usable(tmp_path):
        raise OSError(errno.ENOSPC, "full")
