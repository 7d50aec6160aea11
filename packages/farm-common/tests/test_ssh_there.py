"""What runs on the other machine: it takes what is there, or keeps what is sent, and checks it."""

import contextlib
import fcntl
import io
import json
import os
import stat
import sys
import time
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


# what is kept, and for how long


DAY = 86400.0


@pytest.fixture
def held():
    """Closes what `hold` leaves open, which otherwise a process's end does."""
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self") else set()
    yield
    for number in set(os.listdir("/proc/self/fd")) - before if before else ():
        try:
            name = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if os.path.basename(name.replace(" (deleted)", "")) == "used":
            os.close(int(number))


linux = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks into /proc")


def kept_archive(cache, name, days):
    """Something that is kept, and was used last so many days ago; nobody uses it now."""
    folder = os.path.join(cache, name)
    os.makedirs(os.path.join(folder, "farm_server"))
    with open(os.path.join(folder, "used"), "wb"):
        pass
    when = time.time() - days * DAY
    os.utime(os.path.join(folder, "used"), (when, when))
    return folder


def test_what_is_old_is_removed(cache):
    """But for three, of which it does not matter how old they are."""
    for days in (40, 31, 100, 2, 50):
        kept_archive(cache, f"archive-{days}", days)
    there.remove_unused(cache)
    assert sorted(os.listdir(cache)) == ["archive-2", "archive-31", "archive-40"]


def test_what_is_young_is_not(cache):
    """However many they are."""
    for days in range(8):
        kept_archive(cache, f"archive-{days}", days * 4)
    there.remove_unused(cache)
    assert len(os.listdir(cache)) == 8


@linux
def test_what_is_used_is_not_removed(cache, held):
    """Not even if it was started long ago; afterwards it is."""
    for days in (1, 2, 3):
        kept_archive(cache, f"archive-{days}", days)
    old = kept_archive(cache, "archive-old", 400)
    assert there.hold(old)
    when = time.time() - 400 * DAY
    os.utime(os.path.join(old, "used"), (when, when))
    there.remove_unused(cache)
    assert os.path.isdir(old)
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{number}") == os.path.join(old, "used"):
                os.close(int(number))
    there.remove_unused(cache)
    assert not os.path.exists(old)


@linux
def test_a_use_is_noted(cache, held):
    """What is used again is not old any more."""
    old = kept_archive(cache, "archive-old", 400)
    assert there.hold(old)
    assert time.time() - os.stat(os.path.join(old, "used")).st_mtime < DAY


def test_others_folders_are_left_alone(cache):
    """What no release of this kind has used may be anybody's."""
    for number in range(5):
        kept_archive(cache, f"archive-{number}", number)
    os.mkdir(os.path.join(cache, "mine"))
    os.utime(os.path.join(cache, "mine"), (1, 1))
    there.remove_unused(cache)
    assert "mine" in os.listdir(cache)


def test_what_was_left_half_unpacked(cache):
    """It is removed after a day: nobody unpacks for so long."""
    for name, days in (("partial-new", 0), ("partial-old", 2)):
        os.mkdir(os.path.join(cache, name))
        when = time.time() - days * DAY
        os.utime(os.path.join(cache, name), (when, when))
    there.remove_unused(cache)
    assert os.listdir(cache) == ["partial-new"]


def test_one_that_is_being_removed_is_not_used(cache, digest):
    """Its lock is held by who removes it; it has to be unpacked anew."""
    folder = there.keep(cache, digest, archive_of(FILES))
    with open(os.path.join(folder, "used"), "wb") as used:
        fcntl.flock(used, fcntl.LOCK_EX)
        assert not there.hold(folder)


def test_one_that_was_just_removed_is_not_used(cache, digest, monkeypatch):
    """It was moved away after its lock was opened."""
    folder = there.keep(cache, digest, archive_of(FILES))
    flock = fcntl.flock

    def late(used, how):
        os.rename(folder, folder + "-away")
        flock(used, how)

    monkeypatch.setattr(fcntl, "flock", late)
    assert not there.hold(folder)


@linux
def test_one_that_cannot_be_written_is_used(cache, digest, held, monkeypatch):
    """A home directory may be read-only, or without locks: then nobody removes anything."""
    folder = there.keep(cache, digest, archive_of(FILES))
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError("no locks")))
    assert there.hold(folder)
    for number in range(5):
        kept_archive(cache, f"archive-{number}", 100)
    there.remove_unused(cache)
    assert len(os.listdir(cache)) == 6
    monkeypatch.setattr(there, "_USED", "no/such/folder")
    assert there.hold(folder)


def test_what_is_sent_while_it_is_removed(cache, digest, monkeypatch, capfd):
    """It is unpacked once more, from what was sent."""
    monkeypatch.setattr(there, "receive", lambda: archive_of(FILES))
    answers = [False, True]
    monkeypatch.setattr(there, "hold", lambda _: answers.pop(0))
    assert there.provide("token", "it is missing", digest) == os.path.join(cache, digest)
    assert answers == []
    assert json.loads(capfd.readouterr().out.partition("token ")[2])["need"] is True


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
