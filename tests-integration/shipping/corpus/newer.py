"""Syntax newer than some interpreters: it works where it can, and is refused clearly elsewhere."""

import builtins
import dataclasses
import functools
import re

from harness import Skipped, case, matches, script

MATCH = """
def f(command):
    match command:
        case ["go", place]:
            return f"to {place}"
        case {"stop": True, **rest}:
            return rest
        case int(n) | float(n) if n > 0:
            return n
        case _:
            return "else"
"""

GROUPS = """
def f():
    caught = []
    try:
        raise ExceptionGroup("g", [ValueError(1), KeyError(2)])
    except* ValueError as group:
        caught.append(len(group.exceptions))
    except* KeyError:
        caught.append("key")
    return caught
"""

STARS = """
def f(*index):
    class Box:
        def __class_getitem__(cls, items):
            return items
    return Box[0, *index]
"""

PARAMETERS = """
def f[T](values: list[T]) -> T:
    return values[0]
"""

GENERIC = """
def f(x):
    class Box[T]:
        def __init__(self, content: T):
            self.content = content
        def get(self) -> T:
            return self.content
    return Box(x).get()
"""

ALIAS = """
def f():
    type Pair[T] = tuple[T, T]
    return str(Pair.__name__)
"""

QUOTES = """
def f(table):
    return f"{table["key"]} {"nested " + f"{1 + 1}"} {'\\n'.join(["a"])}"
"""

DEFAULTS = """
def f[T = int](x: T) -> T:
    return x
"""

PARENTHESES = """
import contextlib
def f():
    with (
        contextlib.nullcontext(1) as a,
        contextlib.nullcontext(2) as b,
    ):
        return a, b
"""

TEMPLATE = """
def f(name):
    template = t"a {name} b"
    return [*template.strings, template.values[0]]
"""

UNBRACKETED = """
def f(text):
    try:
        return int(text)
    except ValueError, TypeError:
        return None
"""

UNPACKED = """
def f(lists):
    return [*part for part in lists]
"""

LAMBDA_IN_QUOTES = """
f = lambda table: f"{table["k"]}"
"""


def each(name, since, source, expected, *args):
    """The case of one kind of syntax, which needs a Python."""

    def run(call):
        if call.here.version < since:
            raise Skipped(f"this client has no such syntax before {since[0]}.{since[1]}")
        with script(source) as main:
            if call.there.version >= since:
                assert call(main.f, *args) == expected
                return
            error = call.refused(main.f, *args)
            needed, there = (".".join(map(str, v)) for v in (since, call.there.version))
            matches(error, f"Python {needed}", f" {there}", main.__file__)
            told = [int(number) for number in re.findall(r"\bline (\d+)", str(error))]
            assert any(2 <= number <= source.count("\n") for number in told), error

    run.__name__ = name
    case(run)


each("match", (3, 10), MATCH, "to town", ["go", "town"])
each("match_a_mapping", (3, 10), MATCH, {"a": 1}, {"stop": True, "a": 1})
each("except_star", (3, 11), GROUPS, [1, "key"])
each("stars_in_an_index", (3, 11), STARS, (0, 1, 2), 1, 2)
each("type_parameters", (3, 12), PARAMETERS, 1, [1, 2])
each("generic_classes", (3, 12), GENERIC, 7, 7)
each("type_aliases", (3, 12), ALIAS, "Pair")
each("quotes_in_f_strings", (3, 12), QUOTES, "1 nested 2 a", {"key": 1})
each("quotes_in_the_f_string_of_a_lambda", (3, 12), LAMBDA_IN_QUOTES, "5", {"k": 5})
each("defaults_of_type_parameters", (3, 13), DEFAULTS, 3, 3)
each("template_strings", (3, 14), TEMPLATE, ["a ", " b", 5], 5)
each("exceptions_without_parentheses", (3, 14), UNBRACKETED, None, "x")
each("unpacking_in_a_comprehension", (3, 15), UNPACKED, [1, 2, 3], [[1, 2], [3]])
each("parentheses_around_managers", (3, 9), PARENTHESES, (1, 2))


LATER = """
import dataclasses

@dataclasses.dataclass
class Node:
    value: int
    parent: Node | None = None
    owner: Undefined = None

def f(node: Node, other: Undefined = None) -> list[Undefined]:
    return Node(node.value + 1, node)
"""


@case
def annotations_that_are_not_evaluated(call):
    if call.here.version < (3, 14):
        raise Skipped("this client evaluates annotations at once")
    with script(LATER) as main:
        back = call(main.f, main.Node(1))
        assert back == main.Node(2, main.Node(1))
        assert type(back) is main.Node
        assert set(call(lambda f: f.__annotations__, main.f)) == {"node", "other", "return"}


LAZY = """
lazy import json
lazy from fractions import Fraction as Part

def f(value):
    return json.dumps(value), Part(value) / 2

def g(value):
    return f(value)
"""


@case
def lazy_imports(call):
    if call.here.version < (3, 15):
        raise Skipped("this client has no lazy imports")
    with script(LAZY) as main:
        assert call(main.g, 3) == main.g(3)


@case
def lazy_imports_of_code_that_did_not_run(call):
    if call.here.version < (3, 15):
        raise Skipped("this client has no lazy imports")
    with script(LAZY) as main:
        assert call(main.f, 3) == ("3", main.Part(3, 2))


@case
def sentinels(call):
    if not hasattr(builtins, "sentinel"):
        raise Skipped("this client has no sentinels")
    unset = builtins.sentinel("unset", repr="<unset>")

    def task(value=unset):
        return value is unset, value, repr(value)

    assert call(task) == (True, unset, "<unset>")
    assert call(task, unset) == (True, unset, "<unset>")
    assert call(lambda v: v, [unset, unset]) == [unset, unset]
    assert call(lambda v: v, dataclasses.MISSING) is dataclasses.MISSING
    assert call(lambda v: v, dataclasses.KW_ONLY) is dataclasses.KW_ONLY


@case
def frozen_dictionaries(call):
    if not hasattr(builtins, "frozendict"):
        raise Skipped("this client has no frozendict")
    table = builtins.frozendict(a=1, b=[2])
    back = call(lambda t: (t, t["a"], sorted(t), dict(t)), table)
    assert back == (table, 1, ["a", "b"], {"a": 1, "b": [2]})
    assert type(back[0]) is builtins.frozendict
    assert call(lambda t: {t: len(t | {"c": 3})}, builtins.frozendict(a=1)) == {
        builtins.frozendict(a=1): 2
    }


@case
def places_in_a_partial(call):
    if not hasattr(functools, "Placeholder"):
        raise Skipped("this client has no functools.Placeholder")
    power = functools.partial(pow, functools.Placeholder, 3)
    if call.there.version >= (3, 14):
        assert call(power, 2) == 8
    else:
        matches(call.error(lambda: power(2)), "Placeholder needs Python 3.14", "lambda")


@case
def builtins_that_the_server_lacks(call):
    def f():
        return aiter

    if call.there.version >= (3, 10):
        assert call(lambda: aiter is not None) is True
    else:
        assert type(call.error(f)) is NameError


@case
def modules_that_the_server_lacks(call):
    def f():
        import tomllib

        return tomllib.loads("a = 1")

    if call.there.version >= (3, 11):
        assert call(f) == {"a": 1}
        return
    error = call.error(f)
    assert isinstance(error, ImportError)
    assert "tomllib" in str(error)


@case
def modules_that_only_older_ones_have(call):
    def f():
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that it will go
            import asynchat

        return asynchat.__name__

    if call.there.version < (3, 12) <= call.here.version:
        assert call(f) == "asynchat"


@case
def methods_that_the_server_lacks(call):
    def f():
        return (5).is_integer()

    if call.there.version >= (3, 12):
        assert call(f) is True
    else:
        assert type(call.error(f)) is AttributeError
