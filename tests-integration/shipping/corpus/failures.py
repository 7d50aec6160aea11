"""Exceptions: type, arguments, cause, context, notes, groups, and the user's own lines."""

import json
import pdb
import subprocess
import traceback
import urllib.error

from harness import Skipped, case


class AppError(Exception):
    """Of the script."""


class CodedError(AppError):
    def __init__(self, code, *, hint=None):
        super().__init__(f"code {code}")
        self.code = code
        self.hint = hint


class SpokenError(Exception):
    def __str__(self):
        return "spoken: " + " ".join(map(str, self.args))


class NewError(Exception):
    def __new__(cls, a, b):
        return super().__new__(cls, a, b)

    def __init__(self, a, b):
        super().__init__(a + b)


class MixedError(KeyError, AppError):
    pass


class SlottedError(Exception):
    __slots__ = ("detail",)

    def __init__(self, detail):
        self.detail = detail


def fail(error):
    raise error


def deep(n):
    if n == 0:
        raise ValueError("at the bottom")
    return deep(n - 1)


@case
def builtin_errors(call):
    def task(kind, *args):
        raise kind(*args)

    for kind in (ValueError, KeyError, TypeError, RuntimeError, StopIteration, ArithmeticError):
        error = call.error(task, kind, "text", 1)
        assert type(error) is kind
        assert error.args == ("text", 1)


@case
def of_an_operation(call):
    error = call.error(lambda: 1 // 0)
    assert type(error) is ZeroDivisionError


@case
def system_exit_and_keyboard_interrupt(call):
    def exits():
        raise SystemExit(3)

    def interrupts():
        raise KeyboardInterrupt

    error = call.error(exits)
    assert type(error) is SystemExit
    assert error.code == 3
    assert type(call.error(interrupts)) is KeyboardInterrupt


@case
def an_os_error(call):
    error = call.error(open, "/no/such/file/anywhere")
    assert type(error) is FileNotFoundError
    assert (error.errno, error.filename) == (2, "/no/such/file/anywhere")


@case
def a_unicode_error(call):
    error = call.error(lambda: b"\xff".decode("utf-8"))
    assert type(error) is UnicodeDecodeError
    assert (error.encoding, error.object, error.start, error.end) == ("utf-8", b"\xff", 0, 1)


@case
def an_attribute_and_a_name_error(call):
    assert type(call.error(lambda: (1).nothing)) is AttributeError
    assert type(call.error(lambda: nothing_of_that_name)) is NameError


@case
def a_syntax_error(call):
    error = call.error(lambda: compile("a b", "f.py", "exec"))
    assert type(error) is SyntaxError
    assert (error.filename, error.lineno) == ("f.py", 1)


@case
def an_import_error(call):
    def task():
        import json.nothing

    error = call.error(task)
    assert type(error) is ModuleNotFoundError
    assert error.name == "json.nothing"


@case
def of_the_script(call):
    error = call.error(fail, AppError("mine", 2))
    assert type(error) is AppError
    assert error.args == ("mine", 2)


@case
def raised_inside_the_task(call):
    def task():
        raise AppError("inside")

    error = call.error(task)
    assert type(error) is AppError
    assert str(error) == "inside"


@case
def with_an_odd_constructor(call):
    def task():
        raise CodedError(404, hint="look elsewhere")

    error = call.error(task)
    assert type(error) is CodedError
    assert (error.code, error.hint, str(error)) == (404, "look elsewhere", "code 404")
    assert isinstance(error, AppError)


@case
def with_a_constructor_that_takes_more(call):
    error = call.error(lambda: fail(NewError(1, 2)))
    assert type(error) is NewError
    assert error.args == (3,)


@case
def with_its_own_text(call):
    error = call.error(lambda: fail(SpokenError("a", 1)))
    assert type(error) is SpokenError
    assert str(error) == "spoken: a 1"


@case
def with_two_bases(call):
    error = call.error(lambda: fail(MixedError("k")))
    assert type(error) is MixedError
    assert isinstance(error, KeyError)
    assert isinstance(error, AppError)


@case
def with_attributes(call):
    def task():
        error = ValueError("v")
        error.detail = {"a": [1]}
        raise error

    assert call.error(task).detail == {"a": [1]}


@case
def with_slots(call):
    error = call.error(lambda: fail(SlottedError("kept")))
    assert type(error) is SlottedError
    assert error.detail == "kept"


@case
def local_to_a_function(call):
    class LocalError(Exception):
        pass

    def task():
        raise LocalError("local")

    error = call.error(task)
    assert type(error) is LocalError


@case
def defined_by_the_task(call):
    def task():
        class ThereError(ValueError):
            pass

        raise ThereError("there")

    if not call.remote:
        assert call.error(task).args == ("there",)
        return
    # Nothing that a server made up is run here to rebuild it.
    failure = call.failure(task)
    assert "ThereError: there" in failure.report
    assert failure.__cause__ is None or type(failure.__cause__).__name__ == "ThereError"


@case
def with_a_cause(call):
    def task():
        try:
            {}["k"]
        except KeyError as error:
            raise AppError("wrapped") from error

    error = call.error(task)
    assert type(error.__cause__) is KeyError
    assert error.__cause__.args == ("k",)
    assert error.__suppress_context__ is True


@case
def with_a_context(call):
    def task():
        try:
            1 // 0
        except ZeroDivisionError:
            raise AppError("while handling")

    error = call.error(task)
    assert error.__cause__ is None
    assert type(error.__context__) is ZeroDivisionError
    assert error.__suppress_context__ is False


@case
def with_a_suppressed_context(call):
    def task():
        try:
            1 // 0
        except ZeroDivisionError:
            raise AppError("alone") from None

    error = call.error(task)
    assert error.__cause__ is None
    assert error.__suppress_context__ is True


@case
def with_a_chain_of_causes(call):
    def task():
        try:
            try:
                raise KeyError("first")
            except KeyError as error:
                raise ValueError("second") from error
        except ValueError as error:
            raise AppError("third") from error

    error = call.error(task)
    assert [type(error), type(error.__cause__), type(error.__cause__.__cause__)] == [
        *(AppError, ValueError),
        KeyError,
    ]


@case(since=(3, 11))
def with_notes(call):
    def task():
        error = ValueError("noted")
        error.add_note("one")
        error.add_note("two")
        raise error

    assert call.error(task).__notes__ == ["one", "two"]


@case(since=(3, 11))
def groups(call):
    def task():
        raise ExceptionGroup("several", [ValueError(1), ExceptionGroup("inner", [AppError(2)])])

    error = call.error(task)
    assert type(error) is ExceptionGroup
    assert error.message == "several"
    assert [type(e) for e in error.exceptions] == [ValueError, ExceptionGroup]
    assert type(error.exceptions[1].exceptions[0]) is AppError


@case
def groups_where_one_end_has_none(call):
    import builtins

    if hasattr(builtins, "ExceptionGroup") == (call.there.version >= (3, 11)):
        raise Skipped("both ends have them, or neither")

    def task():
        import builtins

        if hasattr(builtins, "ExceptionGroup"):
            raise builtins.ExceptionGroup("several", [ValueError("in the group")])
        raise ValueError("in the group")

    failure = call.failure(task)
    assert "in the group" in failure.description


@case
def of_the_library(call):
    error = call.error(json.loads, "{")
    assert type(error) is json.JSONDecodeError
    assert (error.pos, error.doc) == (1, "{")
    error = call.error(lambda: fail(subprocess.CalledProcessError(3, ["ls"], b"out")))
    assert (error.returncode, error.cmd, error.output) == (3, ["ls"], b"out")
    error = call.error(lambda: fail(urllib.error.URLError("unreachable")))
    assert error.reason == "unreachable"


@case
def of_a_time_out(call):
    import asyncio
    import concurrent.futures
    import socket

    for kind in (
        TimeoutError,
        asyncio.TimeoutError,
        concurrent.futures.TimeoutError,
        socket.timeout,
    ):
        error = call.error(lambda kind: fail(kind("late")), kind)
        assert isinstance(error, kind) or issubclass(
            type(error), (TimeoutError, asyncio.TimeoutError)
        )
        assert error.args == ("late",)


@case
def the_text_of_the_failure(call):
    if not call.remote:
        return

    def task():
        raise AppError("first line\nsecond line")

    failure = call.failure(task)
    assert failure.report == "AppError: first line"
    assert "second line" in failure.description
    assert 'raise AppError("first line\\nsecond line")' in failure.description
    assert __file__ in failure.description


@case
def lines_of_the_traceback(call):
    frames = traceback.extract_tb(call.error(deep, 2).__traceback__)
    mine = [frame for frame in frames if frame.name == "deep"]
    first = deep.__code__.co_firstlineno
    assert [(f.filename, f.lineno) for f in mine] == [
        (__file__, first + 3),
        (__file__, first + 3),
        (__file__, first + 2),
    ]
    assert [f.line for f in mine] == ["return deep(n - 1)"] * 2 + [
        'raise ValueError("at the bottom")'
    ]


@case
def lines_of_the_traceback_of_a_lambda(call):
    f = lambda x: (
        x
        / 0
    )
    frames = traceback.extract_tb(call.error(f, 1).__traceback__)
    assert frames[-1].name == "<lambda>"
    assert frames[-1].lineno in (f.__code__.co_firstlineno + 1, f.__code__.co_firstlineno + 2)


@case
def lines_of_the_traceback_of_a_method(call):
    class Broken:
        def run(self):
            return self.missing

    frames = traceback.extract_tb(call.error(Broken().run).__traceback__)
    assert (frames[-1].name, frames[-1].line) == ("run", "return self.missing")


@case
def lines_of_the_traceback_of_a_wrapper(call):
    def traced(f):
        def wrapper(*args):
            return f(*args)

        return wrapper

    @traced
    def broken(x):
        y = x
        return y.missing

    frames = traceback.extract_tb(call.error(broken, 1).__traceback__)
    assert [f.name for f in frames[-2:]] == ["wrapper", "broken"]
    assert [f.line for f in frames[-2:]] == ["return f(*args)", "return y.missing"]


@case
def lines_of_the_traceback_of_a_cause(call):
    def task():
        try:
            deep(0)
        except ValueError as error:
            raise AppError from error

    cause = call.error(task).__cause__
    assert traceback.extract_tb(cause.__traceback__)[-1].name == "deep"


@case
def formatted_by_traceback(call):
    error = call.error(deep, 1)
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert 'raise ValueError("at the bottom")' in text
    assert "in deep" in text
    assert text.rstrip().endswith("ValueError: at the bottom")


@case
def walked_as_a_debugger_does(call):
    error = call.error(deep, 1)
    stack, _ = pdb.Pdb(nosigint=True).get_stack(None, error.__traceback__)
    assert stack[-1][0].f_code.co_name == "deep"
    assert stack[-1][0].f_code.co_filename == __file__
    assert isinstance(stack[-1][0].f_globals, dict)


@case
def raised_again_here(call):
    error = call.error(deep, 0)
    try:
        raise error
    except ValueError as again:
        assert again is error


@case
def caught_by_its_class_there_and_here(call):
    def task():
        try:
            fail(CodedError(1))
        except AppError as error:
            return error

    back = call(task)
    assert type(back) is CodedError
    assert back.code == 1


@case
def recursion_error(call):
    def endless(n):
        return endless(n + 1) + 1

    error = call.error(endless, 0)
    assert type(error) is RecursionError


@case
def memory_error(call):
    assert type(call.error(lambda: fail(MemoryError("none left")))) is MemoryError


@case
def whose_attribute_cannot_travel(call):
    def task():
        error = AppError("with a generator")
        error.kept = 5
        error.generator = (i for i in [1])
        raise error

    error = call.error(task)
    assert type(error) is AppError
    assert error.kept == 5
    assert "generator" in repr(error.generator)


@case
def whose_argument_cannot_travel(call):
    def task():
        raise AppError("text", (i for i in [1]))

    error = call.error(task)
    assert type(error) is AppError
    assert error.args[0] == "text"


@case
def whose_text_raises(call):
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    error = call.error(lambda: fail(MuteError(1)))
    assert type(error) is MuteError


@case
def that_refer_to_themselves(call):
    def task():
        error = AppError("loop")
        error.itself = error
        raise error

    error = call.error(task)
    assert error.itself is error


@case
def a_task_that_is_not_callable_with_these(call):
    error = call.error(lambda x: x)
    assert type(error) is TypeError
    assert "missing 1 required positional argument" in str(error)


@case
def a_result_that_cannot_travel(call):
    if call.remote:
        failure = call.failure(lambda: (i for i in range(3)))
        assert "generator" in str(failure)


@case
def stop_iteration_and_generator_exit(call):
    error = call.error(lambda: next(iter([])))
    assert type(error) is StopIteration
    assert type(call.error(lambda: fail(GeneratorExit()))) is GeneratorExit
