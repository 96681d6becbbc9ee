"""The broker that is set: its client library is imported only then."""

from importlib import import_module
from typing import TYPE_CHECKING

from tradepost.kernel.brokers.port import Broker, Topology

if TYPE_CHECKING:
    from tradepost.settings import BrokerSettings

CLIENTS = {"rabbitmq": "aio-pika", "kafka": "aiokafka"}


class NoClient(ImportError):
    """The client library of the broker is not installed; the message says how it comes."""


def open_broker(settings: "BrokerSettings", topology: Topology) -> Broker | None:
    """What carries the events of `topology`, None when that is the log itself. Errors: NoClient, SettingsError."""
    if settings.kind == "log":
        return None
    try:
        module = import_module(f"tradepost.kernel.brokers.{settings.kind}")
    except ModuleNotFoundError as error:
        client = CLIENTS[settings.kind]
        raise NoClient(
            f"TRADEPOST_BROKER={settings.kind} needs {client}: pip install 'tradepost[{settings.kind}]'"
        ) from error
    broker: Broker = module.open_broker(settings, topology)
    return broker
