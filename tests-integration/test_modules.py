"""Modules that exist only at the client: tasks import them on servers that work elsewhere.

The servers' working directory is empty, and the modules lie beside the client's program.
"""

import importlib
import json
import os
import signal
import socket
import sys
import textwrap
import zipfile

import pytest

import farm_client as farm
from farm_common.address import parse_address
from farm_common.deadline import Deadline
from farm_common.frames import Kind
from farm_common.greeting import connect_stream
from farm_common.security import NoAuth
from farm_common.shipping import pack, ship_function, unpack, unpack_exception
from farm_common.shipping.modules import GivenModule, pack_changes, pack_module
from farm_common.testing import client_hello

BOUND = 30.0

# A project of the user's, beside the program that uses it.
PROJECT = {
    "zz_plain.py": """
        '''Grüße'''
        def function(x):
            return x + 1
        def where():
            return __name__, __file__
        def fail():
            raise ValueError("oh")  # the line of the error
        class Class:
            def __init__(self, value):
                self.value = value
        """,
    "zz_circle_one.py": "first = 1\nimport zz_circle_two\nsecond = zz_circle_two.second\n",
    "zz_circle_two.py": "import zz_circle_one\nsecond = zz_circle_one.first + 1\n",
    "zz_pack/__init__.py": "from .one import one\nfrom . import deep\nimport zz_plain\n",
    "zz_pack/one.py": "def one():\n    from .deep import leaf\n    return leaf.name\n",
    "zz_pack/deep/__init__.py": "",
    "zz_pack/deep/leaf.py": "from .. import one\nname = __name__\n",
    "zz_space/part/leaf.py": "value = 'leaf'\n",
    "zz_thread_one.py": "value = 1\n",
    "zz_thread_two.py": "value = 2\n",
    "zz_late.py": "value = 'late'\n",
    "zz_optional.py": "try:\n    import zz_none\nexcept ImportError:\n    zz_none = None\n",
    "zz_new.py": "type Number = int\nvalue = 1\n",
}

PROGRAM = '''
import functools, inspect, json, sys, threading
import farm_client as farm
import zz_pack, zz_plain

def call(task, *args):
    return farm.force(farm.future(task, *args), 30)

def deep(level):
    if level:
        return deep(level - 1)
    from zz_space.part.leaf import value
    return value

def circle():
    import zz_circle_one
    return zz_circle_one.second

def threads():
    """Two threads import at once, while the task waits for them."""
    values = []
    def run(name):
        values.append(__import__(name).value)
    several = [threading.Thread(target=run, args=(f"zz_thread_{n}",)) for n in ("one", "two")]
    for thread in several:
        thread.start()
    for thread in several:
        thread.join()
    return sorted(values)

def source():
    import zz_plain
    return inspect.getsource(zz_plain.fail)

def optional():
    import importlib.util
    import zz_optional
    found = importlib.util.find_spec("zz_other_none")
    return zz_optional.zz_none is None and found is None

def third_party():
    import zz_none.part

def reports(task):
    try:
        call(task)
    except farm.TaskExecutionError as error:
        return error.report, error.description

out = {}
with farm.make_kernel(sys.argv[1], timeout=30):
    out["function"] = call(zz_plain.function, 1)
    out["where"] = call(zz_plain.where) == ("zz_plain", zz_plain.__file__)
    out["package"] = call(zz_pack.one)
    out["named"] = call("zz_pack.deep.leaf:name.upper")
    out["deep"] = call(deep, 50)
    out["circle"] = call(circle)
    out["threads"] = call(threads)
    out["class"] = call(functools.partial(getattr, zz_plain.Class(5), "value"))
    result = call(zz_plain.Class, 6)
    out["result"] = type(result) is zz_plain.Class and result.value
    out["source"] = call(source)
    out["optional"] = call(optional)
    out["error"] = reports(zz_plain.fail)[1]
    out["missing"] = reports(third_party)[0]
    out["syntax"] = reports("zz_new:value.bit_length")
print(json.dumps(out))
'''


def write(folder, files):
    """Write a project."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), "utf-8")


@pytest.fixture
def project(tmp_path):
    """The folder of the program that `run` runs, with the project in it."""
    write(tmp_path, PROJECT)
    return tmp_path


@pytest.fixture
def elsewhere(launch, tmp_path_factory):
    """Starts servers that work in an empty folder."""

    def start(*arguments, **keywords):
        folder = tmp_path_factory.mktemp("elsewhere")
        return launch(*(arguments or ("127.0.0.1:0", "--workers", "1")), cwd=folder, **keywords)

    return start


def python_of(run, python):
    """An interpreter as messages name it, and its version."""
    program = "import sys; print(sys.implementation.name, *sys.version_info[:3])"
    name, *numbers = run(program, python=python).stdout.split()
    name = {"cpython": "CPython", "pypy": "PyPy"}[name]
    return f"{name} {'.'.join(numbers)}", tuple(map(int, numbers))


def check(done, project, client, server):
    """What came of PROGRAM, with the two interpreters."""
    assert done.stderr == ""
    out = json.loads(done.stdout)
    error, missing, syntax = out.pop("error"), out.pop("missing"), out.pop("syntax")
    assert out == {
        "function": 2,
        "where": True,
        "package": "zz_pack.deep.leaf",
        "named": "ZZ_PACK.DEEP.LEAF",
        "deep": "leaf",
        "circle": 2,
        "threads": [1, 2],
        "class": 5,
        "result": 6,
        "source": 'def fail():\n    raise ValueError("oh")  # the line of the error\n',
        "optional": True,
    }
    assert f'File "{project / "zz_plain.py"}", line 7, in fail' in error
    assert 'raise ValueError("oh")  # the line of the error' in error
    assert missing == (
        f"ModuleNotFoundError: No module named 'zz_none' on worker {socket.gethostname()} "
        f"({server[0]}), and the client has none of that name either: install it for the worker's "
        f"Python"
    )
    if server[1] >= (3, 12):
        assert syntax is None
    else:
        report, description = syntax
        assert report.startswith("SyntaxError: invalid syntax")
        assert f'File "{project / "zz_new.py"}", line 1' in description
        sentence = (
            f"module zz_new comes from the client's {client[0]}, and this worker runs {server[0]}"
        )
        assert (sentence in report) is (client[1][:2] != server[1][:2])


def test_everything(run, elsewhere, project):
    """Every way to import, with this interpreter at both ends."""
    server = elsewhere()
    this = python_of(run, sys.executable)
    check(run(PROGRAM, server.address), project, this, this)
    assert server.end() == ""


def test_this_client_and_another_server(run, elsewhere, project, peer):
    """The same with another interpreter there."""
    server = elsewhere(python=peer)
    check(
        run(PROGRAM, server.address), project, python_of(run, sys.executable), python_of(run, peer)
    )
    assert server.end() == ""


def test_another_client_and_this_server(run, elsewhere, project, peer):
    """The reverse."""
    server = elsewhere()
    check(
        run(PROGRAM, server.address, python=peer),
        project,
        python_of(run, peer),
        python_of(run, sys.executable),
    )


def test_a_private_server(run, project, tmp_path_factory, peer):
    """Also of another interpreter, and though it lies on the same machine: the client gives."""
    here = tmp_path_factory.mktemp("here")
    done = run(PROGRAM, f"local?workers=1&python={peer}", cwd=here)
    check(done, project, python_of(run, sys.executable), python_of(run, peer))


LOCAL = """
import sys
import farm_client as farm

def call(task, *args):
    try:
        return farm.force(farm.future(task, *args), 30)
    except farm.TaskExecutionError as error:
        return error.report.split(", ")[-1]

with farm.make_kernel("local?workers=1", modules=None):
    print(call("zz_plain:function", 1))
    print(call("cloudpickle:dumps", 1)[:1])
with farm.make_kernel("local?workers=1"):
    print(call("zz_plain:function", 1))
    path = sys.path[0] + "/zz_plain.py"
    with open(path, "a") as file:
        file.write("def function(x):\\n    return 'edited'\\n")
    print(call("zz_plain:function", 1))
with farm.make_kernel("local?workers=1", modules=["zz_late"]):
    print(call("zz_plain:function", 1))
    print(call("zz_late:value.upper"))
"""


def test_what_a_kernel_gives(run, project):
    """A private server has what is installed; the user's own is given, or not, as to any other;
    it is so in the program's own folder, too."""
    done = run(LOCAL, cwd=project)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "as its kernel was made with modules=None",
        str(b"\x80"),
        "2",
        "edited",
        "and the client gives only what its make_kernel(modules=[...]) names",
        "LATE",
    ]


class TestThreads:
    """Imports in threads that outlive their tasks; driven by named pipes, so nothing is left to
    chance: a pipe is opened when both ends are there."""

    START = '''
import os, threading

def start(folder):
    """Start a thread that imports when it is told to."""
    def run():
        open(folder + "/go").close()
        try:
            import zz_late
            text = zz_late.value
        except BaseException as error:
            text = repr(error)
        with open(folder + "/done", "w") as file:
            file.write(text)
    threading.Thread(target=run, daemon=True).start()

def release(folder):
    """Tell it, and wait for it: a task that needs what the thread gets."""
    with open(folder + "/go", "w"):
        pass
    with open(folder + "/done") as file:
        return file.read()
'''

    @pytest.fixture
    def zz_start(self, tmp_path, monkeypatch):
        write(tmp_path, {"zz_start.py": self.START, "zz_late.py": PROJECT["zz_late.py"]})
        monkeypatch.syspath_prepend(str(tmp_path))
        os.mkfifo(tmp_path / "go")
        os.mkfifo(tmp_path / "done")
        yield str(tmp_path)
        for name in ("zz_start", "zz_late"):
            sys.modules.pop(name, None)

    def test_between_tasks(self, elsewhere, make, zz_start):
        """The thread imports while the worker waits for a task."""
        make(elsewhere().address)
        farm.force(farm.future("zz_start:start", zz_start), BOUND)
        with open(f"{zz_start}/go", "w"):
            pass
        with open(f"{zz_start}/done") as file:
            assert file.read() == "late"
        assert farm.force(farm.future(abs, -1), BOUND) == 1

    def test_during_another_task(self, elsewhere, make, zz_start):
        """The thread imports while a task waits for it."""
        make(elsewhere().address)
        farm.force(farm.future("zz_start:start", zz_start), BOUND)
        assert farm.force(farm.future("zz_start:release", zz_start), BOUND) == "late"


class TestChanges:
    @pytest.fixture
    def folder(self, tmp_path, monkeypatch):
        """A folder on the path."""
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        yield tmp_path
        for name in [name for name in sys.modules if name.startswith("zz")]:
            del sys.modules[name]

    def edit(self, path, text):
        before = os.stat(path)
        path.write_text(text)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10_000_000))

    def test_a_file_that_only_tasks_import(self, elsewhere, make, folder):
        """The next task has its new text, by name, by value, and through modules that use it."""
        make(elsewhere().address)
        write(folder, {"zz_one.py": "value = 1\ndef get(): return value\n"})
        write(folder, {"zz_user.py": "from zz_one import value\ndef get(): return value\n"})

        def get():
            import zz_one

            return zz_one.value

        tasks = ["zz_one:get", get, "zz_user:get"]
        assert [farm.force(farm.future(task), BOUND) for task in tasks] == [1, 1, 1]
        self.edit(folder / "zz_one.py", "value = 2\ndef get(): return value\n")
        assert [farm.force(farm.future(task), BOUND) for task in tasks] == [2, 2, 2]

    def test_a_reload(self, elsewhere, make, folder):
        """What this process has imported changes when it is imported again, and not before."""
        make(elsewhere().address)
        path = folder / "zz_one.py"
        path.write_text("value = 1\ndef get(): return value\n")
        zz_one = importlib.import_module("zz_one")
        get = zz_one.get
        later = lambda: zz_one.value + 100  # noqa: E731
        assert [farm.force(farm.future(task), BOUND) for task in (get, later)] == [1, 101]
        self.edit(path, "value = 22\ndef get(): return value\n")
        assert [farm.force(farm.future(task), BOUND) for task in (get, later)] == [1, 101]
        importlib.reload(zz_one)
        assert [farm.force(farm.future(task), BOUND) for task in (zz_one.get, later)] == [22, 122]

    def test_a_module_that_is_written_later(self, elsewhere, make, folder):
        """It was missing, and is not any more."""
        make(elsewhere().address)
        with pytest.raises(farm.TaskExecutionError, match="No module named 'zz_one'"):
            farm.force(farm.future("zz_one:get"), BOUND)
        (folder / "zz_one.py").write_text("def get(): return 1\n")
        os.utime(folder, ns=(0, os.stat(folder).st_mtime_ns + 10_000_000))
        assert farm.force(farm.future("zz_one:get"), BOUND) == 1

    def test_a_worker_that_sees_the_same_file(self, launch, make, folder):
        """It has imported it by itself, as with an editable installation, and imports it anew."""
        path = folder / "zz_one.py"
        path.write_text("def get(): return 1\n")
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        environment["PYTHONPATH"] = f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        make(launch("127.0.0.1:0", "--workers", "1", env=environment).address)
        zz_one = importlib.import_module("zz_one")
        assert farm.force(farm.future(zz_one.get), BOUND) == 1
        self.edit(path, "def get(): return 22\n")
        importlib.reload(zz_one)
        assert farm.force(farm.future(zz_one.get), BOUND) == 22


class Raw:
    """A client that is made of frames, and answers when it likes."""

    def __init__(self, address, **hello):
        greeting = connect_stream(
            parse_address(address), NoAuth(), client_hello(**hello), Deadline(BOUND)
        )
        self.stream = greeting.stream
        self.stream.sock.settimeout(BOUND)
        self.pid = greeting.hello.pid
        self._frames = []

    def send(self, kind, body=b"", **fields):
        self.stream.send(self.stream.connection.send(kind, body, **fields))

    def task(self, ident, name, *args):
        shipped = ship_function(name, 5)
        self.send(Kind.FUNCTION, shipped.ident + shipped.body)
        body = shipped.ident + pack((args, {}), 5, "arguments").body
        self.send(Kind.TASK, body, ident=ident, count=1)

    def next(self):
        while not self._frames:
            self._frames += self.stream.receive()
        return self._frames.pop(0)

    def asked(self):
        frame = self.next()
        assert frame.kind == Kind.IMPORT
        return frame.ident, bytes(frame.body).decode()

    def give(self, number, text):
        self.send(Kind.MODULE, pack_module(GivenModule("module", "/zz.py", text)), ident=number)


@pytest.fixture
def raw(elsewhere):
    """A `Raw` client of a server; closed at the end."""
    made = []

    def connect(server, **hello):
        made.append(Raw(server.address, **hello))
        return made[-1]

    yield connect
    for one in made:
        one.stream.close()


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_refused(address):
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), BOUND).close()
    except ConnectionError:
        return True
    return False


class TestWaits:
    def test_frames_keep_their_order(self, elsewhere, raw):
        """What comes while a task waits for its module is handled after the task."""
        client = raw(elsewhere())
        client.task(1, "zz:function", 1)
        number, name = client.asked()
        assert name == "zz"
        client.send(Kind.PING, ident=5)
        client.task(2, abs, -2)
        client.send(Kind.FORGET, pack_changes({"zz": ""}))
        client.task(3, "zz:function", 3)
        client.give(number, "def function(x): return x + 10")
        first, pong, second = client.next(), client.next(), client.next()
        assert (first.kind, unpack(first.body)) == (Kind.RESULT, 11)
        assert (pong.kind, pong.ident) == (Kind.PONG, 5)
        assert (second.kind, unpack(second.body)) == (Kind.RESULT, 2)
        number, _ = client.asked()  # again, as it has changed
        client.give(number, "def function(x): return x + 20")
        assert unpack(client.next().body) == 23

    @pytest.mark.parametrize("how", ["goodbye", "close", "reset"])
    def test_the_client_leaves(self, elsewhere, raw, until, how):
        """The worker ends, though its task waits."""
        server = elsewhere()
        client = raw(server)
        client.task(1, "zz:function")
        client.asked()
        assert is_alive(client.pid)
        if how == "goodbye":
            client.send(Kind.GOODBYE)
        if how == "reset":
            linger = (1).to_bytes(4, sys.byteorder) + bytes(4)
            client.stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            client.stream.sock.close()
        else:
            client.stream.close()
        until(lambda: not is_alive(client.pid))
        assert raw(server).pid  # the server serves on

    def test_goodbye_and_a_connection_that_stays(self, elsewhere, raw, until):
        """Nothing follows it, so the wait is over, and with it the worker."""
        client = raw(elsewhere())
        client.task(1, "zz:function")
        client.asked()
        client.send(Kind.GOODBYE)
        until(lambda: not is_alive(client.pid))

    def test_the_server_drains_and_ends(self, elsewhere, raw, until):
        """The first SIGTERM lets a task wait for its module, the second ends it."""
        server = elsewhere()
        client = raw(server)
        client.task(1, "zz:function")
        number, _ = client.asked()
        server.process.send_signal(signal.SIGTERM)
        until(lambda: is_refused(server.address))
        client.give(number, "import zz_more\ndef function(): return 1")
        assert client.asked()[1] == "zz_more"
        server.process.send_signal(signal.SIGTERM)
        server.process.communicate(timeout=BOUND)
        assert server.process.returncode == 1
        assert not is_alive(client.pid)

    def test_a_worker_that_is_killed(self, elsewhere, raw):
        """The connection ends as it does for any other task."""
        client = raw(elsewhere())
        client.task(1, "zz:function")
        client.asked()
        os.kill(client.pid, signal.SIGKILL)
        with pytest.raises((EOFError, OSError)):
            client.next()

    def test_a_client_that_does_not_know_the_frames(self, elsewhere, raw):
        """It is not asked, and the error is the interpreter's own."""
        client = raw(elsewhere(), features=())
        client.task(1, "zz:function")
        frame = client.next()
        assert frame.kind == Kind.ERROR
        report, _, _ = unpack_exception(frame.body, False)
        assert report == "ModuleNotFoundError: No module named 'zz'"


def test_the_program_need_not_wait(run, elsewhere, project):
    """A task gets its module while the program computes."""
    program = """
        import sys, threading
        import farm_client as farm

        with farm.make_kernel(sys.argv[1], timeout=30):
            future = farm.future("zz_plain:function", 1)
            done = threading.Event()
            future.add_done_callback(lambda _: done.set())
            while not done.is_set():
                sum(range(1000))
            print(future.result())
        """
    done = run(program, elsewhere().address)
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_a_connection_that_breaks(elsewhere, make, wire, tmp_path, monkeypatch):
    """The worker goes on, and gets the answer over the next connection."""
    (tmp_path / "zz.py").write_text("def function(x): return x + 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    between = wire(elsewhere().address)
    kernel = make(between.address)
    library = kernel._engine._library
    answer = library.answer
    asked = []

    def answer_once(name):
        asked.append(name)
        if len(asked) == 1:
            between.cut()
        return answer(name)

    monkeypatch.setattr(library, "answer", answer_once)
    assert farm.force(farm.future("zz:function", 1), BOUND) == 2
    assert asked == ["zz"]


def test_a_chain_of_modules(elsewhere, make, tmp_path, monkeypatch):
    """One imports the next; each is asked for while those before it wait."""
    count = 50
    for number in range(count):
        (tmp_path / f"zz_{number}.py").write_text(f"import zz_{number + 1}\n")
    (tmp_path / f"zz_{count}.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    make(elsewhere().address)

    def count_modules():
        import zz_0

        return zz_0 and sum(name.startswith("zz_") for name in sys.modules)

    assert farm.force(farm.future(count_modules), BOUND) == count + 1


def test_a_package_in_an_archive(elsewhere, make, tmp_path, monkeypatch):
    """A zip file on the path is as good as a folder."""
    with zipfile.ZipFile(tmp_path / "zz.zip", "w") as archive:
        archive.writestr("zz_zip/__init__.py", "from .part import value\n")
        archive.writestr("zz_zip/part.py", "value = [3]\n")
    monkeypatch.syspath_prepend(str(tmp_path / "zz.zip"))
    make(elsewhere().address)
    assert farm.force(farm.future("zz_zip:value.copy"), BOUND) == [3]


def test_concurrent_clients_of_one_server(elsewhere, make, tmp_path, monkeypatch):
    """Each worker has its own client's modules."""
    server = elsewhere("127.0.0.1:0", "--workers", "2")
    (tmp_path / "zz.py").write_text("def function(): return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    first = make(server.address)
    assert first.broadcast_task("zz:function") == [1, 1]
    (tmp_path / "zz.py").write_text("def function(): return 22\n")
    second = make(server.address)
    assert second.broadcast_task("zz:function") == [22, 22]
