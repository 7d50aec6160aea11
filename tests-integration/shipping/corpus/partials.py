"""Partials, operator getters, and other callables made of callables."""

import functools
import itertools
import operator

from harness import case


def report(a, b=2, *rest, sep=","):
    return sep.join(map(str, (a, b, *rest)))


class Tool:
    def __init__(self, n):
        self.n = n

    def use(self, a, b=0):
        return self.n + a * 10 + b


@case
def of_a_builtin(call):
    assert call(functools.partial(pow, 2), 5) == 32


@case
def of_a_function(call):
    assert call(functools.partial(report, 1, sep="-"), 3, 4) == "1-3-4"


@case
def of_a_lambda(call):
    assert call(functools.partial(lambda a, b: a - b, 10), 3) == 7


@case
def of_a_closure(call):
    base = 100
    assert call(functools.partial(lambda x, y: base + x + y, 1), y=2) == 103


@case
def of_a_partial(call):
    inner = functools.partial(report, 1)
    assert call(functools.partial(inner, 2, sep=";"), 3) == "1;2;3"


@case
def of_a_class(call):
    made = call(functools.partial(Tool, 5))
    assert type(made) is Tool
    assert made.n == 5


@case
def of_a_method(call):
    assert call(functools.partial(Tool(5).use, b=3), 1) == 18


@case
def of_a_method_with_keywords(call):
    assert call(functools.partial(Tool.use, b=1), Tool(1), a=2) == 22


@case
def attributes_of_a_partial(call):
    partial = functools.partial(report, 1, sep="+")
    assert call(lambda p: (p.args, p.keywords, p.func.__name__), partial) == (
        (1,),
        {"sep": "+"},
        "report",
    )


@case
def own_attributes_on_a_partial(call):
    partial = functools.partial(report, 1)
    partial.label = "labelled"
    assert call(lambda p: p.label, partial) == "labelled"


@case
def subclass_of_partial(call):
    class Named(functools.partial):
        def name(self):
            return "named " + self.func.__name__

    assert call(lambda p: (p.name(), p(2)), Named(report, 1)) == ("named report", "1,2")


@case
def a_partial_in_a_global_table(call):
    table = {"dash": functools.partial(report, sep="-")}
    assert call(lambda name: table[name](1, 2, 3), "dash") == "1-2-3"


@case
def latest_arguments_of_a_partial(call):
    items = []
    partial = functools.partial(len, items)
    got = [call(partial)]
    items.append(1)
    got.append(call(partial))
    assert got == [0, 1]


@case
def item_getters(call):
    assert call(operator.itemgetter(1), "abc") == "b"
    assert call(operator.itemgetter(2, 0), "abc") == ("c", "a")
    assert call(operator.itemgetter("k"), {"k": 1}) == 1
    assert call(operator.itemgetter(slice(1, 3)), "abcd") == "bc"


@case
def attribute_getters(call):
    assert call(operator.attrgetter("real"), 5) == 5
    assert call(operator.attrgetter("real", "imag"), 1 + 2j) == (1.0, 2.0)
    assert call(operator.attrgetter("__class__.__name__"), 5) == "int"


@case
def method_callers(call):
    assert call(operator.methodcaller("upper"), "a") == "A"
    assert call(operator.methodcaller("split", ",", maxsplit=1), "a,b,c") == ["a", "b,c"]


@case
def getters_inside_a_task(call):
    rows = [{"k": 2}, {"k": 1}]
    key = operator.itemgetter("k")
    assert call(lambda: sorted(rows, key=key)) == [{"k": 1}, {"k": 2}]


@case
def getters_as_arguments(call):
    assert call(sorted, [(1, "b"), (2, "a")], key=operator.itemgetter(1)) == [(2, "a"), (1, "b")]
    assert call(max, ["a", "bbb"], key=len) == "bbb"


@case
def comparison_keys(call):
    def compare(a, b):
        return b - a

    assert call(lambda: sorted([1, 3, 2], key=functools.cmp_to_key(compare))) == [3, 2, 1]


@case
def composition(call):
    def compose(*functions):
        return functools.reduce(lambda f, g: lambda x: f(g(x)), functions)

    assert call(compose(str, lambda x: x + 1, abs), -4) == "5"


@case
def star_map(call):
    assert call(lambda f, pairs: list(itertools.starmap(f, pairs)), pow, [(2, 3), (3, 2)]) == [8, 9]


@case
def a_curried_function(call):
    def curry(f, n):
        def curried(*args):
            if len(args) >= n:
                return f(*args)
            return lambda *more: curried(*args, *more)

        return curried

    assert call(lambda f: f(1)(2)(3), curry(lambda a, b, c: (a, b, c), 3)) == (1, 2, 3)


@case
def a_partial_that_is_recursive(call):
    def f(self_reference, n):
        return 0 if n == 0 else 1 + self_reference[0](n - 1)

    box = []
    box.append(functools.partial(f, box))
    assert call(box[0], 5) == 5
