"""What runs on the other machine: it takes what is there, or keeps what is sent, and checks it."""

import io
import json
import os
import stat
import sys
import zipfile

import pytest

from farm_common.ssh import there
from farm_common.ssh.archive import Archive

FILES = {"farm_server/__init__.py": b"x = 1\n", "farm_common/__init__.py": b""}


def archive_of(files):
    """Packed, with its digest as the client computes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def digest(tmp_path):
    folder = tmp_path / "reference"
    with zipfile.ZipFile(io.BytesIO(archive_of(FILES))) as packed:
        packed.extractall(folder)
    return there.digest_of(str(folder))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return there.cache_folder()


def test_the_cache(tmp_path, monkeypatch):
    """It is made for this user only, and made so if it was not."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a" / "b"))
    folder = there.cache_folder()
    assert folder == str(tmp_path / "a" / "b" / "farm")
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    os.chmod(folder, 0o755)
    assert there.cache_folder() == folder
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


@pytest.mark.parametrize("value", ["", "relative/path"])
def test_the_usual_cache(tmp_path, monkeypatch, value):
    """In the home directory, where XDG_CACHE_HOME is not absolute."""
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert there.cache_folder() == str(tmp_path / ".cache" / "farm")


def test_a_cache_of_somebody_else(cache, monkeypatch):
    """It is refused: anything could be in it."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(RuntimeError, match="belongs to user"):
        there.cache_folder()


def test_kept(cache, digest):
    """An archive is found by what is in it, and nothing else is left."""
    assert there.find_kept(cache, digest) is None
    folder = there.keep(cache, digest, archive_of(FILES))
    assert there.find_kept(cache, digest) == folder
    assert os.listdir(cache) == [digest]
    (there_is,) = [name for name in os.listdir(folder) if name == "farm_server"]
    os.makedirs(os.path.join(folder, there_is, "__pycache__"))  # made by its use
    assert there.find_kept(cache, digest) == folder


def test_somebody_was_faster(cache, digest):
    """What is there already will do."""
    first = there.keep(cache, digest, archive_of(FILES))
    inode = os.stat(first).st_ino
    assert there.keep(cache, digest, archive_of(FILES)) == first
    assert os.stat(first).st_ino == inode
    assert os.listdir(cache) == [digest]


def test_a_damaged_one_is_replaced(cache, digest):
    """It is not used, and makes room."""
    folder = there.keep(cache, digest, archive_of(FILES))
    os.unlink(os.path.join(folder, "farm_server", "__init__.py"))
    assert there.find_kept(cache, digest) is None
    assert there.keep(cache, digest, archive_of(FILES)) == folder
    assert there.find_kept(cache, digest) == folder
    assert os.listdir(cache) == [digest]


def test_damaged_on_its_way(cache, digest):
    """It is not kept."""
    with pytest.raises(RuntimeError, match="damaged"):
        there.keep(cache, digest, archive_of({**FILES, "farm_server/more.py": b""}))
    assert os.listdir(cache) == []


def test_no_room(cache, digest, monkeypatch, capfd):
    """The error says where, and what would help; nothing is left there."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "extractall", full)
    monkeypatch.setattr(there, "receive", lambda: archive_of(FILES))
    with pytest.raises(RuntimeError) as caught:
        there.provide("T", "farm_server is not installed", digest)
    assert str(caught.value).startswith(f"cannot keep farm-server in {cache}: No space left")
    assert "XDG_CACHE_HOME" in str(caught.value)
    assert os.listdir(cache) == []
    assert json.loads(capfd.readouterr().out.split("T ")[1])["need"] is True


class Stdin:
    """Standard input with something in it."""

    def __init__(self, data):
        self.buffer = io.BytesIO(data)


@pytest.mark.parametrize("data", [b"", b"000000000005\nabcd"])
def test_the_client_is_gone(monkeypatch, data):
    """Nothing, or less than was announced, is no archive."""
    monkeypatch.setattr(sys, "stdin", Stdin(data))
    with pytest.raises(EOFError, match="not received whole"):
        there.receive()


def test_received(monkeypatch):
    """As many bytes as are announced."""
    monkeypatch.setattr(sys, "stdin", Stdin(b"000000000003\nabcd"))
    assert there.receive() == b"abc"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs packages of some version where this process looks first."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name, about):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise AssertionError('imported')\n")
        if about is not None:
            (tmp_path / name / "__about__.py").write_text(about)

    return install


@pytest.mark.parametrize(
    ("about", "wanted", "why"),
    [
        ('__version__ = "0.1.9"\n', "0.1", None),
        ('__version__ = "0.1.9"\n', "", None),
        ('__version__ = "0.10.0"\n', "0.1", "trial_farm is of version 0.10.0, not 0.1"),
        ("", "0.1", "trial_farm is of version unknown, not 0.1"),
        (None, "0.1", "trial_farm is of version unknown, not 0.1"),
    ],
)
def test_what_is_installed(installed, about, wanted, why):
    """It is looked at, not imported; of another series it will not do."""
    installed("trial_farm", about)
    assert there.find_missing({"trial_farm": wanted}) == why


def test_what_is_not_installed():
    """Any version of nothing is missing."""
    assert there.find_missing({"no_such_farm": ""}) == "no_such_farm is not installed"


def test_messages_have_a_line_of_their_own(capfd):
    """Whatever stands before."""
    there.say("T", {"a": "ü\n"})
    assert capfd.readouterr().out == '\nT {"a": "\\u00fc\\n"}\n'


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileExistsError(17, "File exists", "/tmp/x"), "File exists: /tmp/x"),
        (RuntimeError("in words"), "in words"),
        (ValueError("odd"), "ValueError: odd"),
    ],
)
def test_failures_are_told(capfd, error, text):
    """In words if it has any, and then it ends."""
    with pytest.raises(SystemExit):
        there.fail("T", error)
    assert json.loads(capfd.readouterr().out.split("T ")[1]) == {"error": text}


def test_files_are_named_alike_on_both_sides(tmp_path, digest):
    """The type that the client makes has the digest that this side computes."""
    import hashlib

    whole = hashlib.sha256()
    for name in sorted(FILES):
        whole.update(f"{name} {len(FILES[name])}\n".encode() + FILES[name])
    assert Archive(whole.hexdigest(), FILES).digest == digest
