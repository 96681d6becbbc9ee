"""One broker as a process on loopback: started, stopped, killed, paused, and started again on the same data."""

import fcntl
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from brokers import processes

HOST: Final = "127.0.0.1"
START_LIMIT_S: Final = 180.0
STOP_LIMIT_S: Final = 40.0
FREEZE_LIMIT_S: Final = 40.0  # a thread that waits for the disk does not stop before it has it
PORT_LIMIT_S: Final = 30.0  # until a killed process has let go of its port: its last thread may wait for the disk
ANSWER_LIMIT_S: Final = 2.0  # to one question
LOG_TAIL: Final = 30  # lines


class NodeError(Exception):
    """The node can't be had as it is; the message says why and what to do."""


@dataclass(frozen=True)
class Launch:
    """What is run, with which whole environment."""

    command: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Node:
    """A broker whose files are in `folder`. `prepare` writes its configuration; `answers` asks it a question of its own
    protocol; `clear` ends what it leaves behind when it is gone."""

    name: str
    folder: Path
    address: str
    ports: tuple[int, ...]
    prepare: Callable[[], Launch]
    answers: Callable[[], bool]
    clear: Callable[[], None]

    @property
    def log(self) -> Path:
        return self.folder / "node.log"

    @property
    def mark(self) -> str:
        """The argument by which the process is known: no other node has this folder. It means something to nobody else,
        neither to Java nor to Erlang."""
        return f"-Dtradepost.node={self.folder}"

    @property
    def pid(self) -> int | None:
        """Of the running process; None when there is none, whatever the pid file says."""
        try:
            pid = int((self.folder / "pid").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if processes.is_alive(pid, self.mark) else None

    def start(self, limit_s: float = START_LIMIT_S) -> bool:
        """Returns once the node answers; False when it ran already. Errors: NodeError, with the end of its log."""
        with self._alone():
            running = self.pid is not None
            if not running:
                self._launch()
            if not self._answers_within(limit_s):
                found = f"does not answer at {self.address}" if self.pid else "ended before it answered"
                raise NodeError(f"{self.name} {found}; the end of {self.log}:\n{self._tail()}")
            return not running

    def stop(self) -> bool:
        """Ends the node in order, or by force after a while; False when it did not run."""
        with self._alone():
            pid = self.pid
            if pid is not None:
                processes.send(pid, signal.SIGCONT)
                processes.send(pid, signal.SIGTERM)
                if not processes.wait_until(lambda: self.pid is None, STOP_LIMIT_S):
                    self.kill()
            self.clear()
            return pid is not None

    def kill(self) -> None:
        """As a loss of power would: no chance to put anything in order. What was written stays."""
        if (pid := self.pid) is not None:
            processes.send(pid, signal.SIGKILL)
            if not processes.wait_until(lambda: self.pid is None, STOP_LIMIT_S):
                raise NodeError(f"{self.name}, process {pid}, can't be killed")

    def pause(self) -> None:
        """The node freezes: connections stay open and nothing answers, from the return on."""
        pid = self._signal(signal.SIGSTOP)
        if not processes.wait_until(lambda: processes.is_frozen(pid), FREEZE_LIMIT_S):
            raise NodeError(f"{self.name}, process {pid}, does not freeze")

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _answers_within(self, limit_s: float) -> bool:
        """Asked until it does or has ended. An answer counts though the next may be slow."""
        answered = False

        def settled() -> bool:
            nonlocal answered
            answered = self.answers()
            return answered or self.pid is None

        processes.wait_until(settled, limit_s)
        return answered

    def _signal(self, number: signal.Signals) -> int:
        if (pid := self.pid) is None:
            raise NodeError(f"{self.name} does not run in {self.folder}")
        processes.send(pid, number)
        return pid

    def _launch(self) -> None:
        self._check_ports()
        launch = self.prepare()
        pid = processes.spawn(launch.command, launch.environment, self.log, self.folder)
        (self.folder / "pid").write_text(str(pid))

    def _check_ports(self) -> None:
        patience_s = PORT_LIMIT_S if (self.folder / "pid").exists() else 0.0
        for port in self.ports:
            if not processes.wait_until(partial(is_free, port), patience_s):
                raise NodeError(f"{self.name} needs port {port} of {HOST}, where something else listens")

    def _tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-LOG_TAIL:])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One start or stop at a time, over all processes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def is_free(port: int) -> bool:
    """Whether a server can listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def ask(port: int, question: bytes, size: int) -> bytes:
    """The first `size` bytes of what a server answers to `question`, fewer or none when it doesn't."""
    try:
        with socket.create_connection((HOST, port), ANSWER_LIMIT_S) as connection:
            connection.sendall(question)
            return connection.recv(size, socket.MSG_WAITALL)
    except OSError:
        return b""
