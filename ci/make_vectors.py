"""Write the golden vectors of protocol 1: docs/reference/vectors/protocol1.json.

Made from the specification with the standard library alone. This must never import farm: what
two independent programs agree on is the protocol, what one of them says twice is not. What each
key of the file means is in docs/reference/protocol.md, "Vectors".

Usage: ``python ci/make_vectors.py [--check]``; with ``--check`` nothing is written, and the exit
status is 1 when the file is not what would be.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from hashlib import blake2b
from pathlib import Path
from typing import Any
from zlib import crc32

PATH = Path(__file__).parents[1] / "docs" / "reference" / "vectors" / "protocol1.json"

MAGIC = b"\x93farm\r\n\0"
SESSION = bytes(range(16))

KINDS = {
    "OFFER": 0x01,
    "SELECT": 0x02,
    "REFUSE": 0x03,
    "HELLO": 0x04,
    "FUNCTION": 0x10,
    "TASK": 0x11,
    "SHARED": 0x12,
    "RELEASE": 0x13,
    "MODULE": 0x14,
    "FORGET": 0x15,
    "RESULT": 0x18,
    "ERROR": 0x19,
    "IMPORT": 0x1A,
    "OUTPUT": 0x90,
    "PING": 0x20,
    "PONG": 0x21,
    "GOODBYE": 0x22,
    "ACK": 0x23,
    "STATUS": 0x30,
    "STATUS_REPLY": 0x31,
    "DRAIN": 0x32,
    "DRAINING": 0x33,
    "KILL": 0x34,
    "KILLED": 0x35,
}
BATCH, OPTIONS, BYTECODE = 0x01, 0x02, 0x04
RESUME = 0x01  # of a preamble

CLIENT_HELLO = {
    "farm": "0.1.0",
    "implementation": "cpython",
    "python": [3, 11, 2],
    "magic": "a70d0d0a",
    "pickle": 5,
    "frame_limit": 1 << 32,
    "features": [],
    "role": "work",
    "name": "farm-client",
    "index": 0,
    "output": "forward",
    "received": 0,
}
SERVER_HELLO = {
    "farm": "0.1.0",
    "implementation": "pypy",
    "python": [3, 9, 16],
    "magic": "5001",
    "pickle": 5,
    "frame_limit": 1 << 33,
    "features": ["resume"],
    "server": "4f1c",
    "name": "büro",
    "host": "node7.example",
    "pid": 4711,
    "workers": 8,
    "tags": ["gpu"],
    "session": SESSION.hex(),
    "lost": None,
    "grace": 0,
    "received": 0,
}

# Pickles, assembled by hand: what any writer of protocol 5 may write, if not what all do.
PROTO = b"\x80\x05"
ARGS = PROTO + b"G" + struct.pack(">d", 16.0) + b"\x85}\x86."
ARGS_BATCH = PROTO + b"](K\x01\x85K\x02\x85K\x03\x85e."
VALUE = PROTO + b"G" + struct.pack(">d", 4.0) + b"."
VALUE_BATCH = PROTO + b"](K\x01K\x04K\x09e."
OUT_OF_BAND = PROTO + b"\x97\x97\x86."
HELD = PROTO + b"]}\x8c\x04args\x8c\x02no\x85sa."
HELD_CHAIN = (
    PROTO
    + b"](}(\x8c\x04args\x8c\x02no\x85\x8c\x0aattributes}\x8c\x04when"
    + b"(K\x00C\x19"
    + PROTO
    + b"\x8c\x08builtins\x8c\x05range\x93K\x03\x85R."
    + b"]\x8c\x0brange(0, 3)tsu}\x8c\x04argsK\x01K\x01\x86\x85se."
)


def preamble(low: int = 1, high: int = 1, flags: int = 0, session: bytes = bytes(16)) -> bytes:
    """A side's first 32 bytes."""
    return struct.pack(">8sHHI16s", MAGIC, low, high, flags, session)


def header(
    kind: int, flags: int, buffers: int, count: int, micros: int, ident: int, n: int
) -> bytes:
    """A frame's first 32 bytes."""
    start = struct.pack(">BBHIIQQ", kind, flags, buffers, count, micros, ident, n)
    return start + struct.pack(">I", crc32(start))


def table(sizes: list[int]) -> bytes:
    """The lengths of a frame's buffers."""
    start = struct.pack(f">{len(sizes)}Q", *sizes)
    return start + struct.pack(">I", crc32(start)) if sizes else b""


def frame(
    kind: int,
    body: bytes = b"",
    *,
    flags: int = 0,
    count: int = 0,
    micros: int = 0,
    ident: int = 0,
    buffers: tuple[bytes, ...] = (),
) -> bytes:
    """A whole frame."""
    sizes = [len(buffer) for buffer in buffers]
    head = header(kind, flags, len(buffers), count, micros, ident, len(body))
    return b"".join((head, table(sizes), body, *buffers))


def text(value: dict[str, Any]) -> bytes:
    """A JSON object as farm writes it: compact, in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def sized(value: dict[str, Any]) -> bytes:
    """The same after its length."""
    return struct.pack(">I", len(text(value))) + text(value)


def content_id(body: bytes) -> bytes:
    """What names a function, and a constant that functions share."""
    return blake2b(body, digest_size=16).digest()


def valid() -> list[dict[str, Any]]:
    """What every implementation reads, and writes."""
    found: list[dict[str, Any]] = []

    def add_preamble(name: str, low: int, high: int, session: bytes, resume: bool = False) -> None:
        data = preamble(low, high, RESUME if resume else 0, session)
        fields = {"versions": [low, high], "session": session.hex(), "resume": resume}
        found.append(
            {"name": name, "section": "Preamble", "type": "preamble", "fields": fields}
            | {"hex": data.hex()}
        )

    def add(name: str, section: str, kind: str, body: bytes = b"", **more: Any) -> None:
        fields: dict[str, Any] = {"flags": 0, "count": 0, "micros": 0, "ident": 0, "buffers": ()}
        fields.update({key: more.pop(key) for key in tuple(more) if key in fields})
        data = frame(KINDS[kind], body, **fields)
        fields["buffers"] = [buffer.hex() for buffer in fields["buffers"]]
        fields = {"kind": KINDS[kind], **fields, "body": body.hex()}
        found.append(
            {"name": name, "section": section, "type": "frame", "kind": kind, "fields": fields}
            | {
                key: value.hex() if isinstance(value, bytes) else value
                for key, value in more.items()
            }
            | {"hex": data.hex()}
        )

    add_preamble("preamble of a new session", 1, 1, bytes(16))
    add_preamble("preamble of a client that lost a connection", 1, 1, SESSION)
    add_preamble("preamble of a client that wants its session to go on", 1, 1, SESSION, True)
    add_preamble("preamble of a later release that still speaks version 1", 1, 3, bytes(16))

    ending = {"reason": "signal", "signal": "SIGKILL", "status": -9, "task": 5, "done": 4}
    messages: list[tuple[str, str, dict[str, Any]]] = [
        ("offer of no security", "OFFER", {"mechanisms": ["none"]}),
        ("offer of two mechanisms", "OFFER", {"mechanisms": ["tls", "gss"]}),
        ("select", "SELECT", {"mechanism": "none"}),
        ("refusal", "REFUSE", {"reason": "busy", "message": "no more than 200 connections"}),
        ("client's hello", "HELLO", CLIENT_HELLO),
        ("server's hello", "HELLO", SERVER_HELLO),
        (
            "server's hello that tells of a lost session",
            "HELLO",
            {**SERVER_HELLO, "lost": {**ending, "memory": None}},
        ),
        (
            "server's hello that tells of a session that it ended with its task",
            "HELLO",
            {**SERVER_HELLO, "lost": {**ending, "verdict": "timeout", "seconds": 2.25}},
        ),
        (
            "client's hello of a session that goes on",
            "HELLO",
            {**CLIENT_HELLO, "features": ["resume"], "received": 2**40},
        ),
        (
            "server's hello of a session that goes on",
            "HELLO",
            {**SERVER_HELLO, "grace": 60_000, "received": 123},
        ),
    ]
    for name, kind, message in messages:
        side = {"HELLO": "ClientHello" if message.get("role") else "ServerHello"}
        names = {"OFFER": "Offer", "SELECT": "Select", "REFUSE": "Refusal", **side}
        add(name, kind, kind, text(message), message=message, message_type=names[kind])

    by_name = b"Nmath:sqrt"
    by_pickle = b"P" + bytes(4) + PROTO + b"cmath\nsqrt\n."
    constant = PROTO + b"C\x06buffer."
    shared = content_id(constant)
    with_buffer = b"P\x00\x00\x00\x01" + shared + PROTO + b"\x97."
    with_constant = b"P" + bytes(4) + PROTO + b"C\x10" + shared + b"Q."
    named = content_id(by_name)
    add("shared constant", "SHARED", "SHARED", shared + constant)
    for name, body in [
        ("function by name", by_name),
        ("function by pickle", by_pickle),
        ("function with a buffer", with_buffer),
        ("function with a constant", with_constant),
    ]:
        ident = content_id(body)
        parts: dict[str, Any] = {
            "content_id": ident.hex(),
            "format": body[:1].decode(),
            "data": body[1:].hex(),
        }
        add(name, "FUNCTION", "FUNCTION", ident + body, parts=parts)
    add(
        *("function with bytecode", "FUNCTION", "FUNCTION", content_id(by_pickle) + by_pickle),
        flags=BYTECODE,
    )

    def add_task(name: str, pickle: bytes, value: str, options: Any = None, **more: Any) -> None:
        body = named + (sized(options) if options else b"") + pickle
        parts = {"content_id": named.hex(), "options": options, "pickle": pickle.hex()}
        add(name, "TASK", "TASK", body, **more, parts=parts, value=value)

    add_task("task", ARGS, "((16.0,), {})", ident=1, count=1)
    add_task(
        *("task with a category", ARGS, "((16.0,), {})", {"category": "sim"}),
        flags=OPTIONS,
        ident=2,
        count=1,
    )
    add_task("three tasks", ARGS_BATCH, "[(1,), (2,), (3,)]", flags=BATCH, ident=3, count=3)
    add_task(
        *("three tasks with a category", ARGS_BATCH, "[(1,), (2,), (3,)]", {"category": 7}),
        flags=BATCH | OPTIONS,
        ident=6,
        count=3,
    )
    add_task(
        *("task that may run for a second and a half", ARGS, "((16.0,), {})", {"timeout": 1.5}),
        flags=OPTIONS,
        ident=9,
        count=1,
    )
    add_task(
        *("task with buffers", OUT_OF_BAND, "(b'first', b'')"),
        ident=2**63 - 1,
        count=1,
        buffers=(b"first", b""),
    )

    parts = {"value_id": SESSION.hex(), "pickle": VALUE.hex()}
    add("shared value", "SHARED", "SHARED", SESSION + VALUE, parts=parts, value="4.0")
    ids = [SESSION.hex(), SESSION[::-1].hex()]
    add("release of two", "RELEASE", "RELEASE", bytes.fromhex("".join(ids)), parts={"ids": ids})

    add("result", "RESULT", "RESULT", VALUE, ident=1, count=1, micros=250, value="4.0")
    add(
        *("three results", "RESULT", "RESULT", VALUE_BATCH),
        flags=BATCH,
        ident=3,
        count=3,
        micros=12,
        value="[1, 4, 9]",
    )
    add(
        *("result after more than 71 minutes", "RESULT", "RESULT", VALUE),
        ident=9,
        count=1,
        micros=2**32 - 1,
        value="4.0",
    )
    add(
        *("result with a buffer of 40 bytes", "RESULT", "RESULT", PROTO + b"\x97."),
        ident=1,
        count=1,
        micros=1,
        buffers=(bytes(40),),
        value=repr(bytes(40)),
    )

    error: dict[str, Any] = {
        "report": "ValueError: no",
        "description": "Traceback …\nValueError: no\n",
    }
    first = {"class": ["builtins", "ValueError"], "text": "ValueError: no"}
    frames = [
        ["/srv/büro.py", 7, "run", "    return step(x)", 5, 7, 11, 18, 1],
        ["/srv/büro.py", 12, "step", "", 10, None, None, None, 998],
    ]
    second = {"class": ["there", "Error.Inner"], "id": SESSION.hex(), "text": "Error.Inner"}
    chain = [
        {**first, "frames": frames, "notes": ["a note"], "cause": 1, "context": 1}
        | {"suppress": True},
        second,
    ]
    killed = {"report": "killed", "description": "", "seconds": 2.25}
    for name, message, pickle in [
        ("error", {**error, "chain": [first]}, HELD),
        ("error with a cause", {**error, "chain": chain}, HELD_CHAIN),
        ("error that cannot be rebuilt", error, b""),
        ("error of a task that was killed", {**killed, "interrupted": "killed"}, b""),
        ("error of a task whose time was up", {**killed, "interrupted": "timeout"}, b""),
    ]:
        parts = {"message": message, "pickle": pickle.hex()}
        body = sized(message) + pickle
        add(name, "ERROR", "ERROR", body, ident=4, count=1, micros=90, parts=parts)
    add("error of a run", "ERROR", "ERROR", sized(error), ident=4, count=300)

    add(
        *("output", "OUTPUT", "OUTPUT", b"\x01hello\n"),
        ident=7,
        parts={"stream": 1, "data": b"hello\n".hex()},
    )
    add(
        *("output after some was dropped", "OUTPUT", "OUTPUT", b"\x02\xff"),
        ident=7,
        count=65536,
        parts={"stream": 2, "data": "ff"},
    )

    add("import", "IMPORT", "IMPORT", "büro.möbel".encode(), ident=3, parts={"name": "büro.möbel"})
    origin = "/home/ü/helper.py"
    for name, module in [
        ("module", {"kind": "module", "origin": origin, "text": "x = 'é'\n"}),
        ("empty package", {"kind": "package", "origin": "/home/ü/pack/__init__.py", "text": ""}),
        ("namespace package", {"kind": "namespace", "text": ""}),
        ("extension module", {"kind": "extension", "origin": "/home/ü/fast.so", "text": ""}),
        ("no module", {"kind": "none", "reason": "has no such module either", "text": ""}),
    ]:
        about = {key: value for key, value in module.items() if key != "text"}
        body = sized(about) + module["text"].encode()
        add(name, "MODULE", "MODULE", body, ident=3, parts={"message": about, **module})
    changed = {"modules": {"helper": origin, "pack.part": ""}}
    add("forget", "FORGET", "FORGET", text(changed), message=changed)

    add("ping", "PING", "PING", ident=0x0123456789ABCDEF)
    add("pong", "PING", "PONG", ident=0x0123456789ABCDEF)
    add("ack", "ACK", "ACK", ident=0x0123456789ABCDEF)
    add("goodbye", "GOODBYE", "GOODBYE")
    add("goodbye with a reason", "GOODBYE", "GOODBYE", text({"reason": "draining"}))
    add("status", "STATUS", "STATUS")
    reply = {"server": "4f1c", "name": "büro", "draining": False, "uptime": 12.5, "sessions": []}
    add("status reply", "STATUS", "STATUS_REPLY", text(reply), message=reply)
    add("drain", "DRAIN", "DRAIN")
    add("draining", "DRAIN", "DRAINING", text({"connections": 2}), message={"connections": 2})
    doomed = {SESSION.hex(): [[5, 5], [7, 2**63 - 1]], SESSION[::-1].hex(): [[0, 3]]}
    for name, dry_run in (("kill", False), ("kill that only counts", True)):
        message = {"sessions": doomed, "dry_run": dry_run}
        add(name, "KILL", "KILL", text(message), ident=1, message=message)
    message = {"sessions": {"4711": [[8, 8]]}, "dry_run": False}
    add("kill by pid", "KILL", "KILL", text(message), ident=1, message=message)
    killed = {"killed": {SESSION.hex(): 8}, "killed by pid": {"4711": 8}, "killed none": {}}
    for name, tasks in killed.items():
        message = {"tasks": tasks}
        add(name, "KILL", "KILLED", text(message), ident=1, message=message)
    return found


def invalid() -> list[dict[str, Any]]:
    """What every implementation refuses, and when."""
    found: list[dict[str, Any]] = []

    def add(name: str, section: str, role: str, state: str, data: bytes, **more: str) -> None:
        error = more.pop("error", "ProtocolError")
        found.append(
            {"name": name, "section": section, "type": "connection", "role": role, "state": state}
            | {"error": error, "hex": data.hex(), **more}
        )

    def add_message(name: str, section: str, kind: str, body: bytes) -> None:
        found.append(
            {"name": name, "section": section, "type": "message", "message_type": kind}
            | {"error": "ProtocolError", "hex": body.hex()}
        )

    for role, state in (("server", "START"), ("client", "PREAMBLE")):
        for name, data in [
            ("an HTTP peer", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            ("a TLS peer", b"\x15\x03\x03\x00\x02\x02\x46"),
            ("an edited line end", preamble().replace(b"\r\n", b"\n")),
            ("a cleared eighth bit", b"\x13" + preamble()[1:]),
            ("a version range from 0", preamble(0, 1)),
            ("a version range backwards", preamble(2, 1)),
        ]:
            add(name, "Preamble", role, state, data)
        add(
            *("versions 2 to 3", "Versions", role, state, preamble(2, 3)),
            error="IncompatibleVersionError",
        )

    offer = frame(KINDS["OFFER"], text({"mechanisms": ["none"]}))
    flipped = bytearray(offer)
    flipped[27] ^= 0x04
    add("a flipped bit of the length", "Frames", "client", "WAITING", bytes(flipped))
    add("checksum 0", "Frames", "client", "WAITING", offer[:28] + bytes(4) + offer[32:])
    big = header(KINDS["HELLO"], 0, 0, 0, 0, 0, 64 * 1024 + 1)
    add("65537 bytes before OPEN", "Limits", "client", "GREETED", big)
    add("65537 bytes before OPEN", "Limits", "server", "GREETING", big)
    one = header(KINDS["HELLO"], 0, 1, 0, 0, 0, 0)
    add("a buffer before OPEN", "Limits", "client", "GREETED", one)
    add("a buffer before OPEN", "Limits", "server", "GREETING", one)
    add("another kind", "States", "client", "WAITING", frame(KINDS["SELECT"]))
    add("an ignorable kind before OPEN", "Unknown kinds", "client", "WAITING", frame(0xFE))
    add("work before the hellos", "States", "server", "GREETING", frame(KINDS["TASK"]))
    add("work before the hello's answer", "States", "server", "ANSWERING", frame(KINDS["TASK"]))

    limit = {"frame_limit": "1048576"}
    for name, data in [
        ("a body over the limit", header(KINDS["TASK"], 0, 0, 1, 0, 1, 2**20 + 1)),
        ("a body of 2**64 - 1 bytes", header(KINDS["TASK"], 0, 0, 1, 0, 1, 2**64 - 1)),
        (
            "buffers over the limit together",
            header(KINDS["TASK"], 0, 2, 1, 0, 1, 1) + table([2**19, 2**19]),
        ),
        (
            "buffers of 2**65 bytes together",
            header(KINDS["TASK"], 0, 2, 1, 0, 1, 0) + table([2**64 - 1, 2**64 - 1]),
        ),
        (
            "a flipped bit in the buffer table",
            header(KINDS["TASK"], 0, 1, 1, 0, 1, 0) + b"\x01" + table([5])[1:],
        ),
    ]:
        add(name, "Limits", "server", "OPEN", data, **limit)
    add("a server's frame from a client", "States", "server", "OPEN", frame(KINDS["RESULT"]))
    add("a client's frame from a server", "States", "client", "OPEN", frame(KINDS["TASK"]))
    add("a second hello", "States", "client", "OPEN", frame(KINDS["HELLO"]))
    add("an unknown kind", "Unknown kinds", "client", "OPEN", frame(0x7E))

    for name, body in [
        ("no JSON", b"{"),
        ("no object", b"[]"),
        ("no UTF-8", b'{"mechanism":"\xff"}'),
        ("UTF-16", '{"mechanism":"none"}'.encode("utf-16")),
        ("a missing key", b"{}"),
        ("another type", b'{"mechanism":1}'),
        ("null", b'{"mechanism":null}'),
        ("not a number", b'{"mechanism":"none","x":NaN}'),
    ]:
        add_message(name, "JSON", "Select", body)
    session = SESSION.hex()
    for name, value in [
        ("KILL without sessions", {"dry_run": True}),
        ("KILL of a list", {"sessions": [session]}),
        ("KILL of no session", {"sessions": {"0123": [[1, 1]]}}),
        ("KILL of no pid", {"sessions": {"-7": [[1, 1]]}}),
        ("KILL of no tasks", {"sessions": {session: []}}),
        ("KILL of ids that are no pairs", {"sessions": {session: [1, 2]}}),
        ("KILL of three ids", {"sessions": {session: [[1, 2, 3]]}}),
        ("KILL of a fraction", {"sessions": {session: [[1, 2.0]]}}),
        ("KILL of a negative id", {"sessions": {session: [[-1, 2]]}}),
        ("KILL of an id of 64 bits", {"sessions": {session: [[1, 2**63]]}}),
        ("KILL that is dry by a number", {"sessions": {session: [[1, 1]]}, "dry_run": 1}),
    ]:
        add_message(name, "KILL", "KILL", text(value))
    for name, value in [
        ("KILLED without tasks", {}),
        ("KILLED of no session", {"tasks": {"x": 1}}),
        ("KILLED of null", {"tasks": {session: None}}),
    ]:
        add_message(name, "KILL", "KILLED", text(value))
    for key, value in [
        ("frame_limit", 65535),
        ("pickle", 4),
        ("pickle", True),
        ("pickle", 5.0),
        ("python", [3]),
        ("features", ["resume", 1]),
        ("session", "0123"),
    ]:
        body = text({**SERVER_HELLO, key: value})
        add_message(f"{key} {json.dumps(value)}", "HELLO", "ServerHello", body)
    return found


def conversations() -> list[dict[str, Any]]:
    """Whole connections, from both preambles to the end."""

    def step(sender: str, what: str, body: bytes = b"", **fields: Any) -> dict[str, str]:
        return {"from": sender, "what": what, "hex": frame(KINDS[what], body, **fields).hex()}

    def opening(role: str, *features: str) -> list[dict[str, str]]:
        known = {"features": list(features)} if features else {}
        return [
            {"from": "client", "what": "preamble", "hex": preamble().hex()},
            {"from": "server", "what": "preamble", "hex": preamble().hex()},
            step("server", "OFFER", text({"mechanisms": ["none"]})),
            step("client", "SELECT", text({"mechanism": "none"})),
            {"from": "both", "what": "layer", "hex": ""},
            step("client", "HELLO", text({**CLIENT_HELLO, "role": role, **known})),
            step("server", "HELLO", text({**SERVER_HELLO, **known})),
        ]

    returning = preamble(1, 1, RESUME, SESSION).hex()
    resume = {"features": ["resume"]}
    body = b"Nmath:sqrt"
    ident = content_id(body)
    own = b"Nhelper:double"
    owned = content_id(own)
    given = sized({"kind": "module", "origin": "/home/u/helper.py"})
    given += b"def double(x):\n    return 2 * x\n"
    return [
        {
            "name": "one task",
            "steps": [
                *opening("work"),
                step("client", "FUNCTION", ident + body),
                step("client", "TASK", ident + ARGS, ident=1, count=1),
                step("server", "RESULT", VALUE, ident=1, count=1, micros=3),
                step("client", "GOODBYE"),
            ],
        },
        {
            "name": "a module that only the client has, and that changes",
            "steps": [
                *opening("work", "modules"),
                step("client", "FUNCTION", owned + own),
                step("client", "TASK", owned + ARGS, ident=1, count=1),
                step("server", "IMPORT", b"helper", ident=1),
                step("client", "MODULE", given, ident=1),
                step("server", "RESULT", VALUE, ident=1, count=1, micros=900),
                step("client", "FORGET", text({"modules": {"helper": "/home/u/helper.py"}})),
                step("client", "FUNCTION", owned + own),
                step("client", "TASK", owned + ARGS, ident=2, count=1),
                step("client", "GOODBYE"),
            ],
        },
        {
            "name": "a session that goes on where it was interrupted",
            "steps": [
                {"from": "client", "what": "preamble", "hex": returning},
                {"from": "server", "what": "preamble", "hex": preamble(session=SESSION).hex()},
                step("server", "OFFER", text({"mechanisms": ["none"]})),
                step("client", "SELECT", text({"mechanism": "none"})),
                {"from": "both", "what": "layer", "hex": ""},
                step("client", "HELLO", text({**CLIENT_HELLO, **resume, "received": 0})),
                step(
                    "server",
                    "HELLO",
                    text({**SERVER_HELLO, **resume, "grace": 60_000, "received": 58 + 63}),
                ),
                # The function and a first task, 58 and 63 bytes, have arrived before.
                step("server", "RESULT", VALUE, ident=1, count=1, micros=3),
                step("client", "TASK", ident + ARGS, ident=2, count=1),
                step("server", "RESULT", VALUE, ident=2, count=1, micros=3),
                step("client", "ACK", ident=2 * 44),
                step("client", "GOODBYE"),
            ],
        },
        {
            "name": "control",
            "steps": [
                *opening("control"),
                step("client", "PING", ident=1),
                step("server", "PONG", ident=1),
                step("client", "DRAIN"),
                step("server", "DRAINING", text({"connections": 0})),
                step("client", "GOODBYE"),
            ],
        },
        {
            "name": "a task is killed",
            "steps": [
                *opening("control", "kill"),
                step("client", "KILL", text({"sessions": {SESSION.hex(): [[3, 5]]}}), ident=1),
                step("server", "KILLED", text({"tasks": {SESSION.hex(): 4}}), ident=1),
                step("client", "GOODBYE"),
            ],
        },
        {
            "name": "refused before security",
            "steps": [
                *opening("work")[:2],
                step("server", "REFUSE", text({"reason": "busy", "message": "try again later"})),
            ],
        },
        {
            "name": "refused after hello",
            "steps": [
                *opening("work")[:-1],
                step("server", "REFUSE", text({"reason": "auth", "message": "not you"})),
            ],
        },
    ]


def main() -> int:
    """Write the file, or compare it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    arguments = parser.parse_args()
    vectors = {
        "protocol": 1,
        "generator": "ci/make_vectors.py",
        "valid": valid(),
        "invalid": invalid(),
        "conversations": conversations(),
    }
    wanted = json.dumps(vectors, indent=1) + "\n"
    if not arguments.check:
        PATH.parent.mkdir(parents=True, exist_ok=True)
        PATH.write_text(wanted, encoding="ascii")
        return 0
    if not PATH.exists() or PATH.read_text(encoding="ascii") != wanted:
        print(f"{PATH} is not what {parser.prog} makes: run it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
