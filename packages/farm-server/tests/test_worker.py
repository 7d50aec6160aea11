"""The worker's loop, fed with frames over a socket pair."""

import json
import os
import re
import signal
import socket
import struct
import sys

import pytest

from farm_common.connection import Connection
from farm_common.errors import ProtocolError
from farm_common.frames import Flag, FrameReader, Kind, encode_frame
from farm_common.security import PlainLayer
from farm_common.shipping import Shared, pack, ship_function, unpack, unpack_exception
from farm_common.shipping.interruptions import unpack_interruption
from farm_common.shipping.modules import GivenModule, pack_changes, pack_module
from farm_common.states import Role, State
from farm_common.stream import Stream
from farm_common.testing import client_hello
from farm_server.board import Slot
from farm_server.interrupter import SIGNAL
from farm_server.worker import Worker


class Client:
    """The other end: sends frames, and has the worker serve them until they are all answered."""

    def __init__(self, hello):
        self.sock, theirs = socket.socketpair()
        connection = Connection(Role.SERVER, frame_limit=1 << 26)
        connection.state = State.OPEN
        self.words = [0] * 8
        self.stream = Stream(theirs, connection, PlainLayer())
        self.worker = Worker(self.stream, hello, self.words, None)
        self.out = []

    def function(self, task):
        shipped = ship_function(task, 5)
        self.send(
            Kind.FUNCTION,
            shipped.ident + shipped.body,
            flags=Flag.BYTECODE if shipped.bytecode else 0,
        )
        return shipped.ident

    def task(self, function, ident, *args, **keywords):
        parcel = pack((args, keywords), 5, "arguments")
        self.send(
            Kind.TASK,
            function + parcel.body,
            ident=ident,
            count=1,
            buffers=parcel.buffers,
            flags=Flag.BYTECODE if parcel.bytecode else 0,
        )

    def batch(self, function, ident, arguments, count=None):
        body = function + pack(arguments, 5, "arguments").body
        self.send(Kind.TASK, body, ident=ident, count=count or len(arguments), flags=Flag.BATCH)

    def send(self, kind, body, **fields):
        self.out += encode_frame(kind, body, **fields)

    def serve(self):
        """Let the worker serve what was sent; return its frames."""
        self.sock.sendall(b"".join(self.out))
        self.sock.shutdown(socket.SHUT_WR)
        self.worker.serve()
        self.stream.close()
        reader = FrameReader(1 << 26)
        frames = []
        while True:
            data = self.sock.recv(1 << 16)
            if not data:
                self.sock.close()
                return frames
            frames += reader.feed(data)


@pytest.fixture
def client():
    """A client of this interpreter."""
    return Client(client_hello())


def results(frames):
    """{ident: value or the report of an error}."""
    got = {}
    for frame in frames:
        if frame.kind == Kind.RESULT:
            value = unpack(frame.body, frame.buffers)
            values = value if frame.flags & Flag.BATCH else [value]
            assert len(values) == max(1, frame.count)
            got.update(enumerate(values, frame.ident))
        elif frame.kind == Kind.ERROR:
            report, _, _ = unpack_exception(frame.body, True)
            for ident in range(frame.ident, frame.ident + max(1, frame.count)):
                got[ident] = report
    return got


def test_one_task(client):
    """One result, with the time that it took."""
    client.task(client.function(abs), 5, -3)
    (frame,) = client.serve()
    assert (frame.kind, frame.ident, frame.count) == (Kind.RESULT, 5, 1)
    assert unpack(frame.body) == 3


def test_a_batch_is_answered_by_a_batch(client):
    """Results of short tasks that follow each other go together."""
    client.batch(client.function(abs), 1, [(-1,), (-2,), (-3,)])
    frames = client.serve()
    assert results(frames) == {1: 1, 2: 2, 3: 3}
    assert len(frames) < 3


def test_answers_are_in_order(client):
    """Whatever they are: small, large, errors, of tasks alone and in batches."""
    function = client.function(lambda x: x if x >= 0 else 1 / 0)
    large = client.function(bytearray)
    client.batch(function, 1, [(1,), (2,), (-1,), (3,)])
    client.task(large, 5, 100_000)
    client.task(function, 6, 4)
    client.batch(function, 7, [(-1,), (-2,), (5,)])
    frames = client.serve()
    got = results(frames)
    error = "ZeroDivisionError: division by zero"
    assert list(got) == list(range(1, 10))
    assert got[5] == bytearray(100_000)
    del got[5]
    assert got == {1: 1, 2: 2, 3: error, 4: 3, 6: 4, 7: error, 8: error, 9: 5}


def test_keywords_and_options(client):
    """Unknown options are skipped."""
    function = client.function(dict)
    text = json.dumps({"category": "sim", "later": 1}).encode()
    body = function + struct.pack("!I", len(text)) + text + pack(((), {"a": 1}), 5, "it").body
    client.send(Kind.TASK, body, ident=1, count=1, flags=Flag.OPTIONS)
    assert results(client.serve()) == {1: {"a": 1}}


@pytest.mark.parametrize(
    ("body", "count", "flags", "text"),
    [
        (b"x" * 16 + pack(((), {}), 5, "it").body, 1, 0, "function was not received"),
        (b"F" + b"rubbish", 1, 0, ""),
        (b"F", 1, 0, ""),
        (b"F" + pack(3, 5, "it").body, 1, 0, ""),
        (b"F" + pack([(1,)], 5, "it").body, 3, Flag.BATCH, "a batch of 3 tasks with 1 arguments"),
        (b"F" + b"\xff\xff\xff\xff", 1, Flag.OPTIONS, ""),
        (b"F" + b"\0\0\0\2[]", 1, Flag.OPTIONS, "options is not a JSON object"),
        (b"", 1, 0, ""),
    ],
)
def test_tasks_that_cannot_be_read(client, body, count, flags, text):
    """One error for all tasks of the frame; the next task is executed."""
    function = client.function(abs)
    body = function + body[1:] if body[:1] == b"F" else body
    client.send(Kind.TASK, body, ident=1, count=count, flags=flags)
    client.task(function, 10, -1)
    got = results(client.serve())
    assert list(got) == [*range(1, 1 + count), 10]
    assert text in got[1]
    assert got[10] == 1


def test_a_function_that_cannot_be_loaded(client):
    """Each of its tasks fails, and no other does."""
    bad = client.function("no_such_module_x:f")
    good = client.function(abs)
    client.batch(bad, 1, [(1,), (2,)])
    client.task(good, 3, -1)
    got = results(client.serve())
    assert got[1] == got[2] == "ModuleNotFoundError: No module named 'no_such_module_x'"
    assert got[3] == 1


@pytest.mark.parametrize("what", [SystemExit, KeyboardInterrupt, GeneratorExit, RecursionError])
def test_a_task_that_raises_anything(client, what):
    """It is the task's failure."""

    def task():
        raise what("text")

    client.task(client.function(task), 1)
    client.task(client.function(abs), 2, -1)
    got = results(client.serve())
    assert got[1] == f"{what.__name__}: text"
    assert got[2] == 1


def test_a_result_that_cannot_travel(client):
    """An error that names it."""

    class Unsendable:
        def __getstate__(self):
            raise TypeError("cannot pickle it")

    client.task(client.function(lambda: [Unsendable()]), 1)
    (frame,) = client.serve()
    report, _, original = unpack_exception(frame.body, True)
    assert report.startswith("SerializationError: the result -> [0]: a")
    assert type(original).__name__ == "SerializationError"


def test_a_result_above_the_client_s_limit():
    """An error that tells both numbers."""
    client = Client(client_hello(frame_limit=100_000))
    client.task(client.function(bytes), 1, 200_000)
    assert "the client takes 100000" in results(client.serve())[1]


def test_bytecode_of_another_interpreter():
    """Is never loaded: functions, arguments and shared values are answered by errors."""
    client = Client(client_hello(implementation="other", magic="00"))
    client.task(client.function(lambda: [os.abort()]), 1)
    client.task(client.function(len), 2, [lambda: 1])
    client.task(client.function(abs), 3, -1)
    client.task(client.function("operator:itemgetter"), 4, 0)
    got = results(client.serve())
    assert "bytecode of other" in got[1]
    assert "bytecode of other" in got[2]
    assert got[3] == 1


def test_shared_values(client):
    """Loaded when asked for, and the same for all tasks; gone after RELEASE."""
    shared = Shared([1, 2])
    body = pack(shared.value, 5, "it").body
    function = client.function(lambda s: (s.value.append(3), s.value)[1])
    client.send(Kind.SHARED, shared.ident + body)
    client.task(function, 1, shared)
    frames = client.serve()
    # In one process the handle that comes back is the one that went out.
    assert results(frames) == {1: [1, 2, 3]}
    store = client.worker._shared
    assert store.get(shared.ident) == [1, 2]
    store.drop(shared.ident)


def test_release_and_unknown_ids(client):
    """Ids that are not known are skipped."""
    client.send(Kind.SHARED, b"s" * 16 + pack(1, 5, "it").body)
    client.send(Kind.RELEASE, b"s" * 16 + b"t" * 16)
    client.task(client.function(abs), 1, -1)
    assert results(client.serve()) == {1: 1}
    with pytest.raises(Exception, match="released"):
        client.worker._shared.get(b"s" * 16)


def test_ping(client):
    """Answered in its turn, with the same ident."""
    client.task(client.function(abs), 1, -1)
    client.send(Kind.PING, b"", ident=77)
    frames = client.serve()
    assert [frame.kind for frame in frames] == [Kind.RESULT, Kind.PONG]
    assert frames[1].ident == 77


@pytest.mark.parametrize("kind", [Kind.STATUS, Kind.DRAIN])
def test_questions_that_are_not_for_workers(client, kind):
    """Break the session."""
    client.send(kind, b"")
    with pytest.raises(ProtocolError, match="in a connection for work"):
        client.serve()
    client.sock.close()
    client.stream.close()


def test_what_the_board_says(client):
    """How many tasks were done, and that none runs."""
    client.batch(client.function(abs), 1, [(-1,)] * 10)
    client.serve()
    assert client.words[Slot.DONE] == 10
    assert client.words[Slot.TASK] == 0


def test_goodbye(client):
    """What came with it is not executed, for nobody wants the result."""
    client.task(client.function(lambda: [os.abort()]), 1)
    client.send(Kind.GOODBYE, b"")
    assert client.serve() == []


def test_a_client_that_is_gone(client):
    """The worker's loop ends without an error."""
    client.task(client.function(abs), 1, -1)
    client.sock.sendall(b"".join(client.out))
    client.sock.close()
    client.worker.serve()
    client.stream.close()


def test_forgetting_functions(client):
    """When modules have changed, functions are to be sent again: a task that names an old one
    fails."""
    function = client.function(abs)
    client.task(function, 1, -1)
    client.send(Kind.FORGET, pack_changes({"helper": "/helper.py"}))
    client.task(function, 2, -1)
    client.function(abs)
    client.task(function, 3, -1)
    got = results(client.serve())
    assert (got[1], got[3]) == (1, 1)
    assert "function was not received" in got[2]


def test_an_answer_that_nobody_waits_for(client):
    """Is skipped: whoever asked has given up."""
    client.send(Kind.MODULE, pack_module(GivenModule("none")), ident=9)
    client.task(client.function(abs), 1, -1)
    assert results(client.serve()) == {1: 1}


@pytest.fixture
def importing(client):
    """A client that gives modules; what its worker imported is forgotten."""
    importer = client.worker.share_modules(client_hello())
    yield client
    importer.uninstall()
    for name in [name for name in sys.modules if name.startswith("zz_")]:
        del sys.modules[name]


def test_why_a_module_is_missing(importing, monkeypatch):
    """The error that leaves the worker says it; the one that the task catches is the usual one."""
    monkeypatch.setattr(
        importing.worker._importer, "_ask", lambda name: GivenModule("none", reason="has none")
    )

    def task():
        try:
            import zz_missing
        except ImportError as error:
            return str(error)
        return zz_missing

    importing.task(importing.function("zz_missing:function"), 1)
    importing.task(importing.function(task), 2)
    got = results(importing.serve())
    assert re.fullmatch(
        r"ModuleNotFoundError: No module named 'zz_missing' on worker .* \(\w+ 3\.\d+\.\d+\), "
        r"and the client has none",
        got[1],
    )
    assert got[2] == "No module named 'zz_missing'"


def test_a_module_for_an_argument(importing, monkeypatch):
    """Unpacking arguments imports, too."""
    text = "class Value:\n    number = 3\n"
    monkeypatch.setattr(
        importing.worker._importer, "_ask", lambda name: GivenModule("module", "", text)
    )
    pickled = b"\x80\x05czz_values\nValue\n."
    get = importing.function("builtins:getattr")
    importing.send(Kind.TASK, get + pickled[:-1] + b"\x8c\x06number\x86}\x86.", ident=1, count=1)
    assert results(importing.serve()) == {1: 3}


# tasks that are ended


@pytest.fixture
def desk(client, monkeypatch):
    """What tasks reach as ``sys.desk``: they kill themselves, as the parent would."""

    class Desk:
        words = client.words

        def kill(self, late=False):
            self.words[Slot.KILL] = self.words[Slot.TASK] << 1 | late
            os.kill(os.getpid(), SIGNAL)
            for _ in range(1000):
                pass  # time for the handler

    before = signal.getsignal(SIGNAL)
    client.worker._interrupter.install()
    monkeypatch.setattr(sys, "desk", Desk(), raising=False)
    yield sys.desk
    signal.signal(SIGNAL, before)


def ended(frames):
    """{ident: how the task was ended}, of those that were."""
    return {
        frame.ident: unpack_interruption(frame.body)
        for frame in frames
        if frame.kind == Kind.ERROR and unpack_interruption(frame.body) is not None
    }


@pytest.mark.parametrize(("late", "reason"), [(False, "killed"), (True, "timeout")])
def test_a_task_that_is_killed(client, desk, late, reason):
    """It is answered by its own error; those around it, in the same frame, by their results."""

    def task(n, late):
        import sys

        if n == 2:
            sys.desk.kill(late)
        return n

    client.batch(client.function(task), 1, [(1, late), (2, late), (3, late)])
    frames = client.serve()
    got = ended(frames)
    assert list(got) == [2]
    assert got[2].reason == reason
    assert 0 < got[2].seconds < 60
    # The user's own lines, and nobody else's.
    assert re.findall(r", in (\w+)\n", got[2].description) == ["task", "kill"]
    assert list(results(frames)) == [1, 2, 3]
    assert (results(frames)[1], results(frames)[3]) == (1, 3)
    assert client.words[Slot.HIT] == 3
    assert client.words[Slot.STATE] == Slot.WORK


@pytest.mark.parametrize("how", ["return 5", "raise ValueError", "raise SystemExit", "pass"])
def test_a_task_that_takes_the_exception_for_its_own(client, desk, how):
    """It was killed, whatever it makes of that."""
    space = {"__name__": "__main__"}
    text = "def task():\n import sys\n try: sys.desk.kill()\n except BaseException: "
    exec(text + how, space)
    client.task(client.function(space["task"]), 1)
    client.task(client.function(abs), 2, -1)
    frames = client.serve()
    assert list(ended(frames)) == [1]
    assert results(frames)[2] == 1


class Act:
    """Does something where it is unpacked, and is nothing then."""

    def __init__(self, text):
        self.text = text

    def __reduce__(self):
        return exec, (self.text,)


def test_a_kill_while_something_is_loaded(client, desk):
    """It is loaded to its end: nothing is left halfway. (Here nobody signals again.)"""
    act = Act("import sys; sys.desk.kill()")
    client.task(client.function(lambda: act), 1)
    client.task(client.function(id), 2, act)
    frames = client.serve()
    assert ended(frames) == {}
    assert results(frames)[1] is None


def send_limited(client, function, ident, timeout, *args):
    """Send a task with a time limit."""
    text = json.dumps({"timeout": timeout}).encode()
    body = function + struct.pack("!I", len(text)) + text + pack((args, {}), 5, "it").body
    client.send(Kind.TASK, body, ident=ident, count=1, flags=Flag.OPTIONS)


def test_a_task_with_a_time_limit(client, desk):
    """The board says how long it may run, as long as it runs; the parent is told to look."""
    ours, theirs = socket.socketpair()
    client.worker._parent = theirs
    function = client.function(lambda: list(__import__("sys").desk.words))
    send_limited(client, function, 1, 1.5)
    send_limited(client, function, 2, 1e30)
    client.task(function, 3)
    got = results(client.serve())
    assert [got[ident][Slot.LIMIT] for ident in (1, 2, 3)] == [1_500_000_000, 1 << 62, 0]
    assert 0 < got[1][Slot.STARTED] <= got[2][Slot.STARTED] <= got[3][Slot.STARTED]
    assert client.words[Slot.LIMIT] == 0
    theirs.close()
    assert ours.makefile("rb").read() == b'{"ask": "watch"}\n'  # once for both
    ours.close()


def test_a_time_limit_while_something_is_loaded(client, desk):
    """Arguments and functions have a minute more; the task's own time begins after that."""
    desk.seen = []
    assert (Slot.STARTED, Slot.LIMIT) == (3, 7)
    look = "import sys; sys.desk.seen.append((sys.desk.words[7], sys.desk.words[3]))"
    act = Act(look)
    function = client.function(lambda _: (act, exec(look)))
    send_limited(client, function, 1, 1.0, act)
    send_limited(client, function, 2, 1.0, None)
    client.task(function, 3, act)
    client.serve()
    limits, starts = zip(*desk.seen)
    assert limits == (61 * 10**9, 61 * 10**9, 10**9, 10**9, 0, 0)
    assert list(starts) == sorted(starts)
    assert starts[1] < starts[2]


def test_a_time_limit_and_arguments_that_cannot_be_unpacked(client):
    """It is over with them."""
    send_limited(client, client.function(abs), 1, 1.0, Act("raise ValueError"))
    assert results(client.serve()) == {1: "ValueError"}
    assert client.words[Slot.LIMIT] == 0


@pytest.mark.parametrize("timeout", [0, -1, "1", True, [], {}])
def test_a_time_limit_that_is_none(client, timeout):
    """The task fails, rather than that it runs for ever."""
    send_limited(client, client.function(abs), 1, timeout, -1)
    client.task(client.function(abs), 2, -1)
    got = results(client.serve())
    assert "timeout is a number above 0, not" in got[1]
    assert got[2] == 1


def test_a_parent_that_is_gone_when_it_should_look(client):
    """The task runs all the same: the monitor ends such a process."""
    ours, theirs = socket.socketpair()
    ours.close()
    client.worker._parent = theirs
    send_limited(client, client.function(abs), 1, 1, -1)
    assert results(client.serve()) == {1: 1}
    theirs.close()


def test_a_worker_that_sends(client, monkeypatch):
    """The board says so, for it runs no task then."""
    seen = []
    send = client.stream.send
    monkeypatch.setattr(
        client.stream, "send", lambda data: seen.append(client.words[Slot.STATE]) or send(data)
    )
    client.task(client.function(abs), 1, -1)
    client.serve()
    assert set(seen) == {Slot.SENDING}
    assert client.words[Slot.STATE] == Slot.WORK


def test_the_clock_of_a_limited_task(client, desk):
    """Can be set back while such a task runs, and is no other task's."""
    desk.keeper = client.worker.timekeeper

    def part():
        import sys

        desk = sys.desk
        before = desk.words[3]
        restart = desk.keeper()
        if restart is None:
            return False
        while desk.words[3] == before:  # its resolution may be low
            restart()
        return desk.words[3] > before

    function = client.function(part)
    send_limited(client, function, 1, 10.0)
    client.task(function, 2)
    assert results(client.serve()) == {1: True, 2: False}
