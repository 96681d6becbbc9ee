"""Secrets and what is kept of them: hashes, and secrets that can be made again from a key outside the database."""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Final
from uuid import UUID

SECRET_BYTES: Final = 32
API_KEY_PREFIX: Final = "tpk_"
ID_BYTES: Final = 16

_LINK_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{64}")  # id and proof


def text_of(secret: bytes) -> str:
    """A secret as it travels: base64url without padding."""
    return urlsafe_b64encode(secret).rstrip(b"=").decode()


def digest(token: str) -> bytes:
    """What is stored of a token of 256 random bits, which nobody can guess from a plain hash."""
    return sha256(token.encode()).digest()


def successor(token: str, salt: bytes) -> str:
    """The refresh token after `token`: the same one every time, for who has both the token and its stored salt."""
    return text_of(hmac.digest(token.encode(), salt, "sha256"))


def api_key_of(key: bytes, salt: bytes) -> str:
    """An API key: the same one every time for who has its salt, and the key outside the database."""
    return API_KEY_PREFIX + text_of(hmac.digest(key, b"api-key" + salt, "sha256"))


def link_token(key: bytes, link_id: str) -> str:
    """The secret of a link, made again whenever its letter is written, so that it need not be stored."""
    raw = UUID(link_id).bytes
    return text_of(raw + hmac.digest(key, b"link" + raw, "sha256"))


def link_of(key: bytes, token: str) -> str | None:
    """The id of the link whose secret `token` is, or None when it is no such secret."""
    if not _LINK_TOKEN.fullmatch(token):
        return None
    link_id = str(UUID(bytes=urlsafe_b64decode(token)[:ID_BYTES]))
    return link_id if hmac.compare_digest(link_token(key, link_id), token) else None


def body_proof(key: bytes, body_hash: bytes) -> bytes:
    """What is stored of a body that holds a password, or is answered with a secret made of the key: nobody can try
    passwords on it without the key, and with another key it is another body."""
    return hmac.digest(key, b"body" + body_hash, "sha256")
