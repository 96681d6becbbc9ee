"""Order: what is bought becomes an order, and it decides what happens next to a sale; the others answer."""

from tradepost.kernel.service import Service
from tradepost.services.order import api, consumers, jobs
from tradepost.services.order.desk import open_desk

service = Service(
    name="order",
    package="tradepost.services.order",
    open=open_desk,
    endpoints=api.endpoints,
    groups=(consumers.order, consumers.selling),
    jobs=jobs.jobs,
)
