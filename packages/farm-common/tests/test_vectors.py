"""The golden vectors: what an independent program wrote is what farm writes, reads and refuses."""

import ast
import json
import pickle
import struct
import traceback
from hashlib import blake2b
from pathlib import Path

import pytest

from farm_common import errors, handshake
from farm_common.connection import Connection
from farm_common.frames import NAMES, Flag, Frame, FrameReader, Kind, encode_frame
from farm_common.handshake import Offer, Preamble, Select
from farm_common.kills import (
    pack_kill,
    pack_killed,
    pack_leave,
    unpack_kill,
    unpack_killed,
    unpack_leave,
)
from farm_common.shipping import unpack_exception
from farm_common.shipping.interruptions import unpack_interruption
from farm_common.shipping.modules import (
    GivenModule,
    pack_changes,
    pack_module,
    unpack_changes,
    unpack_module,
)
from farm_common.states import Role, State
from farm_common.testing import ConnectionPair, client_hello, cut

PATH = Path(__file__).parents[3] / "docs" / "reference" / "vectors" / "protocol1.json"
if not PATH.exists():
    pytest.skip("the vectors are in a checkout only", allow_module_level=True)

VECTORS = json.loads(PATH.read_text("utf-8"))
MESSAGES = {"KILL": unpack_kill, "KILLED": unpack_killed, "LEAVE": unpack_leave}
ROLES = {"client": Role.CLIENT, "server": Role.SERVER}


def named(vectors):
    """The vectors as parameters, each with a name of its own."""
    return [
        pytest.param(vector, id=f"{number}-{vector['name']}".replace(" ", "-"))
        for number, vector in enumerate(vectors)
    ]


def of_type(kind, vectors=VECTORS["valid"]):
    """Those of one type."""
    return named([vector for vector in vectors if vector["type"] == kind])


def plain(frame):
    """The frame with plain bytes in it."""
    return frame._replace(body=bytes(frame.body), buffers=tuple(map(bytes, frame.buffers)))


def frame_of(fields):
    """The frame that a vector describes."""
    fields = {**fields, "body": bytes.fromhex(fields["body"])}
    return Frame(**{**fields, "buffers": tuple(map(bytes.fromhex, fields["buffers"]))})


def encode(frame):
    """The frame's bytes."""
    fields = frame._asdict()
    return b"".join(encode_frame(fields.pop("kind"), fields.pop("body"), **fields))


def parts(vector):
    """The frame's body and buffers, and what the vector says is in them."""
    frame = frame_of(vector["fields"])
    return frame, frame.body, vector["parts"]


@pytest.mark.parametrize("vector", of_type("preamble"))
def test_preamble(vector):
    """These fields are these bytes, both ways."""
    versions = tuple(vector["fields"]["versions"])
    session, resume = vector["fields"]["session"], vector["fields"]["resume"]
    preamble = Preamble(versions, bytes.fromhex(session), resume)
    assert preamble.encode().hex() == vector["hex"]
    assert Preamble.decode(bytes.fromhex(vector["hex"])) == preamble


class TestFrames:
    @pytest.mark.parametrize("vector", of_type("frame"))
    def test_encode(self, vector):
        """These fields are these bytes."""
        assert encode(frame_of(vector["fields"])).hex() == vector["hex"]

    @pytest.mark.parametrize("vector", of_type("frame"))
    @pytest.mark.parametrize("piece", [0, 1], ids=["whole", "byte-by-byte"])
    def test_decode(self, vector, piece):
        """These bytes are these fields, also with another frame behind them."""
        reader = FrameReader(1 << 20)
        data = bytes.fromhex(vector["hex"])
        got = [frame for part in cut(data * 2, piece) for frame in reader.feed(part)]
        assert [plain(frame) for frame in got] == [frame_of(vector["fields"])] * 2

    @pytest.mark.parametrize("vector", of_type("frame"))
    def test_kind(self, vector):
        """The kind has this name."""
        assert NAMES[vector["fields"]["kind"]] == vector["kind"]

    def test_all_kinds_are_there(self):
        """No kind is without a vector."""
        assert {vector["kind"] for vector in VECTORS["valid"] if "kind" in vector} == {
            *NAMES.values()
        }


def test_sections():
    """Every vector names the section of the specification that it is about."""
    page = (PATH.parents[1] / "protocol.md").read_text("utf-8")
    headings = {line.lstrip("#").strip() for line in page.splitlines() if line.startswith("#")}
    assert {vector["section"] for vector in VECTORS["valid"] + VECTORS["invalid"]} <= headings


class TestBodies:
    @pytest.mark.parametrize(
        "vector", named([one for one in VECTORS["valid"] if "message_type" in one])
    )
    def test_message(self, vector):
        """The body is this message, both ways."""
        kind = getattr(handshake, vector["message_type"])
        body = bytes.fromhex(vector["fields"]["body"])
        values = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in vector["message"].items()
        }
        assert kind.decode(body) == kind(**values)
        assert kind(**values).encode() == body

    @pytest.mark.parametrize(
        "vector",
        named([one for one in VECTORS["valid"] if "message" in one and "message_type" not in one]),
    )
    def test_json(self, vector):
        """The body is this JSON object."""
        body = bytes.fromhex(vector["fields"]["body"])
        assert handshake.decode_json(body, "x") == vector["message"]
        assert handshake.encode_json(vector["message"]) == body

    @pytest.mark.parametrize("vector", named([one for one in VECTORS["valid"] if "value" in one]))
    def test_pickle(self, vector):
        """The pickle gives this value, with the buffers where it wants them."""
        frame = frame_of(vector["fields"])
        data = bytes.fromhex(vector["parts"]["pickle"]) if "parts" in vector else frame.body
        assert frame.body.endswith(data)
        value = pickle.loads(data, buffers=frame.buffers)
        assert value == ast.literal_eval(vector["value"])
        if frame.flags & Flag.BATCH:
            assert len(value) == frame.count

    @pytest.mark.parametrize(
        "vector",
        named(
            [one for one in VECTORS["valid"] if one.get("kind") == "FUNCTION" and "parts" in one]
        ),
    )
    def test_function(self, vector):
        """A function's id is the digest of what follows it."""
        frame, body, expected = parts(vector)
        digest = blake2b(body[16:] + b"".join(frame.buffers), digest_size=16)
        assert body[:16] == digest.digest() == bytes.fromhex(expected["content_id"])
        assert body[16:17].decode() == expected["format"]
        assert body[17:].hex() == expected["data"]

    @pytest.mark.parametrize(
        "vector", named([one for one in VECTORS["valid"] if one.get("kind") == "TASK"])
    )
    def test_task(self, vector):
        """A task's body is an id, options where the flag says so, and a pickle."""
        frame, body, expected = parts(vector)
        rest = body[16:]
        options = None
        if frame.flags & Flag.OPTIONS:
            (length,) = struct.unpack_from("!I", rest)
            options = handshake.decode_json(rest[4 : 4 + length], "options")
            rest = rest[4 + length :]
        assert body[:16].hex() == expected["content_id"]
        assert options == expected["options"]
        assert rest.hex() == expected["pickle"]

    @pytest.mark.parametrize(
        "vector",
        named([one for one in VECTORS["valid"] if one.get("kind") == "ERROR" and "parts" in one]),
    )
    def test_error(self, vector):
        """An error's body is a sized text and perhaps a pickle; both are an exception."""
        _, body, expected = parts(vector)
        (length,) = struct.unpack_from("!I", body)
        assert handshake.decode_json(body[4 : 4 + length], "error") == expected["message"]
        assert body[4 + length :].hex() == expected["pickle"]
        message = expected["message"]
        report, description, error = unpack_exception(body, load=True)
        assert (report, description) == (message["report"], message["description"])
        assert repr(error) == ("ValueError('no')" if expected["pickle"] else "None")
        if len(message.get("chain", ())) == 2:
            assert (error.when, error.__notes__) == (range(3), ["a note"])
            assert error.__cause__ is error.__context__
            assert str(error.__cause__) == "Error.Inner"  # whose class is not here
            assert error.__suppress_context__
            first, *others = traceback.extract_tb(error.__traceback__)
            assert (first.filename, first.lineno, first.name) == ("/srv/büro.py", 7, "run")
            assert first.line == "return step(x)"
            assert [(frame.lineno, frame.name) for frame in others] == [(12, "step")] * 998

    @pytest.mark.parametrize(
        "vector", named([one for one in VECTORS["valid"] if one.get("kind") == "MODULE"])
    )
    def test_module(self, vector):
        """A module's body is this answer, both ways."""
        _, body, expected = parts(vector)
        expected.pop("message")
        module = GivenModule(**expected)
        assert unpack_module(body) == module
        assert pack_module(module) == body

    @pytest.mark.parametrize(
        "vector", named([one for one in VECTORS["valid"] if one.get("kind") == "FORGET"])
    )
    def test_changes(self, vector):
        """What has changed is this body, both ways."""
        body = bytes.fromhex(vector["fields"]["body"])
        modules = vector["message"]["modules"]
        assert unpack_changes(body) == modules
        assert pack_changes(modules) == body

    @pytest.mark.parametrize(
        "vector", named([one for one in VECTORS["valid"] if "dry_run" in one.get("message", {})])
    )
    def test_kill(self, vector):
        """The tasks in question are this body, both ways."""
        body = bytes.fromhex(vector["fields"]["body"])
        message = vector["message"]
        sessions, dry_run = unpack_kill(body)
        assert {name: [list(span) for span in spans] for name, spans in sessions.items()} == (
            message["sessions"]
        )
        assert dry_run is message["dry_run"]
        assert pack_kill(sessions, dry_run) == body

    @pytest.mark.parametrize(
        "vector", named([one for one in VECTORS["valid"] if one.get("kind") == "KILLED"])
    )
    def test_killed(self, vector):
        """The tasks that were ended are this body, both ways."""
        body = bytes.fromhex(vector["fields"]["body"])
        tasks = vector["message"]["tasks"]
        assert unpack_killed(body) == tasks
        assert pack_killed(tasks) == body

    @pytest.mark.parametrize(
        "vector", named([one for one in VECTORS["valid"] if one.get("kind") == "LEAVE"])
    )
    def test_leave(self, vector):
        """The sessions that are over are this body, both ways."""
        body = bytes.fromhex(vector["fields"]["body"])
        sessions = vector["message"]["sessions"]
        assert unpack_leave(body) == sessions
        assert pack_leave(sessions) == body

    @pytest.mark.parametrize(
        "vector", named([one for one in VECTORS["valid"] if one.get("kind") == "ERROR"])
    )
    def test_interruption(self, vector):
        """An error says whether the task was ended, why, and after how long."""
        body = bytes.fromhex(vector["fields"]["body"])
        message = vector.get("parts", {}).get("message", {})
        ended = unpack_interruption(body)
        assert (ended is not None) is ("interrupted" in message)
        if ended is not None:
            assert ended == (message["interrupted"], 2.25, message["description"])


def brought_to(vector):
    """A connection in the role and state that a vector asks for."""
    role, state = ROLES[vector["role"]], State[vector["state"]]
    limit = int(vector.get("frame_limit", 1 << 20))
    pair = ConnectionPair(
        client=Connection(Role.CLIENT, frame_limit=limit),
        server=Connection(Role.SERVER, frame_limit=limit),
    )
    steps = [
        lambda: pair.preamble(Role.CLIENT),
        lambda: pair.preamble(Role.SERVER),
        lambda: pair.send(Role.SERVER, Kind.OFFER, Offer(("none",)).encode()),
        lambda: pair.send(Role.CLIENT, Kind.SELECT, Select("none").encode()),
        pair.client.layer_established,
        pair.server.layer_established,
        lambda: pair.send(Role.CLIENT, Kind.HELLO, client_hello().encode()),
        lambda: pair.send(Role.SERVER, Kind.HELLO, b"{}"),
    ]
    end = pair.end(role)
    for step in steps:
        if end.state is state:
            break
        step()
    assert end.state is state
    return end


class TestRefused:
    @pytest.mark.parametrize("vector", of_type("connection", VECTORS["invalid"]))
    @pytest.mark.parametrize("piece", [0, 1], ids=["whole", "byte-by-byte"])
    def test_connection(self, vector, piece):
        """In this state these bytes are this error, and no memory is asked for."""
        end = brought_to(vector)
        asked = []
        end.reader._allocate = lambda size: asked.append(size) or bytearray(size)
        data = bytes.fromhex(vector["hex"])
        with pytest.raises(errors.ProtocolError) as caught:
            list(map(end.receive_data, cut(data, piece)))
        assert type(caught.value).__name__ == vector["error"]
        assert end.state is State.CLOSED
        assert all(size <= 64 * 1024 for size in asked)

    @pytest.mark.parametrize("vector", of_type("message", VECTORS["invalid"]))
    def test_message(self, vector):
        """These bytes are no such message."""
        name = vector["message_type"]
        decode = MESSAGES.get(name) or getattr(handshake, name).decode
        with pytest.raises(errors.ProtocolError):
            decode(bytes.fromhex(vector["hex"]))


@pytest.mark.parametrize("vector", named(VECTORS["conversations"]))
@pytest.mark.parametrize("piece", [0, 1], ids=["whole", "byte-by-byte"])
def test_conversation(vector, piece):
    """Both ends write these bytes, in this order, and read them, to the end."""
    pair = ConnectionPair(piece=piece)
    for step in vector["steps"]:
        data = bytes.fromhex(step["hex"])
        if step["from"] == "both":
            pair.client.layer_established()
            pair.server.layer_established()
            continue
        sender = ROLES[step["from"]]
        end = pair.end(sender)
        if step["what"] == "preamble":
            preamble = Preamble.decode(data)
            assert end.send_preamble(preamble.session, preamble.resume) == data
        else:
            (frame,) = FrameReader(1 << 20).feed(data)
            fields = frame._asdict()
            assert NAMES[fields["kind"]] == step["what"]
            assert b"".join(end.send(fields.pop("kind"), fields.pop("body"), **fields)) == data
        (happened,) = pair.deliver(sender, data)
        if step["what"] != "preamble":
            assert plain(happened) == plain(frame)
    assert pair.client.state is pair.server.state is State.CLOSED
