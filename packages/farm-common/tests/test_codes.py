"""Code objects are told apart, and compared by what they do."""

import gc
import types

import pytest

from farm_common.shipping.codes import CodeTable, inner_codes, is_rewritten, same_code, walk_codes


def function_code(text, before=""):
    """The code of the first function in a text."""
    return inner_codes(compile(before + text, "file", "exec", dont_inherit=True))[0]


class TestTable:
    """CodeTable."""

    def test_equal_codes_are_two(self):
        """What is put for one is not found for another that is equal to it."""
        one, other = function_code("lambda: 1"), function_code("lambda: 1")
        assert one == other
        table = CodeTable()
        table.put(one, "one")
        assert table.get(one) == "one"
        assert table.get(other) is None
        table.put(one, "again")
        assert table.get(one) == "again"

    def test_forgets(self):
        """Nothing is left of a code object that is gone."""
        table = CodeTable()
        code = function_code("lambda: 2")
        table.put(code, "value")
        assert len(table) == 1
        del code
        for _ in range(3):  # PyPy takes a few
            gc.collect()
        assert len(table) == 0


SAME = [
    ("def f(x): return x", "def g(x):\n\n    return  x"),
    ("def f(): return 0.0, 1e400, float('nan')",) * 2,
    ("def f(x): return x in {1, 2, 'a'}", "def f(x): return x in {1, 'a', 2}"),
]

DIFFERENT = [
    ("def f(x): return x", "def f(y): return y"),
    ("def f(x): return x", "def f(*, x): return x"),
    ("def f(x): return x", "def f(x, /): return x"),
    ("def f(x): return x", "def f(*x): return x"),
    ("def f(x): return x", "async def f(x): return x"),
    ("def f(x): return x.a", "def f(x): return x.b"),
    ("def f(): return 1", "def f(): return 1.0"),
    ("def f(): return 1", "def f(): return True"),
    ("def f(): return 0.0", "def f(): return -0.0"),
    ("def f(): return (1, (2, 0.0))", "def f(): return (1, (2, -0.0))"),
    ("def f(): return 'a.b'", "def f(): return 'c.b'"),
    ("def f(): return (1, 2)", "def f(): return (1, 2, 3)"),
    ("def f(x): return x in {1, 2}", "def f(x): return x in {1.0, 2}"),
    ("def f(): return lambda: 1", "def f(): return lambda: 2"),
    ("def f():\n def g(): pass", "def f():\n def h(): pass"),
    ("def f():\n class A: pass\n return A", "def f():\n class B: pass\n return B"),
    ("def f():\n try: g(); h()\n except E: i()", "def f():\n try: g()\n except E: i()\n else: h()"),
    ("def f(x):\n return lambda: x", "def f():\n return lambda: x"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_same(one, other):
    """Only layout and the outermost name differ."""
    assert same_code(function_code(one), function_code(other, "\n\n"))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different(one, other):
    """They do different things, or it shows that they are not one."""
    assert not same_code(function_code(one), function_code(other))


def test_static_attributes():
    """The order of a class's assigned attributes, which 3.13.0 leaves to chance, does not count."""
    text = "def f():\n class A:\n  def m(self): self.a = self.b = self.c = 1"
    code = function_code(text)
    body = inner_codes(code)[0]
    turned = tuple(
        const[::-1] if isinstance(const, tuple) else const
        for const in (*body.co_consts, ("a", "b"))
    )
    body_one = body.replace(co_consts=(*body.co_consts, ("b", "a")))
    consts = [[new if const is body else const for const in code.co_consts] for new in (0, 1)]
    for index, new in enumerate((body_one, body.replace(co_consts=turned))):
        consts[index] = tuple(new if const is body else const for const in code.co_consts)
    assert same_code(code.replace(co_consts=consts[0]), code.replace(co_consts=consts[1]))


def test_rewritten():
    """pytest's names show, those of functions inside included."""
    assert is_rewritten(test_rewritten.__code__)

    def around():
        def inside():
            assert types

        return inside

    assert is_rewritten(around.__code__)
    assert not is_rewritten(function_code("def f(): assert f"))


def test_walk():
    """All code, from the outside in."""
    code = function_code("def f():\n def g():\n  return lambda: 0\n def h(): pass")
    assert [part.co_name for part in walk_codes(code)] == ["f", "g", "<lambda>", "h"]
