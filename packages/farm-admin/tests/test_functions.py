"""ping, status and end_server."""

import logging
import socket
import time

import pytest

import farm_admin
from farm_common.errors import (
    AddressError,
    AuthError,
    KernelCreationError,
    ProtocolError,
    UnsupportedError,
)
from farm_common.frames import Kind
from farm_common.security import NoAuth


class Named(NoAuth):
    """A mechanism with a name of its own."""

    name = "named"


def test_the_exports_are_these():
    """What is public is pinned."""
    assert set(farm_admin.__all__) == {
        *("ServerStatus", "SessionStatus", "__version__"),
        *("end_server", "kill_tasks", "ping", "status"),
    }


def test_ping(server):
    """A server that answers."""
    assert farm_admin.ping(server.address) is True
    assert server.roles == ["control"]
    assert server.asked == [Kind.PING]


def test_ping_ignores_the_number_of_workers(server):
    """An address can be copied from make_kernel."""
    assert farm_admin.ping(f"{server.address}?workers=3")


def test_ping_nobody(nobody):
    """It tries for as long as it may."""
    assert farm_admin.ping(nobody, timeout=0.05) is False


def test_ping_a_unix_socket_that_is_not_there():
    """As for TCP."""
    assert farm_admin.ping("unix:///nonexistent/s", timeout=0.01) is False


@pytest.mark.parametrize("mode", ["silent", "close", "busy", "mute"])
def test_ping_a_server_that_does_not_do_yet(server, mode):
    """It may do later, so only the time-out ends it."""
    server.mode = mode
    assert farm_admin.ping(server.address, timeout=0.05) is False


@pytest.mark.parametrize("mode", ["http", "confused"])
def test_ping_what_is_no_farm_server(server, mode):
    """That will not change, so it is False at once, even for ever."""
    server.mode = mode
    assert farm_admin.ping(server.address, timeout=None) is False


def test_ping_a_server_that_asks_for_authentication(server, caplog):
    """False at once; the reason is logged."""
    server.auth = Named()
    with caplog.at_level(logging.INFO, "farm.admin"):
        assert farm_admin.ping(server.address, timeout=None) is False
    assert "asks for authentication ('named')" in caplog.text
    assert farm_admin.ping(server.address, auth=Named())


def test_ping_retries(server, monkeypatch):
    """A server that is starting is waited for."""
    server.mode = "close"

    def start(_):
        server.mode = "farm"

    monkeypatch.setattr(time, "sleep", start)
    assert farm_admin.ping(server.address, timeout=None)


@pytest.mark.parametrize("function", [farm_admin.ping, farm_admin.status, farm_admin.end_server])
@pytest.mark.parametrize("address", ["nonsense", "local", ("h", 99999)])
def test_bad_addresses(function, address):
    """They are errors, also for ping."""
    with pytest.raises(AddressError):
        function(address)


def test_status(server, status):
    """All fields arrive, and what a later release adds does no harm."""
    server.status = {**status, "more": 1}
    server.status["sessions"][0]["more"] = 1
    found = farm_admin.status(server.address)
    assert found.name == "n"
    assert found.addresses == ("127.0.0.1:1",)
    assert found.sessions[0].category == "sim"
    assert found.sessions[0].tasks_done == 1234
    assert farm_admin.ServerStatus.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    "broken", [{"name": "n"}, {"sessions": 5}, {"sessions": [{"pid": 1}]}, {"sessions": [7]}]
)
def test_a_status_that_is_none(server, status, broken):
    """The error says what was missing, not where in our code."""
    server.status = broken if "name" in broken else {**status, **broken}
    with pytest.raises(ProtocolError, match="status cannot be understood"):
        farm_admin.status(server.address)


def test_end_server(server):
    """It asks for the drain and returns."""
    assert farm_admin.end_server(server.address) is None
    assert server.asked == [Kind.DRAIN]


@pytest.mark.parametrize("function", [farm_admin.status, farm_admin.end_server])
@pytest.mark.parametrize(
    ("mode", "error", "text"),
    [
        ("silent", TimeoutError, "^no answer from {address} within 0.05 s$"),
        ("mute", TimeoutError, "^no answer from {address} within 0.05 s$"),
        ("close", ConnectionError, "{address}"),
        ("busy", ConnectionError, "^{address}: the server refused: come back later$"),
        ("http", ProtocolError, "the peer is not farm: it began with b'HTTP"),
        ("confused", ProtocolError, "^{address} answered with RESULT$"),
    ],
)
def test_errors(server, function, mode, error, text):
    """One line that says which server, and what to look at."""
    server.mode = mode
    timeout = 0.05 if error is TimeoutError else 10
    with pytest.raises(error, match=text.format(address=server.address)) as caught:
        function(server.address, timeout=timeout)
    assert "\n" not in str(caught.value)


def test_nobody_listens(nobody):
    """The most frequent error."""
    with pytest.raises(
        ConnectionError, match=f"^no server listens on {nobody} .*farm-server {nobody}$"
    ):
        farm_admin.status(nobody)
    with pytest.raises(ConnectionError, match=r"unix:///nonexistent/s \(No such file"):
        farm_admin.status("unix:///nonexistent/s")


def test_an_unknown_host(monkeypatch):
    """The name is quoted."""

    def fail(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(ConnectionError, match=r"^unknown host 'nowhere' in nowhere:1 \(Name or"):
        farm_admin.status("nowhere:1")


def test_authentication_does_not_match(server):
    """Both sides must use the same."""
    with pytest.raises(AuthError, match="does not offer 'named'"):
        farm_admin.status(server.address, auth=Named())


@pytest.mark.parametrize(
    ("choice", "pids"),
    [
        ({}, ["13", "14"]),
        ({"category": "sim"}, ["13"]),
        ({"kernel": "k"}, ["13", "14"]),
        ({"kernel": "k", "category": "default"}, ["14"]),
        ({"pid": 14}, ["14"]),
        ({"pid": 15}, []),  # which is idle
        ({"kernel": "other"}, []),
    ],
)
def test_kill_tasks(server, status, choice, pids):
    """Exactly the tasks that were seen, and only where all that is asked for holds."""
    (session,) = status["sessions"]
    status["sessions"] = [
        session,
        {**session, "pid": 14, "task": 9, "category": "default"},
        {**session, "pid": 15, "task": None, "category": None},
    ]
    server.status = status
    killed = farm_admin.kill_tasks(server.address, **choice)
    assert [str(session.pid) for session in killed] == pids
    tasks = {"13": ((4, 4),), "14": ((9, 9),)}
    assert server.doomed == ([({pid: tasks[pid] for pid in pids}, False)] if pids else [])


def test_kill_tasks_of_others(server, status):
    """The server leaves them out of its answer, and so does this."""
    server.status = status
    server.obliging = False
    assert farm_admin.kill_tasks(server.address) == []


def test_kill_tasks_of_an_old_server(server, status):
    """It is not asked what it would not understand."""
    server.status = status
    server.features = ("modules", "kill")
    with pytest.raises(UnsupportedError, match="is too old to end tasks for others"):
        farm_admin.kill_tasks(server.address)
    assert server.doomed == []


def test_end_of_a_server_over_ssh():
    """There is none that could be ended: it ends with whoever started it."""
    with pytest.raises(AddressError, match="no server to end"):
        farm_admin.end_server("ssh://h")


@pytest.fixture
def no_ssh(monkeypatch, tmp_path):
    """Nobody can log in from here."""
    monkeypatch.setenv("PATH", str(tmp_path))


def test_ssh(no_ssh):
    """A server is started there to be asked; where that fails, it says why, and at once."""
    assert farm_admin.ping("ssh://h", timeout=None) is False
    with pytest.raises(KernelCreationError, match="ssh://h: there is no program ssh"):
        farm_admin.status("ssh://h", timeout=None)
