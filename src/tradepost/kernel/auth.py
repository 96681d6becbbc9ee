"""Access tokens: ES256 JWTs (RFC 9068), made by the user service and checked by every service for itself."""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Final, Literal, NamedTuple

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from tradepost.kernel.errors import Unauthenticated
from tradepost.kernel.http.endpoint import Caller
from tradepost.kernel.ids import new_id

ALGORITHM: Final = "ES256"
AUDIENCE: Final = "tradepost"
TTL_S: Final = 600
TTL_LIMIT_S: Final = 3600  # no token lives longer, so no revocation has to be kept longer
LEEWAY_S: Final = 30
TOKEN_LIMIT: Final = 8 * 1024  # characters
CACHE_LIMIT: Final = 10_000  # tokens
CACHE_S: Final = 60

_FORM: Final = re.compile(r"[A-Za-z0-9_-]{1,1024}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}")  # 64 bytes of signature
_jws: Final = jwt.PyJWS(algorithms=[ALGORITHM])

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a header may say: no jku, jwk, x5u, x5c, crit or b64."""

    alg: Literal["ES256"]
    kid: Name
    typ: Literal["at+jwt"]


class _Claims(msgspec.Struct, frozen=True, kw_only=True):
    iss: str
    aud: Literal["tradepost"]
    sub: Name
    iat: int
    nbf: int
    exp: int
    jti: Name
    iat_ms: int  # finer than `iat`: log-in in the second of a revocation must hold
    sid: str | None = None
    roles: frozenset[str] = frozenset()
    permissions: frozenset[str] = frozenset()


class _Verified(NamedTuple):
    caller: Caller
    issued_ms: int
    dies_at: float


_header: Final = msgspec.json.Decoder(_Header)
_claims: Final = msgspec.json.Decoder(_Claims)


class Signer:
    """Makes access tokens with one private key (P-256, PEM)."""

    def __init__(self, private_key_pem: bytes, kid: str, issuer: str) -> None:
        self._key = _jws.get_algorithm_by_name(ALGORITHM).prepare_key(private_key_pem)
        self._header = {"typ": "at+jwt", "kid": kid}
        self._issuer = issuer

    def issue(
        self,
        user_id: str,
        roles: Collection[str],
        permissions: Collection[str],
        session_id: str | None,
        now: datetime,
        ttl_s: int = TTL_S,
    ) -> str:
        """A token that is good from `now` for `ttl_s` seconds."""
        second = int(now.timestamp())
        claims = _Claims(
            iss=self._issuer,
            aud=AUDIENCE,
            sub=user_id,
            iat=second,
            nbf=second,
            exp=second + ttl_s,
            jti=new_id(),
            iat_ms=int(now.timestamp() * 1000),
            sid=session_id,
            roles=frozenset(roles),
            permissions=frozenset(permissions),
        )
        return _jws.encode(msgspec.json.encode(claims, order="sorted"), self._key, ALGORITHM, self._header)


class Verifier:
    """Checks access tokens against `keys`, our own public keys by `kid`; the mapping may change while in use."""

    def __init__(
        self, keys: Mapping[str, EllipticCurvePublicKey], issuer: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys, self._issuer, self._clock = keys, issuer, clock
        self._cache: OrderedDict[bytes, _Verified] = OrderedDict()
        self._sessions: dict[str, float] = {}  # revoked, and when
        self._users: dict[str, float] = {}

    def verify(self, token: str) -> Caller:
        """Who holds `token`. Errors: Unauthenticated `invalid_token`."""
        return self._verified(token).caller

    def watch(self, token: str) -> Callable[[], bool]:
        """Tells from now on whether the session of `token` was ended; that the token becomes too old is no end.
        Errors: Unauthenticated `invalid_token`."""
        return partial(self._is_revoked, self._verified(token))

    def _verified(self, token: str) -> _Verified:
        now = self._clock()
        if len(token) > TOKEN_LIMIT:
            raise _invalid("too long")
        digest = hashlib.sha256(token.encode()).digest()
        verified = self._cache.get(digest)
        if verified is None or now >= verified.dies_at:
            verified = self._check(token, now)
            self._remember(digest, verified)
        else:
            self._cache.move_to_end(digest)
        if self._is_revoked(verified):
            raise _invalid("revoked")
        return verified

    def revoke(self, *, session_id: str | None = None, user_id: str | None = None) -> None:
        """From now on refuse the tokens of a session, or those that the user has got so far."""
        now = self._clock()
        for revoked, name in ((self._sessions, session_id), (self._users, user_id)):
            if name is not None:
                revoked.pop(name, None)
                revoked[name] = now
            while revoked and (oldest := next(iter(revoked))) and revoked[oldest] < now - TTL_LIMIT_S - LEEWAY_S:
                del revoked[oldest]

    def _check(self, token: str, now: float) -> _Verified:
        if not _FORM.fullmatch(token):
            raise _invalid("not a signed token")
        try:
            header = _header.decode(_unpadded(token.partition(".")[0]))
            key = self._keys.get(header.kid)
            if key is None:
                raise _invalid("signed with a key that is not ours")
            claims = _claims.decode(_jws.decode_complete(token, key, [ALGORITHM])["payload"])
        except (jwt.PyJWTError, msgspec.MsgspecError, ValueError, RecursionError):
            raise _invalid("not a token of ours") from None
        self._check_claims(claims, now)
        caller = Caller(claims.sub, claims.roles, claims.permissions, claims.sid)
        return _Verified(caller, claims.iat_ms, min(claims.exp, now + CACHE_S))

    def _check_claims(self, claims: _Claims, now: float) -> None:
        if claims.iss != self._issuer:
            raise _invalid("not from our issuer")
        if now >= claims.exp + LEEWAY_S:
            raise _invalid("expired")
        if max(claims.nbf, claims.iat) > now + LEEWAY_S:
            raise _invalid("not valid yet")
        if claims.exp - claims.iat > TTL_LIMIT_S or claims.iat_ms // 1000 != claims.iat:
            raise _invalid("of an impossible age")

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._cache[digest] = verified
        self._cache.move_to_end(digest)
        if len(self._cache) > CACHE_LIMIT:
            self._cache.popitem(last=False)

    def _is_revoked(self, verified: _Verified) -> bool:
        caller = verified.caller
        if self._users and (revoked_at := self._users.get(caller.user_id)) is not None:
            return verified.issued_ms <= revoked_at * 1000 or caller.session_id in self._sessions
        return caller.session_id in self._sessions


def _unpadded(segment: str) -> bytes:
    return jwt.utils.base64url_decode(segment)


def _invalid(why: str) -> Unauthenticated:
    return Unauthenticated(f"The access token is {why}.", code="invalid_token")
