"""Units become code objects, as if they were compiled where they stood."""

import __future__

import builtins
import inspect
import linecache
import sys
import traceback
import types
import warnings

import pytest

from farm_common.errors import SerializationError
from farm_common.shipping.codes import operands
from farm_common.shipping.unit import LAMBDA, Unit, build, compile_unit, made_from, span

HERE = sys.version_info[:2]


def unit_of_def(text, line=1, **fields):
    """A unit of one def; column and name are read off its text."""
    column = len(text) - len(text.lstrip())
    name = text.replace("async ", "").split("def ")[1].split("(")[0]
    defaults = {"qualname": name, "filename": "/far/away.py", "version": HERE}
    return Unit(text, name, line=line, column=column, end=0, **{**defaults, **fields})


def unit_of_lambda(text, line=1, **fields):
    """A unit of the lambda between « and »."""
    before, _, rest = text.partition("«")
    inside, _, after = rest.partition("»")
    start = len(before.encode())
    end = len((before + inside).split("\n")[-1].encode())
    defaults = {"qualname": LAMBDA, "filename": "/far/away.py", "version": HERE}
    text = before + inside + after
    return Unit(text, LAMBDA, line=line, column=start, end=end, **{**defaults, **fields})


def function(unit, namespace=None, **cells):
    """The function of a unit, with the contents of its cells."""
    code = compile_unit(unit)
    closure = tuple(types.CellType(cells[name]) for name in code.co_freevars)
    namespace = {"__builtins__": builtins, "__name__": "away", **(namespace or {})}
    return types.FunctionType(code, namespace, code.co_name, None, closure or None)


class TestCode:
    """What the code object is like."""

    def test_function(self):
        """Name, file and first line are those of the unit."""
        code = compile_unit(unit_of_def("def f(x):\n    return x + 1", 30, qualname="g.f"))
        assert (code.co_name, code.co_filename, code.co_firstlineno) == ("f", "/far/away.py", 30)
        assert getattr(code, "co_qualname", "g.f") == "g.f"

    def test_nothing_is_executed(self):
        """Neither defaults nor annotations nor the body."""
        compile_unit(unit_of_def("def f(x=1 / 0) -> 1 / 0:\n    1 / 0"))

    @pytest.mark.parametrize(
        "indent", ["", " ", "    ", "\t", "\t\t", " \t", "\f", "\f    ", "  \f "]
    )
    def test_indentation(self, indent):
        """Any that a file may have; the text is left as it is."""
        text = f'{indent}def f():\n{indent} return """\nmargin\n{indent}"""'
        assert function(unit_of_def(text, 5))() == f"\nmargin\n{indent}"

    def test_free_variables(self):
        """Those that the unit names, and only those."""
        unit = unit_of_def("  def f():\n    return a, b, c", freevars=("a", "b"))
        assert compile_unit(unit).co_freevars == ("a", "b")
        assert function(unit, {"c": 3}, a=1, b=2)() == (1, 2, 3)

    def test_recursion(self):
        """A name that is free means the cell, one that is not the global of that name."""
        text = "  def f(n):\n    return n and (x, f(n - 1))"
        free = unit_of_def(text, freevars=("f", "x"))
        assert function(free, {}, x=1, f=lambda n: "cell")(1) == (1, "cell")
        loose = unit_of_def(text, freevars=("x",))
        assert function(loose, {"f": lambda n: "global"}, x=1)(1) == (1, "global")

    def test_private_names(self):
        """They are those of the class that is named, in closures and recursion as well."""
        text = "  def __f(self):\n    return self.__x, __y, __f"
        unit = unit_of_def(text, freevars=("_A__y",), owner="A")
        instance = types.SimpleNamespace(_A__x=1)
        assert function(unit, {"_A__f": 3}, _A__y=2)(instance) == (1, 2, 3)
        unit = unit._replace(freevars=("_A__f", "_A__y"))
        assert function(unit, {}, _A__y=2, _A__f=4)(instance) == (1, 2, 4)

    def test_super(self):
        """__class__ is a free variable, in a class that shows as well as in one that does not."""

        class A:
            def f(self):
                return "A"

        class B(A):
            pass

        for owner, indent in (("B", " "), ("", " "), ("B", "\t"), ("_", "  ")):
            text = f"{indent}def f(self):\n{indent}{indent}return super().f() + 'B'"
            unit = unit_of_def(text, freevars=("__class__",), owner=owner)
            assert function(unit, {}, __class__=B)(B()) == "AB"

    @pytest.mark.skipif(HERE < (3, 11), reason="no columns before 3.11")
    def test_columns(self):
        """To the byte, wherever the text starts, and whatever is before it on the line."""
        unit = unit_of_lambda("é = [«lambda x: x + ü»] # é", 7)
        positions = {place for place in compile_unit(unit).co_positions() if place[3]}
        assert (7, 7, 16, 22) in positions
        unit = unit_of_def("\tdef f(self): return é + self.__b", 7, owner="A")
        positions = {place for place in compile_unit(unit).co_positions() if place[3]}
        assert (7, 7, 21, 34) in positions

    @pytest.mark.parametrize("line", [1, 2, 3, 100_000])
    @pytest.mark.parametrize("owner", ["", "A"])
    @pytest.mark.parametrize("freevars", [(), ("a",)])
    def test_lines(self, line, owner, freevars):
        """Whatever headers are needed, and however few lines are above."""
        text = "  def f(self):\n    class B:\n      x = self.__x\n    a; raise B"
        code = compile_unit(unit_of_def(text, line, owner=owner, freevars=freevars))
        body = next(const for const in code.co_consts if isinstance(const, types.CodeType))
        assert (code.co_firstlineno, body.co_firstlineno) == (line, line + 1)
        if HERE >= (3, 13):
            assert line + 1 in [value for _, value in operands(body)]  # __firstlineno__
        code = compile_unit(unit_of_lambda("x = («lambda: a»)", line, owner=owner))
        assert code.co_firstlineno == line

    def test_qualified_names(self):
        """Those of everything inside follow that of the function."""
        text = (
            "    def f():\n"
            "        class B:\n            def m(self): return lambda: 0\n"
            "        return B, [lambda: 1 for i in 'a'][0], 'f.<locals>.B', 'f'"
        )
        unit = unit_of_def(text, qualname="make.<locals>.A.f", freevars=("x",))
        names = []
        for wanted in (unit, unit._replace(freevars=()), unit._replace(owner="A")):
            kind, inner, *strings = function(wanted, x=1)()
            assert kind.__qualname__ == "make.<locals>.A.f.<locals>.B"
            assert kind.m.__qualname__ == "make.<locals>.A.f.<locals>.B.m"
            assert kind.m(0).__qualname__ == "make.<locals>.A.f.<locals>.B.m.<locals>.<lambda>"
            names.append(inner.__qualname__)
            assert strings[1] == "f"
        assert len(set(names)) == 1
        assert names[0].startswith("make.<locals>.A.f.<locals>.")

    def test_outermost_lambda(self):
        """Not one that is among its defaults, though it may be equal to that."""
        unit = unit_of_lambda("f = «lambda x=[lambda x: 5, lambda x: 6]: 5»")
        assert function(unit)(0) == 5
        unit = unit_of_lambda("f = «lambda x=lambda: 6, y=lambda: 7: (x, y)»")
        assert function(unit)(1, 2) == (1, 2)

    def test_lambda_over_lines(self):
        """Without parentheses of its own."""
        unit = unit_of_lambda("f(1, «lambda x:\nx +\n   1», 2)")
        assert span(unit) == "lambda x:\nx +\n   1"
        assert function(unit)(2) == 3

    def test_not_from_a_line(self):
        """A text of its own, in a line."""
        unit = Unit("lambda: 1", LAMBDA, LAMBDA, "/no/lines.py", 4, -1, 0)
        assert function(unit)() == 1
        assert compile_unit(unit).co_firstlineno == 4
        assert linecache.getlines("/no/lines.py") == []

    @pytest.mark.parametrize("default", ["(yield)", "await x", "[i async for i in x]"])
    def test_default_of_a_function_around(self, default):
        """A default may yield or await, which only the function around can do."""
        unit = unit_of_def(f"  def f(x={default}):\n    return x")
        assert function(unit)(1) == 1

    def test_flags(self):
        """Those that do not follow from the text are the unit's."""
        code = compile_unit(unit_of_def("def f(): yield", flags=0x110))
        assert code.co_flags & (inspect.CO_NESTED | inspect.CO_ITERABLE_COROUTINE) == 0x110
        code = compile_unit(unit_of_def("  def f(): return a", freevars=("a",), flags=0x04))
        assert not code.co_flags & (inspect.CO_NESTED | inspect.CO_VARARGS)

    def test_future(self):
        """A future import of the file holds for the unit."""
        unit = unit_of_def("def f():\n def g(x: 1 / 0): pass\n return g")
        postponed = unit._replace(futures=("annotations",))
        assert function(postponed)().__annotations__ == {"x": "1 / 0"}
        assert compile_unit(postponed).co_flags & __future__.annotations.compiler_flag

    def test_optimize(self):
        """Asserts and docstrings count as they did where the function is from."""
        unit = unit_of_def("def f():\n 'doc'\n assert 0\n return __debug__")
        with pytest.raises(AssertionError):
            function(unit)()
        assert function(unit._replace(optimize=1))() is False
        assert function(unit).__doc__ == "doc"
        assert function(unit._replace(optimize=2)).__doc__ is None

    def test_below(self):
        """What is compiled after it does not get into it."""
        unit = unit_of_def("def f():\n return 1 \\")
        assert build(unit, "import x\nx\n").co_consts == build(unit).co_consts


class TestErrors:
    """Units that this interpreter cannot compile."""

    def test_too_new(self):
        """Both versions, the function, the file and the line are named."""
        text = "def f(x):\n    y = x\n    new syntax"
        with pytest.raises(SerializationError) as caught:
            compile_unit(unit_of_def(text, 20, qualname="A.f", version=(3, 99)))
        name = "PyPy" if sys.implementation.name == "pypy" else "Python"
        text = str(caught.value)
        assert text.startswith(
            f"{name} {HERE[0]}.{HERE[1]} cannot compile A.f (/far/away.py, line 20), "
            "which was written for Python 3.99: invalid syntax"
        )
        assert text.endswith(
            ", line 22; run it on a worker with Python 3.99, or write it so that both can read it"
        )
        assert caught.value.__suppress_context__

    @pytest.mark.parametrize(
        "unit",
        [
            unit_of_def("def f(): '\0'"),
            unit_of_def("def f(): '\ud800'"),
            unit_of_def("def f(): pass")._replace(name="g"),
            unit_of_def("def f(): pass", futures=("time_travel",)),
            unit_of_def("def f(): return " + "(" * 10_000 + ")" * 10_000),
            unit_of_def("def f(): return " + "-" * 100_000 + "1"),
            unit_of_def("    def f():\n return 1"),
            unit_of_def("  def f(): class A: pass", owner="A", freevars=("a",)),
            unit_of_def(" def f(): class __A: pass", owner="A", freevars=("a",)),
            unit_of_def("def f(): pass", freevars=("not an identifier",)),
            unit_of_lambda("«lambda: (1»"),
            unit_of_lambda("«lambda: 1; 2»"),
        ],
        ids=range(12),
    )
    def test_malformed(self, unit):
        """Whatever is wrong with it, the error is of one kind."""
        with pytest.raises(SerializationError, match="cannot compile"):
            compile_unit(unit)

    def test_silent(self):
        """The compiler has told the user already what it thinks of his code."""
        unit = unit_of_def("def f(x):\n  assert (x, 'y')\n  return x is 1, '\\d', 1()")
        lambda_unit = unit_of_lambda("(«lambda x: (x is 2, '\\q')»)")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compile_unit(unit)
            compile_unit(lambda_unit)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            build(unit)
            warnings.warn("another", SyntaxWarning, stacklevel=1)
        assert [str(warning.message) for warning in caught] == ["another"]


class TestMemory:
    """What is kept of compiled units."""

    def test_compiled_once(self):
        """Equal units have one code object."""
        unit = unit_of_def("def f(): return 'compiled once'")
        assert compile_unit(unit) is compile_unit(Unit(*unit))

    def test_made_from(self):
        """Code tells its unit; so does code inside of it."""
        unit = unit_of_def("def f():\n  return lambda: 'made'")
        code = compile_unit(unit)
        assert made_from(code) == (unit, True)
        inner = next(const for const in code.co_consts if isinstance(const, types.CodeType))
        assert made_from(inner) == (unit, False)
        assert made_from(build(unit)) is None

    def test_traceback(self, tmp_path):
        """It shows the lines that were sent, of several units, not a local file's."""
        path = tmp_path / "away.py"
        path.write_text("local\n" * 20)
        first = unit_of_def(
            "    def f(x):\n        return x(0)  # first", 3, filename=str(path), owner="A"
        )
        second = unit_of_lambda("g = («lambda x: 1 / x») # second", 9, filename=str(path))
        with pytest.raises(ZeroDivisionError) as caught:
            function(first)(function(second))
        linecache.checkcache(str(path))
        text = "".join(traceback.format_tb(caught.tb))
        assert "line 4, in f\n    return x(0)  # first\n" in text
        assert "line 9, in <lambda>\n    g = (lambda x: 1 / x) # second\n" in text
        assert inspect.getsource(function(first)) == f"{first.text}\n"
