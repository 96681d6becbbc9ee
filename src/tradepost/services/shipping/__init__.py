"""Shipping: the parcels of paid orders, on their way with a carrier."""

from tradepost.kernel.service import Service
from tradepost.services.shipping import api, consumers, desk, jobs

service = Service(
    name="shipping",
    package="tradepost.services.shipping",
    open=desk.open_desk,
    endpoints=api.endpoints,
    groups=consumers.groups,
    jobs=jobs.jobs,
)
