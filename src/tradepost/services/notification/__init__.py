"""Notification: e-mail and SMS to buyers about their orders, and to staff about the stock."""

from tradepost.kernel.service import Service
from tradepost.services.notification import api, consumers, desk, jobs

service = Service(
    name="notification",
    package="tradepost.services.notification",
    open=desk.open_desk,
    endpoints=api.endpoints,
    groups=consumers.groups,
    jobs=jobs.jobs,
)
