"""Folders for sockets: private, and short enough."""

import os
import tempfile

import pytest

from farm_common.errors import KernelCreationError
from farm_common.folder import private_folder


@pytest.mark.parametrize("name", ["", "x" * 100, "a:b", "a b", "a%d", "a$b"])
def test_its_name(name, tmp_path, monkeypatch):
    """It is where temporary files are, unless that is too long for a socket or too odd for ssh."""
    place = tmp_path / name
    place.mkdir(exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    folder = private_folder()
    try:
        assert os.stat(folder).st_mode & 0o777 == 0o700
        short = not name and len(str(tmp_path)) <= 51
        assert os.path.dirname(folder) == (str(place) if short else "/tmp")
    finally:
        os.rmdir(folder)


def test_a_short_place(monkeypatch):
    """There is no reason to leave it."""
    place = tempfile.mkdtemp(prefix="farm-", dir="/tmp")
    monkeypatch.setattr(tempfile, "tempdir", place)
    folder = private_folder()
    assert os.path.dirname(folder) == place
    os.rmdir(folder)
    os.rmdir(place)


def test_any_umask(monkeypatch, tmp_path):
    """This user may use it, and so remove it in the end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = os.umask(0o777)
    try:
        folder = private_folder()
    finally:
        os.umask(before)
    assert os.stat(folder).st_mode & 0o777 == 0o700
    os.rmdir(folder)


@pytest.mark.parametrize("name", ["gettempdir", "mkdtemp"])
def test_no_room(monkeypatch, name):
    """The error ends the attempt to make a kernel, and says what to do."""

    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, name, full)
    with pytest.raises(KernelCreationError, match=r"\(No space left on device\): .*TMPDIR"):
        private_folder()
