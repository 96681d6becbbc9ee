"""Starts the server, or takes over the one that a killed application left behind, and stops it."""

import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from tradepost.kernel.postgres.account import ENVIRONMENT, account_for
from tradepost.kernel.postgres.cluster import OWNER, Cluster, prepare
from tradepost.kernel.postgres.errors import PostgresError, failed, told_in_one_line
from tradepost.kernel.postgres.folder import (
    SOCKET_NAME,
    InstanceLock,
    drop_socket_folder,
    password,
    roll_log,
    socket_folder,
)
from tradepost.kernel.postgres.installation import find_installation
from tradepost.kernel.postgres.memory import shared_buffers
from tradepost.kernel.postgres.processes import (
    cluster_name,
    is_alive,
    is_postgres,
    read_pid_file,
    send,
    server_processes,
    wait_until,
)

READY_S: Final = 300  # recovery after a crash replays up to max_wal_size
ANSWER_S: Final = 5  # an orphan that takes longer to answer is replaced
FAST_S: Final = 60  # the last checkpoint writes up to shared_buffers
IMMEDIATE_S: Final = 5
KILLED_S: Final = 30  # who waits for the disk dies when he has it
LOG_READ_BYTES: Final = 1 << 20
STOPS: Final[Sequence[tuple[signal.Signals, float]]] = (  # fast; when that hangs, immediate; then by force
    (signal.SIGINT, FAST_S),
    (signal.SIGQUIT, IMMEDIATE_S),
    (signal.SIGKILL, KILLED_S),
)
INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM)
STATISTICS: Final = "pg_stat_statements"
ORPHANED_CHILDREN_S: Final = 2  # the idle ones notice at once that their postmaster is gone

NONE: Final[Mapping[str, str]] = MappingProxyType({})
SETTINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "fsync": "on",
        "synchronous_commit": "on",
        "max_connections": "200",
        "max_wal_size": "2GB",
        "wal_compression": "on",  # pglz: the wheel is built without lz4
        "jit": "off",
        "autovacuum_naptime": "15s",
        "autovacuum_vacuum_scale_factor": "0.05",
        "autovacuum_analyze_scale_factor": "0.05",
        "default_statistics_target": "20",  # a sample of 6,000 rows: orders and their events are all alike
        "idle_in_transaction_session_timeout": "60s",
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] ",
        "log_checkpoints": "off",
        "logging_collector": "off",
    }
)
NOT_DURABLE: Final[Mapping[str, str]] = MappingProxyType(
    {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
)


@dataclass(frozen=True)
class Running:
    """A server that accepts connections; its data folder stays locked against other applications until `stop`."""

    url: str
    pid: int
    _cluster: Cluster
    _lock: InstanceLock
    _child: subprocess.Popen[bytes] | None  # None after a takeover

    @property
    def is_alive(self) -> bool:
        """Whether the postmaster still runs."""
        return is_alive(self.pid, self._cluster.name)

    def stop(self) -> None:
        """Ends open sessions, writes everything out and returns when the server is gone; twice is fine."""
        _terminate(self._cluster, self.pid)
        if self._child is not None:
            self._child.wait()
        drop_socket_folder(self._cluster.data)
        self._lock.release()


def start(data: Path, *, fsync: bool = True, settings: Mapping[str, str] = NONE) -> Running:
    """Blocks until the server in `data` is ready; the first time it is made. `settings` win over our own.

    `fsync=False` is for tests: fast, and lost with the machine.
    """
    data = data.absolute()
    lock = InstanceLock(data)
    try:
        with told_in_one_line(data):
            return _start(data, lock, fsync=fsync, settings=settings)
    except BaseException:
        lock.release()
        raise


def find_running(data: Path) -> str | None:
    """The URL of the server that another process runs in `data`, or None."""
    data = data.absolute()
    pgdata = data / "postgres"
    with told_in_one_line(data):
        found = read_pid_file(pgdata)
        if found is None or not found.ready or not is_alive(found.pid, cluster_name(pgdata)):
            return None
        return _url(data, Path(found.socket_folder))


def _start(data: Path, lock: InstanceLock, *, fsync: bool, settings: Mapping[str, str]) -> Running:
    account = account_for(data / "postgres")
    cluster = Cluster(data, account, find_installation(account))
    prepare(cluster, fsync=fsync)
    sockets = socket_folder(data, account)
    url = _url(data, sockets)  # before anything runs: it fails when the secret is lost
    command = _command(
        cluster, sockets, {**SETTINGS, "shared_buffers": shared_buffers(), **({} if fsync else NOT_DURABLE), **settings}
    )
    pid = _take_over(cluster, command)
    child = None
    if pid is None:
        _clear_remains(cluster, sockets)
        child = _launch(cluster, command)
        pid = child.pid
    return Running(url, pid, cluster, lock, child)


def _url(data: Path, sockets: Path) -> str:
    return f"postgresql://{OWNER}:{password(data)}@/{OWNER}?host={quote(str(sockets), safe='/')}&port=5432"


def _command(cluster: Cluster, sockets: Path, settings: Mapping[str, str]) -> list[str]:
    fixed = {
        "cluster_name": cluster.name,
        "listen_addresses": "",
        "port": "5432",
        "unix_socket_directories": f'"{sockets}"',  # quoted, since it is a list
        "unix_socket_permissions": "0700",
    }
    preloaded = {"shared_preload_libraries": STATISTICS} if cluster.installation.has_library(STATISTICS) else {}
    chosen = {**preloaded, **settings, **fixed}
    flags = [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
    return [cluster.installation.program("postgres"), "-D", str(cluster.account.name_of(cluster.pgdata)), *flags]


def _take_over(cluster: Cluster, command: list[str]) -> int | None:
    """The pid of an orphan that answers and runs with exactly our settings; any other orphan is stopped."""
    found = read_pid_file(cluster.pgdata)
    if found is None or not is_alive(found.pid, cluster.name):
        return None
    wait_until(lambda: _is_ready(cluster, found.pid) or not is_alive(found.pid, cluster.name), READY_S)
    answers = _is_ready(cluster, found.pid) and _answers(cluster, found.socket_folder)
    if answers and _runs(cluster, command):
        return found.pid
    _terminate(cluster, found.pid, STOPS if answers else STOPS[1:])
    return None


def _runs(cluster: Cluster, command: list[str]) -> bool:
    arguments = "".join(f' "{word}"' for word in command[1:])
    return (cluster.pgdata / "postmaster.opts").read_text().rstrip("\n").endswith(arguments)


def _is_ready(cluster: Cluster, pid: int) -> bool:
    found = read_pid_file(cluster.pgdata)
    return found is not None and found.pid == pid and found.ready


def _answers(cluster: Cluster, sockets: str) -> bool:
    command = [cluster.installation.program("pg_isready"), "-q", "-h", sockets, "-p", "5432", "-t", str(ANSWER_S)]
    return subprocess.run(command, env=ENVIRONMENT, check=False).returncode == 0


def _clear_remains(cluster: Cluster, sockets: Path) -> None:
    """Nobody serves this PGDATA any more, so children without a postmaster and stale lock files can go."""
    _end_children(cluster)
    found = read_pid_file(cluster.pgdata)
    if found is not None and is_postgres(found.pid):
        raise PostgresError(
            f"process {found.pid} is a PostgreSQL that Tradepost did not start and may use {cluster.pgdata}: "
            "stop it, or if it serves another folder, delete postmaster.pid there"
        )
    (cluster.pgdata / "postmaster.pid").unlink(missing_ok=True)  # PostgreSQL would respect any live process of that pid
    (sockets / SOCKET_NAME).unlink(missing_ok=True)
    (sockets / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)


def _end_children(cluster: Cluster) -> None:
    """They hold the shared memory that a new server needs, and one in a long computation would hold it for hours."""
    if wait_until(lambda: not server_processes(cluster.name), ORPHANED_CHILDREN_S):
        return
    for number, patience_s in STOPS[1:]:
        for pid in server_processes(cluster.name):
            send(pid, number)
        if wait_until(lambda: not server_processes(cluster.name), patience_s):
            return
    raise PostgresError(f"processes of an earlier server cannot be ended: {server_processes(cluster.name)}")


def _launch(cluster: Cluster, command: list[str]) -> subprocess.Popen[bytes]:
    roll_log(cluster.log)
    written = cluster.log.stat().st_size
    child = None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)  # until we know the child: nobody else would end it
        with cluster.log.open("ab") as log:
            child = subprocess.Popen(
                command,
                cwd=cluster.pgdata,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the application, which drains before it stops the server
                **cluster.account.options,
            )
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _await_ready(cluster, child, written)
    except BaseException:  # Ctrl-C while it recovers, too
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if child is not None:
            _end(child)
        raise
    return child


def _end(child: subprocess.Popen[bytes]) -> None:
    """Our own, which may be too young to be known by its title."""
    for number, patience_s in STOPS:
        child.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(patience_s)
            return


def _await_ready(cluster: Cluster, child: subprocess.Popen[bytes], logged_bytes: int) -> None:
    wait_until(lambda: child.poll() is not None or _is_ready(cluster, child.pid), READY_S)
    if child.poll() is not None or not _is_ready(cluster, child.pid):
        raise failed("start", cluster.data, _tail(cluster.log, logged_bytes))


def _tail(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        return file.read(LOG_READ_BYTES).decode(errors="replace")


def _terminate(cluster: Cluster, pid: int, stops: Sequence[tuple[signal.Signals, float]] = STOPS) -> None:
    for number, patience_s in stops:
        if not is_alive(pid, cluster.name):
            return
        send(pid, number)
        wait_until(lambda: not is_alive(pid, cluster.name), patience_s)
    if is_alive(pid, cluster.name):
        raise PostgresError(f"the server, process {pid}, cannot be ended: restart the machine")
