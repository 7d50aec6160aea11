"""The private server's environment: what it finds by itself, and what it does not."""

import os
import sys
import tempfile

import pytest

import farm_common
from farm_client.launch import local
from farm_common.address import parse_address
from farm_common.deadline import Deadline
from farm_common.errors import KernelCreationError


def path_for(python):
    """Its PYTHONPATH."""
    return local._environment(python).get("PYTHONPATH", "").split(os.pathsep)


@pytest.fixture
def path(monkeypatch):
    """A path with all sorts of folders on it."""
    standard = os.path.dirname(os.__file__)
    entries = ["/home/u/project", "", "/opt/x/site-packages", standard, "/opt/lib"]
    monkeypatch.setattr(sys, "path", entries)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/home/u/lib", "", "/opt/y/dist-packages"]))
    return standard


def test_the_same_interpreter(path):
    """It finds farm and what is installed, in the same order; the user's folders are the
    client's to give."""
    found = path_for(sys.executable)
    assert found[:4] == ["/home/u/lib", "/opt/y/dist-packages", "/opt/x/site-packages", path]
    assert not {"/home/u/project", "/opt/lib", os.getcwd()} & set(found)
    assert os.path.dirname(os.path.dirname(farm_common.__file__)) in found
    assert len(found) == len(set(found))


def test_another_interpreter(path):
    """What is installed for this one is nothing for that one."""
    assert path_for("/opt/pypy/bin/pypy3") == ["/home/u/lib"]


def test_without_a_path(monkeypatch):
    """No variable rather than an empty one."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("FARM_TEST", "kept")
    environment = local._environment("/opt/pypy/bin/pypy3")
    assert "PYTHONPATH" not in environment
    assert environment["FARM_TEST"] == "kept"


def test_the_working_directory():
    """The command does not look for modules there, as ``-m`` would."""
    namespace = {"__name__": "test"}
    kept = sys.path[:]
    text, _, _ = local._RUN.partition("from farm_server")
    try:
        sys.path[:] = ["", "/opt/lib"]
        exec(text, namespace)
        assert sys.path == ["/opt/lib"]
        exec(text, namespace)
        assert sys.path == ["/opt/lib"]
    finally:
        sys.path[:] = kept


def test_a_prompt_after_the_program(monkeypatch):
    """Only this program ends at one."""
    monkeypatch.setenv("PYTHONINSPECT", "1")
    assert "PYTHONINSPECT" not in local._environment(sys.executable)


def test_a_working_directory_that_is_gone(monkeypatch):
    """The server gets another one, and a path without what was relative to it."""

    def gone():
        raise FileNotFoundError(2, "No such file or directory")

    assert local._place() is None
    monkeypatch.setattr(os, "getcwd", gone)
    monkeypatch.setattr(sys, "path", ["", "lib", "/opt/x/site-packages"])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["here", "/home/u/lib"]))
    found = path_for(sys.executable)
    assert found[:2] == ["/home/u/lib", "/opt/x/site-packages"]
    assert all(map(os.path.isabs, found))
    assert local._place() == "/"


def test_no_room_for_its_socket(monkeypatch):
    """The error says at once what to do; waiting would not help."""

    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    server = local.LocalServer(parse_address("local"))
    with pytest.raises(KernelCreationError, match=r"\(No space left on device\).*TMPDIR"):
        server.start(Deadline(None))
    assert not server.running


def test_a_server_that_ends_at_once():
    """Its exit status is told."""
    server = local.LocalServer(parse_address("local?python=/bin/false"))
    with pytest.raises(KernelCreationError, match=r"\(exit status 1\).* /bin/false: pip install"):
        server.start(Deadline(30.0))
