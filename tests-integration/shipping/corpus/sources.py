"""Source that is written oddly."""

import inspect

from harness import case, script


@case
def tabs(call):
    with script("def f(x):\n\tif x:\n\t\treturn [\n\t1,\n\t\tx]\n\treturn 0\n") as main:
        assert call(main.f, 5) == [1, 5]


@case
def tabs_and_spaces(call):
    with script(
        "class A:\n\tdef f(self):\n\t        return 1\n\n    \n\tg = lambda self: 2\n"
    ) as main:
        assert call(main.A().f) == 1
        assert call(main.A().g) == 2


@case
def carriage_returns(call):
    source = b"def f(x):\r\n    '''doc\r\n    two'''\r\n    return (x,\r\n        1)\r\n\r\ng = lambda: 'g'\r\n"
    with script(source) as main:
        assert call(main.f, 5) == (5, 1)
        assert call(main.g) == "g"


@case
def old_carriage_returns_only(call):
    with script(b"def f(x):\r    return x + 1\rdef g():\r    return f(1)\r") as main:
        assert call(main.g) == 2


@case
def no_newline_at_the_end(call):
    with script("f = lambda x: x + 1\ndef g(): return f(1)") as main:
        assert call(main.g) == 2


@case
def a_byte_order_mark(call):
    with script(b"\xef\xbb\xbfdef f():\n    return 'caf\xc3\xa9'\n") as main:
        assert call(main.f) == "café"


@case
def another_encoding(call):
    source = "# -*- coding: latin-1 -*-\ndef f():\n    return 'café', 'ü'\n"
    with script(source.encode("latin-1")) as main:
        assert call(main.f) == ("café", "ü")


@case
def an_encoding_in_the_second_line(call):
    source = "#!/usr/bin/env python\n# vim: set fileencoding=cp1252 :\ndef f():\n    return '€'\n"
    with script(source.encode("cp1252")) as main:
        assert call(main.f) == "€"


@case
def form_feeds(call):
    with script(
        "x = 1\n\f\ndef f():\n\f    return x\n\f\nclass A:\n    def g(self):\n        return 2\n"
    ) as main:
        assert call(main.f) == 1
        assert call(main.A().g) == 2


@case
def names_that_are_not_ascii(call):
    with script(
        "größe = 3\ndef fläche(π, ñ=2):\n    return größe * π + ñ\nclass Éa:\n    ü = 1\n"
    ) as main:
        assert call(getattr(main, "fläche"), 2) == 8
        assert call(lambda c: c.ü, getattr(main, "Éa")) == 1


@case
def names_that_are_normalised(call):
    with script("def f(ﬁ=1):\n    ªb = ﬁ\n    return ªb + fi\n") as main:
        assert call(main.f) == 2


@case
def wide_characters_before_a_lambda(call):
    with script("f, g = ('日本', lambda: '語'), ('𝔘', lambda: '😀')\n") as main:
        assert (call(main.f[1]), call(main.g[1])) == ("語", "😀")


@case
def triple_quotes_at_the_first_column(call):
    source = '''
def outer():
    def f():
        text = """
no indentation
  two
"""
        return text
    return f
class A:
    def g(self):
        """
doc at column 0
        """
        return """a
b"""
'''
    with script(source) as main:
        assert call(main.outer()) == "\nno indentation\n  two\n"
        assert call(main.A().g) == "a\nb"


@case
def comments_at_the_first_column(call):
    source = """
class A:
    def f(self):
        x = 1
# a comment here
        # and here
    # and less indented
        return x + 1
    def g(self): return 3
"""
    with script(source) as main:
        assert (call(main.A().f), call(main.A().g)) == (2, 3)


@case
def continuation_lines(call):
    source = """
def f(a, \\
  b=\\
2):
    return a + \\
b
g = \\
    lambda x: \\
    x * 2
if True: h = lambda: \\
  'h'
"""
    with script(source) as main:
        assert (call(main.f, 1), call(main.g, 2), call(main.h)) == (3, 4, "h")


@case
def several_statements_on_a_line(call):
    with script(
        "a = 1; f = lambda: a; g = lambda: -a; x = 5\nclass C: f = lambda s: 1; g = lambda s: 2\n"
    ) as main:
        assert (call(main.f), call(main.g)) == (1, -1)
        assert (call(main.C().f), call(main.C().g)) == (1, 2)


@case
def bodies_on_the_line_of_the_header(call):
    source = """
def f(): x = 1; return x
class A(object): y = 2; z = lambda self: self.y
if f: g = lambda: 'then'
else: g = lambda: 'else'
for i in range(2): h = lambda: i
"""
    with script(source) as main:
        assert [call(main.f), call(main.A().z), call(main.g), call(main.h)] == [1, 2, "then", 1]


@case
def one_space_and_ten(call):
    source = "def f(x):\n if x:\n           return 1\n else:\n  return 2\n"
    with script(source) as main:
        assert (call(main.f, 1), call(main.f, 0)) == (1, 2)


@case
def future_annotations(call):
    source = """
from __future__ import annotations
import dataclasses, typing
def f(x: int | None, y: list[Undefined] = ()) -> Nothing:
    def inner(z: Undefined): return z
    return x, inner(2)
@dataclasses.dataclass
class D:
    x: int | str
    y: 'list' = dataclasses.field(default_factory=list)
"""
    with script(source) as main:
        assert call(main.f, 1) == (1, 2)
        assert call(lambda f: f.__annotations__["x"], main.f) == "int | None"
        assert call(lambda c: c(1).y, main.D) == []


@case
def decorators_over_lines(call):
    source = """
def tag(*tags, **more):
    def decorate(f):
        f.tags = tags
        return f
    return decorate
@tag(
    'a',
    'b',
)
# between
@tag(*['x',
       'y'], z=[1,
   2])

def f():
    return f.tags
"""
    with script(source) as main:
        assert call(main.f) == ("a", "b")


@case
def decorators_that_are_any_expression(call):
    source = """
table = {'k': lambda f: lambda: f() + 1}
@table['k']
def f():
    return 1
@(lambda g: lambda: g() * 2)
def h():
    return 2
"""
    with script(source) as main:
        assert (call(main.f), call(main.h)) == (2, 4)


@case
def lambdas_across_lines(call):
    source = """
table = {
    'a': lambda x: x +
        1, 'b': lambda x: (
            x * 2), 'c': (lambda x, y=lambda: 3:
        x + y()),
    'd': [lambda: 1, lambda: 2,
          lambda: 3],
}
"""
    with script(source) as main:
        table = main.table
        assert [call(table[k], 5) for k in "abc"] == [6, 10, 8]
        assert [call(f) for f in table["d"]] == [1, 2, 3]


@case
def lambdas_in_lambdas_on_a_line(call):
    with script("f = lambda x: lambda y: lambda z: (x, y, z, (lambda: x + y)())\n") as main:
        assert call(main.f(1)(2), 3) == (1, 2, 3, 3)
        assert call(main.f, 4)(5)(6) == (4, 5, 6, 9)


@case
def lambdas_that_differ_in_names_only(call):
    with script("a = b = 1\nb = 2\nf, g, h = lambda: a, lambda: b, lambda a: a\n") as main:
        assert [call(main.f), call(main.g), call(main.h, 3)] == [1, 2, 3]


@case
def lambdas_that_differ_in_defaults_only(call):
    with script("f, g = lambda x=1: x, lambda x=2: x\n") as main:
        assert [call(main.f), call(main.g)] == [1, 2]


@case
def lambdas_that_differ_in_what_they_enclose(call):
    source = """
def make(a, b):
    return lambda: a, lambda: b
one, two = make(1, 2)
"""
    with script(source) as main:
        assert [call(main.one), call(main.two)] == [1, 2]


@case
def f_strings_with_lambdas_and_quotes(call):
    source = """
def f(x):
    return f"{(lambda y: y + 1)(x)} {x!r:>{4}} {'q' + str({'a': 1}['a'])}" f'{x:%Y}' if False else f"{x}"
"""
    with script(source) as main:
        assert call(main.f, 1) == "1"


@case
def deeply_nested_functions(call):
    lines = ["def f0(x0):"]
    for i in range(1, 12):
        lines.append("    " * i + f"def f{i}(x{i}):")
    lines.append("    " * 12 + "return (" + ", ".join(f"x{i}" for i in range(12)) + ")")
    for i in range(11, 0, -1):
        lines.append("    " * i + f"return f{i}(x{i - 1} + 1)")
    with script("\n".join(lines) + "\n") as main:
        assert call(main.f0, 0) == tuple(range(12))


@case
def methods_of_nested_classes_with_closures(call):
    source = """
def make(n):
    class A:
        m = n * 2
        class B:
            def get(self):
                def inner():
                    return n, __class__.__name__, A.m
                return inner()
    return A.B()
"""
    with script(source) as main:
        assert call(main.make(3).get) == (3, "B", 6)


@case
def a_string_that_looks_like_code(call):
    source = '''
text = """
def f():
    return 'not this'
"""
def f():
    return 'this'
# def f(): return 'nor this'
'''
    with script(source) as main:
        assert call(main.f) == "this"


@case
def defined_twice_with_other_bodies(call):
    source = """
def f(): return 1
first = f
def f(): return 2
second = f
def f(): return 1
third = f
"""
    with script(source) as main:
        assert [call(g) for g in (main.first, main.second, main.third)] == [1, 2, 1]


@case
def conditional_definitions_of_one_name(call):
    source = """
import sys
if sys.version_info >= (4,):
    def f(): return 'four'
elif sys.version_info >= (3,):
    def f(): return 'three'
try:
    import no_such_module_for_sure
except ImportError:
    def g(): return 'fallback'
else:
    def g(): return 'native'
"""
    with script(source) as main:
        assert (call(main.f), call(main.g)) == ("three", "fallback")


@case
def string_prefixes_and_escapes(call):
    source = r"""
def f():
    return rb'\x00\n', u'\u00e9', b'\x00', R"\d", '\N{BULLET}', 'a' 'b' "c", '''tri
ple''', 'back\
slash'
"""
    with script(source) as main:
        assert call(main.f) == main.f()


@case
def numbers_of_all_kinds(call):
    with script(
        "def f():\n    return 0x_ff, 0b1_0, 0o17, 1_000, 1e-3, .5, 5., 1j, 10**20\n"
    ) as main:
        assert call(main.f) == main.f()


@case
def a_very_long_line(call):
    with script("def f():\n    return [" + ", ".join(map(str, range(5000))) + "]\n") as main:
        assert call(main.f) == list(range(5000))


@case
def a_very_long_function(call):
    lines = ["def f(x):", *(f"    x += {i}" for i in range(3000)), "    return x"]
    with script("\n".join(lines)) as main:
        assert call(main.f, 0) == sum(range(3000))


@case
def far_down_in_a_long_file(call):
    filler = "".join(f"def unused{i}(x):\n    return x + {i}\n\n" for i in range(1500))
    with script(filler + "def f(x):\n    return unused7(x)\n") as main:
        assert call(main.f, 1) == 8


@case
def walrus_and_comprehension_scopes(call):
    source = """
def f(values):
    total = 0
    out = [total := total + v for v in values]
    if (n := len(out)) > 2:
        return n, total, [last := o for o in out], last
"""
    with script(source) as main:
        assert call(main.f, [1, 2, 3]) == (3, 6, [1, 3, 6], 6)


@case
def global_and_nonlocal_statements(call):
    source = """
state = 0
def outer():
    level = 1
    def inner():
        global state
        nonlocal level
        state += 10
        level += 1
        return state, level
    return inner(), level
"""
    with script(source) as main:
        assert call(main.outer) == ((10, 2), 2)


@case
def star_imports(call):
    with script(
        "from math import *\nfrom os.path import *\ndef f():\n    return sqrt(4), join('a', 'b')\n"
    ) as main:
        assert call(main.f) == (2.0, "a/b")


@case
def docstrings_of_many_lines_with_quotes(call):
    source = """
def f():
    r'''One "line".

    Two \\d lines.
    '''
    return f.__doc__
"""
    with script(source) as main:
        assert inspect.cleandoc(call(main.f)) == inspect.cleandoc(main.f())


@case
def assignments_with_annotations(call):
    with script("f: 'a function' = lambda x: x\nclass A:\n    g: int = (lambda self: 4)\n") as main:
        assert (call(main.f, 1), call(main.A().g)) == (1, 4)


@case
def lambdas_in_decorators_and_defaults_of_a_def(call):
    source = """
def apply(g): return lambda f: g(f)
@apply(lambda f: (lambda x: f(x) + 1))
def f(x, key=lambda v: v * 10, *, more=lambda: 5): return key(x) + more()
"""
    with script(source) as main:
        assert call(main.f, 1) == 16


@case
def the_last_line_of_a_file_is_a_backslash_continuation(call):
    with script("def f(x):\n    return x \\\n        + 1") as main:
        assert call(main.f, 1) == 2
