"""One row of a service's table of endpoints, and what its handler is given and gives back."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Generic, TypeVar

from tradepost.kernel.errors import Forbidden, Stale, Unauthenticated
from tradepost.kernel.events import Cause

B = TypeVar("B")
Q = TypeVar("Q")
R_co = TypeVar("R_co", covariant=True)

BODY_LIMIT: Final = 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the verified token says. `permissions` are `service:action`; an administrator has all."""

    user_id: str
    roles: frozenset[str]
    permissions: frozenset[str]
    session_id: str | None = None

    @property
    def is_admin(self) -> bool:
        return "admin" in self.roles

    def may(self, permission: str) -> bool:
        """Whether the caller is staff with `permission`, or an administrator."""
        return self.is_admin or ("staff" in self.roles and permission in self.permissions)


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call. `customer` admits everyone with a token, and the handler's query restricts to what is theirs
    unless `caller.may(permission)`; without it only holders of `permission` (or administrators) are let in."""

    public: bool = False
    customer: bool = False
    permission: str | None = None
    admin: bool = False

    def check(self, caller: Caller | None) -> None:
        """Errors: Unauthenticated without a caller, Forbidden without the role."""
        if self.public:
            return
        if caller is None:
            raise Unauthenticated("Send a valid access token: `Authorization: Bearer ...`.")
        if self.customer or caller.is_admin:
            return
        if self.admin or self.permission is None or not caller.may(self.permission):
            needed = "the role admin" if self.admin else f"the permission {self.permission}"
            raise Forbidden(f"This needs {needed}.")


public: Final = Access(public=True)
customer: Final = Access(customer=True)
admin: Final = Access(admin=True)


def staff(permission: str) -> Access:
    """Staff who hold `permission`, and administrators."""
    return Access(permission=permission)


def owner_or(access: Access) -> Access:
    """Everyone with a token; the query shows them what is theirs, and everything to who passes `access`."""
    return Access(customer=True, permission=access.permission)


class Idempotency(Enum):
    """What an `Idempotency-Key` does at an endpoint."""

    STORED = "stored"  # the answer is kept in the transaction of the effect; needs a handler that takes a `tx`
    REQUIRED = "required"  # the same, and the gateway makes a key when the client sends none
    OWN = "own"  # the handler sees to it (a batched command); the gateway makes a key when the client sends none
    PARTS = "parts"  # the handler sees to it, for each part of an upload; nobody makes a key
    IGNORED = "ignored"  # reads, naturally idempotent writes, and log-in, token and password paths


class Rate(Enum):
    """The class whose budget a call is taken from."""

    DEFAULT = "default"
    CHECKOUT = "checkout"
    SIGN_IN = "sign_in"  # log-in, registration, password: counted per address
    FREE = "free"  # health and the like


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[B, Q]):
    """A call, decoded and validated. `Request[Body, Query]`; `None` where there is none, `bytes` for a
    body as sent, `Upload` for a raw stream."""

    body: B
    query: Q
    path: Mapping[str, str]
    caller_or_none: Caller | None
    idempotency_key: str | None  # at most 255 characters
    wait_s: float  # `Prefer: wait=N`, 0 to 30
    if_match: str | None
    request_id: str
    traceparent: str | None
    address: str  # of the client
    content_type: str
    headers: Mapping[str, str]  # lower-case names
    body_hash: bytes = b""  # SHA-256 of the body as sent, where there is a key

    @property
    def caller(self) -> Caller:
        """The caller of an endpoint that is not public."""
        if self.caller_or_none is None:
            raise Unauthenticated
        return self.caller_or_none

    def require_version(self, current: str | int) -> None:
        """Errors: Stale when `If-Match` was sent and names another version than `current`."""
        if self.if_match not in (None, "*", str(current)):
            raise Stale(f"The current version is {current}.")

    @property
    def cause(self) -> Cause:
        """What to hand to `Tx.append` for what this request leads to."""
        return Cause(self.request_id, None, self.traceparent)


@dataclass(frozen=True, slots=True)
class Upload:
    """A body that is read as it arrives, without a limit on its length."""

    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Answer(Generic[R_co]):
    """A body with more than the endpoint's usual status; `etag` is the bare version."""

    body: R_co
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Encoded(Generic[R_co]):
    """A body that is encoded already, as JSON."""

    json: bytes


@dataclass(frozen=True, slots=True)
class Streamed:
    """A body that is sent as it is made: server-sent events, exports, reports."""

    chunks: AsyncIterator[bytes]
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """HTML, or another text, ready to send."""

    text: str
    content_type: str = "text/html; charset=utf-8"


Handler = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One row of the table. The handler is `async (request, desk)` or `async (request, desk, tx)`; its annotations
    `Request[Body, Query]` and the return type are the schema. With `tx` the kernel opens the transaction and commits
    it before the answer leaves. `path` is absolute: `/order/orders/{order_id}`."""

    method: str
    path: str
    handler: Handler
    access: Access
    rate: Rate = Rate.DEFAULT
    idempotency: Idempotency = Idempotency.IGNORED
    status: int = 200
    body_limit: int = BODY_LIMIT
    summary: str = ""
    served_by: str | None = None  # a service other than the first part of the path, for the gateway
    local: bool = False  # only where nobody but this machine can reach the gateway


def get(path: str, handler: Handler, *, access: Access, rate: Rate = Rate.DEFAULT) -> Endpoint:
    """A read."""
    return Endpoint(method="GET", path=path, handler=handler, access=access, rate=rate)


def post(
    path: str,
    handler: Handler,
    *,
    access: Access,
    rate: Rate = Rate.DEFAULT,
    idempotency: Idempotency = Idempotency.STORED,
    status: int = 200,
    served_by: str | None = None,
) -> Endpoint:
    """A write that is not idempotent by itself; `status` 201 where it creates something."""
    return Endpoint(
        method="POST",
        path=path,
        handler=handler,
        access=access,
        rate=rate,
        idempotency=idempotency,
        status=status,
        served_by=served_by,
    )


def put(path: str, handler: Handler, *, access: Access, served_by: str | None = None) -> Endpoint:
    """A write that sets a value."""
    return Endpoint(method="PUT", path=path, handler=handler, access=access, served_by=served_by)


def patch(path: str, handler: Handler, *, access: Access) -> Endpoint:
    """A write that changes the fields it names."""
    return Endpoint(method="PATCH", path=path, handler=handler, access=access)


def delete(path: str, handler: Handler, *, access: Access) -> Endpoint:
    """A removal."""
    return Endpoint(method="DELETE", path=path, handler=handler, access=access)
