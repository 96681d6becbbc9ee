"""One PostgreSQL for a whole test session, shared by its pytest-xdist workers.

A process of its own owns the server. It waits for an exclusive lock on a file of which every worker holds a shared
one, so it stops the server when the last worker is gone, killed or not. Its data are in memory where there is room:
each test copies a database of over 1,300 files.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import IO, Final

from tradepost.kernel import postgres

MEMORY: Final = Path("/dev/shm")
ROOM: Final = 2 * 1024**3  # bytes; at most 250 MB were seen with three workers

_held: list[IO[str]] = []  # for the life of the worker


@cache
def session_server(tmp_root: Path) -> str:
    """The superuser's URL of the server in `tmp_root`, a folder that the session's workers have in common."""
    tmp_root.mkdir(parents=True, exist_ok=True)
    users = (tmp_root / "users").open("a")
    fcntl.flock(users, fcntl.LOCK_SH)
    _held.append(users)
    with (tmp_root / "starting").open("a") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        return postgres.find_running(data_of(tmp_root)) or _start_owner(tmp_root)


def data_of(tmp_root: Path) -> Path:
    """Where the server's data are."""
    there = MEMORY / f"tradepost-{sha256(str(tmp_root.resolve()).encode()).hexdigest()[:16]}"
    has_room = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    return there if has_room or there.exists() else tmp_root / "data"


def _start_owner(tmp_root: Path) -> str:
    """Returns the URL that the owner prints as soon as the server is ready; its errors go to ours."""
    owner = subprocess.Popen(
        [sys.executable, __file__, str(tmp_root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert owner.stdout is not None
    url = owner.stdout.readline().strip()
    if not url:
        raise RuntimeError("the test server did not start")
    owner.stdout.close()
    owner.returncode = 0  # it outlives us on purpose: no warning that it still runs
    return url


def _own(tmp_root: Path) -> None:
    data = data_of(tmp_root)
    running = postgres.start(data, fsync=False, settings={"max_connections": "300"})
    print(running.url, flush=True)
    with (tmp_root / "users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        running.stop()
    shutil.rmtree(data)


if __name__ == "__main__":
    _own(Path(sys.argv[1]))
