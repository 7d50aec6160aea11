"""A map over a stream: results come while the input is still read, and only so much of it is."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from time import perf_counter
from types import TracebackType
from typing import Any, Optional

from farm_common.errors import FarmError, SerializationError
from farm_common.parts import Failure, MapPart
from farm_common.shipping.tasks import Task

from ..kernel import check_kernel
from .call import Call, Part
from .inputs import check_iterables, check_number, is_sliceable
from .pace import Pace
from .pieces import Draws, Pieces, Slices

__all__ = ["Stream", "pmap_iter"]

#: What a part may take, in microseconds, and how many elements it may have. Packing and unpacking
#: keeps other threads waiting, an event loop among them.
_MOST = 20_000.0
_ELEMENTS = 10_000

#: How many parts may be read and not yet be used up, for each worker: while the first of them
#: takes long, the others go on. But where that would take more than so many bytes, only as many
#: as all are busy with.
_PARTS = 16
_BYTES = 32 << 20

#: For how long an event loop may be kept busy with results that are there, in seconds.
_TURN = 0.005


class _Input:
    """An iterator whose error ends it, and waits for its turn.

    Args:
        iterator: Of the user's.
    """

    # Not a part of the stream: that is to be collected when nobody uses it, while the parts that
    # are on their way still lead here.

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator
        self.error: Optional[BaseException] = None

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._iterator
        except Exception as error:  # noqa: BLE001 (raised later)
            self.error = error


class Stream:
    """The results of `pmap_iter`: an iterator, and an asynchronous one.

    ``close()`` (``await aclose()``, the end of a ``with`` or an ``async with``) takes back what is
    on its way, and ends it; so does the garbage collector.
    """

    def __init__(
        self,
        task: Task,
        iterable: Iterable[Any],
        ordered: bool,
        window: Optional[int],
        progress: bool,
    ) -> None:
        self._ordered = ordered
        self._window = window
        self._given = 0  # elements of the parts that are used up
        self._early: dict[int, Part] = {}
        self._due = 0
        self._values: Iterator[Any] = iter(())
        self._count = 0  # of the elements of the part that is being used up
        self._error: Optional[BaseException] = None  # to be raised after these values
        self._broken: Optional[BaseException] = None  # what could not be sent, and why
        self._ended = False
        self._turn = 0.0
        # Held by the thread that gets the next values; again, if the iterable asks for results.
        self._advancing = threading.RLock()
        self._thread: Optional[ThreadPoolExecutor] = None
        self._input = _Input(iter(()))
        if is_sliceable(iterable):
            things: Any = iterable
            pieces: Pieces = Slices((things,), 0, len(things))
        else:
            self._input = _Input(iter(iterable))
            pieces = Draws((self._input,), None)
        runner = MapPart(task, keep=True)
        self._kernel = check_kernel()
        self._call = Call(runner, pieces, progress=progress, pace=Pace(_MOST))

    # one part after the other

    def _advance(self, used: Iterator[Any]) -> None:
        """Wait for the next values, or for the end; raises what ends it early.

        Args:
            used: The values that were used up. Where there are others, somebody else who uses the
                stream was faster, and they must not be lost.
        """
        with self._advancing:
            if self._values is not used or self._ended:
                return
            try:
                self._take()
            except BaseException:  # an interrupt, too: something may be missing now
                self._end()
                raise

    def _take(self) -> None:
        self._given += self._count
        self._count = 0
        error, self._error = self._error, None
        while error is None and not self._ended:
            self._fill()
            part = self._early.pop(self._due, None) if self._ordered else None
            if part is None:
                part = self._call.wait()
            if part is None:
                error = self._broken or self._input.error
                break
            if self._ordered and part.number != self._due:
                self._early[part.number] = part
                continue
            self._due += 1
            self._use(part)
            return
        if error is not None:
            raise error
        if not self._ended:
            self._call.finish()
            self._end()

    def _use(self, part: Part) -> None:
        value = part.value
        self._count = part.piece.length
        try:
            self._call.check(part)
        except Exception as error:  # noqa: BLE001 (raised after the values)
            self._error = error
            value = value.done if type(value) is Failure else ()
        self._values = iter(value)

    def _fill(self) -> None:
        """Read more of the input, as far as there is room."""
        call, window = self._call, self._window
        workers = max(1, self._kernel.worker_count)
        try:
            if window is None:
                outside = call.pending + len(self._early)
                heavy = call.weight * (call.taken - self._given) > _BYTES
                if outside < (2 if heavy else _PARTS) * workers:
                    call.submit(most=_ELEMENTS)
            else:
                room = window - (call.taken - self._given)
                call.submit(room, min(_ELEMENTS, -(-window // (2 * workers))))
        except SerializationError as error:
            call.end_input()
            self._broken = error

    def _end(self) -> None:
        self._ended = True
        self._early.clear()
        self._values = iter(())
        self._count = 0
        self._call.close()
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    # as an iterator

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        while not self._ended:
            values = self._values
            for value in values:
                return value
            self._advance(values)
        raise StopIteration

    def close(self) -> None:
        """Take back what is on its way, and end; twice is no error."""
        self._end()

    def __enter__(self) -> Stream:  # noqa: PYI034  (nobody derives from it)
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Stream at {id(self):#x} {'ended' if self._ended else 'open'}>"

    def __reduce__(self) -> Any:
        raise FarmError("a stream cannot travel: send the results that it yields")

    def __del__(self) -> None:
        call = getattr(self, "_call", None)
        if call is not None:
            call.abandon()  # whose locks this thread may be holding

    # as an asynchronous iterator

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Any:
        if perf_counter() > self._turn:
            from asyncio import sleep  # who gets here has it loaded; others need not wait for it

            await sleep(0)
            self._turn = perf_counter() + _TURN
        while not self._ended:
            values = self._values
            for value in values:
                return value
            await self._advance_elsewhere(values)
        raise StopAsyncIteration

    async def _advance_elsewhere(self, used: Iterator[Any]) -> None:
        """`_advance` in a thread of our own: the loop's are not to be kept from others."""
        from asyncio import CancelledError, get_running_loop

        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "farm-stream")
        loop = get_running_loop()
        try:
            await loop.run_in_executor(self._thread, copy_context().run, self._advance, used)
        except CancelledError:
            self.close()  # or that thread would wait in vain
            raise
        self._turn = perf_counter() + _TURN

    async def aclose(self) -> None:
        """`close`."""
        self.close()

    async def __aenter__(self) -> Stream:  # noqa: PYI034
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()


def pmap_iter(
    task: Task,
    iterable: Iterable[Any],
    *,
    ordered: bool = True,
    window: Optional[int] = None,
    progress: bool = False,
) -> Stream:
    """Call a task on each element of an iterable, which may be endless, as results are asked for.

    Elements are read a bounded number ahead of the results that were used. The result is an
    iterator, for ``for`` and for ``async for``; with the latter the iterable is read in
    another thread. Results do not wait for a slow iterable, but for the element that is just being
    read. Closing it early (see `Stream`) takes back what is on its way.

    Args:
        task: A callable or the name of one.
        iterable: What to read.
        ordered: Whether results come in the order of the elements; else as soon as they are there.
        window: How many elements may be read whose results were not used yet. By default that
            follows from how long the task takes, and from the number of workers.
        progress: As for `pmap`.

    Raises:
        InvalidTaskError, SerializationError: `task` is none, or cannot travel.
        TypeError, ValueError: An argument is not what it may be.
        NoKernelError: There is no current kernel.

    What the task, an element or the iterable itself raises is raised in the place of its result,
    and ends the iterator.
    """
    check_iterables("pmap_iter", (iterable,))
    window = check_number("window", window, 1, "as many as are good")
    return Stream(task, iterable, ordered, window, progress)


AsyncIterator.register(Stream)
Iterator.register(Stream)
