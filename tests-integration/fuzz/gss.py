"""Fuzz what a server with Kerberos reads, with a real KDC: its negotiation, and what it wrapped.

A good client says its first flights to a server's layer, both real, and then something else comes:
a flight or a record of the client's that was changed, cut, repeated, left out or put in another
order; one of another connection; rubbish; or a pickle. Whatever it is:

- only farm's own errors come out, and after one of them nothing more is taken in;
- before the client is known, nothing at all comes out in plain; afterwards, what it wrapped, from
  its start and in order, and not a byte of anything else;
- the process does not grow;
- nothing takes longer than a moment.

It needs the package ``gssapi`` and the programs of MIT Kerberos; `main` says so where it does not
have them. The seed decides what is changed; tokens and keys are new each time, so the same seed
does not give the same bytes. A run that fails is named, by the seed and its number.
"""

from __future__ import annotations

import os
import random
import resource
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "kerberos"))
import realm as realms

from farm_common.address import Address
from farm_common.errors import FarmError
from farm_common.security import Layer

SECONDS_LIMIT = 2.0
GROWTH_LIMIT = 64 << 20

#: What the good client says once it is known; each is one record at least.
SAID = [b"hello" * 20, bytes(range(256)) * 40, b"", b"x", b"goodbye" * 9]


class Failed(Exception):
    """Something came out, or happened, that must not."""


class Farm:
    """A realm with one user and one service, and both sides' mechanisms."""

    def __init__(self, folder: Path) -> None:
        from farm_gss import GSSAuth

        self.realm = realms.Realm(folder)
        user = self.realm.user("alice")
        keytab = self.realm.keytab("farm.keytab", self.realm.service(f"farm/{realms.HOST}"))
        os.environ.update(self.realm.environment, KRB5_KTNAME=keytab)
        os.environ["KRB5CCNAME"] = self.realm.ticket("alice")
        self._auths = [
            GSSAuth(host=realms.HOST, tls=tls, allowed_users=[user]) for tls in (False, True)
        ]
        self._address = Address("tcp", realms.HOST, 1)

    def layers(self, tls: bool) -> tuple[Layer, Layer]:
        """The client's and the server's of a new connection."""
        auth = self._auths[tls]
        return auth.client_layer(self._address), auth.server_layer()


def flights_of(farm: Farm, tls: bool) -> list[bytes]:
    """What a good client says to a server that it has never met again, in order."""
    client, server = farm.layers(tls)
    flights, plain, said = [], b"", client.start()
    answer = server.start()
    while said or answer:
        if said:
            flights.append(said)
            text, more = server.feed(said)
            plain, answer = plain + text, answer + more
        text, said = client.feed(answer) if answer else (b"", b"")
        answer = b""
    for text in SAID:
        flights.append(client.wrap(text))
        plain += server.feed(flights[-1])[0]
    if plain != b"".join(SAID):
        raise Failed("what a good client says does not arrive")
    return [flight for flight in flights if flight]


def changed(data: bytes, others: list[bytes], marked: bytes, chance: random.Random) -> bytes:
    """What comes in place of some bytes of the client's."""
    place = chance.randrange(len(data) + 1)
    length = min(chance.choice([1, 2, 4, 32, 1000]), len(data) - place)
    how = chance.randrange(9)
    if how == 0:
        return data[:place]
    if how == 1:
        return data[:place] + chance.randbytes(length) + data[place + length :]
    if how == 2 and data:
        place = chance.randrange(len(data))
        return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]
    if how == 3:
        return data[:place] + data[place + length :]
    if how == 4:
        return data + data
    if how == 5:
        return chance.choice(others)
    if how == 6:
        return data[:5] + marked
    if how == 7:  # a length that promises much
        return data[:1] + b"\xff\xff\xff\xff"[: chance.randint(1, 4)] + data[5:]
    return chance.randbytes(chance.choice([1, 5, 300, 70_000]))


def one_run(farm: Farm, others: dict[bool, list[bytes]], marked: bytes, seed: str) -> bool:
    """Let one client say what is changed; return whether the server took all of it for good."""
    chance = random.Random(seed)
    tls = chance.random() < 0.5
    client, server = farm.layers(tls)
    good = chance.choice([0, 0, 0, 1, 1, 2, 3])  # flights of the handshake before it
    expected = b"".join(SAID)
    plain = b""
    try:
        said, answer = client.start(), server.start()
        while not client.established or not server.established:
            if not good:
                return feed(server, changed(said, others[tls], marked, chance), b"", chance)
            good -= 1
            text, more = server.feed(said)
            if text:
                raise Failed("plain bytes before the client is known")
            answer += more
            text, said = client.feed(answer) if answer else (b"", b"")
            answer = b""
            if not (said or answer) and not server.established:
                return False
        if said:
            server.feed(said)
        records = [client.wrap(text) for text in SAID]
        count = chance.randrange(len(records))
        for record in records[:count]:
            plain += server.feed(record)[0]
        wire = b"".join(records[count:]) if chance.random() < 0.5 else records[-1]
        return feed(server, changed(wire, [*records, *others[tls]], marked, chance),
                    expected[len(plain) :], chance)  # fmt: skip
    except FarmError:
        return False


def feed(server: Layer, data: bytes, expected: bytes, chance: random.Random) -> bool:
    """Let a server take in some bytes, in pieces; `expected` is what may come out, in order."""
    plain, given_up = b"", False
    size = chance.choice([1, 7, 1000, 1 << 20]) if len(data) < 2000 else 1 << 14
    for start in range(0, len(data), size):
        try:
            text, _ = server.feed(data[start : start + size])
        except FarmError:
            given_up = True
            continue
        if given_up and text:
            raise Failed("plain bytes after the connection was given up")
        plain += text
        if not expected.startswith(plain):
            raise Failed(f"{plain[:50]!r} came out, which nobody said")
    return not given_up


def grown() -> int:
    """The most memory that this process has had, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main(runs: int, seconds: float, seed: int, marked: bytes, is_marked: Any) -> None:
    """Fuzz for so many runs, or so long; say what is missing where that cannot be."""
    lacking = realms.missing()
    lacking += [name for name in ("gssapi", "farm_gss") if find_spec(name) is None]
    if lacking:
        print(f"Kerberos is skipped: {', '.join(lacking)} missing")
        return
    environment = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        farm = Farm(Path(folder))
        try:
            others = {tls: flights_of(farm, tls) for tls in (False, True)}
            before, end, done, taken = 0, time.monotonic() + seconds, 0, 0
            while done < runs and time.monotonic() < end:
                started = time.process_time()
                name = f"{seed}/{done}"
                try:
                    taken += one_run(farm, others, marked, name)
                    if is_marked():
                        raise Failed("a pickle was loaded")
                    elapsed = time.process_time() - started
                    if elapsed > SECONDS_LIMIT:
                        raise Failed(f"it took {elapsed:.1f} s")
                except BaseException:
                    print(f"Kerberos: run {name} failed", file=sys.stderr)
                    raise
                done += 1
                if done == 50:
                    before = grown()  # what libraries have once
            growth = grown() - before if before else 0
            print(f"Kerberos: {done} runs, {taken} of them without a refusal, no failure")
            if growth > GROWTH_LIMIT:
                raise Failed(f"the process grew by {growth >> 20} MB")
        finally:
            farm.realm.stop()
            os.environ.clear()
            os.environ.update(environment)
