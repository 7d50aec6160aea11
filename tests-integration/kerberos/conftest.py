"""A real realm, its people, and servers and clients that take part in it.

It needs MIT Kerberos's programs and the package ``gssapi``; where one is missing these tests are
skipped, unless FARM_KERBEROS=required (as in the session ``kerberos``), which makes that a failure.
"""

import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from farm_common.address import Address

HERE = str(Path(__file__).parent)
sys.path.insert(0, HERE)  # test modules are not importable from each other; these two are

import realm as realms  # noqa: E402

missing = realms.missing() + [name for name in ("gssapi", "farm_gss") if find_spec(name) is None]
if missing and os.environ.get("FARM_KERBEROS") == "required":
    raise RuntimeError(f"the tests of Kerberos need {', '.join(missing)}")


def pytest_collection_modifyitems(items):
    """Skip what cannot run here."""
    if missing:
        for item in items:
            if str(item.path).startswith(HERE):
                item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(missing)}"))


@pytest.fixture(scope="session")
def realm(tmp_path_factory):
    """The realm, with two users and two services."""
    made = realms.Realm(tmp_path_factory.mktemp("realm"))
    try:
        for user in ("alice", "mallory", "carol-staff"):
            made.user(user)
        for service in ("farm", "other"):
            made.service(f"{service}/{realms.HOST}")
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def keytab(realm):
    """The server's keys."""
    return realm.keytab("farm.keytab", f"farm/{realms.HOST}")


@pytest.fixture(scope="session")
def keytab_here(realm):
    """The keys of a server by the name of this machine, which loopback addresses stand for."""
    principal = realm.service(f"farm/{socket.gethostname()}")
    return realm.keytab("here.keytab", principal)


@pytest.fixture(scope="session")
def tickets(realm):
    """A credentials cache for each user, with a ticket to get tickets."""
    return {name: realm.ticket(name) for name in ("alice", "mallory", "carol-staff")}


@pytest.fixture(autouse=True)
def here(realm, keytab, tickets, monkeypatch):
    """This process takes part in the realm: as alice, and with the server's keys for children."""
    for name, value in {**realm.environment, "KRB5_KTNAME": keytab}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KRB5CCNAME", tickets["alice"])
    paths = [HERE, os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))


@pytest.fixture
def become(tickets, monkeypatch):
    """Use another user's tickets, or another cache."""
    return lambda name: monkeypatch.setenv("KRB5CCNAME", tickets.get(name, name))


@pytest.fixture(params=["gss", "gss-tls"])
def mode(request):
    """Both ways to use Kerberos, by the names of their mechanisms."""
    return request.param


@pytest.fixture
def auth(mode):
    """Makes what a client of this realm gives as auth=."""
    from farm_gss import GSSAuth

    def make(kind=GSSAuth, **keywords):
        return kind(**{"host": realms.HOST, "tls": mode == "gss-tls", **keywords})

    return make


@pytest.fixture
def serve(launch, mode):
    """Starts farm-server in this mode; it lets alice in."""

    def serve_(*options, **keywords):
        arguments = options or ("--allow", f"alice@{realms.NAME}")
        return launch("127.0.0.1:0", "--workers", "1", f"--{mode}", *arguments, **keywords).address

    return serve_


@pytest.fixture
def refuses():
    """Runs a farm-server that does not start; its status and what it said."""

    def refuses_(*options, **environment):
        done = subprocess.run(
            [sys.executable, "-m", "farm_server", "127.0.0.1:0", *options],
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
        return done.returncode, done.stderr

    return refuses_


@pytest.fixture
def layers(auth):
    """Makes the two layers of a connection that alice wants to open."""

    def make(client=None, server=None):
        server = server or auth(allowed_users=[f"alice@{realms.NAME}"])
        return (
            (client or auth()).client_layer(Address("tcp", realms.HOST, 1)),
            server.server_layer(),
        )

    return make


@pytest.fixture
def meet():
    """Lets two layers talk until neither has anything to say; what the second got in plain."""

    def meet_(client, server):
        plain, to_server, to_client = b"", client.start(), server.start()
        while to_server or to_client:
            data, to_server = to_server, b""
            if data:
                text, answer = server.feed(data)
                plain += text
                to_client += answer
            data, to_client = to_client, b""
            if data:
                to_server += client.feed(data)[1]
        return plain

    return meet_
