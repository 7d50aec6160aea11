"""Context managers."""

import contextlib
import io
import os
import tempfile
import threading

from harness import case


class Managed:
    def __init__(self, swallow=False):
        self.log = []
        self.swallow = swallow

    def __enter__(self):
        self.log.append("enter")
        return self

    def __exit__(self, kind, error, traceback):
        self.log.append(kind.__name__ if kind else "exit")
        return self.swallow


@contextlib.contextmanager
def tagged(name, out):
    out.append(f"<{name}>")
    try:
        yield name
    finally:
        out.append(f"</{name}>")


@case
def a_class(call):
    def task():
        manager = Managed()
        with manager as inner:
            inner.log.append("body")
        return manager.log

    assert call(task) == ["enter", "body", "exit"]


@case
def that_swallows(call):
    def task():
        manager = Managed(swallow=True)
        with manager:
            raise ValueError
        return manager.log

    assert call(task) == ["enter", "ValueError"]


@case
def that_does_not_swallow(call):
    def task():
        with Managed():
            raise ValueError("through")

    assert repr(call.error(task)) == "ValueError('through')"


@case
def an_instance_as_an_argument(call):
    def task(manager):
        with manager:
            pass
        return manager.log

    assert call(task, Managed()) == ["enter", "exit"]


@case
def contextmanager(call):
    def task():
        out = []
        with tagged("b", out) as name:
            out.append(name)
        return out

    assert call(task) == ["<b>", "b", "</b>"]


@case
def contextmanager_as_an_argument(call):
    def task(manager):
        out = []
        with manager("i", out):
            pass
        return out

    assert call(task, tagged) == ["<i>", "</i>"]


@case
def contextmanager_in_a_closure(call):
    out = []

    @contextlib.contextmanager
    def logged():
        out.append(1)
        yield
        out.append(2)

    def task():
        with logged():
            out.append("body")
        return out

    assert call(task) == [1, "body", 2]


@case
def contextmanager_as_a_decorator(call):
    out = []

    @contextlib.contextmanager
    def around():
        out.append("before")
        yield
        out.append("after")

    @around()
    def f():
        out.append("f")
        return out

    assert call(f) == ["before", "f", "after"]


@case
def contextmanager_method(call):
    class Database:
        def __init__(self):
            self.log = []

        @contextlib.contextmanager
        def transaction(self):
            self.log.append("begin")
            try:
                yield self
            except KeyError:
                self.log.append("rollback")
            else:
                self.log.append("commit")

    def task(database):
        with database.transaction():
            pass
        with database.transaction():
            raise KeyError
        return database.log

    assert call(task, Database()) == ["begin", "commit", "begin", "rollback"]


@case
def exit_stack(call):
    def task():
        out = []
        with contextlib.ExitStack() as stack:
            for name in "ab":
                stack.enter_context(tagged(name, out))
            stack.callback(out.append, "callback")
        return out

    assert call(task) == ["<a>", "<b>", "callback", "</b>", "</a>"]


@case
def several_in_a_statement(call):
    def task():
        out = []
        with tagged("a", out) as a, tagged("b", out) as b:
            out.append(a + b)
        return out

    assert call(task) == ["<a>", "<b>", "ab", "</b>", "</a>"]


@case
def suppress(call):
    def task():
        with contextlib.suppress(ZeroDivisionError):
            1 // 0
        return "suppressed"

    assert call(task) == "suppressed"


@case
def redirected_output(call):
    def task():
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            print("hello")
        return out.getvalue()

    assert call(task) == "hello\n"


@case
def a_lock_made_there(call):
    def task():
        lock = threading.Lock()
        with lock:
            return lock.locked()

    assert call(task) is True


@case
def a_temporary_file(call):
    def task():
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "f.txt")
            with open(path, "w") as out:
                out.write("line\n")
            with open(path) as file:
                return file.read()

    assert call(task) == "line\n"


@case
def a_context_decorator_class(call):
    class Around(contextlib.ContextDecorator):
        def __enter__(self):
            return self

        def __exit__(self, *error):
            return error[0] is KeyError

    @Around()
    def f(key):
        return {}[key]

    assert call(f, "missing") is None


@case
def nullcontext_and_closing(call):
    def task():
        with contextlib.nullcontext(5) as value, contextlib.closing(io.StringIO()) as file:
            file.write(str(value))
            return file.getvalue()

    assert call(task) == "5"
