"""Sockets that are opened: where nobody listens, too late, or to a machine that is gone."""

import errno
import socket
import struct
import sys

import pytest

from farm_common import Address, Deadline, parse_address
from farm_common.sockets import connect, is_silent, tune, unreachable

LONG = 10.0  # seconds that no test waits for


class TestConnect:
    def test_unix(self, tmp_path):
        """A Unix address leads to the socket with this path."""
        path = str(tmp_path / "s")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            with connect(Address("unix", path=path), Deadline(LONG)) as sock:
                assert sock.getpeername() == path

    def test_tcp(self):
        """A TCP address leads to the host and port, with small frames sent at once."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = parse_address(listener.getsockname())
            with connect(address, Deadline(None)) as sock:
                assert sock.getpeername() == listener.getsockname()
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    def test_second_address_of_a_host(self, monkeypatch):
        """A host with several addresses is reached at the first that answers."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            inet = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            found = [(*inet, ("127.0.0.2", port)), (*inet, ("127.0.0.1", port))]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
            with connect(Address("tcp", "two.example", port), Deadline(LONG)) as sock:
                assert sock.getpeername() == ("127.0.0.1", port)

    @pytest.mark.parametrize("kind", ["tcp", "unix"])
    def test_nobody_listens(self, kind, tmp_path):
        """Where nobody listens there is the system's error."""
        path = str(tmp_path / "s")
        with socket.socket(socket.AF_UNIX) as unix, socket.socket() as tcp:
            unix.bind(path)
            tcp.bind(("127.0.0.1", 0))
            address = {
                "tcp": parse_address(tcp.getsockname()),
                "unix": Address("unix", path=path),
            }[kind]
            with pytest.raises(ConnectionRefusedError):
                connect(address, Deadline(LONG))

    def test_no_such_path(self, tmp_path):
        """A path that is not there likewise."""
        with pytest.raises(FileNotFoundError):
            connect(Address("unix", path=str(tmp_path / "s")), Deadline(LONG))

    @pytest.mark.parametrize("host", ["a..b", "x" * 64, ".a"])
    def test_impossible_host(self, host):
        """A name that no host can have is a host that is not found, not a Unicode error."""
        with pytest.raises(socket.gaierror):
            connect(Address("tcp", host, 80), Deadline(LONG))

    @pytest.mark.parametrize("kind", ["tcp", "unix"])
    def test_too_late(self, kind, tmp_path):
        """An expired deadline is a `TimeoutError`, as one that expires meanwhile."""
        address = Address(kind, "127.0.0.1", 80, str(tmp_path / "s"))
        with pytest.raises(TimeoutError, match=r"no answer from .* in time"):
            connect(address, Deadline(0))

    def test_no_answer_in_time(self, monkeypatch):
        """The system's own time-out has the same text on every Python."""

        class Silent(socket.socket):
            def connect(self, place):
                raise socket.timeout("timed out")

        monkeypatch.setattr(socket, "socket", Silent)
        with pytest.raises(TimeoutError, match=r"no answer from 127.0.0.1:9 in time"):
            connect(parse_address("127.0.0.1:9"), Deadline(LONG))

    @pytest.mark.skipif(sys.platform != "linux", reason="others refuse it themselves")
    def test_connected_to_itself(self, monkeypatch):
        """A loopback port that nobody listens on is refused, also where TCP would loop back."""

        class Unlucky(socket.socket):
            """Is given just the port that it is to connect to."""

            def connect(self, place):
                self.bind(place)
                super().connect(place)

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = parse_address(free.getsockname())
        monkeypatch.setattr(socket, "socket", Unlucky)
        with pytest.raises(ConnectionRefusedError):
            connect(address, Deadline(LONG))


def test_tuned_connections_find_dead_machines():
    """Nobody waits for ever for a peer that cannot say goodbye."""
    with socket.socket() as sock:
        tune(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
            "no server listens on h:1 (Connection refused); start one there: farm-server h:1",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory"),
            (
                "no server listens on h:1 (No such file or directory); "
                "start one there: farm-server h:1"
            ),
        ),
        (ConnectionRefusedError("the server refused: full"), "h:1: the server refused: full"),
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "unknown host 'h' in h:1 (Name or service not known); check how it is spelt",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied"),
            "h:1 belongs to another user (Permission denied); have that user start one for you",
        ),
        (
            TimeoutError("no answer from h:1 in time"),
            (
                "h:1 is silent (no answer from h:1 in time); "
                "is it a farm server, and does a firewall let you through?"
            ),
        ),
        (
            socket.timeout(),
            "h:1 is silent; is it a farm server, and does a firewall let you through?",
        ),
        (EOFError("anything"), "h:1 closed the connection; is it a farm server?"),
        (
            OSError(errno.ENETUNREACH, "Network is unreachable"),
            "cannot reach h:1: Network is unreachable",
        ),
        (OSError(), "cannot reach h:1: OSError"),
        (
            OSError(errno.EMFILE, "Too many open files"),
            ("cannot reach h:1: this process has too many open files; raise its limit (ulimit -n)"),
        ),
        (
            OSError(errno.ENFILE, "Too many open files in system"),
            ("cannot reach h:1: this machine has too many open files; raise its limit (ulimit -n)"),
        ),
        (
            ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
            "h:1 closed the connection (Connection reset by peer); is it a farm server?",
        ),
    ],
)
def test_why_a_server_cannot_be_reached(error, text):
    """The address, the system's own reason, and the next step."""
    assert unreachable(Address("tcp", host="h", port=1), error) == text


class Informed:
    """A socket of which the system says something."""

    family = socket.AF_INET

    def __init__(self, *, retransmits=0, probes=0, unacknowledged=0, age=0.0):
        info = bytearray(104)
        info[2], info[3] = retransmits, probes
        struct.pack_into("=I", info, 24, unacknowledged)
        struct.pack_into("=I", info, 56, int(age * 1000))
        self.info = bytes(info)

    def getsockopt(self, level, option, size):
        return self.info[:size]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="others do not tell")
class TestSilence:
    @pytest.mark.parametrize(
        ("info", "silent"),
        [
            ({"age": 1000.0}, False),  # nothing was said
            ({"age": 1000.0, "unacknowledged": 1}, False),  # just now
            ({"age": 1.0, "unacknowledged": 1, "retransmits": 3}, False),  # for a moment
            ({"age": 21.0, "unacknowledged": 1, "retransmits": 3}, True),
            ({"age": 21.0, "probes": 1}, False),  # it has no room, and is being asked
            ({"age": 21.0, "probes": 2}, True),
        ],
    )
    def test_what_the_system_says(self, info, silent):
        """A peer is gone that was sent something again and again, and does not acknowledge."""
        assert is_silent(Informed(**info)) is silent

    def test_real_sockets(self):
        """One that was just connected is not silent, nor a closed one, nor one of another kind."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            assert not is_silent(client)
            client.close()
            assert not is_silent(client)
        for end in socket.socketpair():
            assert not is_silent(end)
            end.close()
