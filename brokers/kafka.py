"""Apache Kafka from its jars: one node on loopback that is controller and broker in one, without ZooKeeper."""

import base64
import os
import shutil
import struct
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from brokers import packages
from brokers.node import HOST, Launch, Node, NodeError, ask

PORT: Final = 9092
VERSION: Final = "4.1.0"  # as in pom.xml
POM: Final = Path(__file__).with_name("pom.xml")
SESSION_MS: Final = 18_000  # of silence on a busy machine
BRIEF_MS: Final = 3_000  # for one that is to be killed and back soon
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
broker.session.timeout.ms={session_ms}
broker.heartbeat.interval.ms=500
"""
SECURED: Final = """\
listener.name.sasl_ssl.ssl.keystore.type=PKCS12
listener.name.sasl_ssl.ssl.keystore.location={keys}
listener.name.sasl_ssl.ssl.keystore.password={secret}
listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
    user_{username}="{password}";
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""
KEYS: Final = "keys.p12"
SECRET: Final = "of-a-node-on-loopback"


@dataclass(frozen=True)
class Login:
    """Who is let in by a second listener, two ports above the first: over TLS, with a name and a password, which may be
    shown by PLAIN or by SCRAM-SHA-512."""

    username: str
    password: str


def node(
    folder: Path,
    port: int = PORT,
    jars: Path | None = None,
    login: Login | None = None,
    session_ms: int = SESSION_MS,
) -> Node:
    """A node whose files are in `folder`, and its jars in `jars`. Its controller listens on the port above `port`, and
    takes it for dead when it was silent for `session_ms`."""
    libraries = jars_in(folder.parent) if jars is None else jars
    return Node(
        name="Kafka",
        folder=folder.absolute(),
        address=f"{HOST}:{port}",
        ports=(port, port + 1) if login is None else (port, port + 1, port + 2),
        prepare=lambda: _prepare(folder.absolute(), port, libraries.absolute(), login, session_ms),
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


def certificate(folder: Path) -> Path:
    """Where the certificate of a node with a login is: it is its own authority."""
    return folder / "authority.pem"


def _prepare(folder: Path, port: int, jars: Path, login: Login | None, session_ms: int) -> Launch:
    if not is_installed(jars):
        raise packages.PackageError("Kafka is not installed: `make kafka` does it")
    properties, logging, data = folder / "server.properties", folder / "log4j2.properties", folder / "data"
    logging.write_text(LOGGING)
    configuration = CONFIGURATION.format(host=HOST, port=port, controller=port + 1, data=data, session_ms=session_ms)
    if login is not None:
        _certify(folder)
        configuration = _with_login(configuration, folder, port + 2, login)
    properties.write_text(configuration)
    java = ["java", HEAP, f"-Dlog4j2.configurationFile={logging}", "-cp", f"{jars}/*"]
    if not (data / "meta.properties").exists():
        _format([*java, "kafka.tools.StorageTool"], properties, login)
    return Launch([*java, node(folder, port, jars).mark, "kafka.Kafka", str(properties)], os.environ)


def _with_login(configuration: str, folder: Path, port: int, login: Login) -> str:
    more = SECURED.format(keys=folder / KEYS, secret=SECRET, username=login.username, password=login.password)
    for plain, secured in (
        (f"listeners=PLAINTEXT://{HOST}:{port - 2}", f",SASL_SSL://{HOST}:{port}"),
        ("map=PLAINTEXT:PLAINTEXT", ",SASL_SSL:SASL_SSL"),
    ):
        configuration = configuration.replace(plain, plain + secured)
    return configuration + more


def _certify(folder: Path) -> None:
    """A key and a certificate of its own."""
    keys = folder / KEYS
    if certificate(folder).exists():
        return
    store = ["-alias", "node", "-keystore", str(keys), "-storetype", "PKCS12", "-storepass", SECRET]
    name = ["-dname", "CN=tradepost", "-ext", f"san=ip:{HOST}", "-ext", "bc=ca:true", "-validity", "3650"]
    for command in (
        ["-genkeypair", "-keyalg", "EC", *name, *store],
        ["-exportcert", "-rfc", "-file", str(certificate(folder)), *store],
    ):
        done = subprocess.run(["keytool", *command], capture_output=True, text=True, check=False)
        if done.returncode:
            raise NodeError(f"Kafka's certificate can't be made:\n{done.stdout}{done.stderr}")


def _format(tool: list[str], properties: Path, login: Login | None) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    command = [*tool, "format", "--standalone", f"--cluster-id={cluster}", "--config", str(properties)]
    if login is not None:
        command += ["--add-scram", f"SCRAM-SHA-512=[name={login.username},password={login.password}]"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NodeError(f"Kafka's storage can't be formatted:\n{done.stdout}{done.stderr}")
