"""Product: what is sold, at what price, found by search and filed by files; with a view of what is in stock."""

from tradepost.kernel.service import Announcement, Service
from tradepost.services.product import api, consumers
from tradepost.services.product.commands import announcing
from tradepost.services.product.desk import open_desk

service = Service(
    name="product",
    package="tradepost.services.product",
    open=open_desk,
    endpoints=api.endpoints,
    groups=(consumers.availability, consumers.product),
    announcement=Announcement("product", announcing.tell),
)
