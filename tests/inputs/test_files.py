"""Whatever a user names as a file: what it holds, or one error that says what is wrong and where."""

import ast
import gzip
import os
import re
import threading
from pathlib import Path

import planner_calibration
import pytest

import planner
from planner import limits
from planner.errors import SpecError
from planner.inputs.files import read_bytes, read_csv, read_json, read_text, read_toml

# What opens files of planner's own, which no user writes.
OWN = {
    "planner/inputs/files.py": "the reader",
    "planner/writer.py": "the writer",
    "planner/report/html.py": "its own scripts and styles",
    "planner/report/png.py": "the picture a browser made",
    "planner/cli/boundary.py": "the null device, and the file of a fault's traceback",
    "planner/limits.py": "/proc",
    "planner/questions/recommend/search.py": "a search's journal: appends what the reader has read",
    "planner_calibration/runs.py": "the store: appends under a lock",
    "planner_calibration/measure/machine.py": "/proc and /sys",
    "planner_calibration/measure/serve/driver.py": "a script of plain parts in the engine's place",
    "planner_calibration/measure/serve/process.py": "its child's log",
    "planner_calibration/measure/serve/online.py": "its child's log and result",
    "planner/__init__.py": "its own stub, which names what is public",
    "planner_calibration/measure/serve/offline.py": "its child's events",
    "planner_calibration/measure/train/data.py": "text of any encoding, and caches of tokens",
}
OPENS = re.compile(r"(read_text|read_bytes|open|fdopen|DictReader|memmap|loadtxt|genfromtxt)")


@pytest.mark.parametrize(
    "root", [Path(m.__path__[0]) for m in (planner, planner_calibration)], ids=lambda p: p.name
)
def test_nobody_else_opens_a_file(root):
    """By the syntax tree: a call of open, read_text, csv.reader, tomllib.load, … elsewhere is a fault."""
    found = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            name = getattr(called, "attr", getattr(called, "id", ""))
            imported = isinstance(node, ast.Import) and {a.name for a in node.names}
            if OPENS.fullmatch(name) or (imported and imported & {"tomllib", "gzip"}):
                found.add(path.relative_to(root.parent).as_posix())
    assert found <= set(OWN)
    assert {p for p in OWN if p.startswith(f"{root.name}/")} <= found


READERS = [read_bytes, read_text, read_json, read_toml, read_csv]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("absent", "No such file"),
        ("x" * 300, "name too long"),
        ("/dev/zero", "neither a file nor a pipe"),
        (".", "is a folder"),
        ("nu\0ll", "is no name of a file"),
    ],
)
def test_what_is_no_file(tmp_path, read, name, said):
    with pytest.raises(SpecError, match=said) as error:
        read(tmp_path / name)
    assert error.value.hint


@pytest.mark.parametrize("read", READERS)
def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    if read in (read_bytes, read_text, read_toml):  # nothing came: empty
        assert not read(tmp_path / "pipe")
    else:
        with pytest.raises(SpecError):
            read(tmp_path / "pipe")


def test_a_pipe_with_a_slow_writer_is_read_to_its_end(tmp_path):
    out, into = os.pipe()

    def write():
        for part in (b"a,b\n1,", b"2\n"):
            threading.Event().wait(0.05)
            os.write(into, part)
        os.close(into)

    threading.Thread(target=write).start()
    assert read_csv(f"/proc/self/fd/{out}").rows == [{"a": "1", "b": "2"}]
    os.close(out)


def test_a_bomb_ends_at_the_limit(tmp_path, monkeypatch):
    monkeypatch.setitem(limits._asked, "bytes", float(1 << 20))
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(bytes(1 << 23)))
    with pytest.raises(SpecError, match="more than the 1,048,576 bytes"):
        read_bytes(tmp_path / "bomb.csv.gz")


@pytest.mark.parametrize("keep", [3, 12, 40, -1])
def test_a_cut_gzip_is_damaged(tmp_path, keep):
    whole = gzip.compress(b"a,b\n" + bytes(range(48, 122)) * 50)
    (tmp_path / "cut.gz").write_bytes(whole[:keep])
    with pytest.raises(SpecError, match="damaged gzip"):
        read_csv(tmp_path / "cut.gz")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_encodings_and_line_ends(tmp_path, encoding, ends):
    path = tmp_path / "t.csv"
    path.write_bytes(ends.join(["name,n", '"Zürich, 1",2', ""]).encode(encoding))
    sheet = read_csv(path)
    assert sheet.header == ("name", "n") and sheet.rows == [{"name": "Zürich, 1", "n": "2"}]


def test_a_latin_byte_is_named_by_its_line(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,2\nM\xfcnchen,3\n")
    with pytest.raises(SpecError, match="line 3: not utf-8 text"):
        read_csv(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1', "line 1, column 8"),
        ('{"a": 1,\n "b" 2}', "line 2, column 6"),
        ("[" * 100_000, "nested too deep"),
        ('{"a": ' + "9" * 5000 + "}", "Exceeds the limit"),
        ("", "ends before its JSON"),
    ],
)
def test_json_faults(tmp_path, text, said):
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(SpecError, match=said) as error:
        read_json(tmp_path / "f.json")
    assert len(str(error.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize("text", ["a =", "a = " + "[" * 5000, "a = " + "9" * 5000, "\0"])
def test_toml_faults(tmp_path, text):
    (tmp_path / "f.toml").write_text(text)
    with pytest.raises(SpecError, match="not TOML"):
        read_toml(tmp_path / "f.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n1,2,3\n", "line 3: 3 cells for 2 columns"),
        ("a,a\n1,2\n", "line 1: two columns are called 'a'"),
        ("a,b\n" + "x" * (1 << 21) + ",1\n", "line 2: not CSV: field larger"),
        ("a,b\n", "no rows"),
        ("\n\n", "no rows"),
    ],
)
def test_csv_faults(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(SpecError, match=said):
        read_csv(tmp_path / "t.csv")


def test_rows_know_their_line_and_a_decimal_comma(tmp_path):
    (tmp_path / "t.csv").write_text('name;n\n"two\nlines";1,5\n\nlast;-\n')
    sheet = read_csv(tmp_path / "t.csv")
    assert sheet.lines == [3, 5]
    values = sheet.numbers("n")
    assert values[0] == 1.5 and values[1] != values[1]
    (tmp_path / "t.csv").write_text("n\n1\nx\n2\ninf\n")
    with pytest.raises(SpecError, match="n is 'x', no number, in rows 3, 5"):
        read_csv(tmp_path / "t.csv").numbers("n")
