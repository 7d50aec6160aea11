"""A stand-in for the package ``gssapi``, so that every failure can be had without a KDC.

Its tokens are texts and its seals are no secrets, but it keeps the rules that farm relies on: a
context is complete after one token each way, and messages must come once and in order. What it
does wrong is set by the test.
"""

import enum
import sys
import types
from importlib import import_module

import pytest

from farm_common.address import Address
from farm_gss import GSSAuth


class GSSError(Exception):
    """As the package's own: two codes, whose words the library knows."""

    def __init__(self, minor="", major="Unspecified GSS failure", token=None):
        super().__init__(minor or major)
        self.maj_code, self.min_code, self.token = 851968, 7, token
        self._texts = {True: major, False: minor}

    def get_all_statuses(self, code, is_major):
        return [self._texts[is_major]]


class MissingCredentialsError(GSSError):
    pass


class ExpiredCredentialsError(GSSError):
    pass


class BadMICError(GSSError):
    pass


class Flag(enum.IntEnum):
    mutual_authentication = 2
    replay_detection = 4
    out_of_sequence_detection = 8
    confidentiality = 16
    integrity = 32
    anonymity = 64
    channel_bound = 2048


GOOD = [
    Flag.mutual_authentication,
    Flag.replay_detection,
    Flag.out_of_sequence_detection,
    Flag.confidentiality,
    Flag.integrity,
]


class Sealed(types.SimpleNamespace):
    """What wrap and unwrap return."""


class Fake:
    """What the stand-in does; tests change it.

    Attributes:
        flags: What a context of a usage ("initiate", "accept") says that it got.
        lifetime: How long tickets last, in seconds.
        client: The name that the server sees.
        mech: The mechanism that contexts say they used.
        failures: Errors to raise, by what is done: "tickets", "keys", or "step" and the usage.
        encrypts: Whether messages are encrypted.
        blocked: Called by a client's first step.
        asked: The arguments of all contexts and credentials.
    """

    def __init__(self):
        self.flags = {"initiate": list(GOOD), "accept": list(GOOD)}
        self.lifetime = 3600
        self.client = "alice@EXAMPLE.COM"
        self.mech = "kerberos"
        self.failures = {}
        self.encrypts = True
        self.blocked = None
        self.asked = []

    def fail(self, what):
        if what in self.failures:
            raise self.failures[what]

    def modules(self):
        """What stands for the package and its parts in sys.modules."""
        gssapi = types.ModuleType("gssapi")
        gssapi.raw = types.ModuleType("gssapi.raw")
        gssapi.raw.ChannelBindings = lambda application_data: application_data
        gssapi.exceptions = types.ModuleType("gssapi.exceptions")
        for kind in (GSSError, MissingCredentialsError, ExpiredCredentialsError, BadMICError):
            setattr(gssapi.exceptions, kind.__name__, kind)
        gssapi.RequirementFlag = Flag
        gssapi.MechType = types.SimpleNamespace(kerberos="kerberos")
        gssapi.NameType = types.SimpleNamespace(hostbased_service="service")
        gssapi.Name = lambda text, kind: (text, kind)
        gssapi.Credentials = self.credentials
        gssapi.SecurityContext = lambda **arguments: Context(self, **arguments)
        return {"gssapi": gssapi, "gssapi.raw": gssapi.raw}

    def credentials(self, **arguments):
        self.asked.append(arguments)
        self.fail("keys" if arguments["usage"] == "accept" else "tickets")
        return types.SimpleNamespace(lifetime=self.lifetime, name=self.client)


class Context:
    """One end: a client's first token is b"ticket", a server's answer b"proof"."""

    def __init__(self, fake, **arguments):
        fake.asked.append(arguments)
        self._fake = fake
        self._usage = arguments["usage"]
        self._bindings = arguments.get("channel_bindings")
        self._sent = self._received = 0
        self.complete = False
        self.lifetime = fake.lifetime
        self.mech = fake.mech
        self.initiator_name = fake.client
        self.target_name = "farm/server@EXAMPLE.COM"

    @property
    def actual_flags(self):
        return self._fake.flags[self._usage]

    def step(self, token=None):
        if self._usage == "initiate":
            if token is None:
                if self._fake.blocked is not None:
                    self._fake.blocked()
                self._fake.fail("step initiate")
                return b"ticket" + (self._bindings or b"")
            if token != b"proof":
                raise GSSError("Decrypt integrity check failed")
            self.complete = True
            return None
        self._fake.fail("step accept")
        if token != b"ticket" + (self._bindings or b""):
            raise GSSError("Incorrect channel bindings were supplied")
        self.complete = True
        return b"proof"

    def wrap(self, data, encrypt):
        assert type(data) is bytes
        assert encrypt is True
        self._sent += 1
        message = b"%s %d:" % (self._usage.encode(), self._sent) + data[::-1]
        return Sealed(message=message, encrypted=self._fake.encrypts)

    def unwrap(self, message):
        self._received += 1
        other = b"accept" if self._usage == "initiate" else b"initiate"
        head, _, body = message.partition(b":")
        if head != b"%s %d" % (other, self._received):
            raise BadMICError("Decrypt integrity check failed")
        return Sealed(message=body[::-1], encrypted=self._fake.encrypts)


@pytest.fixture
def gssapi(monkeypatch):
    """The stand-in, in place of the package."""
    fake = Fake()
    for name, module in fake.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return fake


@pytest.fixture
def gss_error():
    """Makes errors of the stand-in."""
    kinds = {"missing": MissingCredentialsError, "expired": ExpiredCredentialsError}
    return lambda *args, kind=None: kinds.get(kind, GSSError)(*args)


@pytest.fixture
def flag():
    """The stand-in's flags."""
    return Flag


def exchange(client, server, size=0):
    """Let two layers talk until neither has anything to say; what each got in plain."""
    plain = {client: b"", server: b""}
    ways = [
        (client, server, bytearray(client.start())),
        (server, client, bytearray(server.start())),
    ]
    while any(way for _, _, way in ways):
        for index, (_, receiver, way) in enumerate(ways):
            piece = bytes(way[: size or len(way)])
            del way[: len(piece)]
            if piece:
                text, answer = receiver.feed(piece)
                plain[receiver] += text
                ways[1 - index][2].extend(answer)
    return plain[client], plain[server]


@pytest.fixture
def meet():
    """`exchange`, for tests."""
    return exchange


@pytest.fixture
def layers(gssapi):
    """Makes the two layers of a connection."""

    def make(auth=None, **keywords):
        auth = auth or GSSAuth(**{"allowed_users": ["alice@EXAMPLE.COM"], **keywords})
        return auth.client_layer(Address("tcp", "server", 1)), auth.server_layer()

    return make


@pytest.fixture
def trusting(layers, meet):
    """Two layers that trust each other."""
    client, server = layers()
    meet(client, server)
    return client, server


@pytest.fixture
def clock(monkeypatch):
    """The wall clock of farm_gss, which a test may set."""
    clock = types.SimpleNamespace(now=1e9)
    module = import_module("farm_gss.context")
    monkeypatch.setattr(module, "time", types.SimpleNamespace(time=lambda: clock.now))
    return clock
