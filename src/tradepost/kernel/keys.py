"""The signing keys of access tokens: their files, their rotation, and the public part that others check with."""

import errno
import hashlib
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

CURRENT: Final = "signing-current.pem"
PREVIOUS: Final = "signing-previous.pem"
COORDINATE: Final = 32  # bytes, on P-256
FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR})


class UnusableKey(ValueError):
    """A file of keys or secrets can't be used; the message is one line that names it."""


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """What the system forbids to do with `path`, a file or folder of keys or secrets, or with what is in it, becomes an
    UnusableKey; what it can't do stays what it is."""
    try:
        yield
    except OSError as error:
        if error.errno not in FORBIDDEN:
            raise
        is_there = error.filename is not None and os.path.lexists(error.filename)  # unlike what can't be made
        raise UnusableKey(
            f"{error.filename if is_there else path} can't be used ({error.strerror}): "
            "run this as the user that it belongs to, or restore it from a backup"
        ) from error


def create_once(path: Path, content: bytes) -> None:
    """A file that only its owner may read, whole or not at all: we, or who the folder belongs to where we may be
    anybody. Of several processes that start at once one makes it, and its content is the one."""
    fresh = _write_beside(path, content)
    try:
        os.link(fresh, path)
    except FileExistsError:
        pass  # another process was quicker
    finally:
        fresh.unlink()


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key as PEM, the public one, and the name they go by: the RFC 7638 thumbprint."""

    kid: str
    private_pem: bytes
    public: ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class Keys:
    """`current` signs; what `previous` signed is still good."""

    current: SigningKey
    previous: SigningKey | None

    @property
    def public(self) -> dict[str, ec.EllipticCurvePublicKey]:
        """The public keys by `kid`."""
        return {key.kid: key.public for key in (self.current, self.previous) if key is not None}


def has_keys(folder: Path) -> bool:
    """Whether there are any in `folder`. Errors: UnusableKey."""
    with usable(folder):
        return (folder / CURRENT).exists()


def load_or_create_keys(folder: Path) -> Keys:
    """The keys in `folder`, the first of which is made when there is none; of several processes that start at once
    one makes it. Errors: UnusableKey when a file can't be read, or isn't a P-256 key."""
    with usable(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (folder / CURRENT).exists():
            create_once(folder / CURRENT, _new_pem())
        previous = folder / PREVIOUS
        return Keys(_read(folder / CURRENT), _read(previous) if previous.exists() else None)


def rotate_keys(folder: Path) -> Keys:
    """A new current key; the one so far becomes the previous one, and the one before that is gone. Errors: UnusableKey
    when a file can't be read or written, or isn't a P-256 key."""
    keys = load_or_create_keys(folder)
    with usable(folder):
        _write_beside(folder / PREVIOUS, keys.current.private_pem).replace(folder / PREVIOUS)
        _write_beside(folder / CURRENT, _new_pem()).replace(folder / CURRENT)
    return load_or_create_keys(folder)


def jwks(public_keys: Mapping[str, ec.EllipticCurvePublicKey]) -> dict[str, Any]:
    """The JWK Set (RFC 7517) of `public_keys`, by `kid`."""
    extra = {"use": "sig", "alg": "ES256"}
    return {"keys": [{**_jwk(key), "kid": kid, **extra} for kid, key in public_keys.items()]}


def keys_of(document: Mapping[str, Any]) -> dict[str, ec.EllipticCurvePublicKey]:
    """The P-256 signing keys of a JWK Set, by `kid`; others are passed over. Errors: ValueError, KeyError."""
    return {
        jwk["kid"]: ec.EllipticCurvePublicNumbers(_integer(jwk["x"]), _integer(jwk["y"]), ec.SECP256R1()).public_key()
        for jwk in document["keys"]
        if jwk.get("kty") == "EC" and jwk.get("crv") == "P-256" and jwk.get("use", "sig") == "sig"
    }


def thumbprint(key: ec.EllipticCurvePublicKey) -> str:
    """The RFC 7638 thumbprint of `key`."""
    return _base64(hashlib.sha256(msgspec.json.encode(_jwk(key), order="sorted")).digest())


def _jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    point = key.public_numbers()
    x, y = (_base64(number.to_bytes(COORDINATE, "big")) for number in (point.x, point.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def _new_pem() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read(path: Path) -> SigningKey:
    pem = path.read_bytes()
    try:
        private = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKey(f"{path} is not a private key: restore it from a backup ({error})") from error
    public = private.public_key()
    if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1):
        return SigningKey(thumbprint(public), pem, public)
    raise UnusableKey(f"{path} is not a P-256 key: restore it from a backup")


def _write_beside(path: Path, content: bytes) -> Path:
    """A file with `content` in the folder of `path`, safely on disk, to be renamed or linked."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if os.geteuid() == 0:  # an operator, who must not lock out the services
            os.fchown(descriptor, path.parent.stat().st_uid, path.parent.stat().st_gid)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _base64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _integer(text: str) -> int:
    return int.from_bytes(urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
