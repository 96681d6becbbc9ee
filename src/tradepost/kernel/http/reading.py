"""A call becomes a request: who asks, then the path, then the key, then the query, and only then the body."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from tradepost.kernel.auth import Verifier
from tradepost.kernel.errors import NotFound, Unauthenticated
from tradepost.kernel.http import call, decoding, idempotency
from tradepost.kernel.http.call import Call
from tradepost.kernel.http.endpoint import Caller, Endpoint, Idempotency, Request, Upload
from tradepost.kernel.http.signature import Signature, names_an_id, parameters_of
from tradepost.kernel.ids import is_id, new_id

PATH_PARAMETER_LIMIT: Final = 255  # characters
WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})

ReadBody = Callable[[Call], Awaitable[tuple[Any, bytes]]]


class Reader:
    """Reads the calls of one endpoint; everything that can be known before the first call is."""

    def __init__(self, endpoint: Endpoint, signature: Signature, verifier: Verifier) -> None:
        self._access = endpoint.access
        self._verifier = verifier
        self._ids = frozenset(name for name in parameters_of(endpoint) if names_an_id(name))
        self._is_keyed = endpoint.idempotency is not Idempotency.IGNORED
        self._makes_key = endpoint.idempotency in (Idempotency.REQUIRED, Idempotency.OWN)
        self._query = decoding.query_decoder(signature.query)
        self._body = _body_reader(endpoint, signature)

    async def read(self, req: Call, path: Mapping[str, str], request_id: str, traceparent: str) -> Request[Any, Any]:
        """The request. Errors: Unauthenticated, Forbidden, NotFound, Malformed, TooLarge, UnsupportedMedia, Invalid."""
        header = req.header
        caller = self._caller(header.text(b"authorization"))
        self._access.check(caller)
        self._check_path(path)
        key = self._key(header.text(b"idempotency-key"))
        query = self._query(req.query_bytes)
        body, raw = await self._body(req)
        return Request(
            body=body,
            query=query,
            path=path,
            caller_or_none=caller,
            idempotency_key=key,
            wait_s=call.wait_s(header),
            if_match=call.if_match(header),
            request_id=request_id,
            traceparent=traceparent,
            address=req.address,
            content_type=req.content_type or "",
            headers=header,
            body_hash=hashlib.sha256(raw).digest() if key is not None else b"",
        )

    def _caller(self, authorization: str | None) -> Caller | None:
        """Who the token says. At a public endpoint a token that is no longer good counts for nothing: a client that
        comes to renew it must be let in. Errors: Unauthenticated."""
        if authorization is None:
            return None
        scheme, _, token = authorization.partition(" ")
        try:
            return self._verifier.verify(token.strip(" ") if scheme.lower() == "bearer" else "")
        except Unauthenticated:
            if self._access.public:
                return None
            raise

    def _check_path(self, path: Mapping[str, str]) -> None:
        for name, value in path.items():
            if name in self._ids:
                if not is_id(value):
                    raise NotFound("There is nothing of this id.")
            elif len(value) > PATH_PARAMETER_LIMIT or "\0" in value:
                raise NotFound("There is nothing of this name.")

    def _key(self, header: str | None) -> str | None:
        if not self._is_keyed:
            return None
        key = idempotency.parse_key(header)
        return new_id() if key is None and self._makes_key else key


def _body_reader(endpoint: Endpoint, signature: Signature) -> ReadBody:
    """A function from a call to its body, decoded and as sent."""
    limit = endpoint.body_limit

    async def nothing(_req: Call) -> tuple[None, bytes]:
        return None, b""

    async def upload(req: Call) -> tuple[Upload, bytes]:
        return Upload(req.chunks()), b""

    async def raw(req: Call) -> tuple[bytes, bytes]:
        sent = await req.read(limit)
        return sent, sent

    if endpoint.method not in WITH_BODY:
        return nothing
    if signature.body is Upload:
        return upload
    return raw if signature.body is bytes else _json_reader(limit, decoding.body_decoder(signature.body))


def _json_reader(limit: int, decode: Callable[[bytes], Any]) -> ReadBody:
    async def json(req: Call) -> tuple[Any, bytes]:
        sent = await req.read(limit)
        if sent:
            decoding.require_json(req.content_type, req.header.text(b"content-encoding"))
        return decode(sent), sent

    return json
