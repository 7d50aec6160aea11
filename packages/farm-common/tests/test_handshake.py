"""Preambles, offers and hellos: what they are on the wire, and what is refused."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm_common import IncompatibleVersionError, ProtocolError
from farm_common.frames import PREAUTH_LIMIT
from farm_common.handshake import (
    MAGIC,
    NEW_SESSION,
    PREAMBLE_SIZE,
    ClientHello,
    Offer,
    Preamble,
    Refusal,
    Select,
    ServerHello,
    check_magic,
    common_version,
    decode_json,
    encode_json,
)
from farm_common.testing import client_hello, server_hello

SESSION = bytes(range(16))

MESSAGES = [
    Offer(("none",)),
    Offer(("tls", "gss")),
    Offer(()),
    Select("none"),
    Refusal("busy", "two hundred connections are too many"),
    client_hello(),
    client_hello(name="Grüße", index=-1, role="control", output="discard", features=("resume",)),
    server_hello(),
    server_hello(tags=("gpu", "big"), lost={"reason": "exit", "status": 3}),
]


class TestPreamble:
    def test_bytes(self):
        """A preamble is exactly these bytes."""
        assert Preamble((1, 2), SESSION).encode() == bytes.fromhex(
            "93 6661726d 0d0a00  0001 0002  00000000  000102030405060708090a0b0c0d0e0f"
        )

    @pytest.mark.parametrize("versions", [(1, 1), (1, 65535), (7, 9)])
    @pytest.mark.parametrize("session", [NEW_SESSION, SESSION], ids=["new", "old"])
    def test_round_trip(self, versions, session):
        """What is written is read."""
        preamble = Preamble(versions, session)
        assert len(preamble.encode()) == PREAMBLE_SIZE == 32
        assert Preamble.decode(preamble.encode()) == preamble

    def test_flags(self):
        """The last bit of the flags is `resume`; a later version gives the others a meaning."""
        data = bytearray(Preamble(resume=True).encode())
        assert data[12:16] == b"\0\0\0\1"
        data[12:16] = b"\xff\xff\xff\xff"
        assert Preamble.decode(bytes(data)) == Preamble(resume=True)
        data[15] = 0xFE
        assert Preamble.decode(bytes(data)) == Preamble()

    @pytest.mark.parametrize(
        "versions",
        [(0, 0), (0, 1), (2, 1)],
        ids=["zero", "from-zero", "backwards"],
    )
    def test_bad_range(self, versions):
        """Versions start at 1, and the lowest comes first."""
        with pytest.raises(ProtocolError, match="version range {} to {}".format(*versions)):
            Preamble.decode(Preamble(versions).encode())

    @pytest.mark.parametrize("size", [0, 8, 31, 33])
    def test_wrong_size(self, size):
        """Any other number of bytes is no preamble."""
        with pytest.raises(ProtocolError, match=f"a preamble of {size} bytes, not 32"):
            Preamble.decode((Preamble().encode() + b"more")[:size])

    @pytest.mark.parametrize("size", range(len(MAGIC) + 1))
    def test_magic_so_far(self, size):
        """Any beginning of a preamble is accepted so far; one with a wrong byte is not."""
        check_magic(Preamble().encode()[:size])
        if size:
            with pytest.raises(ProtocolError, match="the peer is not farm: it began with"):
                check_magic(Preamble().encode()[: size - 1] + b"?")

    def test_quotes_little(self):
        """However much the peer sent, the message quotes its beginning only."""
        with pytest.raises(ProtocolError) as caught:
            check_magic(b"x" * 10_000)
        assert len(str(caught.value)) < 100


class TestVersions:
    @pytest.mark.parametrize(
        ("ours", "theirs", "common"),
        [((1, 1), (1, 1), 1), ((1, 3), (2, 5), 3), ((2, 5), (1, 3), 3), ((1, 9), (4, 4), 4)],
    )
    def test_common(self, ours, theirs, common):
        """The highest version in both ranges is used."""
        assert common_version(theirs, ours) == common

    @pytest.mark.parametrize(
        ("ours", "theirs", "text"),
        [
            ((1, 1), (2, 3), "protocol 1, the peer 2 to 3; upgrade farm on this side"),
            ((2, 2), (1, 1), "protocol 2, the peer 1; upgrade farm on the peer"),
        ],
    )
    def test_none(self, ours, theirs, text):
        """Without one the error says both ranges, and who is behind."""
        with pytest.raises(IncompatibleVersionError, match=text):
            common_version(theirs, ours)


class TestJSON:
    def test_compact(self):
        """Objects are written without blanks, text as it is."""
        assert encode_json({"a": [1, True, None], "b": "Grüße"}) == (
            '{"a":[1,true,null],"b":"Grüße"}'.encode()
        )

    def test_surrogates(self):
        """What is no Unicode text is made a question mark, never an error far from its cause."""
        assert encode_json({"name": "caf\udce9"}) == b'{"name":"caf?"}'

    @pytest.mark.parametrize("number", [float("nan"), float("inf")])
    def test_numbers_out_of_the_grammar(self, number):
        """JSON has no infinity."""
        with pytest.raises(ValueError, match="not JSON compliant"):
            encode_json({"number": number})

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            (b"", "x is not JSON"),
            (b"{", "x is not JSON"),
            (b'{"a":1}x', "x is not JSON"),
            (b"[]", "x is not a JSON object"),
            (b"null", "x is not a JSON object"),
            (b'{"a":NaN}', "x is not JSON: NaN is not in the grammar"),
            (b'{"a":-Infinity}', "x is not JSON: -Infinity"),
            (b'{"a":"\xff"}', "x is not JSON: 'utf-8' codec"),
            (b'\xef\xbb\xbf{"a":1}', "x is not JSON"),
            ('{"a":1}'.encode("utf-16"), "x is not JSON"),
            (b"[" * 65_000, "x is not JSON"),
        ],
        ids=[
            *("empty", "cut", "junk", "array", "null", "nan", "infinity", "latin1", "bom"),
            *("utf16", "deep"),
        ],
    )
    def test_refused(self, body, text):
        """Anything but one JSON object in UTF-8 is refused, with a message that names it."""
        with pytest.raises(ProtocolError, match=f"^{text}"):
            decode_json(body, "x")

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_any_buffer(self, kind):
        """It may be in any kind of memory."""
        assert decode_json(kind(b'{"a":1}'), "x") == {"a": 1}


class TestMessages:
    @pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
    def test_round_trip(self, message):
        """What is written is read, from any kind of memory."""
        assert type(message).decode(message.encode()) == message
        assert type(message).decode(memoryview(message.encode())) == message

    @pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
    def test_unknown_keys(self, message):
        """Keys of a later release are skipped."""
        fields = {**asdict(message), "news": {"a": [1]}}
        assert type(message).decode(encode_json(fields)) == message

    @pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
    def test_wrong_types(self, message):
        """A value of another type is refused, with its name."""
        name = type(message).__name__
        for key in asdict(message):
            for wrong in (1.5, [[]], {"a": 1} if key != "lost" else "x"):
                fields = {**asdict(message), key: wrong}
                with pytest.raises(ProtocolError, match=f"{name}.{key} is not of type"):
                    type(message).decode(encode_json(fields))

    @pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
    def test_missing_keys(self, message):
        """A key that is missing is refused, unless it has a default."""
        client = isinstance(message, ClientHello)
        optional = {"name", "index", "output"} if client else {"lost", "grace"}
        optional.add("received")
        for key in asdict(message):
            fields = asdict(message)
            del fields[key]
            if key in optional:
                type(message).decode(encode_json(fields))
            else:
                with pytest.raises(ProtocolError, match=f"lacks one of .*{key}"):
                    type(message).decode(encode_json(fields))

    def test_booleans_are_no_integers(self):
        """``true`` is not 1."""
        fields = {**asdict(client_hello()), "index": True}
        with pytest.raises(ProtocolError, match=r"ClientHello\.index is not of type int"):
            ClientHello.decode(encode_json(fields))

    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            ({"frame_limit": PREAUTH_LIMIT - 1}, "frame_limit is 65535, below 65536"),
            ({"frame_limit": -1}, "frame_limit is -1, below 65536"),
            ({"pickle": 4}, "pickle is 4, not 5 or more"),
            ({"python": ()}, "python has no major and minor version"),
            ({"python": (3,)}, "python has no major and minor version"),
        ],
    )
    @pytest.mark.parametrize("hello", [client_hello(), server_hello()], ids=["client", "server"])
    def test_values_that_make_no_sense(self, hello, changes, text):
        """A hello that nobody could work with is refused."""
        with pytest.raises(ProtocolError, match=f"{type(hello).__name__}.{text}"):
            type(hello).decode(replace(hello, **changes).encode())

    @pytest.mark.parametrize("session", ["", "00", "g" * 32, "0" * 33, "0" * 31 + "\n"])
    def test_session_is_hexadecimal(self, session):
        """A session id is 16 bytes in hexadecimal."""
        with pytest.raises(ProtocolError, match="session is not 32 hexadecimal digits"):
            ServerHello.decode(server_hello(session=session).encode())

    def test_too_long_to_send(self):
        """A message that the other side would refuse is not made."""
        with pytest.raises(ProtocolError, match=r"ServerHello has .* bytes, over the limit"):
            server_hello(tags=("x" * PREAUTH_LIMIT,)).encode()


words = st.text(max_size=5)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(words, scalars, max_size=2)
CLASSES = [Offer, Select, Refusal, ClientHello, ServerHello]
keys = st.sampled_from(sorted({key for message in MESSAGES for key in asdict(message)}))


class TestProperties:
    @given(st.sampled_from(CLASSES), st.binary(max_size=100))
    def test_garbage(self, kind, body):
        """Whatever the bytes are, a message comes out or `ProtocolError`."""
        try:
            kind.decode(body)
        except ProtocolError:
            pass

    @given(st.sampled_from(MESSAGES), st.dictionaries(keys, values, max_size=3))
    def test_any_values(self, message, changes):
        """Whatever the values are, a message that can be sent on comes out or `ProtocolError`."""
        body = json.dumps({**asdict(message), **changes}).encode()
        try:
            decoded = type(message).decode(body)
        except ProtocolError:
            return
        assert type(message).decode(decoded.encode()) == decoded
