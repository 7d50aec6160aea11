"""The lender: workers' questions are answered, and they hear of changes before the next task."""

import importlib
import os
import socket
import sys
import threading

import pytest

import farm_client as farm
from farm_client import library as library_module
from farm_client.library import Answer, Library
from farm_common.frames import Kind
from farm_common.shipping.modules import NAME_LIMIT, GivenModule

ASK = "paper:import"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of the user's, on the path; its modules begin with zz."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("zz")]:
        del sys.modules[name]


@pytest.fixture
def ask(kernel, bound):
    """Has a worker ask for a module; returns the answer."""
    return lambda name: GivenModule(*farm.force(farm.future(ASK, name), bound))


def edit(path, text):
    """Change a file so that it can be seen whatever the clock's grain is."""
    before = os.stat(path)
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10_000_000))


def test_a_question(ask, folder):
    """The answer is the library's."""
    (folder / "zz.py").write_text("x = 1\n")
    assert ask("zz") == GivenModule("module", str(folder / "zz.py"), "x = 1\n")
    assert ask("zz_none").reason.startswith("has none of that name")


def test_while_nobody_waits(kernel, folder, bound):
    """The program need not wait for results: some thread of the kernel's answers."""
    (folder / "zz.py").write_text("")
    done = threading.Event()
    farm.future(ASK, "zz").add_done_callback(lambda _: done.set())
    assert done.wait(bound)


def test_files_are_read_without_locks(kernel, ask, folder, monkeypatch):
    """A slow file system must not stop those who submit, or read from other workers."""
    engine = kernel._engine
    free = []
    find = engine._library._find

    def find_freely(name):
        for lock in (engine._lock, engine._reading):
            free.append(lock.acquire(False))
            lock.release()
        return find(name)

    monkeypatch.setattr(engine._library, "_find", find_freely)
    ask("zz_none")
    assert free == [True, True]


@pytest.mark.parametrize(
    "name", [b"\xff\xfe", b"", b"../../etc/passwd", b"z" * (NAME_LIMIT + 1), b"z" * 10_000_000]
)
def test_unreasonable_questions(ask, name):
    """They are answered, and not remembered."""
    assert ask(name).reason == "gives no such thing"


def test_many_questions(kernel, monkeypatch):
    """Each is answered, and they leave little behind."""
    monkeypatch.setattr(library_module, "_MOST", 100)
    channel = kernel.make_channel()
    for number in range(1000):
        channel.submit(ASK, f"zz_{number}")
    kinds = {answer[0] for answer in farm.do_fast_receives(channel, 1000)}
    assert kinds == {"none"}
    assert len(kernel._engine._library._answers) <= 100


def test_a_text_that_is_too_large_there(paper, connect, folder, bound):
    """It is refused here, and the connection holds."""
    paper.hello = {"frame_limit": 100_000}
    connect()
    (folder / "zz.py").write_text(f"x = '{'x' * 200_000}'\n")
    (folder / "zz2.py").write_text("x = 1\n")
    answer = farm.force(farm.future(ASK, "zz"), bound)
    assert answer[3].startswith("has a text of 200")
    assert answer[3].endswith("bytes, which is too large there")
    assert farm.force(farm.future(ASK, "zz2"), bound)[0] == "module"


@pytest.mark.parametrize(
    ("hello", "kind"),
    [
        ({"host": socket.gethostname()}, "extension"),
        ({"host": "elsewhere"}, "none"),
        ({"host": socket.gethostname(), "magic": "00", "implementation": "other"}, "none"),
    ],
)
def test_an_extension_module(paper, connect, folder, bound, hello, kind):
    """It is for workers of this machine and this interpreter only."""
    paper.hello = hello
    connect()
    path = folder / f"zz{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    path.write_bytes(b"")
    answer = GivenModule(*farm.force(farm.future(ASK, "zz"), bound))
    assert answer.kind == kind
    if kind == "none":
        assert answer.reason == (
            f"has it as the extension module {path}, which cannot travel: install it for the "
            f"worker's Python"
        )


class TestChanges:
    def run(self, task, *args):
        return farm.force(farm.future(task, *args), 20)

    def test_are_told_before_the_next_task(self, paper, connect, folder):
        """All workers hear of it once, and are sent functions again."""
        paper.workers = 3
        kernel = connect()
        path = folder / "zz.py"
        path.write_text("x = 1\n")
        kernel.broadcast_task(ASK, "zz")
        kernel.broadcast_task("paper:echo", 1)
        functions = paper.count(Kind.FUNCTION)
        edit(path, "x = 2\n")
        answers = kernel.broadcast_task(ASK, "zz")
        assert [answer[2] for answer in answers] == ["x = 2\n"] * 3
        assert dict(paper.forgotten) == {index: [{"zz": str(path)}] for index in range(3)}
        kernel.broadcast_task("paper:echo", 2)
        assert paper.count(Kind.FUNCTION) == functions + 6

    def test_by_a_submit(self, paper, kernel, folder):
        """Also where one task follows another."""
        path = folder / "zz.py"
        path.write_text("x = 1\n")
        zz = importlib.import_module("zz")
        assert self.run(ASK, "zz")[2] == "x = 1\n"
        edit(path, "x = 2\n")
        assert self.run(ASK, "zz")[2] == "x = 1\n"
        importlib.reload(zz)
        assert self.run(ASK, "zz")[2] == "x = 2\n"
        assert self.run("paper:echo", 1)[0] == 1

    def test_one_that_older_workers_do_not_hear(self, paper, connect, folder):
        """They have not learnt the word."""
        paper.hello = {"features": ()}
        kernel = connect()
        (folder / "zz.py").write_text("")
        zz = importlib.import_module("zz")
        kernel.broadcast_task("paper:echo", 1)
        importlib.reload(zz)
        kernel.broadcast_task("paper:echo", 1)
        assert not paper.forgotten
        assert paper.count(Kind.FUNCTION) == 2

    def test_a_new_kernel(self, paper, connect, folder):
        """It begins with the files as they are."""
        path = folder / "zz.py"
        path.write_text("x = 1\n")
        importlib.import_module("zz")
        first = connect()
        assert first.broadcast_task(ASK, "zz")[0][2] == "x = 1\n"
        edit(path, "x = 2\n")
        assert first.broadcast_task(ASK, "zz")[0][2] == "x = 1\n"
        assert connect().broadcast_task(ASK, "zz")[0][2] == "x = 2\n"

    def test_an_answer_that_is_overtaken(self, kernel, ask, monkeypatch):
        """A text that became an old one while it was read is not sent."""
        library = kernel._engine._library
        texts = iter(["old", "new"])

        def answer(name):
            text = next(texts)
            if text == "old":
                library.version += 1
            return Answer(GivenModule("module", "", text), library.version - (text == "old"))

        monkeypatch.setattr(library, "answer", answer)
        assert ask("zz").text == "new"


def test_a_worker_that_is_gone(kernel, paper, bound, monkeypatch):
    """Its question is dropped, and the others are answered."""
    library = kernel._engine._library
    answer = library.answer
    dropped = threading.Event()

    def answer_late(name):
        if name == "zz_first":
            (link,) = [link for link in kernel._engine.links if link.index == 0]
            link.lost = True
            dropped.set()
        return answer(name)

    lender = kernel._engine._lender
    sent = []
    transmit = lender._transmit
    monkeypatch.setattr(library, "answer", answer_late)
    monkeypatch.setattr(
        lender, "_transmit", lambda link, data: sent.append(link) or transmit(link, data)
    )
    links = kernel._engine.links
    for link, name in zip(links, ("zz_first", "zz_second")):
        lender.questions.append((link, 1, name.encode()))
    lender.answer(kernel._engine._lock)
    assert dropped.is_set()
    assert sent == [links[1]]
    links[0].lost = False


def test_the_end_of_a_kernel(paper, connect):
    """Nobody observes imports any more."""
    before = sys.meta_path[:]
    first, second = connect(), connect()
    assert len(sys.meta_path) == len(before) + 1
    first.end()
    assert len(sys.meta_path) == len(before) + 1
    second.end()
    assert sys.meta_path == before


def test_no_modules(connect, bound):
    """`modules=None` reaches the library."""
    connect(modules=None)
    answer = farm.force(farm.future(ASK, "zz"), bound)
    assert answer[3] == "gives none, as its kernel was made with modules=None"
    connect(modules=["zz"])


def test_a_library_of_its_own():
    """Each kernel has one, so none changes what another gives."""
    first, second = Library(), Library()
    try:
        assert first.answer("zz").version == 0
        first.version += 1
        assert second.answer("zz").version == 0
    finally:
        first.close()
        second.close()
