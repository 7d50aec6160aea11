"""The programs in docs/examples, run as a reader would, on little work."""

import importlib.util
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from farm_server import start_server

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"

BOUND = 100.0


def run(name, *arguments):
    """Run an example; what it printed, and its exit status."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=BOUND,
    )
    assert done.stderr == "" or done.returncode, done.stderr
    return done.returncode, done.stdout, done.stderr


def load(name):
    """An example as a module, for a look at its parts."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestIndex:
    @pytest.fixture
    def folder(self, tmp_path):
        """A library as libraries are: some files are odd, some are wrong."""
        (tmp_path / "package").mkdir()
        files = {
            "plain.py": b"import os.path\ndef spam(eggs):\n    return os.path.join(eggs)\n",
            "package/__init__.py": b"from . import ham\nclass Ham:\n    spam = 1\n",
            "package/ham.py": b"",
            "latin.py": b"# -*- coding: latin-1 -*-\ncaf\xe9 = 1\n",
            "marked.py": b"\xef\xbb\xbfspam = 2\n",
            "wide.py": "# coding: utf-8\nπ = 3\n".encode(),
            "old.py": b"print 'Python 2'\n",
            "null.py": b"x = 1\n\0",
            "lying.py": b"# coding: utf-8\nx = '\xff'\n",
            "unknown.py": b"# coding: klingon\n",
            "deep.py": b"x = " + 5000 * b"(" + 5000 * b")" + b"\n",
            "long.py": b"x = " + 20000 * b"-" + b"1\n",
            "escape.py": b"x = '\\q'\n",
            "site-packages/other.py": b"spam = 3\n",
        }
        for name, source in files.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(source)
        return tmp_path

    def test_odd_files(self, folder):
        """What does not parse is counted; the rest is indexed; nothing is written to stderr."""
        code, out, _ = run("index_stdlib.py", "--folder", folder, "--look-up", "spam", "café", "π")
        assert code == 0
        assert "read 13 files" in out
        assert re.search(r"spam +in +3 modules +marked, package.__init__, plain\n", out)
        assert re.search(r"café +in +1 modules +latin\n", out)
        assert re.search(r"π +in +1 modules +wide\n", out)
        bad = re.search(r"\n(\d+) do not parse: (.*)", out)
        assert 5 <= int(bad[1]) <= 6  # the parser of some versions takes 20,000 signs
        assert "the measures, the index and the relatives are equal" in out

    def test_standard_library(self):
        """Two servers, four workers, all of whose tasks are accounted for."""
        code, out, _ = run("index_stdlib.py", "--limit", 80)
        assert code == 0
        assert out.count("started farm-server 127.0.0.1:") == 2
        assert "made a kernel of 4 workers" in out
        done = [int(number) for number in re.findall(r"worker \d at \S+ +(\d+) ", out)]
        # Each file twice, the preparation, and the question for the time they used.
        assert sum(done) == 2 * 80 + 4 + 4
        assert all(done)
        assert re.search(r"on 4 workers +[\d.]+ s", out)
        assert "the measures, the index and the relatives are equal" in out

    def test_servers_that_run_already(self, folder):
        """Their addresses are arguments."""
        with start_server("127.0.0.1:0", workers=1, background=True) as server:
            code, out, _ = run("index_stdlib.py", server.address, "--folder", folder)
        assert code == 0
        assert "started" not in out
        assert f"worker 0 at {server.address}" in out

    def test_measures(self):
        """One file, by hand."""
        found = load("index_stdlib").measure(
            b"import a.b as c\nfrom d.e import f\n\n"
            b"class G:\n"
            b"    def h(self, i):\n"
            b"        if i:\n"
            b"            pass\n"
            b"        elif self.j:\n"
            b"            pass\n"
            b"async def k(): pass\n"
        )
        assert found == {
            "lines": 10,
            "functions": 2,
            "classes": 1,
            "nesting": 3,
            "longest": (5, "h"),
            "imports": ["a", "d"],
            "names": ["G", "a", "b", "c", "f", "h", "i", "j", "k", "self"],
        }


class TestMandelbrot:
    @staticmethod
    def pixels(path):
        """Width, height and the rows of a PNG, read by its specification."""
        data = path.read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        chunks, position = {}, 8
        while position < len(data):
            size, kind = struct.unpack_from(">I4s", data, position)
            body = data[position + 8 : position + 8 + size]
            (checksum,) = struct.unpack_from(">I", data, position + 8 + size)
            assert checksum == zlib.crc32(kind + body)
            chunks[kind] = body
            position += size + 12
        assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
        width, height, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
        assert rest == [8, 2, 0, 0, 0]
        raw = zlib.decompress(chunks[b"IDAT"])
        assert len(raw) == height * (1 + 3 * width)
        rows = [raw[start : start + 1 + 3 * width] for start in range(0, len(raw), 1 + 3 * width)]
        assert all(row[0] == 0 for row in rows)
        return width, height, [row[1:] for row in rows]

    def test_picture(self, tmp_path):
        """It has the right size, the set is black, what is outside is not, and it is symmetric."""
        path = tmp_path / "set.png"
        code, out, _ = run("mandelbrot.py", "--size", "97x65", "--edge", "16", "--output", path)
        assert code == 0
        assert "drawing 97 x 65 pixels" in out
        assert sum(int(number) for number in re.findall(r": (\d+) tiles", out)) == 7 * 5
        width, height, rows = self.pixels(path)
        assert (width, height) == (97, 65)
        assert rows[32][3 * 48 : 3 * 49] == b"\0\0\0"  # -0.75
        assert all(any(rows[y][3 * x : 3 * x + 3]) for x in (0, 96) for y in (0, 64))
        black = sum(row[x : x + 3] == b"\0\0\0" for row in rows for x in range(0, 3 * 97, 3))
        # The set's area is 1.507; the picture shows 2.5 * 2.5 * 97 / 65.
        assert black / (97 * 65) == pytest.approx(1.507 / (2.5 * 2.5 * 97 / 65), rel=0.1)
        assert rows == rows[::-1]

    def test_wrong_size(self):
        """It says what a size looks like."""
        code, _, error = run("mandelbrot.py", "--size", "12")
        assert code == 2
        assert "'12' is not a size such as 960x640" in error
