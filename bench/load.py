"""The load: prepared requests over raw keep-alive connections, from a process of its own that tells its own cost.

Closed loop: each connection sends its next request when the last was answered. Open loop (`rates`): requests are due at
even times, whatever the server does, and a latency counts from when its request was due, so that a server that stalls
is charged for all that waits meanwhile. Linux only: epoll, and CPU times from /proc.
"""

import pickle
import select
import socket
import subprocess
import sys
from array import array
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from time import perf_counter, process_time, time
from typing import Any, Final

from bench.processes import Usage, usage

HEAD_END: Final = b"\r\n\r\n"
LENGTH: Final = b"content-length: "
KEY: Final = b"Idempotency-Key: "
LOST: Final = 0  # the status of a request whose connection ended before its answer
UNSENT: Final = 1  # of one that was given up, since for so long no connection was free
RECEIVED: Final = 262_144  # bytes at once
SILENCE_S: Final = 60.0  # without any answer: it is no use
LOOK_S: Final = 0.1


@dataclass(frozen=True)
class Plan:
    """What to send. `requests` are taken in turn, each as what comes before and after its Idempotency-Key; without
    `keys` the two halves are sent as they are. The warm-up takes its time, and at least `warm_up_calls`. `rates` are
    seconds and requests a second of one phase after the other, the first of which holds for the warm-up too. `watched`
    are processes whose CPU is measured, by name."""

    ports: Sequence[int]
    requests: Sequence[tuple[bytes, bytes]]
    seconds: float
    connections: int = 64
    warm_up_s: float = 1.0
    warm_up_calls: int = 0
    at_most: int | None = None  # requests, then it ends
    rates: Sequence[tuple[float, float]] = ()
    keys: str | None = None
    bodies: bool = False  # keep those of answers
    patience_s: float = inf  # with a request that finds no free connection
    watched: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass
class Outcome:
    """Of the requests due after the warm-up: when each was due, how long it took from then, how much of that it waited
    for a free connection, its status, and its body if kept; times are seconds of the wall clock. `calls` were answered
    within the window, in which CPU was measured."""

    began: float
    seconds: float
    calls: int
    cpu_s: Mapping[str, Usage]
    own_cpu_s: float
    due: "array[float]"
    took: "array[float]"
    late: "array[float]"
    status: "array[int]"
    bodies: list[bytes]

    @property
    def statuses(self) -> Counter[int]:
        return Counter(self.status)

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.calls / self.seconds

    def cpu_us(self, name: str) -> float:
        """Microseconds of CPU of a watched process per answer."""
        return self.cpu_s[name].total_s / max(self.calls, 1) * 1e6

    @property
    def own_us(self) -> float:
        """The same of the load itself."""
        return self.own_cpu_s / max(self.calls, 1) * 1e6

    def only(self, *allowed: int) -> "Outcome":
        """Itself. Errors: SystemExit when there was any other status."""
        if others := {status: n for status, n in self.statuses.items() if status not in allowed}:
            raise SystemExit(f"answers other than {allowed}: {others}")
        return self


def run(plan: Plan) -> Outcome:
    """Do it, in a process of its own. Errors: SystemExit."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"], input=pickle.dumps(plan), stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        raise SystemExit(f"the load failed: {done.returncode}")
    outcome: Outcome = pickle.loads(done.stdout)
    return outcome


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(-int(-share * len(ordered) // 1) - 1, 0)]


class _Connection:
    __slots__ = ("due", "port", "received", "sent", "socket")

    def __init__(self, port: int) -> None:
        self.port, self.received, self.due, self.sent = port, b"", 0.0, 0.0
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SILENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    def send(self, request: bytes) -> None:
        """All of it: a request is far smaller than the socket's buffer."""
        if self.socket.send(request) != len(request):
            raise SystemExit("a request does not fit into the socket's buffer")

    def answer(self) -> bytes | None:
        """A whole answer, None while there is more to come, or nothing at all when the connection has ended."""
        try:
            received = self.socket.recv(RECEIVED)
        except BlockingIOError:
            return None
        except OSError:
            return b""
        if not received:
            return b""
        if self.received:
            received = self.received + received
        end = received.find(HEAD_END)
        if end >= 0:
            at = received.find(LENGTH, 0, end)
            length = int(received[at + 16 : received.find(b"\r", at)]) if at >= 0 else 0
            if len(received) >= end + 4 + length:
                self.received = b""
                return received
        self.received = received
        return None


class _Load:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.connections: dict[int, _Connection] = {}
        self.epoll = select.epoll()
        self.idle: deque[_Connection] = deque()
        self.next = self.calls = 0
        self.key = f"{plan.keys}-".encode() if plan.keys else b""
        self.due, self.took, self.late, self.status = array("d"), array("d"), array("d"), array("i")
        self.bodies: list[bytes] = []
        self.ready: list[tuple[_Connection, bytes]] = []
        for n in range(plan.connections):
            self._connect(plan.ports[n % len(plan.ports)])

    def _connect(self, port: int) -> None:
        connection = _Connection(port)
        self.connections[connection.socket.fileno()] = connection
        self.epoll.register(connection.socket.fileno(), select.EPOLLIN)
        self.idle.append(connection)

    def run(self) -> Outcome:
        """Warm up, measure, and wait for what is under way at the end."""
        start = perf_counter()
        self.next_due, self.opens, self.closes = start, inf, inf
        self._until(start + self.plan.warm_up_s)
        while self.calls < self.plan.warm_up_calls:
            self._until(perf_counter() + LOOK_S)
        self.calls, own, watched = 0, process_time(), self._watched()
        opened = self.opens = perf_counter()
        self.closes = opened + self.plan.seconds
        self._until(self.closes)
        seconds, calls = perf_counter() - opened, self.calls
        cpu = {name: now - watched[name] for name, now in self._watched().items()}
        own = process_time() - own
        self._drain()
        began = time() - (perf_counter() - opened)
        self.due = array("d", (began + due - opened for due in self.due))
        return Outcome(began, seconds, calls, cpu, own, self.due, self.took, self.late, self.status, self.bodies)

    def _watched(self) -> dict[str, Usage]:
        return {name: usage(pids) for name, pids in self.plan.watched.items()}

    def _until(self, end: float) -> None:
        silent_since = perf_counter()
        while (now := perf_counter()) < end:
            until = min(end, self._send(now))
            if self._receive(until - now):
                silent_since = now
            elif self.next == self.plan.at_most and len(self.idle) == len(self.connections):
                return
            elif now - silent_since > SILENCE_S:
                raise SystemExit(f"no answer for {SILENCE_S:g} s")

    def _send(self, now: float) -> float:
        """What is due; when the next request will be."""
        idle = self.idle
        if not self.plan.rates:
            while idle and self.next != self.plan.at_most:
                self._ask(idle.popleft(), now, now)
            return now + LOOK_S
        while (due := self.next_due) <= now:
            if idle:
                self._ask(idle.popleft(), due, now)
            elif now - due > self.plan.patience_s:
                self._note(due, due, UNSENT, b"")
            else:
                return now + LOOK_S  # an answer will make a connection free
            self.next_due = due + 1 / self._rate(due)
        return due

    def _rate(self, moment: float) -> float:
        """Requests a second in the phase of that moment."""
        elapsed = max(moment - self.opens, 0.0)
        for seconds, rate in self.plan.rates:
            elapsed -= seconds
            if elapsed < 0:
                return rate
        return self.plan.rates[-1][1]

    def _ask(self, connection: _Connection, due: float, now: float) -> None:
        number, self.next = self.next, self.next + 1
        before, after = self.plan.requests[number % len(self.plan.requests)]
        request = b"%s%s%s%d\r\n%s" % (before, KEY, self.key, number, after) if self.key else before + after
        connection.due, connection.sent = due, now
        try:
            connection.send(request)
        except OSError:
            self._lose(connection)

    def _receive(self, timeout_s: float) -> int:
        """Take what has come, waiting so long for it; how many answers."""
        if not select.select([self.epoll], [], [], max(timeout_s, 0.0))[
            0
        ]:  # microseconds, where epoll has milliseconds
            return 0
        answers = 0
        for fd, _ in self.epoll.poll(0):
            connection = self.connections[fd]
            answer = connection.answer()
            if answer is None:
                continue
            if answer == b"":
                self._lose(connection)
                continue
            answers += 1
            self.idle.append(connection)
            self._note(connection.due, connection.sent, int(answer[9:12]), answer)
        return answers

    def _note(self, due: float, sent: float, status: int, answer: bytes) -> None:
        self.calls += status != UNSENT
        if self.opens <= due < self.closes:
            self.due.append(due)
            self.took.append(perf_counter() - due)
            self.late.append(sent - due)
            self.status.append(status)
            if self.plan.bodies:
                self.bodies.append(answer[answer.find(HEAD_END) + 4 :])

    def _lose(self, connection: _Connection) -> None:
        """The server has ended the connection, with or without a request on it."""
        del self.connections[connection.socket.fileno()]
        self.epoll.unregister(connection.socket.fileno())
        connection.socket.close()
        if connection in self.idle:
            self.idle.remove(connection)
        else:
            self._note(connection.due, connection.sent, LOST, b"")
        self._connect(connection.port)

    def _drain(self) -> None:
        until = perf_counter() + SILENCE_S
        while len(self.idle) < len(self.connections):
            if perf_counter() > until:
                raise SystemExit(f"{len(self.connections) - len(self.idle)} requests were never answered")
            self._receive(LOOK_S)


def main() -> None:
    """The process of its own: the plan comes in, the outcome goes out."""
    plan: Any = pickle.loads(sys.stdin.buffer.read())
    sys.stdout.buffer.write(pickle.dumps(_Load(plan).run()))


if __name__ == "__main__":
    from bench import load  # so that what is pickled here has the name that it has there

    load.main()
