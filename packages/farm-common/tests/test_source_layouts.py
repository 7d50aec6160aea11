"""Functions and lambdas in layouts that nobody would write by hand are found and rebuilt."""

import importlib.util
import itertools
import tempfile
import types
import warnings
from pathlib import Path

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from farm_common.shipping.codes import same_code, walk_codes
from farm_common.shipping.source import find_unit, minimum_version
from farm_common.shipping.unit import LAMBDA, compile_unit

spec = importlib.util.spec_from_file_location(
    "functions_corpus", Path(__file__).with_name("functions_corpus.py")
)
corpus = importlib.util.module_from_spec(spec)
spec.loader.exec_module(corpus)

#: Names that mean something in headers, in classes, or in both; few, so that they clash.
NAMES = ["a", "b", "f", "_farm_scope_", "__p", "A", "math", "é"]

names = st.sampled_from(NAMES)
constants = st.sampled_from(
    [
        "0",
        "0.0",
        "-0.0",
        "1",
        "True",
        "'f'",
        "'A.f'",
        '"""x\ny"""',
        "b'x'",
        "(1, 2.0)",
        "...",
        "'é'",
    ]
)
#: What may stand between two words in parentheses.
breaks = st.sampled_from(["", "", " ", "\n", " \\\n", " # c\n", "\n\n \t"])


@st.composite
def arguments(draw):
    """The arguments of a function, some with defaults."""
    chosen = draw(st.lists(names, max_size=3, unique=True))
    count = draw(st.integers(0, len(chosen)))
    parts = [*chosen[:count], *(f"{name}={draw(simple)}" for name in chosen[count:])]
    rest = draw(st.sampled_from(["", "*args", "*, key=1", "**rest"]))
    return ", ".join([*parts, *([rest] if rest else [])])


simple = st.one_of(names, constants)

expressions = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.builds("({}{} + {})".format, inner, breaks, inner),
        st.builds("[{}, {}{}]".format, inner, breaks, inner),
        st.builds("{{{}: {}}}".format, constants, inner),
        st.builds("(lambda {}: {})".format, arguments(), inner),
        st.builds("(lambda {}:{}{})".format, arguments(), breaks, inner),
        # 3.12 and 3.13 confuse a variable of these with one of the same name outside.
        st.builds("[{} for {} in {}]".format, inner, st.sampled_from(["i", "__i"]), inner),
        st.builds("[lambda: {0} for {0} in {1}]".format, st.sampled_from(["i", "__i"]), inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("{}.m({})".format, names, inner),
        st.builds("self.__p({})".format, inner),
        st.builds("(w := {})".format, inner),
    ),
    max_leaves=6,
)


@st.composite
def blocks(draw, indent, depth, in_class):
    """Statements that are indented by a string."""
    lines = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.integers(0, 7 if depth else 3))
        step = draw(st.sampled_from([" ", "    ", "\t"]))
        if kind <= 2:
            target = draw(names)
            lines.append(f"{indent}{target} = {draw(expressions)}")
        elif kind == 3:
            lines.append(f"# comment\n{indent}pass; {draw(names)} = lambda {draw(arguments())}: 0")
        elif kind == 4:
            inner = draw(blocks(indent + step, depth - 1, True))
            lines.append(f"{indent}class {draw(names)}:\n{inner}")
        elif kind == 5:
            inner = draw(blocks(indent + step, depth - 1, in_class))
            lines.append(f"{indent}if 1:\n{inner}")
        else:
            decorator = draw(
                st.sampled_from(["", "", f"{indent}@deco\n", f"{indent}@deco(\n 1)\n"])
            )
            prefix = draw(st.sampled_from(["", "async "]))
            inner = draw(blocks(indent + step, depth - 1, False))
            end = draw(st.sampled_from(["", f"\n{indent}{step}return super().f", "\n\n# end"]))
            lines.append(
                f"{decorator}{indent}{prefix}def {draw(names)}({draw(arguments())}):\n{inner}{end}"
            )
    return "\n".join(lines)


def functions_of(code):
    """All functions that a module's code would make, without running it; cells are empty."""
    for part in itertools.islice(walk_codes(code), 1, None):
        if part.co_flags & 1 and (part.co_name == LAMBDA or not part.co_name.startswith("<")):
            cells = tuple(types.CellType() for _ in part.co_freevars)
            yield types.FunctionType(part, {}, part.co_name, None, cells or None)


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(blocks("", 3, False), st.sampled_from(["", "import math\n", "super\n"]))
def test_layouts(text, head):
    """Each function of a module is found, and what is compiled from it does the same."""
    text = head + text
    assume(corpus.is_readable(text))  # a name may have two meanings
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "made.py")
        path.write_bytes(text.encode())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = compile(text, str(path), "exec", dont_inherit=True)
        for function in functions_of(code):
            theirs = function.__code__
            unit = find_unit(function)
            ours = compile_unit(unit)
            assert set(ours.co_freevars) == set(theirs.co_freevars)
            assert ours.co_name == theirs.co_name
            if not head:
                assert same_code(ours, theirs)
            is_decorated = unit.line > theirs.co_firstlineno
            if hasattr(theirs, "co_positions") and not head and not is_decorated:
                assert list(ours.co_positions()) == list(theirs.co_positions())
            if hasattr(theirs, "co_qualname"):
                assert ours.co_qualname == theirs.co_qualname
            assert minimum_version(unit) <= (3, 9)
            again = types.FunctionType(ours, {}, "f", None, function.__closure__)
            assert find_unit(again) == unit
