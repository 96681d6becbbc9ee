"""What an operator can set: a small frozen struct per room, read from the environment here and nowhere else."""

import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_interface
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from tradepost.kernel.mail import mail_server_of, sender_of
from tradepost.kernel.settings_error import SettingsError as SettingsError

DEFAULT_PACE: Final = "5,30"
DEFAULT_SENDER: Final = "shop@tradepost.local"
EVERYWHERE: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound to
RABBITMQ_URL: Final = "amqp://guest:guest@127.0.0.1:5672/"
KAFKA_BOOTSTRAP: Final = "127.0.0.1:9092"
SHARDS_LIMIT: Final = 64  # queues of one group
PARTITIONS_LIMIT: Final = 1_000  # of one topic

_BROKER: Final = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
_OF_SERVICE: Final = re.compile(r"TRADEPOST_([A-Z]+)_(DATABASE_URL|URLS)")


class UserSettings(msgspec.Struct, frozen=True):
    """The first administrator, for whom a password is made and shown once where none is set; whether repeated log-in
    is slowed down; and how letters with links reach their readers, which are in `GET /user/letters` without SMTP."""

    admin_email: str
    admin_password: str | None
    rate_limits: bool = True
    smtp_url: str | None = None
    sender: str = DEFAULT_SENDER
    public_url: str = "http://127.0.0.1:8000"  # of the shop, as its customers reach it


class ShippingSettings(msgspec.Struct, frozen=True):
    """Seconds from shipment to pick-up, and from pick-up to delivery, of the local carrier."""

    pick_up_s: float
    delivery_s: float


class NotificationSettings(msgspec.Struct, frozen=True):
    """Where messages go; the mailbox where nothing is set. `mailbox` tells whether its page may be shown: only to
    this machine."""

    smtp_url: str | None
    sms_url: str | None
    sender: str
    mailbox: bool = False


class KafkaLogin(msgspec.Struct, frozen=True):
    """A name and a password, and the SASL mechanism that they are shown by."""

    username: str
    password: str
    mechanism: str

    def __repr__(self) -> str:
        return f"{self.username} by {self.mechanism}"


class BrokerSettings(msgspec.Struct, frozen=True):
    """What carries events from service to service: `log`, `rabbitmq` or `kafka`. A group's work is cut into `shards`
    queues, a topic into `partitions`; neither number changes while messages are under way. Over TLS, Kafka is known by
    the system's authorities or those of a file."""

    kind: str
    rabbitmq_url: str = RABBITMQ_URL
    shards: int = 1
    kafka_bootstrap: str = KAFKA_BOOTSTRAP
    partitions: int = 6
    kafka_tls: bool = False
    kafka_authorities: str | None = None
    kafka_login: KafkaLogin | None = None


class Settings(msgspec.Struct, frozen=True):
    """Everything, read once. `databases` and `urls` are those of single services, by their names; `secret` is the
    installation's, where it isn't in the data folder. `trusted_proxies` are believed where a call comes
    from. `is_local` tells whether only this machine reaches us: no address, proxy or public URL says otherwise."""

    host: str
    port: int
    data: Path
    database_url: str | None
    databases: Mapping[str, str]
    urls: Mapping[str, tuple[str, ...]]
    secret: str | None
    rate_limits: bool
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    is_local: bool
    broker: BrokerSettings
    user: UserSettings
    shipping: ShippingSettings
    notification: NotificationSettings

    @property
    def of_services(self) -> Mapping[str, object]:
        """Each service's own settings, by its name."""
        return {"user": self.user, "shipping": self.shipping, "notification": self.notification}


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this process. Errors: SettingsError."""
    pick_up_s, delivery_s = _pace(environment.get("TRADEPOST_CARRIER_PACE", DEFAULT_PACE))
    host = environment.get("HOST", "127.0.0.1")
    proxies = _proxies(environment.get("TRADEPOST_TRUSTED_PROXIES", ""))
    public_url = (_web_url(environment, "TRADEPOST_PUBLIC_URL", " ?#") or _local_url(environment)).rstrip("/")
    smtp_url = _smtp_url(environment)
    sender = sender_of(environment.get("TRADEPOST_MAIL_FROM") or DEFAULT_SENDER)
    is_local = _is_loopback(host) and not proxies and _is_loopback(_parts(public_url).hostname or "")
    return Settings(
        host=host,
        port=_port(environment.get("PORT", "8000")),
        data=Path(environment.get("TRADEPOST_DATA", ".tradepost")).absolute(),
        database_url=environment.get("TRADEPOST_DATABASE_URL") or None,
        databases=_of_services(environment, "DATABASE_URL"),
        urls={name: _urls(name, value) for name, value in _of_services(environment, "URLS").items()},
        secret=_secret(environment),
        rate_limits=_one_of(environment, "TRADEPOST_RATE_LIMITS", ("on", "off")) == "on",
        trusted_proxies=proxies,
        is_local=is_local,
        broker=_broker(environment),
        user=UserSettings(
            admin_email=environment.get("TRADEPOST_ADMIN_EMAIL", "admin@tradepost.local"),
            admin_password=environment.get("TRADEPOST_ADMIN_PASSWORD") or None,
            rate_limits=_one_of(environment, "TRADEPOST_RATE_LIMITS", ("on", "off")) == "on",
            smtp_url=smtp_url,
            sender=sender,
            public_url=public_url,
        ),
        shipping=ShippingSettings(pick_up_s, delivery_s),
        notification=NotificationSettings(
            smtp_url,
            _web_url(environment, "TRADEPOST_SMS_URL", " "),
            sender,
            mailbox=is_local,
        ),
    )


def _proxies(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(_network(part.strip()) for part in text.split(",")) if text.strip() else ()


def _network(text: str) -> IPv4Network | IPv6Network:
    told = f"TRADEPOST_TRUSTED_PROXIES has {text!r}"
    try:
        given = ip_interface(text)
    except ValueError:
        raise SettingsError(f"{told}; expected addresses or networks, such as 10.0.0.5,10.1.0.0/16,fd00::5") from None
    ip, network = given.ip, given.network
    if "%" in text or (isinstance(ip, IPv6Address) and ip.ipv4_mapped):
        raise SettingsError(f"{told}; write IPv6 without a zone, and IPv4 as such, 10.0.0.5 or 10.1.0.0/16")
    if ip != network.network_address:
        raise SettingsError(f"{told}; write {network} for the network, or {ip} for the one address")
    if network.prefixlen == 0:
        raise SettingsError(f"{told}, which is everybody: name the proxies alone")
    return network


def _broker(environment: Mapping[str, str]) -> BrokerSettings:
    tls = environment.get("TRADEPOST_KAFKA_TLS") or "off"
    if tls not in ("off", "on") and not Path(tls).is_file():
        raise SettingsError(f"TRADEPOST_KAFKA_TLS is {tls!r}; expected off, on or a file of authorities")
    return BrokerSettings(
        _one_of(environment, "TRADEPOST_BROKER", ("log", "rabbitmq", "kafka")),
        environment.get("TRADEPOST_RABBITMQ_URL") or RABBITMQ_URL,
        _count(environment, "TRADEPOST_RABBITMQ_SHARDS", 1, SHARDS_LIMIT),
        _bootstrap(environment.get("TRADEPOST_KAFKA_BOOTSTRAP") or KAFKA_BOOTSTRAP),
        _count(environment, "TRADEPOST_KAFKA_PARTITIONS", 6, PARTITIONS_LIMIT),
        kafka_tls=tls != "off",
        kafka_authorities=None if tls in ("off", "on") else tls,
        kafka_login=_kafka_login(environment, is_private=tls != "off"),
    )


def _bootstrap(text: str) -> str:
    if not all(_BROKER.fullmatch(one.strip()) for one in text.split(",")):
        raise SettingsError(f"TRADEPOST_KAFKA_BOOTSTRAP is {text!r}; expected host:port, several with commas between")
    return text


def _kafka_login(environment: Mapping[str, str], *, is_private: bool) -> KafkaLogin | None:
    username, password = (environment.get(f"TRADEPOST_KAFKA_{name}") or None for name in ("USERNAME", "PASSWORD"))
    mechanism = _one_of(environment, "TRADEPOST_KAFKA_SASL", ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"))
    if username is None and password is None:
        return None
    if username is None or password is None:
        raise SettingsError("TRADEPOST_KAFKA_USERNAME and TRADEPOST_KAFKA_PASSWORD need one another: set both or none")
    if mechanism == "PLAIN" and not is_private:
        raise SettingsError("TRADEPOST_KAFKA_SASL=PLAIN sends the password as it is: set TRADEPOST_KAFKA_TLS, too")
    return KafkaLogin(username, password, mechanism)


def _of_services(environment: Mapping[str, str], what: str) -> dict[str, str]:
    """The variables `TRADEPOST_<SERVICE>_<what>` that are set, by the service's name."""
    found = [(_OF_SERVICE.fullmatch(name), value) for name, value in environment.items()]
    return {match[1].lower(): value for match, value in found if match and match[2] == what and value}


def _urls(service: str, text: str) -> tuple[str, ...]:
    urls = tuple(url.strip().rstrip("/") for url in text.split(",") if url.strip())
    for url in urls:
        parts = _parts(url)
        if parts.username is not None:
            raise SettingsError(f"TRADEPOST_{service.upper()}_URLS names a user: services know none, leave it out")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
            raise SettingsError(
                f"TRADEPOST_{service.upper()}_URLS has {url!r}; expected http://host:port, several with commas between"
            )
    return urls


def _smtp_url(environment: Mapping[str, str]) -> str | None:
    url = environment.get("TRADEPOST_SMTP_URL") or None
    if url is not None:
        mail_server_of(url)
    return url


def _web_url(environment: Mapping[str, str], name: str, barred: str) -> str | None:
    """None where it isn't set. Errors: SettingsError, which tells no password; in a query, too, there may be one."""
    url = environment.get(name, "")
    form = "https://host/path or http://host:port/path"
    parts = _parts(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise SettingsError(f"{name} is not of the form {form}")
    for character in url:  # `urlsplit` says nothing of line breaks
        if character in barred or not character.isprintable():
            raise SettingsError(f"{name} has {character!r} in it; expected {form}")
    return url or None


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return urlsplit("")
    return parts


def _secret(environment: Mapping[str, str]) -> str | None:
    secret = environment.get("TRADEPOST_SECRET") or None
    if secret is not None and not re.fullmatch(r"[0-9a-f]{64}", secret):
        raise SettingsError("TRADEPOST_SECRET is not 64 hexadecimal digits, such as `openssl rand -hex 32` prints")
    return secret


def _count(environment: Mapping[str, str], name: str, default: int, limit: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= limit:
        raise SettingsError(f"{name} is {text!r}; expected a number from 1 to {limit}")
    return int(text)


def _local_url(environment: Mapping[str, str]) -> str:
    host = environment.get("HOST", "127.0.0.1")
    name = "127.0.0.1" if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    return f"http://{name}:{_port(environment.get('PORT', '8000'))}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise SettingsError(f"PORT is {text!r}; expected a number from 1 to 65535")
    return int(text)


def _pace(text: str) -> tuple[float, float]:
    try:
        pick_up_s, delivery_s = (float(part) for part in text.split(","))
    except ValueError:
        pick_up_s = delivery_s = -1.0
    if not 0 <= pick_up_s < float("inf") or not 0 <= delivery_s < float("inf"):
        raise SettingsError(f"TRADEPOST_CARRIER_PACE is {text!r}; expected two numbers of seconds such as 5,30")
    return pick_up_s, delivery_s


def _one_of(environment: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = environment.get(name, allowed[0])
    if value not in allowed:
        raise SettingsError(f"{name} is {value!r}; expected {', '.join(allowed[:-1])} or {allowed[-1]}")
    return value
