"""Syncs: another system tells what is in stock, in an upload of any length, and reads a report of each line."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from tradepost.kernel.clock import now
from tradepost.kernel.database import CommitUnknown, Database, Tx
from tradepost.kernel.errors import Refusal, Unavailable
from tradepost.kernel.events import Cause
from tradepost.kernel.http import idempotency
from tradepost.kernel.http.endpoint import Request, Streamed, Upload
from tradepost.kernel.http.reply import Reply
from tradepost.kernel.log.dispatch import is_retryable
from tradepost.services.inventory import commands
from tradepost.services.inventory.api import upload
from tradepost.services.inventory.domain.sync import Line, Outcome, rejected

CHUNK_LINES: Final = 500  # in one transaction

_encoder: Final = msgspec.json.Encoder()
_stored: Final = msgspec.json.Decoder(list[Outcome])

Chunk = Sequence[Line | Outcome]


@dataclass(frozen=True, slots=True)
class _Sync:
    """One upload: with an `Idempotency-Key` each of its chunks is done once."""

    db: Database
    cause: Cause
    scope: str
    key: str | None


async def sync(request: Request[Upload, None], db: Database) -> Streamed:
    """The report has a line for each line, and a last one with the summary. Where no report came, send the file again:
    if lines are deltas, with the `Idempotency-Key` of the first time, or they are added twice."""
    scope = idempotency.scope_of(request.caller.user_id, "POST", "/inventory/sync")
    lines = await upload.read(request.body.chunks, request.content_type)
    return Streamed(_report(_Sync(db, request.cause, scope, request.idempotency_key), lines), "application/x-ndjson")


async def _report(one: _Sync, lines: AsyncIterator[Line | Outcome]) -> AsyncIterator[bytes]:
    counts = {"lines": 0, "changed": 0, "unchanged": 0, "rejected": 0}
    number = 0
    async for chunk in _chunks(lines):
        outcomes = await _carry_out(one, chunk, number)
        number += 1
        for outcome in outcomes:
            counts[outcome.status] += 1
        counts["lines"] += len(outcomes)
        yield _encoder.encode_lines(outcomes)
    yield _encoder.encode_lines([{"summary": counts}])


async def _chunks(lines: AsyncIterator[Line | Outcome]) -> AsyncIterator[Chunk]:
    chunk: list[Line | Outcome] = []
    async for line in lines:
        chunk.append(line)
        if len(chunk) == CHUNK_LINES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


async def _carry_out(one: _Sync, chunk: Chunk, number: int) -> Sequence[Outcome]:
    """What came of the chunk's lines; all of them rejected when the chunk as a whole could not be carried out."""
    try:
        async with one.db.transaction() as tx:
            return await _once(one, tx, chunk, number)
    except Refusal as refusal:
        return _all_rejected(chunk, refusal)
    except CommitUnknown:
        detail = "The database was lost while it committed: look at the stock before you send this line again."
        return _all_rejected(chunk, Unavailable(detail, code="outcome_unknown"))
    except Exception as error:
        if not is_retryable(error):
            raise
        return _all_rejected(chunk, Unavailable("Send this line again."))


async def _once(one: _Sync, tx: Tx, chunk: Chunk, number: int) -> Sequence[Outcome]:
    if one.key is None:
        return await _apply(one, tx, chunk)
    key, digest = f"{one.key}#{number}", hashlib.sha256(_encoder.encode(chunk)).digest()
    stored = await idempotency.claim(tx, one.scope, key, digest)
    if stored is not None:
        return _stored.decode(stored.body or b"[]")
    outcomes = await _apply(one, tx, chunk)
    idempotency.store(tx, one.scope, key, digest, Reply(200, _encoder.encode(outcomes)))
    return outcomes


async def _apply(one: _Sync, tx: Tx, chunk: Chunk) -> Sequence[Outcome]:
    readable = [line for line in chunk if isinstance(line, Line)]
    done = iter(await commands.sync(tx, readable, one.cause, now()))
    return [next(done) if isinstance(line, Line) else line for line in chunk]


def _all_rejected(chunk: Chunk, refusal: Refusal) -> Sequence[Outcome]:
    return [rejected(line.number, line.sku, refusal) if isinstance(line, Line) else line for line in chunk]
