"""Idempotency keys: the answer is stored in the transaction of the effect, and given again to who asks again."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tradepost.kernel.database import Database, Row, Tx
from tradepost.kernel.errors import Conflict, Invalid, Malformed
from tradepost.kernel.http.reply import Reply

PURGE_LIMIT: Final = 5_000  # rows a call
REPLAYED: Final = "idempotent-replayed"

# What is older than 24 hours is gone, purged or not.
# The lock tells of another open transaction without waiting for it; the primary key settles what the lock can't.
_CLAIM: Final = """
    SELECT pg_try_advisory_xact_lock(hashtextextended($1::text || E'\\n' || $2::text, 7240)) AS locked,
           stored.body_hash, stored.status, stored.headers, stored.body
    FROM (VALUES (1)) AS one
    LEFT JOIN idempotency AS stored
           ON stored.scope = $1 AND stored.key = $2 AND stored.at > now() - interval '24 hours'
"""
_LOOKUP: Final = """
    SELECT stored.body_hash, stored.status, stored.headers, stored.body
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS asked (scope, key, place)
    LEFT JOIN idempotency AS stored
           ON stored.scope = asked.scope AND stored.key = asked.key AND stored.at > now() - interval '24 hours'
    ORDER BY asked.place
"""
_STORE: Final = """
    INSERT INTO idempotency AS stored (scope, key, body_hash, status, headers, body)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::integer[], $5::text[], $6::bytea[])
    ORDER BY 1, 2
    ON CONFLICT (scope, key) DO UPDATE
        SET body_hash = excluded.body_hash, status = excluded.status, headers = excluded.headers,
            body = excluded.body, at = excluded.at
        WHERE stored.at <= now() - interval '24 hours'
"""
_PURGE: Final = """
    DELETE FROM idempotency WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM idempotency WHERE at <= now() - interval '24 hours' LIMIT $1 FOR UPDATE SKIP LOCKED))
"""

_BARE: Final = re.compile(r"[\x21\x23-\x7e][\x21-\x7e]{0,254}")
_QUOTED: Final = re.compile(r'"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"')


class Stored(msgspec.Struct, frozen=True):
    """An answer that was given before to the same key."""

    body_hash: bytes
    status: int
    headers: Mapping[str, str]
    body: bytes | None

    def replay(self, body_hash: bytes) -> Reply:
        """The same answer again. Errors: Invalid `idempotency_key_reused` when the body is another one."""
        if self.body_hash != body_hash:
            raise Invalid("This Idempotency-Key was used with another body.", code="idempotency_key_reused")
        return Reply(self.status, self.body, {**self.headers, REPLAYED: "true"})


class Entry(msgspec.Struct, frozen=True):
    """An answer to keep."""

    scope: str
    key: str
    body_hash: bytes
    reply: Reply


def parse_key(header: str | None) -> str | None:
    """The key in an `Idempotency-Key` header, a structured-field string or bare. Errors: Malformed
    `idempotency_key_invalid` unless it is 1-255 visible ASCII characters."""
    if header is None or _BARE.fullmatch(header):
        return header
    quoted = _QUOTED.fullmatch(header)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else ""
    if not 0 < len(key) <= 255:
        raise Malformed("An Idempotency-Key is 1-255 visible ASCII characters.", code="idempotency_key_invalid")
    return key


def scope_of(caller: str, method: str, path: str) -> str:
    """Where a key is unique: `caller` is the user's id, or the client's address at a public endpoint."""
    return f"{caller} {method} {path}"


async def claim(tx: Tx, scope: str, key: str, body_hash: bytes) -> Reply | None:
    """None when this transaction is the first and may act; else the answer that was stored. Errors: Conflict
    `request_in_flight` while another transaction holds the key, Invalid `idempotency_key_reused`."""
    row = await tx.fetchrow(_CLAIM, scope, key)
    assert row is not None
    if (stored := _stored(row)) is not None:
        return stored.replay(body_hash)
    if not row["locked"]:
        raise _in_flight()
    return None


async def lookup(tx: Tx, scopes: Sequence[str], keys: Sequence[str]) -> list[Stored | None]:
    """What was stored for each of the pairs, in their order: for commands that take a batch. Locks nothing."""
    return [_stored(row) for row in await tx.look(_LOOKUP, scopes, keys)]


def store(tx: Tx, scope: str, key: str, body_hash: bytes, reply: Reply) -> None:
    """Keep `reply` with this transaction, which fails with Conflict `request_in_flight` when another was quicker."""
    store_all(tx, [Entry(scope, key, body_hash, reply)])


def store_all(tx: Tx, entries: Sequence[Entry], otherwise: Exception | None = None) -> None:
    """Keep these answers with this transaction; no pair of scope and key twice. Errors: `otherwise`, or as for
    `store`."""
    replies = [entry.reply for entry in entries]
    tx.later(
        _STORE,
        [entry.scope for entry in entries],
        [entry.key for entry in entries],
        [entry.body_hash for entry in entries],
        [reply.status for reply in replies],
        [msgspec.json.encode(dict(reply.headers)).decode() for reply in replies],
        [reply.body for reply in replies],
        rows=len(entries),
        otherwise=otherwise or _in_flight(),
    )


async def purge(db: Database) -> bool:
    """Delete some of the answers that are older than 24 hours; whether there may be more."""
    async with db.transaction() as tx:
        return await tx.execute(_PURGE, PURGE_LIMIT) == f"DELETE {PURGE_LIMIT}"


def _stored(row: Row) -> Stored | None:
    if row["status"] is None:
        return None
    headers = msgspec.json.decode(row["headers"], type=dict[str, str])
    return Stored(row["body_hash"], row["status"], headers, row["body"])


def _in_flight() -> Conflict:
    detail = "A request with this Idempotency-Key is being worked on."
    return Conflict(detail, code="request_in_flight", retry_after_s=1)
