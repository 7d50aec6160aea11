"""What the corpus is written with: a case is a function that runs tasks and asserts what they give.

A file of the corpus is an ordinary script: `run.py` executes it as ``__main__``, so what it defines
has to travel by value. A case gets one argument, by which it runs tasks::

    @case
    def two_lambdas_on_a_line(call):
        one, two = lambda: 1, lambda: 2
        assert (call(one), call(two)) == (1, 2)

The same case runs on a worker of any interpreter, or in this process: its expectations are checked
by the latter, without anything being shipped. Needs nothing but the standard library.
"""

import atexit
import contextlib
import importlib.metadata
import itertools
import os
import shutil
import sys
import tempfile
import types

__all__ = ["Python", "Skipped", "case", "collected", "matches", "script"]

#: The cases of the file that is being executed, in order.
collected = []


class Skipped(Exception):
    """The case does not apply to this pair."""


class Case:
    """A case and when it applies.

    Attributes:
        function: What runs it, given a call.
        name: Its id, unique in its file.
        remote: Whether it is about what happens on the way, so that it makes no sense in one
            process.
        since: The oldest Python, at either end, that has what it is about.
        needs: A project that both ends must have.
    """

    def __init__(self, function, name=None, remote=False, since=(3, 9), needs=None):
        self.function = function
        self.name = name or function.__name__
        self.remote = remote
        self.since = since
        self.needs = needs

    def run(self, call):
        """Run it; raises what is wrong."""
        if self.remote and not call.remote:
            raise Skipped("is about what happens on the way")
        if min(call.here.version, call.there.version) < self.since:
            raise Skipped(f"needs Python {self.since[0]}.{self.since[1]} at both ends")
        if self.needs and not (has(self.needs) and call.has(self.needs)):
            raise Skipped(f"needs {self.needs} at both ends")
        self.function(call)


def case(function=None, **keywords):
    """Collect a function as a case; see `Case` for the keywords."""

    def collect(function):
        collected.append(Case(function, **keywords))
        return function

    return collect if function is None else collect(function)


def matches(error, *texts):
    """Whether an error's text has all the texts in it."""
    missing = [text for text in texts if text not in str(error)]
    assert not missing, f"{missing} not in {str(error)!r}"
    return True


_count = itertools.count(1)
_folder = []


@contextlib.contextmanager
def script(source):
    """Have a file of its own executed as ``__main__``; gives the module.

    For what no file of the corpus can hold: tabs, other encodings, syntax of later versions.

    Args:
        source: Its text, or its bytes.
    """
    if not _folder:
        _folder.append(tempfile.mkdtemp(prefix="corpus-"))
        atexit.register(shutil.rmtree, _folder[0], ignore_errors=True)
    path = os.path.join(_folder[0], f"script{next(_count)}.py")
    data = source.encode() if isinstance(source, str) else source
    with open(path, "wb") as file:
        file.write(data)
    module = types.ModuleType("__main__")
    module.__file__ = path
    outer = sys.modules["__main__"]
    sys.modules["__main__"] = module
    try:
        exec(compile(data, path, "exec", dont_inherit=True), module.__dict__)
        yield module
    finally:
        sys.modules["__main__"] = outer


class Python:
    """An interpreter, as cases ask for it.

    Attributes:
        name: For people and tables, for example ``"3.11"`` or ``"pypy3.9"``.
        version: For example ``(3, 11)``.
        pypy: Whether it is PyPy.
    """

    def __init__(self, implementation, version):
        self.pypy = implementation == "pypy"
        self.version = tuple(version[:2])
        self.name = f"{'pypy' if self.pypy else ''}{version[0]}.{version[1]}"

    def __eq__(self, other):
        return self.name == other.name

    __hash__ = None


HERE = Python(sys.implementation.name, sys.version_info)


def has(project):
    """Whether a project is installed here."""
    try:
        importlib.metadata.version(project)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


class Locally:
    """Calls tasks in this process: what the answers ought to be."""

    remote = False
    forced = False
    equal = True
    sourced = False
    here = there = HERE

    def __call__(self, task, *args, **kwargs):
        return task(*args, **kwargs)

    def has(self, project):
        """Whether a project is installed there."""
        return has(project)

    def error(self, task, *args, **kwargs):
        """What a task raises."""
        try:
            value = task(*args, **kwargs)
        except BaseException as error:
            return error
        raise AssertionError(f"it raised nothing, and gave {value!r:.200}")


class Hung(Exception):
    """A task gave neither a result nor an error in time."""


class Remotely:
    """Calls tasks on the one worker of a kernel.

    Attributes:
        there: The worker's interpreter.
        forced: Whether functions travel as source even between equals.
        equal: Whether both ends are the same interpreter.
        sourced: Whether functions travel as source: forced, or because the ends differ.
    """

    remote = True
    here = HERE

    def __init__(self, farm, kernel, forced, patience):
        worker = kernel.workers()[0]
        numbers = [int(part) for part in worker.python_version.split(".")]
        self.there = Python(worker.implementation, numbers)
        self.equal = self.there == self.here
        self.forced = forced
        self.sourced = forced or not self.equal
        self._farm = farm
        self._channel = kernel.make_channel()
        self._patience = patience

    def __call__(self, task, *args, **kwargs):
        self._channel.submit(task, *args, **kwargs)
        value, present = self._farm.try_receive_result(self._channel, self._patience)
        if not present:
            raise Hung
        return value

    def has(self, project):
        """Whether a project is installed there."""
        try:
            return bool(self("importlib.metadata:version", project))
        except self._farm.TaskExecutionError:
            return False

    def failure(self, task, *args, **kwargs):
        """The `TaskExecutionError` of a task that fails."""
        try:
            value = self(task, *args, **kwargs)
        except self._farm.TaskExecutionError as error:
            return error
        raise AssertionError(f"it raised nothing, and gave {value!r:.200}")

    def error(self, task, *args, **kwargs):
        """The exception that a task raised, as it comes back."""
        failure = self.failure(task, *args, **kwargs)
        assert failure.__cause__ is not None, f"no cause: {failure}"
        return failure.__cause__

    def refused(self, task, *args, **kwargs):
        """The error by which a submit refuses a task."""
        try:
            value = self(task, *args, **kwargs)
        except self._farm.SerializationError as error:
            return error
        raise AssertionError(f"it was not refused, and gave {value!r:.200}")
