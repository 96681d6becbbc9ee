"""A virtual host of RabbitMQ for each test: exchanges and queues of the same names don't meet."""

import json
from base64 import b64encode
from http.client import HTTPConnection
from urllib.parse import quote, urlsplit
from uuid import uuid4

from brokers.rabbitmq import management_port
from tests.patience import PATIENCE_S


def create(node_url: str) -> str:
    """The AMQP URL of a new virtual host on the node, which is one that `make rabbitmq` or a fixture started."""
    name = f"test-{uuid4().hex}"
    _ask(node_url, "PUT", name)
    return node_url.rstrip("/") + "/" + name


def drop(vhost_url: str) -> None:
    """With all that is in it; its connections are closed."""
    _ask(vhost_url, "DELETE", urlsplit(vhost_url).path.lstrip("/"))


def names(node_url: str) -> list[str]:
    """Of all virtual hosts of the node."""
    return [vhost["name"] for vhost in json.loads(_ask(node_url, "GET", ""))]


def _ask(url: str, method: str, vhost: str) -> bytes:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "127.0.0.1", management_port(parts.port or 5672), timeout=PATIENCE_S)
    credentials = b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    path = "/api/vhosts" + (f"/{quote(vhost, safe='')}" if vhost else "")
    connection.request(method, path, headers={"Authorization": f"Basic {credentials}"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path} was answered {answer.status}: {body.decode()}")
    return body
