"""The oldest Python that reads a unit is known where the unit is made."""

import sys

import pytest

from farm_common.shipping.grammar import minimum_version
from farm_common.shipping.unit import Unit, compile_unit

PYPY = sys.implementation.name == "pypy"

BODIES = [
    ((3, 9), "return x"),
    ((3, 9), "with (open('a') as b, open('c') as d): pass"),
    ((3, 9), "for y in *x, 1: pass"),
    ((3, 9), "return x[(*x, 1)]"),
    ((3, 9), "return x[1, 2], x[(y := 1)], {(y := 1)}, {(y := 1) for z in x}"),
    ((3, 9), "return {1, y := 2}, {y := z for z in x}"),
    ((3, 9), "return x[f(y := 1)], {f(y := 1)}"),
    ((3, 9), "try: pass\n    except (A, B): pass"),
    ((3, 9), "return f'{x!r:>{y}} {x[0]} {x['a']}'".replace("'a'", '"a"')),
    ((3, 9), 'return f"""{x["a"]} {"b"} \\n {x\n}"""'),
    ((3, 9), "return '{\"a\"} # {x!r } \\n', f'\\n {x} #', f'{x:#x}', f'{x != 1}', f'{x!=1 }'"),
    ((3, 9), "return f'{x}' '\\n' \"{'\""),
    ((3, 10), "match x:\n      case 1: pass"),
    ((3, 10), "return x[y := 1]"),
    ((3, 10), "return x[y := 1, 2]"),
    ((3, 11), "return x[*x]"),
    ((3, 11), "return x[(1), *(x)]"),
    ((3, 11), "def g(*args: *x): pass"),
    ((3, 11), "try: pass\n    except* A: pass"),
    ((3, 12), "def g[T](y: T): pass"),
    ((3, 12), "class A[*Ts, **P]: pass"),
    ((3, 12), "type A = int"),
    ((3, 12), "return f'{x['a']}'"),
    ((3, 12), "return f'{\"\\n\".join(x)}'"),
    ((3, 12), "return f'''{\n x # comment\n }'''"),
    ((3, 12), "return f'{\n x}'"),
    ((3, 12), "return f'{f'{x}'}'"),
    ((3, 12), "return f'{f\"{x}\\n\"}'"),
    ((3, 12), "return f'{x!r }'"),
    ((3, 12), "return f'{x:{y:{z}}}'"),
    ((3, 12), "return rf'{x['a']}', 1"),
    ((3, 13), "def g[T = int](y: T): pass"),
    ((3, 14), "try: pass\n    except A, B: pass"),
    ((3, 14), "return t'{x}'"),
    ((3, 15), "return [*y for y in x]"),
    ((3, 15), "return {**y for y in x}"),
]


@pytest.mark.parametrize(("version", "body"), BODIES)
def test_minimum_version(version, body):
    """The version that brought the syntax in a function's body; this Python agrees."""
    unit = Unit(f"def f(x):\n    {body}", "f", "f", "file", 1, 0, 0, version=sys.version_info[:2])
    if PYPY and ":=" in body:
        pytest.skip("PyPy reads more than its version says")
    if version > sys.version_info[:2]:
        with pytest.raises(SyntaxError):
            minimum_version(unit)
    else:
        assert minimum_version(unit) == version
        compile_unit(unit)


@pytest.mark.parametrize(
    ("version", "body"),
    [
        ((3, 9), "return [x async for x in y]"),
        ((3, 9), "return [[x async for x in y] async for z in w]"),
        ((3, 9), "return [z for z in [x async for x in y]]"),
        ((3, 9), "return [(x async for x in y) for z in w]"),
        ((3, 11), "return [[x async for x in y] for z in w]"),
        ((3, 11), "return {1: 2 for z in w for z in [x async for x in y]}"),
    ],
)
def test_asynchronous_comprehensions(version, body):
    """Those inside of a synchronous one are new in 3.11."""
    unit = Unit(f"async def f():\n    {body}", "f", "f", "file", 1, 0, 0)
    assert minimum_version(unit) == version
    if version <= sys.version_info[:2]:
        compile_unit(unit)


def test_lambda():
    """Only the lambda counts, not what else is on its line."""
    text = "x[*y]; f = lambda: x[1:2]"
    assert minimum_version(Unit(text, "<lambda>", "<lambda>", "file", 3, 11, 25)) == (3, 9)


def test_decorator_does_not_count():
    """It is not a part of the unit; indentation does not matter."""
    assert minimum_version(Unit("\tdef f(): pass", "f", "A.f", "file", 3, 1, 0)) == (3, 9)
