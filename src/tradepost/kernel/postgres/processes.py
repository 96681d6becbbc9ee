"""Which processes are ours: the server's own pid file, checked against what the process says that it is."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
POLL_S: Final = 0.01


@dataclass(frozen=True)
class PidFile:
    """`postmaster.pid`, as far as the server has written it yet."""

    pid: int
    socket_folder: str
    ready: bool


def read_pid_file(pgdata: Path) -> PidFile | None:
    try:
        lines = (pgdata / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    if not lines or not lines[0].lstrip("-").isdigit():
        return None
    lines += [""] * (8 - len(lines))
    return PidFile(pid=abs(int(lines[0])), socket_folder=lines[4], ready=lines[7].strip() == "ready")


def cluster_name(pgdata: Path) -> str:
    """What PostgreSQL shows in the title of every process of this PGDATA: a copy has another, a moved one the same.

    A title can be read by everyone, where a process's current folder takes a privilege that containers withhold.
    """
    found = pgdata.stat()
    return f"tradepost-{sha256(f'{found.st_dev}:{found.st_ino}'.encode()).hexdigest()[:12]}"


def is_alive(pid: int, name: str) -> bool:
    """False for a pid that something else uses by now, and for a process that is dead but not yet collected."""
    return _is_of(title(pid), name)


def server_processes(name: str) -> list[int]:
    """The postmaster and its children, orphaned or not."""
    return [pid for pid, shown in _titles().items() if _is_of(shown, name)]


def is_postgres(pid: int) -> bool:
    """Whether the process is a PostgreSQL, ours or not."""
    program = title(pid).partition(" ")[0]
    return program.rpartition("/")[2] in {"postgres", "postgres:"}


def title(pid: int) -> str:
    if not PROC.joinpath("self").exists():
        return _titles().get(pid, "")
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it was faster


def wait_until(reached: Callable[[], bool], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while not reached():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _is_of(shown: str, name: str) -> bool:
    return name in shown and (shown.startswith("postgres:") or "/postgres -D " in shown)


def _titles() -> dict[int, str]:
    if PROC.joinpath("self").exists():
        return {int(entry.name): title(int(entry.name)) for entry in PROC.iterdir() if entry.name.isdigit()}
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True)
    return {int(pid): shown for pid, _, shown in (line.strip().partition(" ") for line in listed.stdout.splitlines())}
