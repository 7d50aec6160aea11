"""Fuzz what reads a peer's bytes before anybody knows who the peer is.

One input is one peer: its first two bytes say how the rest arrives, the rest is what the peer
sends. It meets a `Connection` of either role, driven through the whole handshake as `stream`
drives it; or one of the decoders of the handshake's messages; or TLS of either role, before its
handshake, within it or after it. Whatever it sends:

- only farm's own errors come out;
- never more than 64 KiB are asked for at once, and 4 MiB are never exceeded;
- nothing is unpickled: pickles that would leave a mark are sent at every stage, and leave none;
- nothing takes longer than a moment, and the process does not grow.

With atheris installed it is guided by coverage; without it, it mutates the golden vectors, the
same way for the same ``--seed``. Random bytes would rarely get past a checksum, so half of the
inputs have theirs put right before they are sent.

Usage: ``python tests-integration/fuzz/preauth.py [--runs N] [--seconds S] [--seed N] [FILE...]``;
with files, each of them is one input, as written when an input failed.
"""

from __future__ import annotations

import argparse
import builtins
import contextlib
import hashlib
import json
import pickle
import random
import resource
import shutil
import struct
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

try:
    import atheris
except ImportError:
    atheris = None

with atheris.instrument_imports(["farm_common"]) if atheris else contextlib.nullcontext():
    from farm_common.address import Address
    from farm_common.connection import Connection, Happening
    from farm_common.errors import FarmError
    from farm_common.frames import PREAUTH_LIMIT, Frame, Kind
    from farm_common.handshake import ClientHello, Offer, Preamble, Refusal, Select, ServerHello
    from farm_common.security import Layer, TLSAuth
    from farm_common.states import Role, State
    from farm_common.testing import client_hello, cut, server_hello

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "docs" / "reference" / "vectors" / "protocol1.json"
CERTS = ROOT / "packages" / "farm-common" / "tests" / "certs"

MEMORY_LIMIT = 4 << 20
SECONDS_LIMIT = 2.0
INPUT_LIMIT = 3 * PREAUTH_LIMIT

#: Bits of an input's first byte; its second is the size of the pieces, 0 for all at once.
AS_CLIENT, REPAIR, GOOD_PREAMBLE, MESSAGE, TLS = 1, 2, 4, 8, 16

#: How much the process may grow while it runs, whatever the number of inputs.
GROWTH_LIMIT = 256 << 20

MESSAGES = (Offer, Select, Refusal, ClientHello, ServerHello)
CLIENT_HELLO, SERVER_HELLO = client_hello().encode(), server_hello().encode()


class Marker:
    """Its pickle leaves a mark in the process that loads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("import builtins; builtins.farm_marked = True",)


MARKED = pickle.dumps(Marker())


class Certificates:
    """Both sides' TLS, from the tests' certificates, made when they are first wanted."""

    def __init__(self) -> None:
        self._made: dict[str, TLSAuth] = {}

    def layer(self, role: Role) -> Layer:
        """A new layer of that role."""
        name = "alice" if role is Role.CLIENT else "server"
        if name not in self._made:
            with tempfile.TemporaryDirectory() as folder:
                shutil.copytree(CERTS / name, folder, dirs_exist_ok=True)
                Path(folder, "key.pem").chmod(0o600)  # not as a checkout has it
                self._made[name] = TLSAuth.from_directory(folder)
        auth = self._made[name]
        address = Address("unix", path="/fuzz")
        return auth.client_layer(address) if role is Role.CLIENT else auth.server_layer()


CERTIFICATES = Certificates()


def one_input(data: bytes) -> None:
    """Let one peer say what it has to say."""
    if len(data) < 2:
        return
    how, piece, said = data[0], data[1], data[2:]
    if how & GOOD_PREAMBLE:
        said = Preamble().encode() + said
    if how & REPAIR:
        said = repaired(said)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    started = time.process_time()  # a busy machine does not count
    try:
        if how & TLS:
            meet_tls(Role.CLIENT if how & AS_CLIENT else Role.SERVER, said, piece)
        elif how & MESSAGE:
            MESSAGES[piece % len(MESSAGES)].decode(said)
        else:
            meet(Role.CLIENT if how & AS_CLIENT else Role.SERVER, said, piece)
    except FarmError:
        pass
    elapsed = time.process_time() - started
    assert not hasattr(builtins, "farm_marked"), "a pickle was loaded"
    used = tracemalloc.get_traced_memory()[1] - before
    assert used < MEMORY_LIMIT, f"{used} bytes of memory for {len(said)} bytes"
    assert elapsed < SECONDS_LIMIT, f"{elapsed:.1f} s for {len(said)} bytes"


def meet(role: Role, said: bytes, piece: int) -> None:
    """Go through the handshake with a peer that says this; stop when it is open or broken."""
    connection = Connection(role, frame_limit=1 << 40, allocate=allocate)
    if role is Role.CLIENT:
        connection.send_preamble()
    for part in cut(said, piece):
        happened = connection.receive_data(part)
        while happened:
            following: list[Happening] = []
            for happening in happened:
                following += answer(connection, happening)
            happened = following
        if connection.state in (State.OPEN, State.CLOSED):
            return


def meet_tls(role: Role, said: bytes, piece: int) -> None:
    """Speak TLS with a peer that says this, or that says it after so many good flights.

    The size of the pieces says both: its lowest two bits are the number of flights of a good peer
    that go before; one of them is mutated where the next bit is set.
    """
    layer = CERTIFICATES.layer(role)
    layer_says = layer.start()
    good = CERTIFICATES.layer(Role.SERVER if role is Role.CLIENT else Role.CLIENT)
    good_says = good.start()
    for number in range(piece & 3):
        if not good_says:
            _, good_says = good.feed(layer_says)
        if piece & 4 and number == (piece & 3) - 1 and said:
            place = int.from_bytes(said[:2], "big") % max(1, len(good_says))
            good_says = good_says[:place] + said[2:] + good_says[place + len(said) - 2 :]
        plain, layer_says = layer.feed(good_says)
        assert not plain
        good_says = b""
        if layer_says and not good.established:
            _, good_says = good.feed(layer_says)
            layer_says = b""
    try:
        for part in cut(said, piece):
            plain, _ = layer.feed(part)
            assert not plain, "bytes that no peer of ours protected came out of TLS"
    finally:
        layer.farewell()


def answer(connection: Connection, happening: Happening) -> list[Happening]:
    """Do what comes next in the handshake, and return what the peer had said to it already."""
    if isinstance(happening, Preamble):
        if connection.role is Role.SERVER:
            connection.send_preamble()
            connection.send(Kind.OFFER, Offer(("none",)).encode())
        return []
    assert isinstance(happening, Frame)
    if connection.state is not State.OPEN:
        assert len(happening.body) <= PREAUTH_LIMIT
        assert not happening.buffers
    kind, body = happening.kind, happening.body
    if kind == Kind.OFFER:
        Offer.decode(body)
        connection.send(Kind.SELECT, Select("none").encode())
        connection.layer_established()
        connection.send(Kind.HELLO, CLIENT_HELLO)
    elif kind == Kind.SELECT:
        Select.decode(body)
        rest = connection.take_rest()
        connection.layer_established()
        return connection.receive_data(rest)
    elif kind == Kind.REFUSE:
        Refusal.decode(body)
    elif kind == Kind.HELLO and connection.role is Role.SERVER:
        ClientHello.decode(body)
        connection.send(Kind.HELLO, SERVER_HELLO)
    elif kind == Kind.HELLO:
        ServerHello.decode(body)
    return []


def allocate(size: int) -> bytearray:
    """What the connection gets its memory from."""
    assert size <= PREAUTH_LIMIT, f"{size} bytes asked for before the peer is known"
    return bytearray(size)


def repaired(said: bytes) -> bytes:
    """The same bytes with good checksums, as far as they look like frames."""
    data = bytearray(said)
    offset = 32
    while offset + 32 <= len(data):
        struct.pack_into("!I", data, offset + 28, crc32(data[offset : offset + 28]))
        buffers, length = struct.unpack_from("!2xH16xQ", data, offset)
        offset += 32
        if buffers:
            end = offset + 8 * buffers
            if end + 4 > len(data):
                break
            struct.pack_into("!I", data, end, crc32(data[offset:end]))
            length += sum(struct.unpack_from(f"!{buffers}Q", data, offset))
            offset = end + 4
        offset += length
    return bytes(data)


def seeds() -> list[bytes]:
    """Inputs to begin with: each side of each conversation, and each vector by itself."""
    vectors = json.loads(VECTORS.read_text("utf-8"))
    found = []
    for conversation in vectors["conversations"]:
        for side, how in (("client", 0), ("server", AS_CLIENT)):
            steps = [step["hex"] for step in conversation["steps"] if step["from"] == side]
            found.append(bytes((how, 0)) + bytes.fromhex("".join(steps)))
    for vector in vectors["valid"] + vectors["invalid"]:
        data = bytes.fromhex(vector["hex"])
        if vector["type"] == "preamble":
            found += [b"\0\0" + data, b"\1\1" + data]
        elif vector["type"] == "message":
            found.append(bytes((MESSAGE, 4)) + data)
        else:
            found += [bytes((how | GOOD_PREAMBLE | REPAIR, 0)) + data for how in (0, AS_CLIENT)]
        if "message_type" in vector and "fields" in vector:
            kind = [kind.__name__ for kind in MESSAGES].index(vector["message_type"])
            found.append(bytes((MESSAGE, kind)) + bytes.fromhex(vector["fields"]["body"]))
            # The same frame with an empty buffer; its checksums are put right later.
            with_buffer = data[:2] + b"\0\1" + data[4:32] + bytes(12) + data[32:]
            found += [
                bytes((how | GOOD_PREAMBLE | REPAIR, 0)) + with_buffer for how in (0, AS_CLIENT)
            ]
    for kind in [value for name, value in vars(Kind).items() if name.isupper()]:
        # A pickle as the body of each kind of frame, and in each state: instead of what is
        # expected, and after that.
        marked = struct.pack("!BBHIIQQI", kind, 0, 0, 1, 0, 1, len(MARKED), 0) + MARKED
        select, offer = (
            struct.pack("!BBHIIQQI", number, 0, 0, 0, 0, 0, len(body), 0) + body
            for number, body in (
                (Kind.SELECT, Select("none").encode()),
                (Kind.OFFER, Offer(("none",)).encode()),
            )
        )
        how = GOOD_PREAMBLE | REPAIR
        found += [bytes((how, 0)) + before + marked for before in (b"", select)]
        found += [bytes((how | AS_CLIENT, 0)) + before + marked for before in (b"", offer)]
    found += [bytes((MESSAGE, kind)) + MARKED for kind in range(len(MESSAGES))]
    for how in (TLS, TLS | AS_CLIENT):
        hello = CERTIFICATES.layer(Role.CLIENT).start()
        found += [bytes((how, 0)) + said for said in (hello, hello + MARKED, MARKED)]
        found += [bytes((how, piece)) + b"\x17\3\3\0\x20" * 9 for piece in (2, 7)]
    for scalar in (b"1", b'"x"', b"[]", b"null", b"true"):
        found += [bytes((MESSAGE, kind)) + scalar for kind in range(len(MESSAGES))]
    return found


#: How many of the inputs whose first bytes were drawn anew may be about TLS.
TLS_SHARE = 0.02

INTERESTING = [0, 1, 2, 0x7F, 0x80, 0xFF]
TOKENS = [b"[" * 5000, b'{"a":' * 5000, b"[{}," * 5000, b"9" * 5000, b"\\ud800", b"null", b"1e999"]


def mutated(data: bytes, corpus: list[bytes], chance: random.Random) -> bytes:
    """The input after one to five changes."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 5)):
        place = chance.randrange(len(changed) + 1)
        length = min(chance.choice([1, 1, 2, 4, 8, 32, 1000]), len(changed) - place)
        change = chance.randrange(8)
        if change == 0 and length:
            changed[place] ^= 1 << chance.randrange(8)
        elif change == 1 and length:
            changed[place] = chance.choice(INTERESTING)
        elif change == 2:
            del changed[place : place + length]
        elif change == 3:
            changed[place:place] = chance.randbytes(length)
        elif change == 4:
            changed[place:place] = changed[place : place + length] * chance.choice([1, 10, 1000])
        elif change == 5:
            changed[place:place] = chance.choice(TOKENS)
        elif change == 6:
            other = chance.choice(corpus)
            changed[place:] = other[chance.randrange(len(other)) :]
        else:
            how = chance.randrange(256)
            if chance.random() > TLS_SHARE:  # a handshake takes a hundred times as long as the rest
                how &= ~TLS
            changed[: min(2, len(changed))] = bytes((how, chance.randrange(256)))[: len(changed)]
    return bytes(changed[:INPUT_LIMIT])


def endless(seed: int) -> Iterator[bytes]:
    """Every seed as it is, and then mutations without end."""
    corpus = seeds()
    yield from corpus
    chance = random.Random(seed)
    while True:
        yield mutated(chance.choice(corpus), corpus, chance)


def by_mutation(options: argparse.Namespace) -> None:
    """Run as many inputs as there may be; keep the one that fails."""
    end = time.monotonic() + options.seconds
    runs = 0
    for data in endless(options.seed):
        if runs >= options.runs or time.monotonic() > end:
            break
        runs += 1
        try:
            one_input(data)
        except BaseException:
            path = Path(f"crash-{hashlib.sha1(data).hexdigest()}")
            path.write_bytes(data)
            print(f"input {runs} of seed {options.seed} failed; it is in {path}", file=sys.stderr)
            raise
    print(f"{runs} inputs of seed {options.seed}, no failure")


def grown() -> int:
    """The most memory that this process has had, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def by_coverage(options: argparse.Namespace) -> None:
    """Let atheris find the inputs; it ends the process."""
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds()):
            Path(corpus, str(number)).write_bytes(seed)
        arguments: list[Any] = [sys.argv[0], corpus, f"-max_len={INPUT_LIMIT}", "-timeout=10"]
        arguments += [f"-runs={options.runs}", f"-max_total_time={options.seconds}"]
        arguments += [f"-seed={options.seed}", "-print_final_stats=1", "-verbosity=0"]
        atheris.Setup(arguments, one_input)
        atheris.Fuzz()


def main() -> None:
    """Fuzz for as long as the arguments say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20_000, help="inputs at most")
    parser.add_argument("--seconds", type=int, default=60, help="time at most")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers")
    parser.add_argument("--kerberos", type=int, default=500, help="connections with Kerberos; or 0")
    parser.add_argument("files", nargs="*", type=Path, help="inputs to run instead")
    options = parser.parse_args()
    pickle.loads(MARKED)
    assert hasattr(builtins, "farm_marked"), "the mark cannot be seen"
    del builtins.farm_marked  # type: ignore[attr-defined]
    tracemalloc.start()
    if options.files:
        for path in options.files:
            one_input(path.read_bytes())
    elif atheris:
        by_coverage(options)
    else:
        seeds()
        before, began = grown(), time.monotonic()
        by_mutation(options)
        growth = grown() - before
        print(f"{time.monotonic() - began:.0f} s; the process grew by {growth >> 20} MB")
        assert growth < GROWTH_LIMIT
    if options.kerberos and not options.files:
        import gss  # the module of this folder

        tracemalloc.stop()
        marked = lambda: hasattr(builtins, "farm_marked")  # noqa: E731
        gss.main(options.kerberos, options.seconds, options.seed, MARKED, marked)


if __name__ == "__main__":
    main()
