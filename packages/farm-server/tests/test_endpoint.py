"""Where a server listens, and where it refuses to."""

import errno
import fcntl
import logging
import os
import shutil
import socket
import stat
import tempfile

import pytest

from farm_common.address import parse_address
from farm_common.errors import UnsupportedError
from farm_server import endpoint
from farm_server.endpoint import open_endpoints


@pytest.fixture
def folder():
    """A directory whose name is short enough for sockets."""
    path = tempfile.mkdtemp(prefix="farm-")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def listen():
    """Opens endpoints, and closes them after the test."""
    opened = []

    def open_(*addresses, authenticates=False, insecure=False, local_users=False):
        endpoints = open_endpoints(
            map(parse_address, addresses),
            authenticates=authenticates,
            insecure=insecure,
            local_users=local_users,
        )
        opened.extend(endpoints)
        return endpoints

    yield open_
    for each in opened:
        each.close()


def test_port_0_becomes_the_real_port(listen):
    """The address says where to connect."""
    (end,) = listen("127.0.0.1:0")
    socket.create_connection(("127.0.0.1", end.address.port)).close()


def test_options_stay(listen):
    """A server can be asked for a number of workers by address."""
    (end,) = listen("127.0.0.1:0?workers=3")
    assert end.address.workers == 3


def test_several_addresses(listen, folder):
    """Each becomes one endpoint, in order."""
    ends = listen("127.0.0.1:0", f"unix://{folder}/s", "127.0.0.1:0")
    assert [end.address.kind for end in ends] == ["tcp", "unix", "tcp"]


def test_all_or_none(listen, folder):
    """When one address fails, the others are given up."""
    (end,) = listen("127.0.0.1:0")
    with pytest.raises(OSError, match="in use"):
        listen(f"unix://{folder}/s", f"127.0.0.1:{end.address.port}")
    assert os.listdir(folder) == []


def test_a_port_in_use(listen):
    """One line that names the address."""
    (end,) = listen("127.0.0.1:0")
    text = f"cannot listen on 127.0.0.1:{end.address.port}: the address is in use"
    with pytest.raises(OSError, match=text) as caught:
        listen(f"127.0.0.1:{end.address.port}")
    assert caught.value.errno == errno.EADDRINUSE


def resolve_to(monkeypatch, *hosts):
    found = [
        (socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, 6, "", place)
        for host in hosts
        for place in [(host, 0, 0, 0) if ":" in host else (host, 0)]
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)


def test_an_unknown_host(listen, monkeypatch):
    """The name is quoted with the address."""

    def fail(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(OSError, match=r"cannot listen on nowhere:1: unknown host: Name"):
        listen("nowhere:1")


def test_a_name_that_no_system_can_look_up(listen):
    """Python refuses to encode it; the user is told the same as for other unknown hosts."""
    with pytest.raises(OSError, match="unknown host"):
        listen(f"{'a' * 70}.example:1")


def test_an_address_of_another_machine(listen, monkeypatch):
    """The system says no, and so does the text."""
    with pytest.raises(OSError, match=r"192\.0\.2\.1:0: this machine has no such address"):
        listen("192.0.2.1:0", insecure=True)


@pytest.mark.parametrize("hosts", [["10.1.2.3"], ["127.0.0.1", "10.1.2.3"], ["::"], ["0.0.0.0"]])
def test_what_others_can_reach_is_refused(listen, monkeypatch, hosts):
    """One address of a name that is not loopback is enough; the text says what to do."""
    resolve_to(monkeypatch, *hosts)
    with pytest.raises(UnsupportedError) as caught:
        listen("name:0")
    first, *remedy = str(caught.value).splitlines()
    assert first.startswith("refused to listen on name:0: without authentication")
    assert len(remedy) == 2
    assert "--tls DIR" in remedy[0]
    assert "--insecure" in remedy[1]


def test_insecure_warns(listen, caplog):
    """It is said that anybody can run anything."""
    with caplog.at_level(logging.WARNING, "farm.server"):
        listen("0.0.0.0:0", insecure=True)
    assert "without authentication" in caplog.text


def test_with_authentication_it_may_be_reached(listen, caplog):
    """That is what it is for."""
    listen("0.0.0.0:0", authenticates=True)
    assert not caplog.text


def test_a_family_that_this_machine_lacks(listen, monkeypatch):
    """A name with an address that cannot be used listens on the other."""
    resolve_to(monkeypatch, "::1", "127.0.0.1")
    real = endpoint._bind_tcp

    def bind(address, family, place):
        if family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "no IPv6")
        return real(address, family, place)

    monkeypatch.setattr(endpoint, "_bind_tcp", bind)
    (end,) = listen("name:0")
    assert end.sock.family == socket.AF_INET


# Unix sockets


def test_only_its_user_may_use_a_unix_socket(listen, folder):
    """Mode 0600 whatever the umask, which is restored."""
    before = os.umask(0)
    try:
        listen(f"unix://{folder}/s")
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(f"{folder}/s").st_mode) == 0o600


def test_a_missing_directory_is_made_private(listen, folder):
    """A directory that exists is left as it is."""
    listen(f"unix://{folder}/new/s")
    assert stat.S_IMODE(os.stat(f"{folder}/new").st_mode) == 0o700


def test_for_all_users_of_this_machine(listen, folder):
    """Then the file's mode lets them, too, whatever the umask; as does a directory made for it."""
    before = os.umask(0o077)
    try:
        listen(f"unix://{folder}/s", local_users=True)
        os.umask(0o022)
        listen(f"unix://{folder}/new/s", local_users=True)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(f"{folder}/s").st_mode) == 0o666
    assert stat.S_IMODE(os.stat(f"{folder}/new").st_mode) == 0o755


def test_no_deeper_than_one_directory(listen, folder):
    """More is rather a mistake in the path."""
    with pytest.raises(OSError, match=r"/a/b/s: its directory does not exist"):
        listen(f"unix://{folder}/a/b/s")


def test_a_directory_where_anybody_may_replace_the_socket(listen, folder):
    """Sticky directories such as /tmp are safe."""
    os.chmod(folder, 0o777)
    with pytest.raises(UnsupportedError, match="anybody may replace the files in it"):
        listen(f"unix://{folder}/s")
    os.chmod(folder, 0o1777)
    listen(f"unix://{folder}/s")


def test_the_file_is_removed(listen, folder):
    """Closing leaves nothing behind."""
    (end,) = listen(f"unix://{folder}/s")
    end.close()
    end.close()
    assert os.listdir(folder) == []


def test_a_successors_file_is_not_removed(listen, folder):
    """Only what this server made is its own."""
    (end,) = listen(f"unix://{folder}/s")
    os.rename(f"{folder}/s", f"{folder}/kept")  # so that the inode is not used again
    listen(f"unix://{folder}/s")
    end.close()
    assert sorted(os.listdir(folder)) == ["kept", "s"]


def test_a_stale_socket_is_replaced(listen, folder):
    """The one of a server that was killed."""
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(f"{folder}/s")
    (end,) = listen(f"unix://{folder}/s")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(end.address.path)


def test_a_live_socket_is_not(listen, folder):
    """Another server has it."""
    listen(f"unix://{folder}/s")
    with pytest.raises(OSError, match="the address is in use"):
        listen(f"unix://{folder}/s")


def test_a_file_is_not_a_socket(listen, folder):
    """It is left alone."""
    with open(f"{folder}/s", "w") as file:
        file.write("precious")
    with pytest.raises(OSError, match="the file exists and is no socket"):
        listen(f"unix://{folder}/s")
    with open(f"{folder}/s") as file:
        assert file.read() == "precious"


def test_a_file_in_place_of_the_directory(listen, folder):
    """The error says so, and not that the socket is there already."""
    with open(f"{folder}/f", "w"), pytest.raises(OSError, match=r"is no directory$") as caught:
        listen(f"unix://{folder}/f/s")
    assert caught.value.errno == errno.ENOTDIR


def test_a_directory_that_another_server_makes(listen, folder, monkeypatch):
    """Of two that start at once, one is a little later."""
    make = os.mkdir

    def late(path, mode):
        make(path, mode)
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(endpoint.os, "mkdir", late)
    (end,) = listen(f"unix://{folder}/new/s")
    assert os.path.exists(end.address.path)


def locks(folder):
    """Whether this folder can be locked now."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def test_one_server_at_a_time_looks_for_stale_sockets(listen, folder, monkeypatch):
    """What it found stale is so until it listens there itself."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as old:
        old.bind(f"{folder}/s")
    free = []
    remove = os.unlink

    def unlink(path):
        free.append(locks(folder))
        remove(path)

    monkeypatch.setattr(endpoint.os, "unlink", unlink)
    listen(f"unix://{folder}/s")
    assert free == [False]
    assert locks(folder)


def test_a_folder_that_somebody_keeps_locked(listen, folder, monkeypatch):
    """It is not waited for for ever."""
    monkeypatch.setattr(endpoint, "_TURN_SECONDS", 0.0)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        (end,) = listen(f"unix://{folder}/s")
    finally:
        os.close(descriptor)
    assert os.path.exists(end.address.path)
