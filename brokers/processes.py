"""Processes that outlive whoever started them, recognised by what stands in their command lines."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

POLL_S: Final = 0.05
EXEC_LIMIT_S: Final = 10.0  # in which a process has no arguments to be known by
_DETACH: Final = '"$@" </dev/null >>"$LOG" 2>&1 & echo $!'  # our child ends at once, so nobody is left to collect it


def spawn(command: Sequence[str], environment: Mapping[str, str], log: Path, folder: Path) -> int:
    """Start a process in a session of its own, its output appended to `log`; returns its pid."""
    done = subprocess.run(
        ["/bin/sh", "-c", _DETACH, "sh", *command],
        env={**environment, "LOG": str(log)},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        check=True,
    )
    return int(done.stdout)


def is_alive(pid: int, mark: str) -> bool:
    """Whether `pid` is a process with `mark` among its arguments: not one that got the number later, nor a dead one."""
    if Path("/proc/self").exists():
        return mark.encode() in _arguments(Path(f"/proc/{pid}")).split(b"\0")
    shown = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return mark in shown.stdout


def send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it was faster


def is_frozen(pid: int) -> bool:
    """Whether SIGSTOP has reached every thread: those that it has not go on, and may answer."""
    if Path("/proc/self").exists():
        try:
            stats = [(thread / "stat").read_text() for thread in Path(f"/proc/{pid}/task").iterdir()]
        except OSError:
            return False  # a thread or the process ended meanwhile
        return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)
    shown = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.startswith("T")


def wait_until(reached: Callable[[], bool], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while not reached():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _arguments(process: Path) -> bytes:
    """Linux shows none in mid-exec, as when a script becomes a program: then what it shows after that."""
    shown = b""

    def settled() -> bool:
        nonlocal shown
        with suppress(OSError):  # it is gone
            shown = (process / "cmdline").read_bytes()
        return bool(shown) or not _runs_program(process)

    wait_until(settled, EXEC_LIMIT_S)
    return shown


def _runs_program(process: Path) -> bool:
    """False for what has no arguments and never will: the gone, the dead, and the kernel's own."""
    try:
        return bool(os.readlink(process / "exe"))
    except OSError:
        return False
