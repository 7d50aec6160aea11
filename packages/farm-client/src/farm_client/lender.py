"""Answers the workers' questions for modules, and tells them what has changed."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Callable

from farm_common.frames import Buffer, Frame, Kind
from farm_common.shipping.modules import NAME_LIMIT, GivenModule, pack_changes, pack_module

from .library import Library
from .link import Link

__all__ = ["Lender"]


class Lender:
    """Between a kernel's library and its links.

    Files are read without the engine's lock, and so a text may have become an old one before it is
    sent. It must not be sent after the word to forget it, so that is looked at with the lock held.

    Args:
        library: What may be given.
        transmit: Sends frames over a link; called with the engine's lock held.
    """

    def __init__(
        self, library: Library, transmit: Callable[[Link, Sequence[Buffer]], None]
    ) -> None:
        self.library = library
        #: What was asked and not yet answered: the link, the number and the name.
        self.questions: deque[tuple[Link, int, bytes]] = deque()
        self._transmit = transmit
        self._host = socket.gethostname()

    def ask(self, link: Link, frame: Frame) -> None:
        """Take in a question; `answer` answers it."""
        self.questions.append((link, frame.ident, bytes(frame.body[: 4 * NAME_LIMIT + 1])))

    def answer(self, lock: threading.Lock) -> None:
        """Answer all questions; for the thread that has read them, without any lock.

        Args:
            lock: The engine's.
        """
        while self.questions:
            try:
                link, number, body = self.questions.popleft()
            except IndexError:
                return  # another thread was faster
            try:
                name = str(body, "utf-8")
            except UnicodeDecodeError:
                name = ""  # there is none like that
            self._answer(lock, link, number, name)

    def _answer(self, lock: threading.Lock, link: Link, number: int, name: str) -> None:
        while True:
            answer = self.library.answer(name)
            body = self._packed(link, answer.module)
            with lock:
                if link.lost:
                    return
                if answer.version == self.library.version:
                    send = link.stream.connection.send
                    self._transmit(link, send(Kind.MODULE, body, ident=number))
                    return

    def look(self, lock: threading.Lock, links: Callable[[], Iterable[Link]]) -> None:
        """Tell workers what has changed, so that tasks that are sent from now on use that.

        Args:
            lock: The engine's.
            links: Gives the links; called with the lock held.
        """
        changes = self.library.look()
        if changes:
            body = pack_changes(changes)
            with lock:
                for link in list(links()):
                    segments = link.forget(body)
                    if segments:
                        self._transmit(link, segments)

    def _packed(self, link: Link, module: GivenModule) -> bytes:
        if module.kind == "extension" and not (
            link.same_bytecode and link.hello.host == self._host
        ):
            module = GivenModule(
                "none",
                reason=f"has it as the extension module {module.origin}, which cannot travel: "
                f"install it for the worker's Python",
            )
        packed = pack_module(module)
        if len(packed) <= link.hello.frame_limit:
            return packed
        return pack_module(
            GivenModule(
                "none", reason=f"has a text of {len(packed)} bytes, which is too large there"
            )
        )
