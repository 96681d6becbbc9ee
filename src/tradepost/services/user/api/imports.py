"""Importing customers: JSON lines in, a report on each line out."""

from collections.abc import AsyncIterator
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from tradepost.kernel.clock import now
from tradepost.kernel.errors import Refusal
from tradepost.kernel.events import Cause
from tradepost.kernel.http.body import Body
from tradepost.kernel.http.decoding import decode_json
from tradepost.kernel.http.endpoint import Idempotency, Request, Streamed, Upload, post, staff
from tradepost.services.user.commands.imports import add_customers
from tradepost.services.user.desk import Desk
from tradepost.services.user.domain.customer_line import LINE_LIMIT, Customer, LineReport, Lines
from tradepost.services.user.domain.profile import parse_email, parse_name, parse_phone

BATCH_LINES: Final = 500


class CustomerLine(Body, frozen=True, kw_only=True):
    """One line as sent."""

    email: Annotated[str, Meta(max_length=320)]
    name: str
    phone: Annotated[str, Meta(max_length=40)] | None = None


async def import_customers(request: Request[Upload, None], desk: Desk) -> Streamed:
    """Accounts without a password, one for each line `{"email", "name", "phone"?}`; their owners choose a password
    with "forgot password". The report has a line for every line, then `{"summary": {...}}`. A bad line stops no other,
    and the same file twice changes nothing."""
    return Streamed(_report(desk, request.body.chunks, request.cause), "application/x-ndjson")


async def _report(desk: Desk, chunks: AsyncIterator[bytes], cause: Cause) -> AsyncIterator[bytes]:
    totals = {"created": 0, "existing": 0, "rejected": 0}
    async for batch in _batches(chunks):
        lines = await _import(desk, batch, cause)
        for line in lines:
            totals[line.status] += 1
        yield _encoder.encode_lines(lines)
    yield _encoder.encode_lines([{"summary": totals}])


async def _import(desk: Desk, batch: list[tuple[int, bytes]], cause: Cause) -> list[LineReport]:
    read = [read_line(number, raw) for number, raw in batch]
    customers = [line for line in read if isinstance(line, Customer)]
    async with desk.db.transaction() as tx:
        reports = await add_customers(tx, customers, now(), cause)
    return [reports[line.line] if isinstance(line, Customer) else line for line in read]


async def _batches(chunks: AsyncIterator[bytes]) -> AsyncIterator[list[tuple[int, bytes]]]:
    lines, waiting = Lines(), list[tuple[int, bytes]]()
    async for chunk in chunks:
        waiting += lines.feed(chunk)
        while len(waiting) >= BATCH_LINES:
            yield waiting[:BATCH_LINES]
            del waiting[:BATCH_LINES]
    waiting += lines.end()
    for start in range(0, len(waiting), BATCH_LINES):
        yield waiting[start : start + BATCH_LINES]


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(CustomerLine)


def read_line(number: int, raw: bytes) -> Customer | LineReport:
    """The customer, or the report that the line is rejected."""
    if len(raw) > LINE_LIMIT:
        return LineReport(line=number, status="rejected", reason=f"The line is longer than {LINE_LIMIT} bytes.")
    email = None
    try:
        sent = decode_json(_decoder, raw)
        email = sent.email
        return Customer(number, parse_email(email), parse_name(sent.name), parse_phone(sent.phone))
    except Refusal as refusal:
        return LineReport(line=number, status="rejected", email=email, reason=_reason(refusal))


def _reason(refusal: Refusal) -> str:
    return " ".join(f"{error.pointer}: {error.detail}" for error in refusal.errors) or refusal.detail


endpoints = (post("/user/imports", import_customers, access=staff("user:write"), idempotency=Idempotency.IGNORED),)
