"""Lambdas."""

import functools

from harness import case

SQUARE = lambda x: x * x
TABLE = {"add": lambda a, b: a + b, "sub": lambda a, b: a - b, "neg": lambda a: -a}
LADDER = [lambda x: x + 1, lambda x: x + 2, lambda x: x + 3]
FIRST, SECOND = (lambda x: ("first", x)), (lambda x: ("second", x))
SAME, AGAIN = (lambda x: x), (lambda x: x)
CHOSEN = (lambda: "yes") if TABLE else (lambda: "no")
CONSTANTS = [lambda: 1, lambda: 1.0, lambda: True, lambda: 1j]


@case
def plain(call):
    assert call(lambda: 42) == 42


@case
def at_module_level(call):
    assert call(SQUARE, 9) == 81


@case
def two_on_a_line(call):
    one, two = lambda: "one", lambda: "two"
    assert (call(one), call(two)) == ("one", "two")


@case
def two_on_a_line_at_module_level(call):
    assert call(FIRST, 1) == ("first", 1)
    assert call(SECOND, 2) == ("second", 2)


@case
def two_that_are_the_same(call):
    assert [call(SAME, 1), call(AGAIN, 2)] == [1, 2]


@case
def that_differ_only_in_the_type_of_a_constant(call):
    got = [call(f) for f in CONSTANTS]
    assert [type(value) for value in got] == [int, float, bool, complex]


@case
def that_differ_only_in_the_sign_of_zero(call):
    plus, minus = lambda: 0.0, lambda: -0.0
    assert [str(call(plus)), str(call(minus))] == ["0.0", "-0.0"]


@case
def in_a_dict(call):
    assert call(TABLE["add"], 3, 4) == 7
    assert call(TABLE["sub"], 3, 4) == -1
    assert call(TABLE["neg"], 3) == -3


@case
def in_a_list(call):
    assert [call(f, 0) for f in LADDER] == [1, 2, 3]


@case
def as_an_argument(call):
    assert call(lambda f, x: f(f(x)), lambda x: x * 3, 2) == 18


@case
def a_dict_of_them_as_an_argument(call):
    assert call(lambda table: table["add"](1, table["neg"](5)), TABLE) == -4


@case
def nested(call):
    assert call(lambda x: (lambda y: (lambda z: x + y + z)(3))(2), 1) == 6


@case
def that_returns_a_lambda(call):
    adder = call(lambda n: lambda x: x + n, 10)
    assert adder(5) == 15


@case
def called_where_it_stands(call):
    assert call((lambda n: lambda: n * 2)(21)) == 42


@case
def as_a_default(call):
    def apply(x, f=lambda x: x + 100):
        return f(x)

    assert call(apply, 1) == 101
    assert call(apply, 1, f=lambda x: -x) == -1


@case
def with_defaults(call):
    assert call(lambda a, b=2, *c, d=4, **e: (a, b, c, d, e), 1) == (1, 2, (), 4, {})
    assert call(lambda a, b=2, *c, d=4, **e: (a, b, c, d, e), 1, 3, 5, d=6, f=7) == (
        *(1, 3, (5,), 6),
        {"f": 7},
    )


@case
def with_positional_only_parameters(call):
    assert call(lambda a, /, b, *, c: [a, b, c], 1, b=2, c=3) == [1, 2, 3]


@case
def in_a_comprehension(call):
    squares = [lambda x, n=n: x**n for n in range(4)]
    assert [call(f, 2) for f in squares] == [1, 2, 4, 8]


@case
def late_bound_in_a_comprehension(call):
    late = [lambda: n for n in range(3)]
    assert [call(f) for f in late] == [2, 2, 2]


@case
def over_several_lines(call):
    f = lambda x: (
        x
        + 1  # a comment, with a "quote
    )
    assert call(f, 1) == 2


@case
def after_another_in_a_call(call):
    pairs = list(map(lambda n: (lambda: n, lambda: -n), (1, 2)))
    assert [(call(f), call(g)) for f, g in pairs] == [(1, -1), (2, -2)]


@case
def conditional(call):
    assert call(CHOSEN) == "yes"


@case
def with_a_walrus(call):
    assert call(lambda x: (y := x + 1) * y, 2) == 9


@case
def with_a_comprehension_inside(call):
    assert call(lambda n: {k: [v for v in range(k)] for k in range(n)}, 3) == {0: [], 1: [0], 2: [0, 1]}


@case
def with_an_f_string(call):
    assert call(lambda a: f"{a!r:>5}|{a + 1:03d}", 7) == "    7|008"


@case
def that_yields(call):
    assert call(lambda f: list(f()), lambda: (yield 1)) == [1]


@case
def star_arguments(call):
    assert call(lambda *args, **kwargs: (args, sorted(kwargs)), 1, 2, b=3, a=4) == ((1, 2), ["a", "b"])


@case
def as_key(call):
    words = ["pear", "fig", "banana"]
    assert call(sorted, words, key=lambda word: (len(word), word)) == ["fig", "pear", "banana"]


@case
def reduced(call):
    assert call(functools.reduce, lambda a, b: a * b, range(1, 6)) == 120


@case
def recursive_by_fixed_point(call):
    fix = lambda f: (lambda x: x(x))(lambda x: f(lambda *a: x(x)(*a)))
    factorial = fix(lambda self: lambda n: 1 if n == 0 else n * self(n - 1))
    assert call(factorial, 10) == 3628800


@case
def recursive_by_name(call):
    gcd = lambda a, b: a if b == 0 else gcd(b, a % b)
    assert call(gcd, 48, 36) == 12


@case
def as_a_class_attribute(call):
    class Shapes:
        area = lambda self: self.side**2
        make = staticmethod(lambda side: side + 1)
        side = 5

    assert call(Shapes().area) == 25
    assert call(Shapes.make, 1) == 2


@case
def in_a_decorator_argument(call):
    def mapped(by):
        return lambda f: lambda *args: by(f(*args))

    @mapped(lambda value: [value])
    def double(x):
        return x * 2

    assert call(double, 4) == [8]


@case
def keeps_its_name(call):
    assert call(lambda f: f.__name__, SQUARE) == "<lambda>"


@case
def with_a_renamed_name(call):
    f = lambda: 5
    f.__name__ = f.__qualname__ = "renamed"
    assert call(lambda f: (f.__name__, f.__qualname__, f()), f) == ("renamed", "renamed", 5)


@case
def in_an_f_string(call):
    f = eval_of_fstring()
    assert call(f, 3) == 4


def eval_of_fstring():
    kept = []
    text = f"{kept.append(lambda x: x + 1)}"
    assert text == "None"
    return kept[0]
