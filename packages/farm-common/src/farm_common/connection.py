"""One connection as a state machine without I/O: bytes in, events out; frames in, bytes out.

The owner moves the bytes. Until the security mechanism is chosen they go over the wire as they
are; from then on the layer of `farm_common.security` stands between, and once it is established
the owner says so (`layer_established`). The two ends share this class and differ by `Role`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Optional, Union

from .errors import ProtocolError
from .frames import (
    MAX_BUFFERS,
    PREAUTH_LIMIT,
    Buffer,
    Frame,
    FrameReader,
    Unreadable,
    encode_frame,
)
from .handshake import (
    NEW_SESSION,
    PREAMBLE_SIZE,
    PROTOCOL_VERSIONS,
    Preamble,
    check_magic,
    common_version,
)
from .states import TRANSITIONS, Role, State, next_state

__all__ = ["Connection", "Happening"]

#: What `Connection.receive_data` returns.
Happening = Union[Preamble, Frame, Unreadable]


class Connection:
    """The protocol of one connection, seen from one end.

    Args:
        role: Which end this is.
        frame_limit: The largest frame accepted once the connection is open, in bytes.
        allocate: Makes writable memory for large bodies and buffers, see `FrameReader`.
        versions: The lowest and highest protocol version to speak.
    """

    def __init__(
        self,
        role: Role,
        *,
        frame_limit: int = PREAUTH_LIMIT,
        allocate: Optional[Callable[[int], Any]] = None,
        versions: tuple[int, int] = PROTOCOL_VERSIONS,
    ) -> None:
        self.role = role
        self.state = State.START
        self.version: Optional[int] = None
        self._versions = versions
        self._frame_limit = frame_limit
        self.reader = FrameReader(PREAUTH_LIMIT, allocate, max_buffers=0)
        self._start = b""  # of the peer's preamble
        #: How many bytes came right after the peer's hello, together with that.
        self.surplus = 0
        #: Whether what follows the hello is not for this object: `take_rest` gives it up.
        self.hold = False
        self._sends = TRANSITIONS[role][State.OPEN]
        self._ordinary = frozenset(
            what
            for (verb, what), following in TRANSITIONS[role][State.OPEN].items()
            if verb == "receive" and following is State.OPEN
        )

    # sending

    def send_preamble(self, session: bytes = NEW_SESSION, resume: bool = False) -> bytes:
        """The bytes of this side's preamble."""
        self._move(("send", "preamble"))
        return Preamble(self._versions, session, resume).encode()

    def send(
        self,
        kind: int,
        body: Buffer = b"",
        *,
        flags: int = 0,
        count: int = 0,
        micros: int = 0,
        ident: int = 0,
        buffers: Sequence[Buffer] = (),
    ) -> list[Buffer]:
        """The segments of one frame, to be written in order.

        Raises:
            ProtocolError: The frame may not be sent in this state.
        """
        if self.state is not State.OPEN or self._sends.get(("send", kind)) is not State.OPEN:
            self._move(("send", kind))
        return encode_frame(
            kind, body, flags=flags, count=count, micros=micros, ident=ident, buffers=buffers
        )

    # receiving

    def receive_data(self, data: bytes) -> list[Happening]:
        """Take in bytes from the peer and return what they say.

        A closed connection discards what still arrives: after GOODBYE it may be on its way.

        Raises:
            ProtocolError: The peer broke the protocol; the connection is closed and what it
                may have said in the same bytes before that is lost with it.
            IncompatibleVersionError: There is no protocol version that both sides speak.
        """
        try:
            if self.state is not State.OPEN:
                return self._receive_handshake(data)
            frames = self.reader.feed(data)
            if len(frames) == 1 and frames[0].kind in self._ordinary:
                return frames  # type: ignore[return-value]  # a list of fewer kinds of things
            return self._accept(frames)
        except ProtocolError:
            self.state = State.CLOSED
            raise

    def target(self) -> Optional[memoryview]:
        """Memory to receive the next bytes into, if large; then call `filled`."""
        return self.reader.target()

    def filled(self, size: int) -> list[Happening]:
        """Say how many bytes were received into `target()`.

        Raises:
            ProtocolError: As for `receive_data`.
        """
        try:
            return self._accept(self.reader.filled(size))
        except ProtocolError:
            self.state = State.CLOSED
            raise

    def layer_established(self) -> None:
        """Say that the security layer trusts the peer; hellos may follow."""
        self._move(("receive", "layer"))

    def take_rest(self) -> bytes:
        """Bytes that came after SELECT in the same piece: they belong to the layer.

        With `hold` also those that came after HELLO: they belong to the session that goes on.
        """
        return self.reader.take_rest()

    @property
    def idle(self) -> bool:
        """Whether no frame is incomplete: the peer may close now without tearing anything."""
        return self.reader.idle and not self._start

    # inside

    def _receive_handshake(self, data: bytes) -> list[Happening]:
        happenings: list[Happening] = []
        if ("receive", "preamble") in TRANSITIONS[self.role][self.state]:
            wanted = PREAMBLE_SIZE - len(self._start)
            self._start += data[:wanted]
            data = data[wanted:]
            check_magic(self._start)
            if len(self._start) < PREAMBLE_SIZE:
                return []
            preamble = Preamble.decode(self._start)
            self.version = common_version(preamble.versions, self._versions)
            self._start = b""
            self._move(("receive", "preamble"))
            happenings.append(preamble)
        # One frame at a time: what follows SELECT belongs to the layer, and what follows HELLO
        # has another limit.
        while self.state not in (State.SECURING, State.CLOSED):
            if not self._listening() and (data or not self.reader.idle):
                raise ProtocolError(f"the peer sent bytes while this side is {self.state.name}")
            if self.state is State.OPEN and self.hold:
                break
            most = 0 if self.state is State.OPEN else 1
            frames = self.reader.feed(data, most)
            data = b""
            if not frames:
                break
            happenings += self._accept(frames)
        if self.state is State.SECURING and data:
            raise ProtocolError("the peer sent frames before its security layer was established")
        return happenings

    def _listening(self) -> bool:
        return any(verb == "receive" for verb, _ in TRANSITIONS[self.role][self.state])

    def _accept(self, frames: list[Union[Frame, Unreadable]]) -> list[Happening]:
        accepted: list[Happening] = []
        table = TRANSITIONS[self.role][self.state]
        for frame in frames:
            event = ("receive", frame.kind)
            following = table.get(event)
            if following is None:
                if self.state is State.CLOSED:
                    break
                self._move(event)  # raises, unless the frame may be ignored
                continue
            if following is not self.state:
                self._enter(following)
                table = TRANSITIONS[self.role][following]
            accepted.append(frame)
        return accepted

    def _move(self, event: tuple[str, Union[str, int]]) -> None:
        state = next_state(self.role, self.state, event)
        if state is not self.state:
            self._enter(state)

    def _enter(self, state: State) -> None:
        self.state = state
        if state is State.OPEN:
            self.surplus = self.reader.surplus
            self.reader.limit = self._frame_limit
            self.reader.max_buffers = MAX_BUFFERS
