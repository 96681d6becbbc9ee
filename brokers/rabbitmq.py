"""RabbitMQ of Debian's package: one node on loopback, with a user `guest`."""

import os
import secrets
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from brokers import packages, processes
from brokers.node import HOST, Launch, Node, ask, is_free

PORT: Final = 5672
GREETING: Final = b"AMQP\x00\x00\x09\x01"
START_METHOD: Final = (1, 0, 10, 10)  # frame of a method, channel 0, connection.start
MAPPER_LIMIT_S: Final = 30.0
PLUGINS: Final = "[rabbitmq_consistent_hash_exchange,rabbitmq_management].\n"
DEBIANS: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the one on the PATH changes to another user
SEARCHED: Final = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
CONFIGURATION: Final = """\
listeners.tcp.1 = {host}:{port}
distribution.listener.interface = {host}
management.tcp.ip = {host}
management.tcp.port = {management}
management_agent.disable_metrics_collector = true
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = 1GB
log.console = true
log.console.level = info
log.console.use_colors = off
log.file = false
"""


def node(folder: Path, port: int = PORT) -> Node:
    """A node whose files are in `folder`. It listens on `port` and on the three ports above it: Erlang's distribution,
    its port mapper, and the HTTP API."""
    return Node(
        name="RabbitMQ",
        folder=folder.absolute(),
        address=f"amqp://guest:guest@{HOST}:{port}/",
        ports=(port, port + 1, port + 3),  # a port mapper outlives a killed node, and is used again
        prepare=lambda: _prepare(folder.absolute(), port),
        answers=lambda: answers(port),
        clear=lambda: _end_port_mapper(port),
    )


def management_port(port: int) -> int:
    """Where the HTTP API of the node on `port` listens."""
    return port + 3


def answers(port: int) -> bool:
    """Whether an AMQP server greets there."""
    greeted = ask(port, GREETING, 11)
    return len(greeted) == 11 and struct.unpack(">BHxxxxHH", greeted) == START_METHOD


def program() -> Path | None:
    """What starts a node, if it is installed."""
    if DEBIANS.exists():
        return DEBIANS
    found = shutil.which("rabbitmq-server", path=os.pathsep.join((os.environ.get("PATH", ""), *SEARCHED)))
    return Path(found) if found else None


def install() -> None:
    """Errors: packages.PackageError."""
    if program() is None:
        packages.install("rabbitmq-server")


def _prepare(folder: Path, port: int) -> Launch:
    found = program()
    if found is None:
        raise packages.PackageError("RabbitMQ is not installed: `make rabbitmq` does it")
    configuration = CONFIGURATION.format(host=HOST, port=port, management=management_port(port))
    (folder / "rabbitmq.conf").write_text(configuration)
    (folder / "plugins").write_text(PLUGINS)
    _write_cookie(folder / ".erlang.cookie")
    return Launch([str(found), node(folder, port).mark], _environment(folder, port))


def _environment(folder: Path, port: int) -> Mapping[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the node, rather than starting it and waiting
        "RABBITMQ_NODENAME": "tradepost@localhost",
        "RABBITMQ_USE_LONGNAME": "false",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "rabbitmq.pid"),
        "RABBITMQ_DIST_PORT": str(port + 1),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",  # cores are shared
        "ERL_EPMD_ADDRESS": HOST,
        "ERL_EPMD_PORT": str(port + 2),
    }


def _write_cookie(path: Path) -> None:
    if not path.exists():
        path.touch(0o600)
        path.write_text(secrets.token_hex(20))
    path.chmod(0o400)


def _end_port_mapper(port: int) -> None:
    """It refuses for as long as it believes that the node is there, so ask until it is gone."""
    mapper = shutil.which("epmd")
    if mapper is None:
        return

    def gone() -> bool:
        subprocess.run([mapper, "-port", str(port + 2), "-kill"], capture_output=True, check=False)
        return is_free(port + 2)

    processes.wait_until(gone, MAPPER_LIMIT_S)
