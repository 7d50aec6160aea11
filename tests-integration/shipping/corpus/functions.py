"""Plain functions."""

import math
import typing

from harness import case


def power(base, exponent=2):
    """Raise to a power."""
    return base**exponent


def everything(a, /, b, c=3, *args, d, e=5, **kwargs):
    return a, b, c, args, d, e, kwargs


def annotated(x: int, y: "typing.List[int]" = None) -> typing.Optional[str]:
    z: int = x
    return f"{z}{y}"


def counted(x):
    counted.calls += 1
    return x * counted.factor


counted.calls = 0
counted.factor = 3


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def mutable(item, into=[]):
    into.append(item)
    return list(into)


def unpacking(pairs):
    (a, b), *rest = pairs
    return [*rest, a, b]


def empty():
    pass


def only_docstring():
    """Nothing else."""


def of_ellipsis(): ...


def one_line(x): return x + 1


def two_statements(x): x += 1; return x


@case
def plain(call):
    assert call(power, 3) == 9


@case
def with_keywords(call):
    assert call(power, exponent=3, base=2) == 8


@case
def all_kinds_of_parameters(call):
    assert call(everything, 1, 2, d=4) == (1, 2, 3, (), 4, 5, {})
    assert call(everything, 1, 2, 6, 7, d=4, e=8, f=9) == (1, 2, 6, (7,), 4, 8, {"f": 9})


@case
def missing_arguments(call):
    error = call.error(everything, 1)
    assert type(error) is TypeError
    assert "missing" in str(error)


@case
def annotations_are_kept(call):
    hints = call(lambda f: f.__annotations__, annotated)
    assert hints["x"] in (int, "int")
    assert call(annotated, 1, [2]) == "1[2]"


@case
def annotations_that_name_a_local_class(call):
    class Local:
        pass

    def takes(x: Local) -> Local:
        return x

    assert call(lambda f: sorted(f.__annotations__), takes) == ["return", "x"]
    assert call(takes, 3) == 3


@case
def docstring_is_kept(call):
    assert call(lambda f: f.__doc__, power) == "Raise to a power."
    assert call(lambda f: f.__doc__, only_docstring) == "Nothing else."


@case
def name_and_module_are_kept(call):
    assert call(lambda f: (f.__name__, f.__qualname__), power) == ("power", "power")
    assert call(lambda f: f.__module__, power) == "__main__"


@case
def qualified_name_of_a_nested_one(call):
    def inner():
        pass

    expected = "qualified_name_of_a_nested_one.<locals>.inner"
    assert call(lambda f: f.__qualname__, inner) == expected


@case
def attributes_travel(call):
    assert call(counted, 5) == 15
    assert call(lambda f: f.factor, counted) == 3


@case
def defaults_travel(call):
    assert call(lambda f: f.__defaults__, power) == (2,)
    assert call(lambda f: f.__kwdefaults__, everything) == {"e": 5}


@case
def replaced_defaults(call):
    def f(a, b=1):
        return a, b

    f.__defaults__ = (10, 20)
    assert call(f) == (10, 20)


@case
def recursive(call):
    assert call(fibonacci, 12) == 144


@case
def mutable_default(call):
    assert call(lambda f: (f(1), f(2)), mutable) == ([1], [1, 2])
    assert mutable.__defaults__ == ([],) or not call.remote
    mutable.__defaults__[0].clear()


@case
def nested_unpacking(call):
    assert call(unpacking, [(1, 2), 3, 4]) == [3, 4, 1, 2]


@case
def that_return_nothing(call):
    assert [call(empty), call(only_docstring), call(of_ellipsis)] == [None] * 3


@case
def on_one_line(call):
    assert call(one_line, 1) == 2
    assert call(two_statements, 1) == 2


@case
def with_a_nested_function(call):
    def outer(n):
        def inner(k):
            return k * n

        return [inner(k) for k in range(3)]

    assert call(outer, 4) == [0, 4, 8]


@case
def with_a_nested_class(call):
    def build(x):
        class Box:
            size = x

            def get(self):
                return self.size, x

        return Box().get()

    assert call(build, 7) == (7, 7)


@case
def with_try_and_finally(call):
    def f(x):
        log = []
        try:
            log.append(1 // x)
        except ZeroDivisionError as error:
            log.append(type(error).__name__)
        else:
            log.append("else")
        finally:
            log.append("finally")
        return log

    assert call(f, 0) == ["ZeroDivisionError", "finally"]
    assert call(f, 1) == [1, "else", "finally"]


@case
def with_loops(call):
    def f(n):
        total = 0
        for i in range(n):
            if i % 2:
                continue
            while total < i:
                total += 3
            else:
                total -= 1
        return total

    assert call(f, 10) == f(10)


@case
def with_deletions(call):
    def f():
        x = [1, 2, 3]
        y = 5
        del x[0], y
        try:
            return y
        except UnboundLocalError:
            return x

    assert call(f) == [2, 3]


@case
def with_an_import_inside(call):
    def f(x):
        import json
        from os.path import join as joined

        return json.dumps({joined("a", "b"): x})

    assert call(f, 1) == '{"a/b": 1}'


@case
def with_matrix_and_augmented_operators(call):
    def f(a, b):
        a |= b
        a <<= 2
        a ^= 1
        return ~a, a // 3, a % 4, -a

    assert call(f, 5, 2) == f(5, 2)


@case
def with_chained_comparisons_and_conditionals(call):
    def f(x):
        return "in" if 0 < x <= 10 != x else "out" if x not in (None, -1) and x is not True else "?"

    assert [call(f, x) for x in (5, 10, -1)] == [f(5), f(10), f(-1)]


@case
def with_long_constants(call):
    def f():
        return 12345678901234567890123, 1e300, "é" * 3, b"\x00\xff", frozenset({1}), (1, (2, (3,)))

    assert call(f) == f()


@case
def with_many_locals(call):
    names = [f"v{i}" for i in range(30)]
    assert call(lambda names: dict(zip(names, range(30))), names)["v29"] == 29


@case
def that_use_locals(call):
    def f(a):
        b = 2
        return sorted(locals().items())

    assert call(f, 1) == [("a", 1), ("b", 2)]


@case
def with_assert(call):
    def f(x):
        assert x > 0, f"{x} is not positive"
        return x

    assert call(f, 1) == 1
    error = call.error(f, -1)
    assert type(error) is AssertionError
    assert str(error) == "-1 is not positive"


@case
def with_string_formatting(call):
    def f(x):
        return "%s %r %05.1f" % (x, x, x), f"{x=}", f"{x:>{10}}", "{0!s:^7}".format(x)

    assert call(f, 2.5) == f(2.5)


@case
def with_star_expressions(call):
    def f(*args):
        first, *middle, last = args
        return {**{"first": first}, "middle": [*middle], "last": last}

    assert call(f, 1, 2, 3, 4) == {"first": 1, "middle": [2, 3], "last": 4}


@case
def that_inspect_themselves(call):
    def f(a, b=2, *, c):
        import inspect

        return str(inspect.signature(f))

    assert call(f, 1, c=3) == "(a, b=2, *, c)"


@case
def whose_source_can_be_read_there(call):
    import inspect

    def f():
        return "the source"

    if call.remote and call.equal and not call.forced:
        return
    assert 'return "the source"' in call(inspect.getsource, f)


@case
def line_numbers_are_true(call):
    def f():
        import sys

        return sys._getframe().f_lineno

    assert call(f) == f.__code__.co_firstlineno + 3


@case
def file_name_is_true(call):
    def f():
        import sys

        return sys._getframe().f_code.co_filename

    assert call(f) == __file__


@case
def with_a_type_comment_and_backslashes(call):
    def f(a,  # type: int
          b):
        # type: (...) -> int
        return a + \
            b

    assert call(f, 1, 2) == 3


@case
def that_use_a_module(call):
    def f(r):
        return round(math.pi * r**2, 3)

    assert call(f, 2) == 12.566


@case
def with_the_name_of_a_builtin(call):
    def sum(values):
        return "mine"

    assert call(sum, [1]) == "mine"


@case
def with_the_same_name_twice(call):
    def twice():
        return 1

    first = twice

    def twice():
        return 2

    assert (call(first), call(twice)) == (1, 2)


@case
def defined_conditionally(call):
    if call:
        def f():
            return "then"
    else:
        def f():
            return "else"

    assert call(f) == "then"


@case
def made_in_a_loop(call):
    made = []
    for n in range(3):
        def f(x, n=n):
            return x * n

        made.append(f)
    assert [call(f, 2) for f in made] == [0, 2, 4]


@case
def copied_by_hand(call):
    import types

    copy = types.FunctionType(power.__code__, power.__globals__, "copy", (3,))
    assert call(copy, 2) == 8
