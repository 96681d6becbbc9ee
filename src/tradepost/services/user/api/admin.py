"""What administrators do with accounts."""

from typing import Annotated

from msgspec import Meta

from tradepost.kernel.clock import now
from tradepost.kernel.database import Tx
from tradepost.kernel.http.body import Body, ListOf
from tradepost.kernel.http.endpoint import Answer, Request, admin, get, post, put
from tradepost.services.user.commands import account as commands
from tradepost.services.user.desk import Desk
from tradepost.services.user.domain.account import Permission, Role, Status
from tradepost.services.user.queries.account import User, UsersQuery, list_users, user_of
from tradepost.services.user.repository import account as accounts


class Roles(Body, frozen=True, kw_only=True):
    """What the account may do from now on. Permissions count for staff; an administrator has all."""

    roles: Annotated[frozenset[Role], Meta(min_length=1)]
    permissions: frozenset[Permission] = frozenset()


async def list_all(request: Request[None, UsersQuery], desk: Desk) -> ListOf[User]:
    """Accounts, newest first."""
    return await list_users(desk.db, request.query)


async def assign_roles(request: Request[Roles, None], desk: Desk, tx: Tx) -> Answer[User]:
    """Set roles and permissions; the account's sessions end, so that no token says otherwise."""
    admins = await accounts.lock_admins(tx)
    account = await accounts.lock(tx, request.path["user_id"])
    request.require_version(account.version)
    assigned = await commands.assign(
        tx, account, request.body.roles, request.body.permissions, admins, now(), request.cause
    )
    return Answer(user_of(assigned), etag=str(assigned.version))


async def disable(request: Request[None, None], desk: Desk, tx: Tx) -> User:
    """Close an account; its sessions end."""
    return await _set_status(request, tx, Status.DISABLED)


async def enable(request: Request[None, None], desk: Desk, tx: Tx) -> User:
    """Open an account again."""
    return await _set_status(request, tx, Status.ACTIVE)


async def erase(request: Request[None, None], desk: Desk, tx: Tx) -> None:
    """Erase an account and everything personal in it, for good."""
    await commands.erase(tx, request.path["user_id"], now(), request.cause)


async def _set_status(request: Request[None, None], tx: Tx, status: Status) -> User:
    return user_of(await commands.set_status(tx, request.path["user_id"], status, now(), request.cause))


endpoints = (
    get("/user/users", list_all, access=admin),
    put("/user/users/{user_id}/roles", assign_roles, access=admin),
    post("/user/users/{user_id}/disable", disable, access=admin),
    post("/user/users/{user_id}/enable", enable, access=admin),
    post("/user/users/{user_id}/erase", erase, access=admin),
)
