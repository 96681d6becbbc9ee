"""Accounts: who somebody is, how they prove it, and what they may do."""

from tradepost.kernel.service import Announcement, Service
from tradepost.services.user.api import endpoints
from tradepost.services.user.commands import announcing
from tradepost.services.user.jobs import jobs
from tradepost.services.user.opening import open_desk

service = Service(
    name="user",
    package="tradepost.services.user",
    open=open_desk,
    endpoints=endpoints,
    jobs=jobs,
    announcement=Announcement("account", announcing.tell),
)
