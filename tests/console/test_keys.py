"""`tradepost keys`: what signs and what is still good, in the folder of an instance."""

import errno
import os
from pathlib import Path

import pytest

from tradepost.console.keys import list_, rotate
from tradepost.kernel.keys import CURRENT, load_or_create_keys
from tradepost.main import KEYS


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRADEPOST_DATA", str(tmp_path))
    return tmp_path


def test_after_a_rotation_the_key_so_far_is_good_and_signs_nothing_more(data: Path) -> None:
    before = load_or_create_keys(data / KEYS)
    rotate()
    after = load_or_create_keys(data / KEYS)
    assert after.previous == before.current != after.current


def test_a_key_that_is_revoked_is_gone(data: Path) -> None:
    before = load_or_create_keys(data / KEYS)
    rotate(revoke=True)
    assert before.current.kid not in load_or_create_keys(data / KEYS).public


def test_keys_that_root_makes_belong_to_whom_the_folder_does(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_or_create_keys(data / KEYS)
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda _descriptor, user, group: given.append((user, group)))
    rotate()
    folder = (data / KEYS).stat()
    assert given == [(folder.st_uid, folder.st_gid)] * 2


def test_the_keys_are_listed_with_their_parts(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = load_or_create_keys(data / KEYS).current.kid
    rotate()
    second = load_or_create_keys(data / KEYS).current.kid
    list_()
    said, signs, good = capsys.readouterr().out.splitlines()
    assert said == f"{second} signs as soon as you have started again all that runs `user`"
    assert (signs.split("made")[0], good.split("replaced")[0]) == (f"{second}  signs, ", f"{first}  is still good, ")


def test_no_keys_are_made_where_no_shop_is(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (list_, rotate):
        with pytest.raises(SystemExit, match="2"):
            command()
        assert f"there are no keys in {data / KEYS}" in capsys.readouterr().err
    assert not (data / KEYS).exists()


def test_a_folder_that_cannot_be_written_is_named_and_the_keys_stay(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_or_create_keys(data / KEYS)

    def refuse(path: Path, *_: object) -> int:  # which root may
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(SystemExit, match="2"):
        rotate()
    way_out = "run this as the user that it belongs to, or restore it from a backup"
    assert capsys.readouterr().err == f"tradepost: {data / KEYS} can't be used (Permission denied): {way_out}\n"
    assert load_or_create_keys(data / KEYS) == before


def test_a_damaged_key_is_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_or_create_keys(data / KEYS)
    (data / KEYS / CURRENT).write_text("x")
    with pytest.raises(SystemExit):
        rotate()
    assert f"{CURRENT} is not a private key" in capsys.readouterr().err
