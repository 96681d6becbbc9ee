"""Makes access tokens that are wrong in exactly one way."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tradepost.kernel.keys import SigningKey

Json = dict[str, Any]


def segment(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


class Forger:
    """Holds our own key, an attacker's, and a good token's header and claims to start from."""

    def __init__(self, key: SigningKey, issuer: str, now: int) -> None:
        self.key = key
        self.attacker = ec.generate_private_key(ec.SECP256R1())
        self.ours: Any = serialization.load_pem_private_key(key.private_pem, None)
        self.header: Json = {"alg": "ES256", "kid": key.kid, "typ": "at+jwt"}
        self.claims: Json = {
            "iss": issuer,
            "aud": "tradepost",
            "sub": "u-1",
            "iat": now,
            "iat_ms": now * 1000,
            "nbf": now,
            "exp": now + 600,
            "jti": "t-1",
            "sid": "s-1",
            "roles": ["admin"],
            "permissions": [],
        }
        self.public_pem = key.public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def token(self, header: Json | None = None, claims: Json | None = None, key: Any = None) -> str:
        """Signed with `key` (ours); `...` as a value leaves the member out."""
        return self.signed(_merged(self.header, header), _merged(self.claims, claims), self._es256(key or self.ours))

    def signed(self, header: Any, claims: Any, sign: Callable[[bytes], bytes]) -> str:
        start = f"{segment(header)}.{segment(claims)}"
        return f"{start}.{segment(sign(start.encode()))}"

    def hmac(self, algorithm: str, secret: bytes) -> str:
        """Signed symmetrically, with whatever the attacker knows as the secret."""
        return self.signed(
            {**self.header, "alg": algorithm}, self.claims, lambda m: hmac.digest(secret, m, hashlib.sha256)
        )

    def jwk(self) -> Json:
        """The attacker's public key, for a header to carry."""
        point = self.attacker.public_key().public_numbers()
        x, y = (segment(number.to_bytes(32, "big")) for number in (point.x, point.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}

    def der(self) -> str:
        """Signed by us, with the signature in the wrong encoding."""
        return self.signed(self.header, self.claims, lambda m: bytes(self.ours.sign(m, ec.ECDSA(hashes.SHA256()))))

    @staticmethod
    def _es256(key: Any) -> Callable[[bytes], bytes]:
        def sign(message: bytes) -> bytes:
            r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")

        return sign


def _merged(good: Json, change: Json | None) -> Json:
    return {name: value for name, value in {**good, **(change or {})}.items() if value is not ...}
