"""Getting what is missing: packages by apt, jars by Maven."""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ATTEMPTS: Final = 4
PAUSE_S: Final = 2.5  # doubled each time
ATTEMPT_LIMIT_S: Final = 600.0
APT: Final = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3")
QUIET: Final = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # 1: no package starts a service
COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"


class PackageError(Exception):
    """Something is missing and could not be got; the message says how to get it."""


def install(package: str) -> None:
    """By apt, as root. Errors: PackageError."""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise PackageError(f"{package} is missing; install it, such as with `sudo apt-get install {package}`")
    print(f"installing {package} by apt-get ...", flush=True)
    with _turn():
        _persist(lambda: _update_and_install(package))


def _update_and_install(package: str) -> str | None:
    _run([*APT, "update"])  # a list that can't be fetched may be one that isn't needed: the next line tells
    return _run([*APT, "install", "--no-install-recommends", package])


@contextmanager
def _turn() -> Iterator[None]:
    """Of two of us, one after the other; for others apt-get's own locks are waited for."""
    folder = os.open("/var/lib/apt", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def copy_jars(pom: Path, target: Path) -> None:
    """What `pom` depends on, into a new folder `target` that appears when it is whole. Errors: PackageError."""
    print(f"fetching {target.name} by Maven into {target} ...", flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        incomplete = Path(scratch) / target.name
        command = ["mvn", "-q", "-B", "-f", str(pom), COPY, "-DincludeScope=runtime", f"-DoutputDirectory={incomplete}"]
        _persist(lambda: _run(command))
        if not target.exists():  # or another was faster
            incomplete.rename(target)


def _persist(attempt: Callable[[], str | None]) -> None:
    """Again when it fails: a mirror may be slow, and another apt-get at work. Errors: PackageError."""
    failure = attempt()
    for n in range(1, ATTEMPTS):
        if failure is None:
            return
        print(f"failed, attempt {n} of {ATTEMPTS}; the last lines:", *failure.splitlines()[-3:], sep="\n  ", flush=True)
        time.sleep(PAUSE_S * 2**n)
        failure = attempt()
    if failure is not None:
        raise PackageError(failure)


def _run(command: Sequence[str]) -> str | None:
    """What it was and said when it failed, else None."""
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **QUIET},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ATTEMPT_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{' '.join(command)}: no end after {ATTEMPT_LIMIT_S:.0f} s"
    return None if done.returncode == 0 else f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
