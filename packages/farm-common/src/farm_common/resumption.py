"""What makes a session outlive its connection, without I/O.

Once the handshake is over, what each side sends is one long sequence of bytes: that of the frames,
as it is above the security layer. It goes on over the next connection where it was interrupted in
the last. A side keeps what it has sent until the other has acknowledged it, by how many bytes of
the sequence it has taken in. Each side says that number in ACK frames, now and then, and in the
hello of each further connection; what follows it is sent again.

Bytes and not frames are counted: it costs least, and a large frame of which half has arrived is
not sent from its start again. So nothing is lost and nothing comes twice, whatever the frames are.

ACK frames belong to the sequence, too. They are not needed for anything but to free memory, so
they are sent when that is worth it, and none is ever waited for while a connection lasts.

Senders exclude each other, and so do receivers. One of each may be here at the same time: a sender
only appends to what is kept, a receiver only takes off its start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from .connection import Happening
from .errors import ProtocolError
from .frames import Buffer, Frame, Kind, byte_view

__all__ = ["FEATURE", "Resumption"]

#: The name of this part of the protocol in the features of a hello.
FEATURE = "resume"

#: How much is taken in before it is acknowledged, in bytes: where a frame ends, and in the middle
#: of a large one, where each acknowledgement would wake the sender for little.
_ACK_AFTER = 64 * 1024
_ACK_WITHIN = 1 << 20

#: How many bytes are so many that it matters whether they are kept.
_LARGE = 1 << 20

#: How much a side keeps without a connection before it should pause, in bytes.
_FULL = 32 << 20


class Resumption:
    """Both directions of a session, seen from one end.

    Args:
        received: How many bytes of the other's sequence came with the handshake.
        full: How many bytes may be kept before `full` says so.

    Attributes:
        sent: How many bytes this side has sent or would have sent.
        acknowledged: How many of these the other side is known to have.
        received: How many bytes this side has taken in of what the other sent.
        confirmed: How many of these the other side was told.
        owing: Whether the other side should be told now what has arrived: when that is enough, or
            a large frame was completed, of which its sender would like to be rid.
    """

    __slots__ = (
        "_full",
        "_kept",
        "_loose",
        "_whole",
        "acknowledged",
        "confirmed",
        "owing",
        "received",
        "sent",
    )

    def __init__(self, received: int = 0, *, full: int = _FULL) -> None:
        self.sent = 0
        self.acknowledged = 0
        self.received = received
        self.confirmed = 0
        self.owing = False
        self._full = full
        self._whole = False
        self._kept: deque[Buffer] = deque()
        self._loose = False

    # what this side sends

    def keep(self, segments: Sequence[Buffer]) -> None:
        """Keep what is being sent, in the order in which it is."""
        kept = self._kept
        if len(segments) == 1 and type(segments[0]) is bytes:  # the common case
            kept.append(segments[0])
            self.sent += len(segments[0])
            return
        size = 0
        for segment in segments:
            length = len(segment)
            if length:
                kept.append(segment)
                size += length
                if type(segment) is not bytes:
                    self._loose = True
        self.sent += size

    def acknowledge(self, position: int) -> None:
        """Forget what the other side has.

        Args:
            position: How many bytes it says that it has taken in.

        Raises:
            ProtocolError: It cannot have taken in so many, or has said before that it has more.
        """
        if not self.acknowledged <= position <= self.sent:
            raise ProtocolError(
                f"the peer acknowledges {position} bytes of {self.sent}, after {self.acknowledged}"
            )
        excess = position - self.acknowledged
        kept = self._kept
        while excess:
            first = kept[0]
            length = len(first)
            if length > excess:
                kept[0] = byte_view(first)[excess:]
                break
            kept.popleft()
            excess -= length
        self.acknowledged = position
        if not kept:
            self._loose = False

    @property
    def unacknowledged(self) -> int:
        """How many bytes are kept."""
        return self.sent - self.acknowledged

    @property
    def large(self) -> bool:
        """Whether what is kept holds a lot of memory: for who gives that back; any thread's.

        Of a large value all is held until its last byte is acknowledged.
        """
        if self.sent - self.acknowledged >= _LARGE:
            return True
        try:
            first = self._kept[0]
        except IndexError:
            return False
        whole = first.obj if isinstance(first, memoryview) else first
        return memoryview(whole).nbytes >= _LARGE

    @property
    def full(self) -> bool:
        """Whether so much is kept that no more should be produced without a connection."""
        return self.sent - self.acknowledged > self._full

    @property
    def loose(self) -> bool:
        """Whether some of what is kept is memory that others may change."""
        return self._loose

    def secure(self) -> None:
        """Copy what others may change; no sender and no receiver may be here."""
        self._loose = False
        for index, segment in enumerate(self._kept):
            if type(segment) is not bytes:
                view = byte_view(segment)
                if type(view.obj) is not bytes:
                    self._kept[index] = bytes(view)

    def rest(self) -> Sequence[Buffer]:
        """What the other side does not have, to be sent again; no sender may be here."""
        return list(self._kept)

    # what this side receives

    def took(self, size: int, happenings: list[Happening], within: bool = False) -> list[Happening]:
        """Take note of what has come, and return the frames that are not for this.

        Args:
            size: How many bytes came.
            happenings: What they said.
            within: Whether they end in the middle of a large frame.

        Raises:
            ProtocolError: An acknowledgement makes no sense.
        """
        self.received = received = self.received + size
        if len(happenings) == 1:  # the common case
            (only,) = happenings
            if (
                type(only) is Frame
                and only.kind != Kind.ACK
                and len(only.body) < _ACK_AFTER
                and not only.buffers
            ):
                self.owing = received - self.confirmed >= _ACK_AFTER or self._whole
                return happenings
        others = self._sift(happenings)
        enough = _ACK_WITHIN if within else _ACK_AFTER
        self.owing = received - self.confirmed >= enough or (self._whole and not within)
        return others

    def _sift(self, happenings: list[Happening]) -> list[Happening]:
        """Take out what is for this."""
        others: list[Happening] = []
        for happening in happenings:
            if isinstance(happening, Frame):
                if happening.kind == Kind.ACK:
                    # One that is sent again says less than the hello that came before it.
                    if happening.ident > self.acknowledged:
                        self.acknowledge(happening.ident)
                    continue
                if (
                    len(happening.body) + sum(map(len, happening.buffers)) >= _ACK_AFTER
                    if happening.buffers
                    else len(happening.body) >= _ACK_AFTER
                ):
                    self._whole = True
            others.append(happening)
        return others

    def confirm(self) -> int:
        """What to tell the other side: the `ident` of an ACK frame, or `received` in a hello."""
        self._whole = self.owing = False
        self.confirmed = received = self.received
        return received
