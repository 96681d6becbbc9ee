"""Deliveries over HTTP, and the mailbox page."""

from typing import Annotated, Final
from urllib.parse import urlencode

from msgspec import Meta

from tradepost.kernel.database import Tx
from tradepost.kernel.errors import NotFound
from tradepost.kernel.http.body import Id, ListOf, ListQuery, Query
from tradepost.kernel.http.endpoint import Endpoint, Page, Request, get, post, public, staff
from tradepost.services.notification import commands, queries, rendering
from tradepost.services.notification.desk import Desk
from tradepost.services.notification.domain import Channel, Status
from tradepost.services.notification.queries import DeliveryView

ADDRESS_LIMIT: Final = 254  # characters of an e-mail address


class DeliveryQuery(ListQuery, frozen=True, kw_only=True):
    """Which deliveries to list."""

    order_id: Id | None = None
    channel: Channel | None = None
    status: Status | None = None


class MailboxQuery(Query, frozen=True, kw_only=True):
    """Which messages to show: those whose recipient contains `to`."""

    to: Annotated[str, Meta(max_length=ADDRESS_LIMIT)] = ""
    starting_after: Id | None = None


async def list_deliveries(request: Request[None, DeliveryQuery], desk: Desk) -> ListOf[DeliveryView]:
    """What was sent or is to be, newest first."""
    wanted = request.query
    return await queries.deliveries(
        desk.db, wanted, order_id=wanted.order_id, channel=wanted.channel, status=wanted.status
    )


async def resend_delivery(request: Request[None, None], _desk: Desk, tx: Tx) -> DeliveryView:
    """Send a message once more."""
    delivery_id = request.path["delivery_id"]
    await commands.resend(tx, delivery_id, request.cause)
    return await queries.delivery(tx, delivery_id)


async def show_mailbox(request: Request[None, MailboxQuery], desk: Desk) -> Page:
    """All e-mails and SMS as a page, on a machine that sends none."""
    if not desk.shows_mailbox:
        raise NotFound("There is a mailbox only where nobody else can reach it and no mail server is configured.")
    to = request.query.to.strip()
    shown = await queries.mailbox(desk.db, to, request.query.starting_after)
    older = urlencode({"to": to, "starting_after": shown.data[-1].id}) if shown.has_more else ""
    return Page(rendering.page(messages=shown.data, to=to, older=older, longest=ADDRESS_LIMIT))


endpoints = (
    get("/notification/deliveries", list_deliveries, access=staff("notification:read")),
    post(
        "/notification/deliveries/{delivery_id}/resend",
        resend_delivery,
        access=staff("notification:write"),
    ),
    Endpoint(method="GET", path="/mailbox", handler=show_mailbox, access=public, served_by="notification", local=True),
)
