"""PostgreSQL's own programs, from the embedded installation, on any server. Passwords go by the environment."""

import asyncio
import os
import re
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from tradepost.console.trouble import Trouble
from tradepost.kernel.postgres.account import Account
from tradepost.kernel.postgres.installation import Installation, find_installation

SHOWN: Final = 400  # characters of a complaint
# What our pg_restore sets first of all, and a server before 17 doesn't know: it complains, and that is all.
UNKNOWN: Final = 'unrecognized configuration parameter "transaction_timeout"'
KNOWN_SINCE: Final = 17


class ProgramError(Trouble):
    """A program has failed; the message is its first complaint."""


def programs() -> Installation:
    """Those of the embedded PostgreSQL, run as ourselves. Errors: PostgresError."""
    return find_installation(Account(os.geteuid(), os.getegid(), dropped=False))


def dumping(url: str, schema: str, snapshot: str, *more: str) -> list[str]:
    """The arguments of `pg_dump` for one schema as `snapshot` shows it, without owners and grants."""
    where = f"--dbname={split_password(url)[0]}"
    given = ("--format=custom", "--no-owner", "--no-privileges", "--no-password", "--lock-wait-timeout=60s")
    return ["pg_dump", where, *given, f"--snapshot={snapshot}", f'--schema="{schema}"', *more]


def restoring(url: str, major: int, *more: str) -> list[str]:
    """The arguments of `pg_restore` into the database at `url`, whose server is of this major version."""
    where = f"--dbname={split_password(url)[0]}"
    at_once = ("--exit-on-error",) if major >= KNOWN_SINCE else ()
    return ["pg_restore", where, "--no-owner", "--no-privileges", "--no-password", *at_once, *more]


async def run(installation: Installation, url: str, arguments: Sequence[str]) -> None:
    """Run a program to its end. Errors: ProgramError."""
    process = await start(installation, url, arguments)
    try:
        _, complaints = await process.communicate()
    except BaseException:
        await stop(process)
        raise
    check(process, arguments[0], complaints)


async def all_of(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do everything at once; the first failure ends the rest. Errors: that failure."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def start(
    installation: Installation,
    url: str,
    arguments: Sequence[str],
    *,
    stdin: int = asyncio.subprocess.DEVNULL,
    stdout: int = asyncio.subprocess.DEVNULL,
) -> asyncio.subprocess.Process:
    """A running program; who starts it waits for it or stops it."""
    name, *words = arguments
    return await asyncio.create_subprocess_exec(
        installation.program(name),
        *words,
        stdin=stdin,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C", **split_password(url)[1]},
        start_new_session=True,  # Ctrl-C is for us, who stop it
    )


async def stop(process: asyncio.subprocess.Process) -> None:
    """End a program that is of no use any more."""
    with suppress(ProcessLookupError):
        process.terminate()
    await process.communicate()


def check(process: asyncio.subprocess.Process, name: str, complaints: bytes) -> None:
    """Errors: ProgramError when it has failed."""
    text = complaints.decode(errors="replace")
    if process.returncode != 0 and not is_harmless(text):
        raise ProgramError(f"{name} failed: {_first(text) or process.returncode}")


def split_password(url: str) -> tuple[str, dict[str, str]]:
    """`url` without its password, and the password as the environment of libpq has it."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    password = query.pop("password", "") or unquote(password)
    more = f"?{urlencode(query, quote_via=quote, safe='/,')}" if query else ""
    shown = f"{parts.scheme}://{name}{at}{host}{parts.path}{more}"
    return shown, {"PGPASSWORD": password} if password else {}


def is_harmless(complaints: str) -> bool:
    """Whether all went well but for the one thing that an older server doesn't know."""
    errors = re.findall(r"error: .*", complaints)
    return len(errors) == 1 and UNKNOWN in errors[0] and "errors ignored on restore: 1" in complaints


def _first(complaints: str) -> str:
    found = re.findall(r"(?:error|FATAL|ERROR): +(.+)", complaints) or complaints.split("\n")
    return str(found[0])[:SHOWN]
