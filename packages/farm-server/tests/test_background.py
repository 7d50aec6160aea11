"""How a background server is started; the real ones are in tests-integration."""

import importlib
import io
import sys

import pytest

from farm_common.errors import FarmError, SerializationError, UnsupportedError
from farm_common.security import Authenticator
from farm_server import background, cli
from farm_server.settings import make_settings


def test_the_command_says_all_that_the_settings_say():
    """The command line understands it, and means the same."""
    settings = make_settings(
        ["127.0.0.1:1?workers=3", "unix:///a%20b"],
        name="-n m",
        workers=2,
        insecure=True,
        tags=("-a", "b c"),
        max_connections=9,
        memory_limit=1 << 30,
        grace=0.25,
    )
    command = background._command(settings, "info", 7, auth=True)
    assert command[1:3] == ["-m", "farm_server"]
    options = cli._parser().parse_args(command[3:])
    assert options.until_stdin_closes
    assert options.auth_from_stdin
    assert options.then_stderr == 7
    assert options.log_level == "info"
    again = make_settings(
        options.addresses,
        name=options.name,
        workers=options.workers,
        insecure=options.insecure,
        tags=options.tags,
        max_connections=options.max_connections,
        memory_limit=options.memory_limit,
        grace=options.grace,
        auth=settings.auths,
    )
    assert again == settings


def test_paths_with_blanks():
    """The ready line's addresses are told apart by what was asked for."""
    settings = make_settings(["h:0", "unix:///a b?workers=2", "[::1]:5", "unix:///a b/c"])
    said = "h:7 unix:///a b?workers=2 [::1]:5 unix:///a b/c"
    found = background._addresses(said, settings)
    assert found == ("h:7", "unix:///a b?workers=2", "[::1]:5", "unix:///a b/c")


def test_no_interpreter(monkeypatch):
    """An embedded Python may not know how to start another."""
    monkeypatch.setattr(background.sys, "executable", "")
    with pytest.raises(UnsupportedError, match="run farm-server"):
        background._command(make_settings("h:1"), None, 3, auth=False)


@pytest.mark.parametrize(
    ("status", "words", "error", "text"),
    [
        (1, "WARNING x\nfarm-server: in use", OSError, "^in use$"),
        (2, "farm-server: refused\n  remedy", UnsupportedError, "^refused\n  remedy$"),
        (1, "Traceback ...\nImportError", UnsupportedError, "(?s)exit status 1.*ImportError"),
        (-9, "", UnsupportedError, r"(?s)exit status -9.*\(nothing\)"),
    ],
)
def test_failures_are_quoted(status, words, error, text):
    """What the process said for people becomes the error's text."""
    with pytest.raises(error, match=text):
        background._raise_failure(status, words)


class Unpicklable(Authenticator):
    """It holds what cannot leave the process."""

    name = "x"

    def __init__(self):
        self.lock = lambda: None

    def client_layer(self, address):
        """Not used here."""

    def server_layer(self):
        """Not used here."""


def test_authentication_that_cannot_be_sent():
    """The error says why that was needed."""
    with pytest.raises(SerializationError, match="a process of its own, and auth= cannot be sent"):
        background._pickled(make_settings("h:1", auth=Unpicklable()))


MODULE = """
from farm_common.security import NoAuth

class Beside(NoAuth):
    name = "beside"
"""


@pytest.fixture
def gift(tmp_path, monkeypatch):
    """What is sent of a class in a module that only the sender's path leads to."""
    (tmp_path / "farm_beside.py").write_text(MODULE)
    with monkeypatch.context() as patched:
        patched.syspath_prepend(str(tmp_path))
        import farm_beside

        sent = background._pickled(make_settings("h:1", auth=farm_beside.Beside()))
    del sys.modules["farm_beside"]
    yield sent
    sys.modules.pop("farm_beside", None)


def test_authentication_of_a_module_beside_the_program(gift):
    """The server finds the module where the program did, and looks there for nothing else."""
    before = list(sys.path)
    (auth,) = cli._received(io.BytesIO(gift))
    assert auth.name == "beside"
    assert sys.path == before


def test_authentication_of_a_module_that_is_gone(gift, tmp_path):
    """The error says what is missing, and what to do."""
    (tmp_path / "farm_beside.py").unlink()
    importlib.invalidate_caches()
    with pytest.raises(FarmError, match=r"(?s)cannot be loaded here.*a new process can import"):
        cli._received(io.BytesIO(gift))


def test_authentication_of_a_script():
    """A class of ``__main__``, which no other process can import, travels whole."""

    class Scripted(Unpicklable):
        """Can be pickled, but for where it is defined."""

        name = "scripted"

        def __init__(self):
            pass

    Scripted.__module__ = "__main__"
    Scripted.__qualname__ = "Scripted"
    (auth,) = cli._received(io.BytesIO(background._pickled(make_settings("h:1", auth=Scripted()))))
    assert auth.name == "scripted"
    assert isinstance(auth, Authenticator)
