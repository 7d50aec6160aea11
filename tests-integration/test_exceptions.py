"""Errors of real tasks, between interpreters of all kinds: what comes back, and what is printed."""

import json
import sys
import textwrap

import pytest

import farm_client as farm

# What a client of any version runs against a server of any other; prints one JSON object.
PROGRAM = """
import io, json, linecache, logging, pdb, sys, traceback
import farm_client as farm

out = {}
kernel = farm.make_kernel(sys.argv[1], timeout=30)

class Refused(Exception):
    def __init__(self, *, code, detail):
        super().__init__(f"refused with {code}")
        self.code = code
        self.detail = detail

class Wrapped(ValueError):
    pass

def divide(x):
    y = x - 1
    return 1 / y

def chained(x):
    try:
        return divide(x)
    except ZeroDivisionError as error:
        raise Refused(code=7, detail=[x, {"a": None}]) from error

def in_context(x):
    try:
        return divide(x)
    except ZeroDivisionError:
        raise Wrapped("while handling")

def recursive(n):
    return recursive(n + 1)

def local_class(x):
    class Local(Exception):
        pass
    raise Local("only there")

def unsendable(x):
    import threading
    error = ValueError("with a lock", x)
    error.lock = threading.Lock()
    raise error

def of_the_server(x):
    import configparser
    configparser.ConfigParser().read_string("[a]\\n[a]\\n")

def no_such_file(x):
    open("/nowhere/at/all")

def give_back(errors):
    first, second = errors
    assert type(first) is KeyError, first
    second.seen = repr(second.__cause__)
    return [second, first]

def noted(x):
    error = ValueError("noted")
    error.__notes__ = ["a note", "another"]
    raise error

def failure(task, *args):
    try:
        farm.force(farm.future(task, *args))
    except farm.TaskExecutionError as error:
        return error
    raise AssertionError("no error")

def lines(error):
    return [[frame.name, frame.line] for frame in traceback.extract_tb(error.__traceback__)]

error = failure(divide, 1)
out["divide"] = [error.report, type(error.__cause__).__name__, lines(error.__cause__), str(error)]
out["description"] = error.description
cause = error.__cause__
out["printed"] = "".join(traceback.format_exception(type(cause), cause, cause.__traceback__))

cause = failure(chained, 1).__cause__
out["chained"] = [
    type(cause) is Refused, cause.args, cause.code, cause.detail, lines(cause),
    type(cause.__cause__).__name__, lines(cause.__cause__), cause.__context__ is cause.__cause__,
]
cause = failure(in_context, 1).__cause__
out["in_context"] = [
    type(cause) is Wrapped, cause.__cause__, type(cause.__context__).__name__,
    cause.__suppress_context__,
]
error = failure(recursive, 0)
out["recursive"] = [
    type(error.__cause__).__name__, len(lines(error.__cause__)) > 100,
    "Previous line repeated" in error.description,
]
error = failure(local_class, 0)
out["local_class"] = [error.__cause__, error.report[-17:], "raise Local(" in str(error)]
cause = failure(unsendable, 3).__cause__
out["unsendable"] = [cause.args, type(cause.lock).__name__]
cause = failure(of_the_server, 0).__cause__
out["of_the_server"] = [type(cause).__name__, cause.section, lines(cause)[0]]
cause = failure(no_such_file, 0).__cause__
out["no_such_file"] = [type(cause).__name__, cause.errno, cause.filename]
cause = failure(noted, 0).__cause__
out["noted"] = cause.__notes__
cause = failure(lambda x: x.nowhere, 3).__cause__
out["lambda"] = [type(cause).__name__, lines(cause)]

first, second = KeyError("k"), Refused(code=1, detail=None)
second.__cause__ = first
back = farm.force(farm.future(give_back, [first, second]))
out["values"] = [
    type(back[0]) is Refused, back[0].seen, back[0].code, back[0].__cause__ is back[1],
    back[1].args,
]

future = farm.future(divide, 1)
depths = []
for _ in range(3):
    try:
        farm.force(future)
    except farm.TaskExecutionError as error:
        depths.append(len(lines(error)))
        try:
            raise error.__cause__
        except ZeroDivisionError as again:
            depths.append(len(lines(again)))
out["again"] = [len(set(depths[::2])), depths[1::2]]

# A cell of a notebook.
cell = "def cell(x):\\n    return x['missing']\\n"
name = "<ipython-input-1-0123456789ab>"
linecache.cache[name] = (len(cell), None, cell.splitlines(True), name)
exec(compile(cell, name, "exec"))
cause = failure(cell_function := globals()["cell"], {}).__cause__
out["cell"] = [type(cause).__name__, lines(cause), cause.__traceback__.tb_frame.f_code.co_filename]

stream = io.StringIO()
debugger = pdb.Pdb(stdin=io.StringIO("w\\nl\\nup\\nq\\n"), stdout=stream, nosigint=True)
debugger.reset()
debugger.interaction(None, failure(chained, 1).__cause__.__cause__.__traceback__)
out["pdb"] = ["-> return 1 / y" in stream.getvalue(), "-> return divide(x)" in stream.getvalue()]

kernel.end()
print(json.dumps(out))
"""

UNCAUGHT = """
import sys
import farm_client as farm

def divide(x):
    return 1 / x

with farm.make_kernel(sys.argv[1], timeout=30):
    farm.force(farm.future(divide, 0))
"""


def check(done):
    """What came of PROGRAM."""
    assert done.stderr == ""
    out = json.loads(done.stdout)
    divide = ["divide", "return 1 / y"]
    report, kind, lines, text = out.pop("divide")
    assert (report, kind) == ("ZeroDivisionError: division by zero", "ZeroDivisionError")
    assert lines == [divide]
    assert text.startswith("ZeroDivisionError: division by zero (on worker 0 at ")
    assert "\n" not in text
    description, printed = out.pop("description"), out.pop("printed")
    for one in (description, printed):
        assert one.startswith("Traceback (most recent call last):\n  File ")
        assert one.count(", in divide\n    return 1 / y\n") == 1
        assert one.endswith("\nZeroDivisionError: division by zero\n")
    section, kind, first = out.pop("of_the_server")
    assert (section, kind) == ("DuplicateSectionError", "a")
    assert first[0] == "of_the_server"
    assert out == {
        "chained": [
            *(True, ["refused with 7"], 7, [1, {"a": None}]),
            [["chained", 'raise Refused(code=7, detail=[x, {"a": None}]) from error']],
            *("ZeroDivisionError", [["chained", "return divide(x)"], divide], True),
        ],
        "in_context": [True, None, "ZeroDivisionError", False],
        "recursive": ["RecursionError", True, True],
        "local_class": [None, "Local: only there", True],
        "unsendable": [["with a lock", 3], "str"],
        "no_such_file": ["FileNotFoundError", 2, "/nowhere/at/all"],
        "noted": ["a note", "another"],
        "lambda": [
            "AttributeError",
            [["<lambda>", "cause = failure(lambda x: x.nowhere, 3).__cause__"]],
        ],
        "values": [True, "KeyError('k')", 1, True, ["k"]],
        "again": [1, [2, 2, 2]],
        "cell": [
            "KeyError",
            [["cell", "return x['missing']"]],
            "<ipython-input-1-0123456789ab>",
        ],
        "pdb": [True, True],
    }


def test_a_pair_of_equals(run, launch):
    """With this interpreter at both ends."""
    server = launch("127.0.0.1:0", "--workers", "1")
    check(run(PROGRAM, server.address))


def test_this_client_and_another_server(run, launch, peer):
    """The same comes of it with another interpreter there."""
    server = launch("127.0.0.1:0", "--workers", "1", python=peer)
    check(run(PROGRAM, server.address))


def test_another_client_and_this_server(run, launch, peer):
    """The reverse."""
    server = launch("127.0.0.1:0", "--workers", "1")
    check(run(PROGRAM, server.address, python=peer))


def test_another_client_and_its_own_kind(run, launch, peer):
    """Two ends of another interpreter."""
    server = launch("127.0.0.1:0", "--workers", "1", python=peer)
    check(run(PROGRAM, server.address, python=peer))


def test_what_a_terminal_shows(run, launch):
    """The remote traceback, once, and then the line that asked for the result."""
    server = launch("127.0.0.1:0", "--workers", "1")
    text = run(UNCAUGHT, server.address).stderr
    assert text.count("Traceback (most recent call last):") == 2
    assert text.count("\n    return 1 / x\n") == 1
    assert text.index("return 1 / x") < text.index("farm.force(farm.future(divide, 0))")
    report = f"ZeroDivisionError: division by zero (on worker 0 at {server.address})"
    assert text.endswith(f"TaskExecutionError: {report}\n")


GROUP = """
import sys, traceback
import farm_client as farm

def group(x):
    raise ExceptionGroup("several", [ValueError(x), KeyError("k")])

with farm.make_kernel(sys.argv[1], timeout=30):
    try:
        farm.force(farm.future(group, 1))
    except farm.TaskExecutionError as error:
        back = error.__cause__
        if back is None or not hasattr(back, "exceptions"):
            print(error.report)
        else:
            print(type(back).__name__, back.message, [repr(one) for one in back.exceptions])
            traceback.print_exception(type(back), back, back.__traceback__, file=sys.stdout)
"""


def has_groups(run, python):
    """Whether an interpreter has them."""
    return run("print(hasattr(__builtins__, 'ExceptionGroup'))", python=python).stdout == "True\n"


def check_group(done, there):
    """What came of GROUP, against a server that has groups, or has not."""
    assert done.stderr == ""
    if not there:
        assert done.stdout == "NameError: name 'ExceptionGroup' is not defined\n"
        return
    first, _, text = done.stdout.partition("\n")
    assert first == """ExceptionGroup several ['ValueError(1)', "KeyError('k')"]"""
    assert "several (2 sub-exceptions)" in text
    assert "ValueError: 1" in text
    assert "KeyError: 'k'" in text


def test_groups(run, launch, peer):
    """They come to clients that have none, too."""
    here, there = has_groups(run, sys.executable), has_groups(run, peer)
    server = launch("127.0.0.1:0", "--workers", "1", python=peer)
    check_group(run(GROUP, server.address), there)
    server = launch("127.0.0.1:0", "--workers", "1")
    check_group(run(GROUP, server.address, python=peer), here)


SERVER_ONLY = """
class Error(Exception):
    pass

def fail():
    try:
        raise Error("inside")
    except Error as error:
        raise ValueError("outside") from error

def fail_outright():
    raise Error("outright")
"""


def test_classes_of_modules_that_are_not_imported_here(launch, make, tmp_path, monkeypatch):
    """Are not imported, though they could be; the text says what happened."""
    (tmp_path / "there_only.py").write_text(SERVER_ONLY, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    make(launch("127.0.0.1:0", "--workers", "1").address)
    with pytest.raises(farm.TaskExecutionError) as caught:
        farm.force(farm.future("there_only:fail_outright"))
    error = caught.value
    assert error.__cause__ is None
    assert error.report == "there_only.Error: outright"
    assert 'raise Error("outright")' in str(error)
    with pytest.raises(farm.TaskExecutionError) as caught:
        farm.force(farm.future("there_only:fail"))
    original = caught.value.__cause__
    assert repr(original) == "ValueError('outside')"
    assert type(original.__cause__) is farm.TaskExecutionError
    assert str(original.__cause__) == "there_only.Error: inside"
    assert "there_only" not in sys.modules


def test_what_was_typed(run, launch, tmp_path):
    """Has no file; the lines are right nevertheless."""
    server = launch("127.0.0.1:0", "--workers", "1")
    typed = tmp_path / "typed"
    typed.write_text(
        textwrap.dedent(
            f"""
            import farm_client as farm
            kernel = farm.make_kernel({server.address!r}, timeout=30)
            def divide(x):
                return 1 / x

            try:
                farm.force(farm.future(divide, 0))
            except farm.TaskExecutionError as error:
                print(type(error.__cause__), error.__cause__.__traceback__.tb_lineno)

            kernel.end()
            """
        )
    )
    with typed.open() as stream:
        done = run("import code; code.interact(banner='', exitmsg='')", stdin=stream)
    assert "<class 'ZeroDivisionError'> 2" in done.stdout
