"""Files are whole or absent, keep their mode, and names may hold anything."""

import os
import stat
import tomllib

import pytest

from planner.errors import OutputError
from planner.writer import toml, write_whole


def test_a_new_file_is_for_everyone_the_umask_lets_and_an_old_one_keeps_its_mode(tmp_path):
    path = tmp_path / "folder" / "a.txt"
    write_whole(path, "one", folders=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~_umask()
    path.chmod(0o600)
    write_whole(path, "two")
    assert path.read_text() == "two" and stat.S_IMODE(path.stat().st_mode) == 0o600


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_link_stays_one_and_what_it_points_to_is_replaced(tmp_path):
    there = tmp_path / "there.txt"
    there.write_text("old")
    (tmp_path / "link").symlink_to(there)
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and there.read_text() == "new"


def test_nothing_is_left_where_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OutputError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_pipe_is_written_to_and_never_replaced(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(path, "through")
    assert os.read(reader, 100) == b"through" and stat.S_ISFIFO(path.stat().st_mode)
    os.close(reader)


@pytest.mark.parametrize("name", ['a "quoted" name', "back\\slash", "new\nline", "ünï", "]x = 1"])
def test_toml_holds_any_name(name):
    values = {"name": name, "nothing": None, "table": {"x": 1.5e-6, "list": [1, 2]}}
    text = toml(values, "a comment\nof two lines")
    assert tomllib.loads(text) == {"name": name, "table": {"x": 1.5e-6, "list": [1, 2]}}
