"""A token is good only if we made it, for us, and not too long ago."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from tests.kernel.forge import Forger, segment
from tradepost.kernel import auth
from tradepost.kernel.auth import Signer, Verifier
from tradepost.kernel.errors import Unauthenticated
from tradepost.kernel.http.endpoint import Caller
from tradepost.kernel.keys import SigningKey, load_or_create_keys

ISSUER = "http://tradepost.test"
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
SECOND = int(NOW.timestamp())
ORDER_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of the group of P-256


class Clock:
    def __init__(self) -> None:
        self.now = NOW.timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return load_or_create_keys(tmp_path_factory.mktemp("keys")).current


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def signer(key: SigningKey) -> Signer:
    return Signer(key.private_pem, key.kid, ISSUER)


@pytest.fixture
def verifier(key: SigningKey, clock: Clock) -> Verifier:
    return Verifier({key.kid: key.public}, ISSUER, clock)


@pytest.fixture
def forger(key: SigningKey) -> Forger:
    return Forger(key, ISSUER, SECOND)


def refused(verifier: Verifier, token: str) -> bool:
    try:
        verifier.verify(token)
    except Unauthenticated as refusal:
        return refusal.error == "invalid_token"
    return False


def test_a_token_says_who_calls(signer: Signer, verifier: Verifier) -> None:
    token = signer.issue("u-1", ["staff"], ["orders:read"], "s-1", NOW)

    assert verifier.verify(token) == Caller("u-1", frozenset({"staff"}), frozenset({"orders:read"}), "s-1")
    assert verifier.verify(token) == verifier.verify(token)


def test_a_token_is_what_rfc_9068_says(signer: Signer, key: SigningKey) -> None:
    token = signer.issue("u-1", ["staff"], ["b:w", "a:r"], "s-1", NOW)

    assert jwt.get_unverified_header(token) == {"alg": "ES256", "typ": "at+jwt", "kid": key.kid}
    claims = jwt.decode(token, options={"verify_signature": False})
    assert len(claims.pop("jti")) == 36
    assert claims == {
        "iss": ISSUER,
        "aud": "tradepost",
        "sub": "u-1",
        "iat": SECOND,
        "iat_ms": SECOND * 1000,
        "nbf": SECOND,
        "exp": SECOND + 600,
        "sid": "s-1",
        "roles": ["staff"],
        "permissions": ["a:r", "b:w"],
    }


def test_the_forger_can_make_a_good_one(forger: Forger, verifier: Verifier) -> None:
    assert verifier.verify(forger.token()).is_admin


def unsigned(alg: object) -> Callable[[Forger], str]:
    return lambda f: f"{segment({**f.header, 'alg': alg})}.{segment(f.claims)}."


def raw_signature(r: int, s: int) -> Callable[[Forger], str]:
    return lambda f: f.signed(f.header, f.claims, lambda _: r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def header(**change: object) -> Callable[[Forger], str]:
    return lambda f: f.token(header=change)


def claims(**change: object) -> Callable[[Forger], str]:
    return lambda f: f.token(claims=change)


def changed(edit: Callable[[str], str]) -> Callable[[Forger], str]:
    return lambda f: edit(f.token())


def swapped_claims(f: Forger) -> str:
    start, _, signature = f.token().split(".")
    return f"{start}.{segment({**f.claims, 'sub': 'u-2'})}.{signature}"


FORGED: dict[str, Callable[[Forger], str]] = {
    "nothing": lambda _: "",
    "text": lambda _: "x",
    "two dots": lambda _: "..",
    "alg none": unsigned("none"),
    "alg None": unsigned("None"),
    "alg NONE": unsigned("NONE"),
    "alg nOnE with a signature": header(alg="nOnE"),
    "alg null": unsigned(None),
    "alg missing": header(alg=...),
    "alg a list": header(alg=["ES256"]),
    "alg es256": header(alg="es256"),
    "alg ES384": header(alg="ES384"),
    "alg RS256": header(alg="RS256"),
    "HS256 with the public key as PEM": lambda f: f.hmac("HS256", f.public_pem),
    "HS256 with the kid": lambda f: f.hmac("HS256", f.key.kid.encode()),
    "HS256 with nothing": lambda f: f.hmac("HS256", b""),
    "ES256, yet signed by HMAC": lambda f: f.hmac("ES256", f.public_pem),
    "signed by another": lambda f: f.token(key=f.attacker),
    "kid unknown": header(kid="other"),
    "kid missing": header(kid=...),
    "kid null": header(kid=None),
    "kid empty": header(kid=""),
    "kid a number": header(kid=1),
    "kid a path": header(kid="../../../../dev/null"),
    "kid SQL": header(kid="x' UNION SELECT 'secret' --"),
    "kid a URL": header(kid="https://evil.example/key"),
    "jwk within": lambda f: f.token(header={"jwk": f.jwk()}, key=f.attacker),
    "jwk within, signed by us": lambda f: f.token(header={"jwk": f.jwk()}),
    "jku": lambda f: f.token(header={"jku": "https://evil.example/jwks.json"}, key=f.attacker),
    "jku, signed by us": header(jku="https://evil.example/jwks.json"),
    "x5u": header(x5u="https://evil.example/cert"),
    "x5c": header(x5c=["MII="]),
    "crit unknown": header(crit=["exp2"], exp2=1),
    "crit empty": header(crit=[]),
    "b64 false": header(b64=False, crit=["b64"]),
    "zip": header(zip="DEF"),
    "typ JWT": header(typ="JWT"),
    "typ missing": header(typ=...),
    "an id token": lambda f: f.token({"typ": "JWT"}, {"aud": "web"}),
    "expired": claims(exp=SECOND - 31, iat=SECOND - 631, iat_ms=(SECOND - 631) * 1000),
    "expired at the leeway's end": claims(exp=SECOND - 30, iat=SECOND - 630, iat_ms=(SECOND - 630) * 1000),
    "not yet": claims(nbf=SECOND + 31),
    "issued in the future": claims(iat=SECOND + 31, iat_ms=(SECOND + 31) * 1000),
    "for a year": claims(exp=SECOND + 365 * 86_400),
    "two issue times": claims(iat_ms=SECOND * 1000 + 86_400_000),
    "exp missing": claims(exp=...),
    "exp a string": claims(exp="9999999999"),
    "exp infinite": claims(exp=float("inf")),
    "exp null": claims(exp=None),
    "exp a fraction": claims(exp=SECOND + 600.5),
    "nbf missing": claims(nbf=...),
    "iat missing": claims(iat=...),
    "jti missing": claims(jti=...),
    "sub missing": claims(sub=...),
    "sub empty": claims(sub=""),
    "sub a list": claims(sub=["u-1"]),
    "iss missing": claims(iss=...),
    "iss another": claims(iss="http://evil.example"),
    "iss longer": claims(iss=ISSUER + ".evil.example"),
    "aud missing": claims(aud=...),
    "aud another": claims(aud="other"),
    "aud a list": claims(aud=["other", "tradepost"]),
    "roles a string": claims(roles="admin"),
    "claims a list": lambda f: f.signed(f.header, [f.claims], f._es256(f.ours)),
    "claims not JSON": lambda f: f.signed(f.header, b"\xff", f._es256(f.ours)),
    "header not JSON": lambda f: f.signed(b"{", f.claims, f._es256(f.ours)),
    "header nested": lambda f: f.signed(b"[" * 700, f.claims, f._es256(f.ours)),
    "claims of another": swapped_claims,
    "signature missing": changed(lambda t: t.rpartition(".")[0]),
    "signature empty": changed(lambda t: t.rpartition(".")[0] + "."),
    "signature cut short": changed(lambda t: t[:-4]),
    "signature too long": changed(lambda t: t + "AAAA"),
    "signature of zeros": raw_signature(0, 0),
    "signature with r zero": raw_signature(0, 1),
    "signature with s zero": raw_signature(1, 0),
    "signature of the group's order": raw_signature(ORDER_N, ORDER_N),
    "signature as DER": lambda f: f.der(),
    "padded": changed(lambda t: t + "=="),
    "with a space": changed(lambda t: t[:20] + " " + t[20:]),
    "with a newline": changed(lambda t: t + "\n"),
    "with a fourth part": changed(lambda t: t + ".x"),
    "as JSON": lambda f: '{"payload": "x", "signatures": []}',
    "100 kB": claims(jti="x", filler="x" * 100_000),
    "just too long": claims(jti="x", filler="x" * 8 * 1024),
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_token_is_refused_the_second_time_too(kind: str, forger: Forger, verifier: Verifier) -> None:
    token = FORGED[kind](forger)

    assert [refused(verifier, token), refused(verifier, token)] == [True, True]


def test_a_cached_token_does_not_vouch_for_one_with_the_same_beginning(forger: Forger, verifier: Verifier) -> None:
    token = forger.token()
    verifier.verify(token)

    assert refused(verifier, token[:-2] + ("AA" if token[-2:] != "AA" else "BA"))
    assert refused(verifier, swapped_claims(forger))


def test_the_leeway_is_30_seconds(signer: Signer, verifier: Verifier, clock: Clock) -> None:
    early, token = (
        signer.issue("u-1", [], [], None, NOW + timedelta(seconds=30)),
        signer.issue("u-1", [], [], None, NOW),
    )
    outcomes = [refused(verifier, early)]
    for age_s in (599, 600, 629, 630):
        clock.now = SECOND + age_s
        outcomes.append(refused(verifier, token))

    assert outcomes == [False, False, False, False, True]


def test_a_revoked_session_is_refused_at_once_although_cached(signer: Signer, verifier: Verifier) -> None:
    gone, other = (signer.issue("u-1", [], [], session, NOW) for session in ("s-1", "s-2"))
    verifier.verify(gone)
    verifier.revoke(session_id="s-1")

    assert (refused(verifier, gone), refused(verifier, other)) == (True, False)


def test_a_revoked_user_can_log_in_again_in_the_same_second(signer: Signer, verifier: Verifier, clock: Clock) -> None:
    before = signer.issue("u-1", [], [], "s-1", NOW)
    verifier.verify(before)
    clock.now = NOW.timestamp() + 0.1
    verifier.revoke(user_id="u-1")
    after = signer.issue("u-1", [], [], "s-2", NOW + timedelta(milliseconds=200))

    assert (refused(verifier, before), refused(verifier, after)) == (True, False)
    assert not refused(verifier, signer.issue("u-2", [], [], "s-3", NOW))


def test_who_watches_a_session_hears_of_its_end_and_not_of_that_of_its_token(
    signer: Signer, verifier: Verifier, clock: Clock
) -> None:
    has_ended, has_another = (verifier.watch(signer.issue("u-1", [], [], name, NOW)) for name in ("s-1", "s-2"))
    clock.now += auth.TTL_S + auth.LEEWAY_S
    before = has_ended()
    verifier.revoke(session_id="s-1")
    of_one = has_ended(), has_another()
    verifier.revoke(user_id="u-1")

    assert (before, of_one, has_another()) == (False, (True, False), True)
    with pytest.raises(Unauthenticated):
        verifier.watch(signer.issue("u-1", [], [], "s-1", NOW))


def test_revocations_are_kept_for_as_long_as_a_token_can_live(verifier: Verifier, clock: Clock) -> None:
    verifier.revoke(session_id="s-1", user_id="u-1")
    clock.now += auth.TTL_LIMIT_S + auth.LEEWAY_S
    verifier.revoke(session_id="s-2")
    kept = list(verifier._sessions), list(verifier._users)
    clock.now += 1
    verifier.revoke(session_id="s-3")

    assert kept == (["s-1", "s-2"], ["u-1"])
    assert (list(verifier._sessions), list(verifier._users)) == (["s-2", "s-3"], [])


def test_a_key_that_was_withdrawn_is_noticed_within_a_minute(key: SigningKey, signer: Signer, clock: Clock) -> None:
    keys = {key.kid: key.public}
    verifier = Verifier(keys, ISSUER, clock)
    token = signer.issue("u-1", [], [], None, NOW)
    verifier.verify(token)
    keys.clear()
    outcomes = []
    for age_s in (59, 60):
        clock.now = SECOND + age_s
        outcomes.append(refused(verifier, token))

    assert outcomes == [False, True]


def test_the_cache_is_bounded_and_drops_what_was_not_used(
    signer: Signer, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "CACHE_LIMIT", 2)
    tokens = [signer.issue(f"u-{n}", [], [], None, NOW) for n in range(3)]
    for token in (tokens[0], tokens[1], tokens[0], tokens[2]):
        verifier.verify(token)

    assert [kept.caller.user_id for kept in verifier._cache.values()] == ["u-0", "u-2"]
