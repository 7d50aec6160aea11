"""The handshake and the sealed connection, with a stand-in for Kerberos."""

import struct
import threading

import pytest

from farm_common.deadline import Deadline
from farm_common.errors import AuthError
from farm_common.greeting import HANDSHAKE_SECONDS
from farm_gss.context import KDC_SECONDS

TOKEN, CONFIRM, REFUSE, DATA = 1, 2, 3, 4


def record(kind, body):
    return struct.pack("!BI", kind, len(body)) + body


def refusal(layer):
    """What the layer tells the peer that it gives up on."""
    words = layer.farewell()
    assert layer.farewell() == b""
    if not words:
        return None
    kind, length = struct.unpack_from("!BI", words)
    assert (kind, length) == (REFUSE, len(words) - 5)
    return words[5:].decode()


class TestHandshake:
    @pytest.mark.parametrize("size", [0, 1, 2, 7, 30])
    def test_any_cut(self, layers, meet, size):
        """However the bytes are cut, both sides come to trust each other and know each other."""
        client, server = layers()
        assert not client.established
        assert not server.established
        assert meet(client, server, size) == (b"", b"")
        assert client.established
        assert server.established
        assert client.peer == "farm/server@EXAMPLE.COM"
        assert server.peer == "alice@EXAMPLE.COM"
        assert not client.transparent

    def test_bytes(self, layers):
        """On the wire it is as the documentation has it."""
        client, server = layers()
        first = client.start()
        assert first == record(TOKEN, b"ticket")
        assert server.start() == b""
        _, second = server.feed(first)
        assert second == record(TOKEN, b"proof") + record(
            CONFIRM, b"accept 1:" + b"farm-gss server\0"[::-1]
        )
        _, third = client.feed(second)
        assert third == record(CONFIRM, b"initiate 1:" + b"farm-gss client\0"[::-1])
        assert server.feed(third + record(DATA, b"initiate 2:olleh")) == (b"hello", b"")

    def test_what_is_demanded(self, layers, gssapi, flag):
        """The client asks for all that both sides check."""
        layers()[0].start()
        asked = gssapi.asked[-1]
        assert (asked["usage"], asked["mech"]) == ("initiate", "kerberos")
        assert asked["flags"] == sum(flag) - flag.anonymity - flag.channel_bound

    @pytest.mark.parametrize("usage", ["initiate", "accept"])
    @pytest.mark.parametrize(
        "name",
        [
            *("mutual_authentication", "confidentiality", "integrity"),
            *("replay_detection", "out_of_sequence_detection"),
        ],
    )
    def test_a_flag_is_missing(self, layers, meet, gssapi, flag, usage, name):
        """A context that lacks one of them is not used, and the peer is told."""
        gssapi.flags[usage].remove(flag[name])
        client, server = layers()
        words = name.replace("_", " ")
        with pytest.raises(AuthError, match=f"not give what farm demands of it: {words}$"):
            meet(client, server)
        who = client if usage == "initiate" else server
        assert words in refusal(who)
        assert not who.established

    def test_anonymous(self, layers, meet, gssapi, flag):
        """A client without a name is refused, whatever rules there are for names."""
        gssapi.flags["accept"].append(flag.anonymity)
        with pytest.raises(AuthError, match="the client is anonymous"):
            meet(*layers())

    def test_another_mechanism(self, layers, meet, gssapi):
        """Only Kerberos will do: other mechanisms of GSSAPI have other names."""
        gssapi.mech = "ntlm"
        with pytest.raises(AuthError, match="a mechanism of GSSAPI that is not Kerberos"):
            meet(*layers())

    def test_no_ticket(self, layers, gssapi, gss_error):
        """It is an error before anything is sent, with the library's words and the remedy."""
        gssapi.failures["tickets"] = gss_error("Matching credential not found", kind="missing")
        text = "No Kerberos credentials available (default cache: FILE:/tmp/krb5cc_0)"
        gssapi.failures["step initiate"] = gss_error(text, kind="missing")
        client, _ = layers()
        with pytest.raises(AuthError) as caught:
            client.start()
        assert str(caught.value) == (
            f"Kerberos, for farm@server: {text}; get a ticket with kinit, and look at it with klist"
        )
        assert refusal(client) is None

    def test_expired_ticket(self, layers, gssapi, gss_error):
        """Whether the library raises or tells: it is asked before the ticket is used."""
        gssapi.lifetime = 0
        with pytest.raises(AuthError, match=r"ticket of alice@EXAMPLE.COM has expired: get a new"):
            layers()[0].start()
        gssapi.failures["tickets"] = gss_error("Ticket expired", kind="expired")
        with pytest.raises(AuthError, match="Ticket expired; the ticket has expired: get a new"):
            layers()[0].start()

    def test_server_without_key(self, layers, meet, gssapi, gss_error):
        """The client hears from the server why it cannot serve."""
        client, server = layers()
        gssapi.failures["keys"] = gss_error("No key table entry found matching farm/@")
        with pytest.raises(AuthError, match="No key table entry found") as caught:
            meet(client, server)
        with pytest.raises(AuthError) as heard:
            client.feed(server.farewell())
        assert str(heard.value) == f"the server refused: {caught.value}"

    def test_replayed_token(self, layers, meet, gssapi, gss_error):
        """A server that has seen the ticket before refuses, though the library has an answer."""
        gssapi.failures["step accept"] = gss_error("Request is a replay", "", b"an error token")
        client, server = layers()
        with pytest.raises(AuthError, match="Request is a replay; what the client sent was used"):
            meet(client, server)
        assert not server.established

    def test_confirmation_of_another(self, layers):
        """A confirmation that names another sender or another connection is refused."""
        client, server = layers()
        server.start()
        _, answer = server.feed(client.start())
        token = record(TOKEN, b"proof")
        assert answer.startswith(token)
        for words in (b"farm-gss client\0", b"farm-gss server\0more", b""):
            client, _ = layers()
            client.start()
            with pytest.raises(AuthError, match="about another connection than this one"):
                client.feed(token + record(CONFIRM, b"accept 1:" + words[::-1]))
            assert not client.established

    def test_stolen_ticket(self, layers):
        """Without the context's key nobody gets further than the ticket."""
        client, server = layers()
        server.start()
        server.feed(client.start())
        with pytest.raises(AuthError, match="is not what the peer sent"):
            server.feed(record(CONFIRM, b"guessed"))
        assert not server.established

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (record(DATA, b""), "data instead of a token or a refusal"),
            (record(CONFIRM, b""), "a confirmation instead of a token or a refusal"),
            (record(9, b""), "a message of kind 9 instead of a token"),
            (b"HTTP/1.1 400 Bad Request", "a message of kind 72 instead"),
            (struct.pack("!BI", TOKEN, 65537), "a token of 65537 bytes"),
            (struct.pack("!BI", TOKEN, 2**32 - 1), "a token of 4294967295 bytes"),
        ],
    )
    def test_out_of_turn(self, layers, data, text):
        """Another message than the next one is refused by its head, and a huge one unread."""
        for layer in layers():
            layer.start()
            with pytest.raises(AuthError, match="broke the protocol of Kerberos: ") as caught:
                layer.feed(data)
            assert text in str(caught.value)

    def test_refusal(self, layers):
        """What a peer says is shown, but not all of it and not as a terminal would have it."""
        client, server = layers()
        client.start()
        server.start()
        with pytest.raises(AuthError) as caught:
            client.feed(record(REFUSE, b"no \x1b[31m\n\xff" + bytes(2000)))
        text = str(caught.value)
        assert text.startswith("the server refused: no ?[31m?\N{REPLACEMENT CHARACTER}??")
        assert len(text) < 1100
        with pytest.raises(AuthError, match=r"^the client refused: it says no more$"):
            server.feed(record(REFUSE, b""))

    def test_long_refusal(self, layers, meet, gssapi, gss_error):
        """What is told to a peer is short."""
        gssapi.failures["step accept"] = gss_error("x" * 5000)
        client, server = layers()
        with pytest.raises(AuthError):
            meet(client, server)
        assert len(refusal(server)) == 1000

    def test_silent_kdc(self, layers, gssapi):
        """The KDC is waited for until the deadline of the handshake, not longer."""
        release = threading.Event()
        gssapi.blocked = release.wait
        client, _ = layers()
        client.deadline = Deadline(0.01)
        try:
            with pytest.raises(AuthError, match=r"no answer about farm@server within 0\.0 s"):
                client.start()
        finally:
            release.set()

    def test_error_of_another_kind(self, layers, gssapi):
        """What goes wrong while the KDC is asked comes to the caller as it is."""
        gssapi.failures["step initiate"] = ZeroDivisionError()
        with pytest.raises(ZeroDivisionError):
            layers()[0].start()

    def test_time_of_the_kdc(self):
        """The KDC has less time than a server waits."""
        assert KDC_SECONDS < HANDSHAKE_SECONDS


class TestData:
    @pytest.mark.parametrize("size", [0, 1, 1 << 18, (1 << 18) + 1, 1 << 20])
    def test_both_ways(self, trusting, size):
        """Whatever is wrapped comes out, in pieces that the peer accepts."""
        data = bytes(range(256)) * (size // 256) + bytes(size % 256)
        for sender, receiver in (trusting, trusting[::-1]):
            wire = sender.wrap(memoryview(data))
            assert data not in wire or len(data) < 2
            assert receiver.feed(wire) == (data, b"")

    def test_any_cut(self, trusting):
        """Messages are put together from any pieces."""
        client, server = trusting
        wire = b"".join(client.wrap(b"%d" % number) for number in range(20))
        got = b"".join(server.feed(wire[at : at + 3])[0] for at in range(0, len(wire), 3))
        assert got == b"".join(b"%d" % number for number in range(20))

    def test_feed_into(self, trusting):
        """Plain bytes go where they are wanted, and what there is no room for is returned."""
        client, server = trusting
        target = memoryview(bytearray(3))
        assert server.feed_into(memoryview(client.wrap(b"hello")), target) == (3, b"lo", b"")
        assert bytes(target) == b"hel"

    @pytest.mark.parametrize(
        "change",
        [
            lambda one, two: [two, one],
            lambda one, two: [one, one],
            lambda one, two: [two],
            lambda one, two: [one[:5] + b"x" + one[6:]],
            lambda one, two: [record(DATA, b"")],
        ],
        ids=["reordered", "repeated", "left out", "changed", "empty"],
    )
    def test_tampering(self, trusting, change):
        """What is not as the peer sent it, once and in order, ends the connection."""
        client, server = trusting
        messages = b"".join(change(client.wrap(b"one"), client.wrap(b"two")))
        with pytest.raises(AuthError, match="changed, repeated, left out or reordered on the way"):
            server.feed(messages)

    def test_reflection(self, trusting):
        """What this side sent is not taken for what the peer sends."""
        client, _ = trusting
        with pytest.raises(AuthError, match="is not what the peer sent"):
            client.feed(client.wrap(b"one"))

    def test_not_encrypted(self, trusting, gssapi):
        """A library that only signs is not trusted to send, nor a peer to receive from."""
        client, server = trusting
        wire = client.wrap(b"one")
        gssapi.encrypts = False
        with pytest.raises(AuthError, match="the peer sent something that is not encrypted"):
            server.feed(wire)
        with pytest.raises(AuthError, match="did not encrypt what was to be sent"):
            client.wrap(b"two")

    @pytest.mark.parametrize("kind", [TOKEN, CONFIRM, REFUSE, 0])
    def test_out_of_turn(self, trusting, kind):
        """Nothing but data follows the handshake."""
        for layer in trusting:
            with pytest.raises(AuthError, match="instead of data"):
                layer.feed(record(kind, b"x"))

    def test_too_long(self, trusting):
        """A message longer than anybody sends is refused by its head."""
        with pytest.raises(AuthError, match="data of 1048577 bytes"):
            trusting[0].feed(struct.pack("!BI", DATA, (1 << 20) + 1))

    def test_parting(self, trusting):
        """There is no farewell: frames say how a connection ends."""
        for layer in trusting:
            assert layer.farewell() == b""
            assert layer.eof() is None


class TestLifetime:
    @pytest.fixture
    def ends(self, clock, layers, meet):
        """Two layers whose tickets last an hour, and what one wrapped in time."""
        client, server = layers()
        meet(client, server)
        return client, server, client.wrap(b"in time")

    def test_until_then(self, ends, clock):
        """Up to its last second a ticket serves."""
        client, server, wire = ends
        clock.now += 3599
        assert server.feed(wire) == (b"in time", b"")
        assert server.feed(client.wrap(b"too")) == (b"too", b"")

    def test_afterwards(self, ends, clock):
        """Then nothing goes out or in any more, whatever the library would do."""
        client, server, wire = ends
        clock.now += 3600
        with pytest.raises(AuthError, match=r"^the Kerberos ticket has expired: get a new one"):
            client.wrap(b"late")
        with pytest.raises(AuthError, match=r"ticket of alice@EXAMPLE.COM has expired"):
            server.feed(wire)

    def test_for_ever(self, layers, meet, clock, gssapi):
        """A context that says it lasts for ever does."""
        gssapi.lifetime = None
        client, server = layers()
        meet(client, server)
        clock.now += 1e9
        assert server.feed(client.wrap(b"late")) == (b"late", b"")

    def test_over_at_once(self, layers, gssapi):
        """A ticket that has run out when the server looks is refused, and the client is told."""
        client, server = layers()
        server.start()
        first = client.start()
        gssapi.lifetime = 0
        with pytest.raises(AuthError, match=r"ticket of alice@EXAMPLE.COM has expired"):
            server.feed(first)
        assert "has expired" in refusal(server)
