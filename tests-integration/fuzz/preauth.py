"""Fuzz what reads a peer's bytes before anybody knows who the peer is.

One input is one peer: its first two bytes say how the rest arrives, the rest is what the peer
sends. It meets a `Connection` of either role, driven through the whole handshake as `stream`
drives it, or one of the decoders of the handshake's messages. Whatever it sends:

- only farm's own errors come out;
- never more than 64 KiB are asked for at once, and 4 MiB are never exceeded;
- nothing takes longer than a moment.

With atheris installed it is guided by coverage; without it, it mutates the golden vectors, the
same way for the same ``--seed``. Random bytes would rarely get past a checksum, so half of the
inputs have theirs put right before they are sent.

Usage: ``python tests-integration/fuzz/preauth.py [--runs N] [--seconds S] [--seed N] [FILE...]``;
with files, each of them is one input, as written when an input failed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import random
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
    from farm_common.connection import Connection, Happening
    from farm_common.errors import FarmError
    from farm_common.frames import PREAUTH_LIMIT, Frame, Kind
    from farm_common.handshake import ClientHello, Offer, Preamble, Refusal, Select, ServerHello
    from farm_common.states import Role, State
    from farm_common.testing import client_hello, cut, server_hello

VECTORS = Path(__file__).parents[2] / "docs" / "reference" / "vectors" / "protocol1.json"

MEMORY_LIMIT = 4 << 20
SECONDS_LIMIT = 2.0
INPUT_LIMIT = 3 * PREAUTH_LIMIT

#: Bits of an input's first byte; its second is the size of the pieces, 0 for all at once.
AS_CLIENT, REPAIR, GOOD_PREAMBLE, MESSAGE = 1, 2, 4, 8

MESSAGES = (Offer, Select, Refusal, ClientHello, ServerHello)
CLIENT_HELLO, SERVER_HELLO = client_hello().encode(), server_hello().encode()


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
    started = time.perf_counter()
    try:
        if how & MESSAGE:
            MESSAGES[piece % len(MESSAGES)].decode(said)
        else:
            meet(Role.CLIENT if how & AS_CLIENT else Role.SERVER, said, piece)
    except FarmError:
        pass
    elapsed = time.perf_counter() - started
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
    for scalar in (b"1", b'"x"', b"[]", b"null", b"true"):
        found += [bytes((MESSAGE, kind)) + scalar for kind in range(len(MESSAGES))]
    return found


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
            changed[: min(2, len(changed))] = chance.randbytes(2)[: len(changed)]
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
    parser.add_argument("files", nargs="*", type=Path, help="inputs to run instead")
    options = parser.parse_args()
    tracemalloc.start()
    if options.files:
        for path in options.files:
            one_input(path.read_bytes())
    elif atheris:
        by_coverage(options)
    else:
        by_mutation(options)


if __name__ == "__main__":
    main()
