"""Kerberos with a real KDC: who gets in, who does not and why, and what the wire shows."""

import contextlib
import dataclasses
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest
import realm as realms
import rules

import farm_client as farm
from farm_common.address import parse_address
from farm_common.deadline import Deadline
from farm_common.errors import AuthError
from farm_common.greeting import connect_stream
from farm_common.handshake import ClientHello
from farm_common.interpreter import FEATURES, hello_fields
from farm_common.resumption import FEATURE
from farm_gss import GSSAuth, context
from farm_server import start_server

ALICE = f"alice@{realms.NAME}"
SECRET = b"a secret that nobody else may read " * 4


def double(value):
    return value + value


@pytest.fixture
def append_slowly():
    """A task that leaves a trace; nested, so that it travels without this module's imports."""

    def append_slowly_(path, seconds):
        import time

        with open(path, "a", encoding="utf-8") as file:
            file.write("x")
        time.sleep(seconds)
        return "done"

    return append_slowly_


class TestAllowed:
    def test_work(self, make, serve, auth):
        """Who is allowed works as ever, with large values too."""
        kernel = make(serve(), auth=auth())
        assert kernel.worker_count == 1
        big = os.urandom(3_000_000)
        with kernel:
            assert farm.force(farm.future(double, big)) == big + big
            assert farm.pmap(double, range(100)) == [2 * n for n in range(100)]

    def test_another_interpreter(self, make, serve, auth, peer):
        """The server may run on another interpreter."""
        with make(serve(python=peer), auth=auth()):
            assert farm.force(farm.future(bytes.upper, SECRET)) == SECRET.upper()

    def test_server_of_a_program(self, make, auth):
        """A server in the background gets its GSSAuth through a pickle."""
        with (
            start_server(
                "127.0.0.1:0", workers=1, background=True, auth=auth(allowed_users=[ALICE])
            ) as server,
            make(server.address, auth=auth()),
        ):
            assert farm.force(farm.future(double, 1)) == 2

    def test_override(self, make, auth, become, fails_with):
        """Rules of the user's own decide, whatever the list is."""
        rule = auth(rules.Staff, allowed_users=[ALICE])
        with start_server("127.0.0.1:0", workers=1, background=True, auth=rule) as server:
            with fails_with(AuthError, f"{ALICE} is not among those who may use this server"):
                make(server.address, auth=auth())
            become("carol-staff")
            with make(server.address, auth=auth()):
                assert farm.force(farm.future(double, 1)) == 2

    def test_cached_ticket(self, make, serve, auth, realm, tickets, become):
        """With a ticket for the server in the cache, the KDC is not needed."""
        address = serve()
        make(address, auth=auth()).end()
        realm.stop()
        try:
            with make(address, auth=auth()):
                assert farm.force(farm.future(double, 1)) == 2
        finally:
            realm.start()

    def test_renewed(self, make, serve, auth, wire, monkeypatch):
        """A kernel whose ticket has expired loses its connection, and goes on with a new ticket."""
        between = wire(serve())
        with make(between.address, auth=auth()):
            assert farm.force(farm.future(double, 1)) == 2
            before = len(between.sent)
            # What the cache has is valid, which stands for a new ticket; what the connection was
            # opened with has expired by this clock.
            later = time.time() + 11 * 3600
            monkeypatch.setattr(context, "time", types.SimpleNamespace(time=lambda: later))
            assert farm.force(farm.future(double, 2), 30) == 4
            assert len(between.sent) > before

    def test_client_keytab(self, make, serve, auth, realm, mode, become, tmp_path, monkeypatch):
        """A program may have a keytab in place of a user with a password."""
        address = serve("--allow", f"robot-{mode}@{realms.NAME}")
        principal = realm.service(f"robot-{mode}")
        monkeypatch.setenv("KRB5_CLIENT_KTNAME", realm.keytab(f"robot-{mode}.keytab", principal))
        become(f"FILE:{tmp_path}/cache")
        with make(address, auth=auth()):
            assert farm.force(farm.future(double, 1)) == 2

    def test_admin(self, launch, mode, keytab_here, monkeypatch):
        """farm-admin has the same options; without them it is told what is missing."""
        monkeypatch.setenv("KRB5_KTNAME", keytab_here)
        server = launch("127.0.0.1:0", f"--{mode}", "--allow", ALICE, "--name", "here")
        address = server.address

        def admin(*arguments):
            return subprocess.run(
                [sys.executable, "-m", "farm_admin", *arguments, address],
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )

        assert admin("ping", f"--{mode}").returncode == 0
        told = admin("ping")
        assert told.returncode == 1
        assert f"asks for authentication ('{mode}')" in told.stderr
        (found,) = json.loads(admin("status", f"--{mode}", "--json").stdout)
        assert found["name"] == "here"
        assert admin("end", f"--{mode}").returncode == 0
        server.end()


class TestRefused:
    def test_not_allowed(self, make, serve, auth, become, fails_with):
        """Who has a ticket, and is not in the list, is told which principal that was."""
        address = serve()
        become("mallory")
        with fails_with(AuthError, f"the server refused: mallory@{realms.NAME} is not among"):
            make(address, auth=auth())

    def test_nobody(self, make, auth, fails_with):
        """An empty list is nobody."""
        text = f"{ALICE} is not among those who may use this server"
        nobody = start_server("127.0.0.1:0", workers=1, background=True, auth=auth())
        with nobody as server, fails_with(AuthError, text):
            make(server.address, auth=auth())

    def test_no_ticket(self, make, serve, auth, become, fails_with, tmp_path):
        """Without a ticket it is over at once: kinit."""
        address = serve()
        become(f"FILE:{tmp_path}/none")
        with fails_with(AuthError, "No Kerberos credentials available", "get a ticket with kinit"):
            make(address, auth=auth())

    def test_expired(self, make, serve, auth, become, fails_with, realm, until):
        """An expired ticket is not used, though the library would."""
        address = serve()
        cache = realm.ticket("alice", "-l", "1s")
        become(cache)
        until(lambda: not valid(realm, cache))
        with fails_with(AuthError, "has expired: get a new one with kinit"):
            make(address, auth=auth())

    def test_unknown_service(self, make, serve, auth, fails_with):
        """A service that the KDC does not know: is the name right?"""
        address = serve()
        for wrong in ({"host": "elsewhere.farm.test"}, {"service_name": "nosuch"}):
            with fails_with(AuthError, "not found in Kerberos database", "is service_name right"):
                make(address, auth=auth(**wrong))

    def test_wrong_service(self, make, serve, auth, fails_with):
        """A ticket for another service of the same host does not do."""
        address = serve()
        with fails_with(AuthError, "the server refused: Kerberos", f"other/{realms.HOST}"):
            make(address, auth=auth(service_name="other"))

    def test_key_of_another_service(self, make, serve, auth, realm, mode, fails_with, monkeypatch):
        """The server's keytab has both keys: still only its own service's is used."""
        host = f"both-{mode}.farm.test"
        keytab = realm.keytab(
            f"both-{mode}.keytab", realm.service(f"farm/{host}"), realm.service(f"host/{host}")
        )
        monkeypatch.setenv("KRB5_KTNAME", keytab)
        address = serve()
        make(address, auth=auth(host=host)).end()
        with fails_with(AuthError, "the server refused: Kerberos, for farm/*"):
            make(address, auth=auth(service_name="host", host=host))

    def test_wrong_keytab(self, make, serve, auth, realm, mode, fails_with, monkeypatch):
        """A keytab with another key than the KDC's: the client is told what to look at."""
        principal = realm.service(f"farm/stale-{mode}.farm.test")
        monkeypatch.setenv("KRB5_KTNAME", realm.keytab(f"stale-{mode}.keytab", principal))
        address = serve()
        realm.keytab(f"fresh-{mode}.keytab", principal)  # the KDC has a new key now
        with fails_with(AuthError, "the server refused: Kerberos", "keytab", "klist -k"):
            make(address, auth=auth(host=f"stale-{mode}.farm.test"))

    def test_keytab_is_gone(self, make, serve, auth, realm, mode, fails_with, monkeypatch):
        """A keytab that went away while the server runs is an error at once, too."""
        keytab = realm.keytab(f"{mode}.keytab", realm.service(f"{mode}/{realms.HOST}"))
        monkeypatch.setenv("KRB5_KTNAME", keytab)
        address = serve("--gss-service", mode, "--allow", ALICE)
        make(address, auth=auth(service_name=mode)).end()
        os.unlink(keytab.partition(":")[2])
        with fails_with(AuthError, "the server refused: Kerberos", "not found", "KRB5_KTNAME"):
            make(address, auth=auth(service_name=mode))

    def test_no_kdc(self, make, serve, auth, realm, become, fails_with):
        """A KDC that cannot be reached is an error at once."""
        address = serve()
        become(realm.ticket("alice"))
        realm.stop()
        try:
            with fails_with(AuthError, "Cannot contact any KDC for realm", "be reached from here?"):
                make(address, auth=auth())
        finally:
            realm.start()

    def test_silent_kdc(self, make, serve, auth, realm, become, fails_with, tmp_path, monkeypatch):
        """A KDC that says nothing costs no more than the time that the user gave."""
        address = serve()
        become(realm.ticket("alice"))
        with socket.create_server(("127.0.0.1", 0)) as silent:
            conf = tmp_path / "krb5.conf"
            text = (realm._folder / "krb5.conf").read_text()
            conf.write_text(text.replace(f":{realm.port}", f":{silent.getsockname()[1]}"))
            monkeypatch.setenv("KRB5_CONFIG", str(conf))
            with fails_with(AuthError, f"no answer about farm@{realms.HOST} within", within=10):
                make(address, auth=auth(), timeout=1)

    @pytest.mark.parametrize("other", ["none", "the other mode"])
    def test_both_insist(self, make, launch, serve, auth, mode, other, fails_with):
        """Client and server must have been given the same: nothing less is settled for."""
        address = serve()
        if other == "none":
            with fails_with(AuthError, f"asks for authentication ('{mode}'): pass auth="):
                make(address)
            with fails_with(AuthError, f"does not offer '{mode}', only 'none'"):
                make(launch().address, auth=auth())
        else:
            with fails_with(AuthError, "does not offer", f"only '{mode}'"):
                make(address, auth=auth(tls=mode == "gss"))

    def test_both_modes(self, make, launch):
        """A server that offers both takes either."""
        address = launch("127.0.0.1:0", "--gss", "--gss-tls", "--allow", ALICE).address
        for tls in (True, False):
            make(f"{address}?workers=1", auth=GSSAuth(host=realms.HOST, tls=tls)).end()


class TestServer:
    def test_no_keytab(self, refuses, mode, tmp_path):
        """Without a key a server does not start."""
        arguments = f"--{mode}", "--allow", ALICE
        status, said = refuses(*arguments, KRB5_KTNAME=f"FILE:{tmp_path}/none")
        assert status == 2
        assert said.startswith("farm-server: Kerberos, for farm/*: Key table file")
        assert "KRB5_KTNAME" in said
        assert said.count("\n") == 1

    def test_keytab_of_another_service(self, refuses, mode, realm):
        """Nor with a key for something else."""
        keytab = realm.keytab(f"else-{mode}.keytab", realm.service(f"else-{mode}/{realms.HOST}"))
        status, said = refuses(f"--{mode}", "--allow", ALICE, KRB5_KTNAME=keytab)
        assert (status, "No key table entry found matching farm/" in said) == (2, True)

    def test_nobody(self, refuses, mode):
        """On the command line nobody is a mistake."""
        status, said = refuses(f"--{mode}")
        assert (status, "name who may" in said) == (2, True)

    def test_no_full_principal(self, refuses, mode):
        """So is a name without a realm."""
        status, said = refuses(f"--{mode}", "--allow", "alice")
        assert (status, "'alice' is no full principal" in said) == (2, True)

    def test_others_may_connect(self, mode, realm, keytab):
        """A server with Kerberos may listen on addresses that others can reach."""
        with start_server(
            "0.0.0.0:0",
            background=True,
            auth=GSSAuth(allowed_users=[ALICE], tls=mode == "gss-tls"),
        ) as server:
            assert server.address.startswith("0.0.0.0:")

    def test_without_it_nothing_is_loaded(self, launch):
        """A server that was not asked for Kerberos has not loaded the library."""
        pid = launch().pid
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
            assert "gssapi" not in maps.read()


class TestWire:
    def test_no_plaintext(self, make, serve, auth, wire):
        """Neither arguments nor results nor names of functions are to be seen."""
        between = wire(serve())
        with make(between.address, auth=auth()):
            assert farm.force(farm.future(double, SECRET)) == SECRET + SECRET
        seen = b"".join(between.sent + between.got)
        assert len(seen) > 3 * len(SECRET)
        for word in (SECRET[:16], b"double", b"cpython", b"worker"):
            assert word not in seen

    def test_plaintext_would_be_seen(self, make, launch, wire):
        """The same without authentication: the test above can fail."""
        between = wire(launch().address)
        with make(f"{between.address}?workers=1"):
            farm.force(farm.future(double, SECRET))
        seen = b"".join(between.sent + between.got)
        assert SECRET in seen
        assert b"cpython" in seen

    def test_tampering(self, make, serve, auth, wire, tmp_path):
        """A byte changed on the way costs the connection, and nothing is executed wrongly."""
        between = wire(serve())
        kernel = make(between.address, auth=auth())
        damaged = threading.Event()

        def damage(data):
            if len(data) < 1000 or damaged.is_set():
                return data
            damaged.set()
            return data[:500] + bytes([data[500] ^ 1]) + data[501:]

        between.change = damage
        value = os.urandom(300_000)
        with kernel:
            assert farm.force(farm.future(double, value)) == value + value
        assert damaged.is_set()
        assert len(between.sent) > 2  # there was another connection

    def test_replay(self, make, serve, auth, wire, mode, tmp_path):
        """What a client said, said once more by somebody else, executes nothing."""
        address = serve()
        between = wire(address)
        marker = tmp_path / "marker"
        with make(between.address, auth=auth()):
            farm.force(farm.future(append, str(marker)))
        assert marker.read_text() == "x"
        for said in between.sent:
            with socket.create_connection(parse(address), 10) as sock, contextlib.suppress(OSError):
                sock.sendall(said)
                sock.shutdown(socket.SHUT_WR)
                answer = b""
                while data := sock.recv(1 << 16):
                    answer += data
                assert (b"Request is a replay" in answer) == (mode == "gss")
        assert marker.read_text() == "x"


class TestResumption:
    """Sessions go on over other connections, each with a context of its own."""

    def test_a_task_that_runs(self, make, serve, auth, wire, peer, until, append_slowly, tmp_path):
        """It is not executed again, whatever interpreter the server runs on; its result arrives."""
        between = wire(serve(python=peer))
        marker = tmp_path / "marker"
        with make(between.address, auth=auth()):
            future = farm.future(append_slowly, str(marker), 1.0)
            until(marker.exists)
            between.cut()
            assert farm.force(future, 30) == "done"
        assert marker.read_text() == "x"
        assert len(between.sent) > 2  # one to ask, one to work, and another

    def test_in_the_middle_of_large_frames(self, make, serve, auth, wire, tmp_path):
        """What had arrived of them is not lost, nor is anything of it there twice."""
        between = wire(serve())
        marker = tmp_path / "marker"
        value = os.urandom(4_000_000)
        passed, cuts = [0], []

        def count(data):
            passed[0] += len(data)
            if passed[0] > 1_500_000 * (len(cuts) + 1) and len(cuts) < 2:
                cuts.append(passed[0])
                between.cut()
            return data

        between.change = count
        with make(between.address, auth=auth()):
            assert farm.force(farm.future(append_and_double, str(marker), value), 30) == 2 * value
        assert marker.read_text() == "x"
        assert len(cuts) == 2

    def test_who_comes_back_must_be_the_same(self, make, serve, auth, become, fails_with):
        """Another principal that somehow knows the session's id is let in, and not to that."""
        address = serve("--allow", ALICE, "--allow", f"mallory@{realms.NAME}")
        kernel = make(address, auth=auth())
        (link,) = kernel._engine.links
        session = bytes.fromhex(link.hello.session)
        hello = ClientHello(**hello_fields(1 << 20), role="work", index=0)
        hello = dataclasses.replace(hello, features=(*FEATURES, FEATURE))

        def come_back():
            place, deadline = parse_address(address), Deadline(10)
            return connect_stream(place, auth(), hello, deadline, session, resume=True)

        become("mallory")
        with fails_with(AuthError, "the session that you want to go on with is not yours"):
            come_back()
        become("alice")
        assert farm.force(farm.future(double, 1), 30) == 2
        come_back().stream.close()
        kernel.end()

    def test_without_a_ticket(
        self, make, serve, auth, wire, become, until, append_slowly, tmp_path
    ):
        """The session waits; when there is a ticket again the result arrives."""
        between = wire(serve())
        marker = tmp_path / "marker"
        with make(between.address, auth=auth()) as kernel:
            future = farm.future(append_slowly, str(marker), 0.5)
            until(marker.exists)
            become(f"FILE:{tmp_path}/none")
            between.cut()
            until(lambda: {worker.state for worker in kernel.workers()} == {"reconnecting"})
            become("alice")
            assert farm.force(future, 30) == "done"
        assert marker.read_text() == "x"


class TestLayers:
    """The two layers of a connection, with nothing between them but this test."""

    def test_principals(self, layers, meet):
        """Both ends know each other by their full names."""
        client, server = layers()
        meet(client, server)
        assert client.peer == f"farm/{realms.HOST}@{realms.NAME}"
        assert server.peer == ALICE

    @pytest.mark.parametrize("change", ["changed", "repeated", "reordered", "left out"])
    def test_tampering(self, layers, meet, change):
        """What is not as the peer sent it, once and in order, is refused."""
        client, server = layers()
        meet(client, server)
        one, two, three = (client.wrap(bytes([n]) * 100) for n in range(3))
        server.feed(one)
        damaged = two[:-1] + bytes([two[-1] ^ 1])
        wire = {
            "changed": damaged,
            "repeated": one,
            "reordered": three + two,
            "left out": three,
        }[change]
        with pytest.raises(AuthError, match=r"tampered with|is not what the peer sent"):
            server.feed(wire)

    @pytest.mark.parametrize("mode", ["gss"], indirect=True)
    def test_replayed_ticket(self, layers, mode):
        """A ticket that was used before is refused, on whatever connection."""
        client, server = layers()
        said = client.start()
        server.start()
        server.feed(said)
        _, another = layers()
        another.start()
        with pytest.raises(AuthError, match="Request is a replay; what the client sent was used"):
            another.feed(said)
        assert not another.established

    @pytest.mark.parametrize("mode", ["gss"], indirect=True)
    def test_rubbish(self, layers):
        """Whatever is changed in a token, the library's answer is a refusal, or not trust."""
        client, _ = layers()
        said = client.start()
        for place in range(5, len(said), 7):
            _, server = layers()
            server.start()
            with contextlib.suppress(AuthError):
                server.feed(said[:place] + bytes([said[place] ^ 0x41]) + said[place + 1 :])
            assert not server.established
            assert server.peer is None

    @pytest.mark.parametrize("mode", ["gss"], indirect=True)
    def test_only_signed(self, layers, meet, mode):
        """A message that is not encrypted is refused, though the library accepts it."""
        client, server = layers()
        meet(client, server)
        signed = client._context._context.wrap(b"in the clear", False)
        assert b"in the clear" in signed.message
        with pytest.raises(AuthError, match="sent something that is not encrypted"):
            server.feed(b"\x04" + len(signed.message).to_bytes(4, "big") + signed.message)

    @pytest.mark.parametrize("flag", ["mutual_authentication", "replay_detection"])
    def test_less_than_demanded(self, layers, meet, flag):
        """A client that does not ask for all that is demanded is refused."""
        client, server = layers()
        make = client._make

        def lax(bindings, deadline):
            context = make(bindings, deadline)
            context.demanded = [one for one in context.demanded if one != flag]
            return context

        client._make = lax
        with pytest.raises(AuthError, match=f"demands of it: {flag.replace('_', ' ')}"):
            meet(client, server)
        assert not server.established

    @pytest.mark.parametrize("mode", ["gss-tls"], indirect=True)
    def test_no_channel_binding(self, layers, meet, mode):
        """A client that binds its ticket to nothing is refused, though the library accepts it."""
        client, server = layers()
        make = client._make
        client._make = lambda _, deadline: make(None, deadline)
        with pytest.raises(AuthError, match="did not bind its ticket to this TLS connection"):
            meet(client, server)
        assert not server.established

    @pytest.mark.parametrize("mode", ["gss-tls"], indirect=True)
    def test_somebody_in_between(self, auth, layers, meet, mode):
        """Who ends the client's TLS and opens another is refused by the real library."""
        client, server = layers()
        helper, _ = layers()
        _, intruder = layers()
        ticket = meet(client, intruder._tls)
        assert ticket
        meet(helper._tls, server)
        with pytest.raises(AuthError, match="channel binding"):
            server.feed(helper._tls.wrap(ticket))
        assert not server.established

    @pytest.mark.parametrize("mode", ["gss"], indirect=True)
    def test_expiry(self, layers, meet, realm, become, until):
        """A connection ends with its ticket."""
        become(realm.ticket("alice", "-l", "5s"))
        client, server = layers()
        meet(client, server)
        assert server.feed(client.wrap(b"in time"))[0] == b"in time"

        def over():
            try:
                client.wrap(b"late")
            except AuthError as error:
                return "ticket has expired: get a new one with kinit" in str(error)
            return False

        until(over)


def append(path):
    with open(path, "a", encoding="utf-8") as file:
        file.write("x")


def append_and_double(path, value):
    with open(path, "a", encoding="utf-8") as file:
        file.write("x")
    return value + value


def parse(address):
    place = parse_address(address)
    return place.host, place.port


def valid(realm, cache):
    """Whether the tickets of a cache have not expired yet."""
    environment = {**os.environ, **realm.environment}
    return (
        subprocess.run(["klist", "-s", "-c", cache], env=environment, check=False).returncode == 0
    )


class TestDocs:
    """The programs of the page about Kerberos."""

    @pytest.fixture
    def programs(self):
        page = Path(__file__).parents[2] / "docs" / "how-to" / "kerberos.md"
        text = page.read_text(encoding="utf-8")
        return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)

    @pytest.mark.parametrize("mode", ["gss"], indirect=True)
    def test_connect(self, programs, serve, run, keytab_here, monkeypatch):
        """The client that is shown gets a result from the server."""
        monkeypatch.setenv("KRB5_KTNAME", keytab_here)
        program = programs[0].replace("host1.example.com:11111", serve())
        done = run(program)
        assert (done.stdout, done.stderr) == ("1024\n", "")

    def test_rules(self, programs, run):
        """The rules that are shown let in whom they should, and the server knows them."""
        check = """
auth = Staff()
names = "a-staff@EXAMPLE.COM", "a@EXAMPLE.COM", "a-staff@EXAMPLE.ORG", "a-staff"
print([auth.name_accepted(name) for name in names])
"""
        done = run(programs[1] + check)
        assert (done.stdout, done.stderr) == ("[True, False, False, False]\n", "")
        compile(programs[2], "serve.py", "exec")
        assert "auth=Staff()" in programs[2]
