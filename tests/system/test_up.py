"""`tradepost up` as its operator meets it: it starts, says where it is, stops in order, and fails in one line."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.console.story import execute
from tests.patience import PATIENCE_S
from tests.ports import free_port
from tradepost.console.instance import staff_token
from tradepost.kernel import postgres
from tradepost.kernel.postgres.processes import cluster_name, server_processes

pytestmark = pytest.mark.xdist_group("up")  # what they share is made once

TRADEPOST = str(Path(sys.executable).with_name("tradepost"))
READY_S = 120
STOP_S = PATIENCE_S


def environment(data: Path, port: int, **more: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TRADEPOST_")}
    return {**ours, "TRADEPOST_DATA": str(data), "PORT": str(port), "HOST": "127.0.0.1", **more}


def fails(data: Path, port: int, **more: str) -> str:
    """The only line on standard error of a start that must fail."""
    done = subprocess.run(
        [TRADEPOST, "up"],
        env=environment(data, port, **more),
        capture_output=True,
        text=True,
        timeout=READY_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    return done.stderr


@dataclass
class Up:
    """A running `tradepost up`, and what it said when it was ready."""

    process: "subprocess.Popen[str]"
    data: Path
    port: int
    said: list[str]

    def get(self, path: str, token: str | None = None) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def post(self, path: str, body: object, **headers: str) -> bytes:
        sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
        url, data = f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data, sent), timeout=PATIENCE_S) as answer:
            return bytes(answer.read())

    def health(self) -> bytes:
        """As it says once it is well: a machine that stands still makes it doubt a database for a moment."""
        deadline = time.monotonic() + PATIENCE_S
        while (answer := self.get("/health"))[0] != 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        return answer[1]

    def upload(self) -> socket.socket:
        """A connection on which an import has begun and is not yet at its end."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        head = f"POST /inventory/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {staff_token(self.data)}\r\n"
        more = "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall((head + more).encode())
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"  # it is being read
        connection.sendall(b"1\r\n\n\r\n")
        return connection

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_S)


def start(data: Path, **more: str) -> Up:
    port = free_port()
    process = subprocess.Popen(
        [TRADEPOST, "up"],
        env=environment(data, port, **more),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line.rstrip())
        if line.startswith("Ctrl-C"):
            return Up(process, data, port, said)
    raise AssertionError(f"it ended with {process.wait()} before it was ready: {said}")


def servers(data: Path) -> list[int]:
    return list(server_processes(cluster_name(data / "postgres")))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("up") / "data"
    yield folder
    for pid in servers(folder):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def first(data: Path) -> Iterator[Up]:
    """The first start in a new folder."""
    up = start(data)
    yield up
    if up.process.poll() is None:
        up.stop(signal.SIGTERM)


def test_it_says_where_it_is_and_is_healthy(first: Up) -> None:
    status = json.loads(first.health())["status"]

    assert first.said[0] == f"Tradepost is ready at http://127.0.0.1:{first.port}"
    assert status == "healthy"


def test_command_line_tools_find_it_and_are_let_in(first: Up) -> None:
    found = json.loads((first.data / "run" / "gateway.json").read_text())

    assert found == {"url": f"http://127.0.0.1:{first.port}", "pid": first.process.pid}
    assert first.get("/inventory/stock", staff_token(first.data))[0] == 200
    assert first.get("/inventory/stock")[0] == 401


def test_a_port_in_use_is_one_line(first: Up, tmp_path: Path) -> None:
    line = fails(tmp_path / "other", first.port)

    assert line.startswith(f"tradepost: port {first.port} on 127.0.0.1 is in use")
    assert not (tmp_path / "other").exists()


def test_a_second_instance_on_the_same_data_is_one_line(first: Up) -> None:
    line = fails(first.data, free_port())

    assert f"in use by another Tradepost, process {first.process.pid}" in line


def test_what_a_killed_restore_has_left_is_no_shop(first: Up, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "restoring").mkdir(parents=True)
    line = fails(data, free_port())

    told = f"a restore into {data} is under way or was cut off: then run it again, or delete {data}/restoring"
    assert line == f"tradepost: {told}\n"
    assert [path.name for path in data.iterdir()] == ["restoring"]

    url = postgres.find_running(first.data)
    assert url is not None
    half = url.replace("/tradepost?", "/half?")
    asyncio.run(execute(url, "CREATE DATABASE half"))
    asyncio.run(execute(half, "CREATE SCHEMA tradepost_restoring"))
    line = fails(tmp_path / "other", free_port(), TRADEPOST_DATABASE_URL=half)

    assert line == "tradepost: a restore into the database half is under way or was cut off: then run it again\n"
    asyncio.run(execute(url, "DROP DATABASE half"))


def test_a_shop_that_is_left_behind_is_told_of_and_no_empty_one_opened(first: Up, tmp_path: Path) -> None:
    url = postgres.find_running(first.data)
    assert url is not None
    asyncio.run(execute(url, "CREATE DATABASE empty"))
    (tmp_path / "postgres").mkdir()
    shutil.copy2(first.data / "secret", tmp_path)
    line = fails(tmp_path, free_port(), TRADEPOST_DATABASE_URL=url.replace("/tradepost?", "/empty?"))

    assert line.startswith(
        f"tradepost: the database has no shop, and {tmp_path} has one: move it with `tradepost backup`"
    )
    asyncio.run(execute(url, "DROP DATABASE empty"))


def test_a_wrong_setting_is_one_line(tmp_path: Path) -> None:
    line = fails(tmp_path, free_port(), TRADEPOST_CARRIER_PACE="soon")

    assert line.startswith("tradepost: TRADEPOST_CARRIER_PACE is 'soon'")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (
            "postgresql://shop:s3cret@127.0.0.1:1/shop",
            r"the database shop at 127\.0\.0\.1:1 can't be used: it can't be",
        ),
        ("postgresql://shop:s3cret@no.such.host.invalid/shop", r"at no\.such\.host\.invalid can't be used"),
        ("mysql://shop:s3cret@127.0.0.1/shop", r"its URL is not of the form postgresql://"),
        ("postgresql://shop:s3cret@127.0.0.1:port/shop", r"its URL is not of the form postgresql://"),
    ],
)
def test_a_wrong_database_url_is_one_line_without_the_password(tmp_path: Path, url: str, why: str) -> None:
    line = fails(tmp_path, free_port(), TRADEPOST_DATABASE_URL=url)

    assert re.search(why, line), line
    assert "s3cret" not in line


def test_a_wrong_password_and_a_wrong_name_are_one_line_each(first: Up, tmp_path: Path) -> None:
    url = postgres.find_running(first.data)
    assert url is not None
    wrong_password = re.sub(r":[0-9a-f]+@", ":wrong@", url)
    wrong_name = url.replace("/tradepost?", "/nothing?")

    password_line = fails(tmp_path, free_port(), TRADEPOST_DATABASE_URL=wrong_password)
    assert "the password is wrong" in password_line
    assert 'database "nothing" does not exist' in fails(tmp_path, free_port(), TRADEPOST_DATABASE_URL=wrong_name)


def test_ctrl_c_ends_it_and_its_database_and_the_next_start_finds_everything(first: Up) -> None:
    secret, key = (first.data / "secret").read_text(), (first.data / "keys" / "signing-current.pem").read_text()
    code = first.stop(signal.SIGINT)
    left = servers(first.data)
    again = start(first.data)
    status = json.loads(again.health())["status"]
    code_again = again.stop(signal.SIGTERM)

    assert (code, left, (first.data / "run" / "gateway.json").exists()) == (0, [], False)
    assert (status, code_again, servers(first.data)) == ("healthy", 0, [])
    assert (first.data / "secret").read_text() == secret
    assert (first.data / "keys" / "signing-current.pem").read_text() == key


def test_ctrl_c_finishes_what_is_under_way_and_a_second_one_does_not(first: Up) -> None:
    if first.process.poll() is None:
        first.stop(signal.SIGINT)
    patient = start(first.data)
    with patient.upload() as connection:
        patient.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        connection.sendall(b"0\r\n\r\n")
        answer = connection.recv(1000)
    ended = patient.process.wait(STOP_S)
    hasty = start(first.data)
    with hasty.upload():
        hasty.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        waits = hasty.process.poll() is None
        forced = hasty.stop(signal.SIGINT)

    assert (answer[:12], ended) == (b"HTTP/1.1 200", 0)
    assert (waits, forced, servers(first.data)) == (True, 1, [])


def test_a_proxy_on_this_machine_is_believed_once_it_is_named_and_the_mailbox_is_gone(first: Up) -> None:
    if first.process.poll() is None:
        first.stop(signal.SIGINT)
    behind = start(first.data, TRADEPOST_TRUSTED_PROXIES="127.0.0.1")
    ada = {"email": "ada@shop.test", "password": "a fine long password"}
    behind.post("/user/register", {**ada, "name": "Ada"})
    token = json.loads(behind.post("/user/login", ada, x_forwarded_for="junk, 198.51.100.7:4711"))["access_token"]
    sessions, mailbox = json.loads(behind.get("/user/sessions", token)[1]), behind.get("/mailbox")
    behind.stop(signal.SIGTERM)

    assert [one["address"] for one in sessions["data"]] == ["198.51.100.7"]
    assert (mailbox[0], [line for line in behind.said if "mailbox" in line]) == (404, [])


def test_ctrl_c_before_it_is_ready_leaves_nothing_running(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [TRADEPOST, "up"], env=environment(tmp_path / "data", free_port()), start_new_session=True
    )
    while not (tmp_path / "data" / "postgres").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)

    assert (process.wait(STOP_S), servers(tmp_path / "data")) == (0, [])


def test_the_help_comes_fast_and_names_the_commands() -> None:
    shown = subprocess.run([TRADEPOST, "--help"], capture_output=True, text=True, timeout=READY_S, check=True).stdout
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, tradepost.cli; print('asyncpg' in sys.modules)"],
        capture_output=True,
        text=True,
        timeout=READY_S,
        check=True,
    ).stdout

    assert all(word in shown for word in ("up", "routes", "Examples:"))
    assert loaded.strip() == "False"
