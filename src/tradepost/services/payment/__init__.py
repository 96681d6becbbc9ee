"""Payment: takes the buyers' money once, gives it back once, and accounts for every cent in a double-entry ledger."""

from tradepost.kernel.service import Service
from tradepost.services.payment import api, consumers, jobs
from tradepost.services.payment.desk import open_desk
from tradepost.services.payment.simulator import api as simulator

service = Service(
    name="payment",
    package="tradepost.services.payment",
    open=open_desk,
    endpoints=api.endpoints + simulator.endpoints,
    groups=(consumers.payment,),
    jobs=jobs.jobs,
)
