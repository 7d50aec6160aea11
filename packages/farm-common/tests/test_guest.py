"""The far side of a kernel over somebody else's executor, without any executor."""

import os
import pickle
import threading

import pytest

from farm_common import guest
from farm_common.frames import Flag, FrameReader, Kind, encode_frame
from farm_common.handshake import ClientHello, ServerHello
from farm_common.interpreter import hello_fields
from farm_common.place import worker_index
from farm_common.shipping import (
    Shared,
    pack,
    pack_arguments,
    ship_function,
    unpack,
    unpack_exception,
)

OURS = ClientHello(**hello_fields(1 << 40), role="work")


def frame(*args, **keywords):
    return b"".join(encode_frame(*args, **keywords))


def function_frame(function, flags=None):
    shipped = ship_function(function, 5)
    if flags is None:
        flags = Flag.BYTECODE if shipped.bytecode else 0
    return shipped, frame(Kind.FUNCTION, shipped.ident + shipped.body, flags=flags)


def shared_frame(value):
    handle = Shared(value)
    parcel = pack(value, 5, "a shared value")
    return handle, frame(Kind.SHARED, handle.ident + parcel.body, buffers=parcel.buffers)


def task_frame(ident, *args, **keywords):
    parcel = pack_arguments(args, keywords, 5, "a task")
    return frame(Kind.TASK, ident + parcel.body, count=1, ident=7, buffers=parcel.buffers)


def batch_frame(ident, batch):
    body = ident + pickle.dumps(batch, 5)
    return frame(Kind.TASK, body, flags=Flag.BATCH, count=len(batch), ident=7)


def run(*frames, client=OURS, left_out=b"", index=3):
    """What is missing, and the frames of the answer."""
    missing, answer, seat = guest.run(client.encode(), index, left_out, b"".join(frames), "")
    assert seat[1:] == (os.getpid(), threading.get_native_id())
    return missing, FrameReader(1 << 40).feed(answer)


def call(function, *args, **keywords):
    """What a function returns there."""
    shipped, first = function_frame(function)
    missing, (answer,) = run(first, task_frame(shipped.ident, *args, **keywords))
    assert (missing, answer.kind, answer.count, answer.ident) == (b"", Kind.RESULT, 1, 7)
    return unpack(answer.body, answer.buffers)


def error_of(*frames, **keywords):
    missing, (answer,) = run(*frames, **keywords)
    assert (missing, answer.kind) == (b"", Kind.ERROR)
    return unpack_exception(answer.body, load=True)


@pytest.fixture(autouse=True)
def larder(monkeypatch):
    """A larder of this test alone, and threads that have loaded nothing."""
    larder = guest._Larder()
    monkeypatch.setattr(guest, "_larder", larder)
    monkeypatch.setattr(guest, "_kept", guest._Kept())
    outer = guest.shared.active_store()
    yield larder
    monkeypatch.setattr(guest.shared, "_store", outer)


class TestIntroduce:
    def test_hello(self):
        """It says what interpreter this is, and offers none of what only servers can do."""
        hello = ServerHello.decode(guest.introduce(""))
        assert (hello.implementation, hello.pid) == (OURS.implementation, os.getpid())
        assert hello.features == ()


class TestRun:
    def test_closure(self):
        """A function of the moment is called, with keyword arguments, too."""
        base = 40
        assert call(lambda x, y: base + x + y, 1, y=1) == 42

    def test_arguments_are_copies(self):
        """What the task changes is its own."""
        given = [1]
        assert call(lambda values: [*values, values.append(2)], given) == [1, None]
        assert given == [1]

    def test_buffers(self):
        """Large values travel out of band both ways, and can be written to."""

        def change(data):
            data[0] = 1
            return pickle.PickleBuffer(data)

        assert bytes(call(change, bytearray(100_000))[:2]) == b"\1\0"

    def test_batch(self):
        """The results of a batch come as one frame."""
        shipped, first = function_frame(abs)
        _, (answer,) = run(first, batch_frame(shipped.ident, [(-1,), (-2,), (-3,)]))
        assert (answer.flags, answer.count, answer.ident) == (Flag.BATCH, 3, 7)
        assert pickle.loads(answer.body) == [1, 2, 3]

    def test_error_in_a_batch(self):
        """One that fails has a frame of its own, in its place."""
        shipped, first = function_frame(lambda x: 6 // x)
        _, answers = run(first, batch_frame(shipped.ident, [(1,), (2,), (0,), (3,)]))
        told = [(answer.kind, answer.ident, answer.count) for answer in answers]
        assert told == [(Kind.RESULT, 7, 2), (Kind.ERROR, 9, 1), (Kind.RESULT, 10, 1)]

    def test_traceback(self):
        """It begins with the user's code."""
        shipped, first = function_frame(lambda: 1 // 0)
        report, description, error = error_of(first, task_frame(shipped.ident))
        assert report.startswith("ZeroDivisionError")
        assert isinstance(error, ZeroDivisionError)
        assert description.count("File") == 1
        assert "test_guest.py" in description

    @pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
    def test_exit_is_the_tasks(self, kind):
        """A task that exits has failed; its worker goes on."""

        def leave():
            raise kind

        shipped, first = function_frame(leave)
        assert error_of(first, task_frame(shipped.ident))[0].startswith(kind.__name__)

    def test_result_that_cannot_travel(self):
        """It is the task's error, which says so."""
        shipped, first = function_frame(threading.Lock)
        assert "SerializationError" in error_of(first, task_frame(shipped.ident))[0]

    def test_name_that_does_not_exist(self):
        """It is the task's error, too."""
        shipped, first = function_frame("os:no_such_function")
        assert "AttributeError" in error_of(first, task_frame(shipped.ident))[0]

    def test_place(self):
        """A task is in a worker, and who called is not."""
        assert call(worker_index) == 3
        assert worker_index() is None

    def test_foreign_bytecode(self):
        """Another interpreter's is not loaded."""
        shipped, first = function_frame(lambda: 1, Flag.BYTECODE)
        other = ClientHello(**{**hello_fields(1 << 40), "magic": "00000000"}, role="work")
        report, _, _ = error_of(first, task_frame(shipped.ident), client=other)
        assert "bytecode of another interpreter" in report


class TestLarder:
    def test_left_out(self):
        """What was sent before need not be sent again."""
        shipped, first = function_frame(abs)
        run(first, task_frame(shipped.ident, -1))
        missing, (answer,) = run(task_frame(shipped.ident, -2), left_out=shipped.ident)
        assert (missing, pickle.loads(answer.body)) == (b"", 2)

    def test_missing(self):
        """What is not here is asked for, and nothing is run."""
        shipped, first = function_frame(os.getpid)
        missing, answers = run(first, task_frame(shipped.ident), left_out=b"x" * 16 + b"y" * 16)
        assert {missing[:16], missing[16:]} == {b"x" * 16, b"y" * 16}
        assert answers == []

    def test_shared(self):
        """A shared value is found by those who come with its handle only."""
        handle, value = shared_frame([1, 2, 3])
        ident = handle.ident
        from farm_common.shipping import shared

        del handle
        shared._handles.pop(ident, None)  # as if this were another process
        shipped, first = function_frame(lambda which: shared._attach(which).value)
        for frames, left_out in (([value], b""), ([], ident)):
            task = task_frame(shipped.ident, ident)
            missing, (answer,) = run(*frames, first, task, left_out=left_out)
            assert (missing, unpack(answer.body)) == (b"", [1, 2, 3])

    def test_room(self, monkeypatch, larder):
        """What was used longest ago goes, but never what a task in progress uses."""
        monkeypatch.setattr(guest, "_ROOM", 2500)
        handles, values = zip(*[shared_frame(bytes(1000)) for _ in range(4)])
        shipped, first = function_frame(abs)
        run(*values, first, task_frame(shipped.ident, -1))  # more than there is room for
        everything = b"".join(handle.ident for handle in handles)
        missing, _ = run(first, task_frame(shipped.ident, -1), left_out=everything)
        assert len(missing) == 2 * 16
        assert handles[0].ident in missing
        assert handles[3].ident not in missing
        assert larder._size <= 2500
        assert not larder._used

    def test_store_before(self):
        """Handles of the store that was active before still find their values there."""
        store = guest.shared.SharedStore()
        store.put(b"z" * 16, lambda: "here")
        store.activate()
        shipped, first = function_frame(lambda: guest.shared.stored(b"z" * 16))
        _, (answer,) = run(first, task_frame(shipped.ident))
        assert unpack(answer.body) == "here"

    def test_forked(self, larder):
        """A child neither waits for what its parent's threads held, nor keeps what they used."""
        shipped, first = function_frame(abs)
        held, release = threading.Event(), threading.Event()

        def hold():
            with larder._lock:
                larder._used["x"] += 1
                held.set()
                release.wait(20)

        thread = threading.Thread(target=hold)
        thread.start()
        assert held.wait(20)
        larder.renew()
        try:
            assert run(first, task_frame(shipped.ident, -1))[0] == b""
            assert not larder._used
        finally:
            release.set()
            thread.join()

    def test_functions_of_threads(self):
        """Each thread is a worker, and has variables of its own."""
        count = 0

        def step():
            nonlocal count
            count += 1
            return count

        shipped, first = function_frame(step)
        task = task_frame(shipped.ident)
        results = []

        def twice():
            results.extend(pickle.loads(run(first, task)[1][0].body) for _ in range(2))

        for _ in range(2):
            thread = threading.Thread(target=twice)
            thread.start()
            thread.join()
        assert results == [1, 2, 1, 2]
