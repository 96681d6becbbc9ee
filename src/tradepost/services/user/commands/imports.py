"""Importing customers, some hundred lines at a time."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from tradepost.kernel.database import Tx
from tradepost.kernel.events import Cause
from tradepost.kernel.ids import new_id
from tradepost.services.user.domain import account as domain
from tradepost.services.user.domain.customer_line import Customer, LineReport
from tradepost.services.user.repository import account as accounts


async def add_customers(tx: Tx, customers: Sequence[Customer], now: datetime, cause: Cause) -> dict[int, LineReport]:
    """Accounts without a password for those whose address is new; the reports by line. An account that exists is left
    as it is, so that the same file twice changes nothing."""
    firsts: dict[str, Customer] = {}
    for customer in customers:
        firsts.setdefault(customer.email.lower(), customer)
    new = [
        domain.register(id_=new_id(), email=first.email, name=first.name, phone=first.phone, now=now)
        for first in firsts.values()
    ]
    added = await accounts.add_customers(tx, new, now, cause)
    ids = await accounts.ids_of(tx, list(firsts))
    return dict(_reports(customers, firsts, ids, added))


def _reports(
    customers: Sequence[Customer], firsts: dict[str, Customer], ids: dict[str, str], added: frozenset[str]
) -> Iterator[tuple[int, LineReport]]:
    for customer in customers:
        email = customer.email.lower()
        is_new = ids[email] in added and firsts[email] is customer
        yield (
            customer.line,
            LineReport(
                line=customer.line,
                status="created" if is_new else "existing",
                email=customer.email,
                user_id=ids[email],
            ),
        )
