"""`tradepost run`."""

from tradepost import settings
from tradepost.console.up import serving
from tradepost.main import serve


def run(*names: str) -> None:
    """Run some of the parts in this process, on databases of your own; any number of processes may run the same.

    Parameters
    ----------
    names
        user, product, inventory, order, payment, shipping, notification; gateway, in front of those that run elsewhere;
        relay, which carries the events to the broker; or all.
    """
    with serving():
        serve(settings.read(), names or ("all",), embedded=False)
