"""What went wrong with the embedded server, as one line that says what to do about it."""

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

FULL_BYTES: Final = 1 << 20  # with less than this left, the server cannot even log that the disk is full


class PostgresError(Exception):
    """For the operator's eyes: the message is one clear line, with the way out."""


@contextmanager
def told_in_one_line(data: Path) -> Iterator[None]:
    """Turns the operating system's refusals into `PostgresError`."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise PostgresError(full(data)) from error
        raise PostgresError(
            f"the data folder {data} cannot be used ({error.strerror}: {error.filename}): "
            "make it writable for this user, or set TRADEPOST_DATA to a folder that is"
        ) from error


def failed(what: str, data: Path, output: str) -> PostgresError:
    """`output`: what the failed program wrote; its last complaint goes into the message."""
    if "No space left on device" in output or shutil.disk_usage(data).free < FULL_BYTES:
        return PostgresError(full(data))
    return PostgresError(f"PostgreSQL could not {what} in {data}: {_last_complaint(output)}")


def full(data: Path) -> str:
    return f"the disk that holds {data} is full: free some space and start again"


def _last_complaint(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    complaints = re.findall(r"(?:FATAL|PANIC|ERROR|error): +(.+)", output)
    return str((complaints or lines or ["it left no message"])[-1])
