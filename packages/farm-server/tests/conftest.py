"""A listener with processes that exist only here, for the tests of its parts."""

import json
import shutil
import socket
import tempfile

import pytest

from farm_common.frames import FrameReader
from farm_common.handshake import PREAMBLE_SIZE, Preamble, Refusal
from farm_server.endpoint import open_endpoints
from farm_server.listener import Listener
from farm_server.settings import make_settings


class Processes:
    """Forks nothing: the test is every child."""

    def __init__(self):
        self.births = {}
        self.statuses = {}
        self.signals = []
        self.full = False
        self.stops = True

    def fork(self, birth, foreign):
        if self.full:
            raise OSError("no room for a process")
        pid = 1000 + len(self.births)
        self.births[pid] = birth._replace(
            parent=birth.parent.dup(), sock=birth.sock.dup(), start=bytes(birth.start)
        )
        self.foreign = list(foreign)
        return pid

    def poll(self, pid):
        return self.statuses.pop(pid, None)

    def stopped(self, pid):
        return self.stops

    def signal(self, pid, number):
        self.signals.append((pid, number))

    kill = signal


class Clock:
    """Time that passes when the test says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Bench:
    """A listener on a Unix socket, its clients and its children."""

    def __init__(self, folder, **settings):
        self.clock = Clock()
        self.processes = Processes()
        made = make_settings(f"unix://{folder}/s", **settings)
        ends = open_endpoints(made.addresses, authenticates=False, insecure=False)
        self.listener = Listener(
            made,
            ends,
            lambda *_: None,
            descriptors=(1024, 1024),
            processes=self.processes,
            clock=self.clock,
        )
        self.path = f"{folder}/s"
        self.clients = []

    def settle(self, seconds=0.0):
        """Let time pass, and everything happen that can."""
        self.clock.now += seconds
        for _ in range(6):
            self.listener.timers.after(0, lambda: None)
            if self.listener.finished:
                return
            self.listener.step()

    def connect(self, data=b""):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(5)
        client.connect(self.path)
        client.sendall(data)
        self.clients.append(client)
        self.settle()
        return client

    def session(self, role="work", before=None, principal=None, **more):
        """A client that was admitted: its socket, its child's number and birth."""
        preamble = Preamble() if before is None else Preamble(session=before)
        client = self.connect(preamble.encode())
        pid = max(self.processes.births)
        birth = self.processes.births[pid]
        said = {"role": role, "kernel": "k", "index": 0, "peer": "p", "principal": principal}
        self.tell(birth, ask="admit", **said, **more)
        self.settle()
        self.answer = self.hear(birth)
        return client, pid, birth

    def tell(self, birth, **request):
        """Say something as a child."""
        birth.parent.sendall(json.dumps(request).encode() + b"\n")

    def hear(self, birth):
        """What the parent says to a child."""
        birth.parent.settimeout(5)
        return json.loads(birth.parent.recv(1 << 20))

    def die(self, pid, status=0):
        """End as a child."""
        self.processes.statuses[pid] = status
        birth = self.processes.births[pid]
        birth.parent.close()
        birth.sock.close()
        self.settle()

    def child(self, birth):
        """What the listener knows of a session."""
        return self.listener.children.get(birth.session)

    @staticmethod
    def closed(client):
        """Whether the server closed the connection, saying nothing more."""
        return client.recv(1) == b""

    @staticmethod
    def refusal(client):
        """Why the server refused."""
        data = b""
        while True:
            part = client.recv(9999)
            if not part:
                break
            data += part
        assert data[:PREAMBLE_SIZE] == Preamble().encode()
        (frame,) = FrameReader(9999).feed(data[PREAMBLE_SIZE:])
        return Refusal.decode(frame.body)

    def close(self):
        self.listener.close()
        for birth in self.processes.births.values():
            birth.parent.close()
            birth.sock.close()
        for client in self.clients:
            client.close()


@pytest.fixture
def make():
    """Makes benches, and closes them."""
    folder = tempfile.mkdtemp(prefix="farm-")
    benches = []

    def make_(**settings):
        benches.append(Bench(folder, **settings))
        return benches[-1]

    yield make_
    for bench in benches:
        bench.close()
    shutil.rmtree(folder)


@pytest.fixture
def bench(make):
    """One bench with the defaults."""
    return make()
