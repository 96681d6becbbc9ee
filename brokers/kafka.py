"""Apache Kafka from its jars: one node on loopback that is controller and broker in one, without ZooKeeper."""

import base64
import os
import shutil
import struct
import subprocess
import uuid
from pathlib import Path
from typing import Final

from brokers import packages
from brokers.node import HOST, Launch, Node, NodeError, ask

PORT: Final = 9092
VERSION: Final = "4.1.0"  # as in pom.xml
POM: Final = Path(__file__).with_name("pom.xml")
HEAP: Final = "-Xmx512m"
API_VERSIONS: Final = 18
QUESTION: Final = struct.pack(">hhih", API_VERSIONS, 0, 7, 9) + b"tradepost"
LOGGING: Final = """\
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1}: %m%n
"""
CONFIGURATION: Final = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers={host}:{controller}
log.dirs={data}
auto.create.topics.enable=false
message.max.bytes=8388608
replica.fetch.max.bytes=8388608
offsets.topic.num.partitions=3
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
log.index.size.max.bytes=1048576
# a node that was killed may come back only when its former session has ended
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


def node(folder: Path, port: int = PORT, jars: Path | None = None) -> Node:
    """A node whose files are in `folder`, and its jars in `jars`. Its controller listens on the port above `port`."""
    libraries = jars_in(folder.parent) if jars is None else jars
    return Node(
        name="Kafka",
        folder=folder.absolute(),
        address=f"{HOST}:{port}",
        ports=(port, port + 1),
        prepare=lambda: _prepare(folder.absolute(), port, libraries.absolute()),
        answers=lambda: answers(port),
        clear=lambda: None,
    )


def answers(port: int) -> bool:
    """Whether a Kafka broker tells its API versions there."""
    answer = ask(port, struct.pack(">i", len(QUESTION)) + QUESTION, 10)
    return len(answer) == 10 and struct.unpack(">4xih", answer) == (7, 0)


def jars_in(folder: Path) -> Path:
    """Where the jars are kept: all of them, or none."""
    return folder / "jars" / f"kafka-{VERSION}"


def is_installed(jars: Path) -> bool:
    return jars.is_dir() and shutil.which("java") is not None


def install(jars: Path) -> None:
    """Errors: packages.PackageError."""
    if shutil.which("java") is None:
        packages.install("default-jre-headless")
    if jars.is_dir():
        return
    if shutil.which("mvn") is None:
        packages.install("maven")
    packages.copy_jars(POM, jars)


def _prepare(folder: Path, port: int, jars: Path) -> Launch:
    if not is_installed(jars):
        raise packages.PackageError("Kafka is not installed: `make kafka` does it")
    properties, logging, data = folder / "server.properties", folder / "log4j2.properties", folder / "data"
    logging.write_text(LOGGING)
    properties.write_text(CONFIGURATION.format(host=HOST, port=port, controller=port + 1, data=data))
    java = ["java", HEAP, f"-Dlog4j2.configurationFile={logging}", "-cp", f"{jars}/*"]
    if not (data / "meta.properties").exists():
        _format([*java, "kafka.tools.StorageTool"], properties)
    return Launch([*java, node(folder, port, jars).mark, "kafka.Kafka", str(properties)], os.environ)


def _format(tool: list[str], properties: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    command = [*tool, "format", "--standalone", f"--cluster-id={cluster}", "--config", str(properties)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NodeError(f"Kafka's storage can't be formatted:\n{done.stdout}{done.stderr}")
