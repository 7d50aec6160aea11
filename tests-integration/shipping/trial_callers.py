"""Callers of public functions of packages that nobody here wrote; executed as a script.

Each is a function without arguments that gives something printable, here and on the server alike.
"""

import operator

import attr
import attrs
import dateutil.relativedelta
import markdown
import networkx as nx
import pyparsing
import sortedcontainers
import sympy
import toolz
from attrs import define, evolve, field, validators
from boltons.cacheutils import LRU, cached
from boltons.dictutils import FrozenDict, OneToOne, OrderedMultiDict
from boltons.funcutils import FunctionBuilder
from boltons.iterutils import backoff, bucketize, chunked, remap, windowed
from boltons.mathutils import clamp
from boltons.setutils import IndexedSet
from boltons.statsutils import Stats
from boltons.strutils import camel2under, cardinalize, ordinalize, slugify
from boltons.timeutils import parse_timedelta
from boltons.urlutils import URL
from dateutil.easter import easter
from dateutil.parser import isoparse, parse
from dateutil.relativedelta import MO, relativedelta
from dateutil.rrule import DAILY, WEEKLY, rrule
from dateutil.tz import gettz, tzoffset
from jinja2 import DictLoader, Environment, Template
from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor
from more_itertools import (
    all_equal,
    bucket,
    collapse,
    consume,
    distinct_permutations,
    divide,
    first,
    flatten,
    interleave_longest,
    map_reduce,
    minmax,
    one,
    partition,
    peekable,
    run_length,
    seekable,
    set_partitions,
    side_effect,
    sliding_window,
    split_when,
    spy,
    stagger,
    unique_everseen,
    windowed_complete,
    zip_offset,
)
from networkx.algorithms.community import greedy_modularity_communities
from pyparsing import Forward, Group, Literal, Suppress, Word, ZeroOrMore, alphas, nums
from sortedcontainers import SortedDict, SortedKeyList, SortedList, SortedSet
from sympy import Matrix, Rational, Symbol, diff, expand, factor, integrate, limit, simplify, solve
from sympy.ntheory import factorint, isprime
from tabulate import tabulate
from toolz import (
    accumulate,
    assoc_in,
    complement,
    compose,
    compose_left,
    curry,
    dissoc,
    excepts,
    flip,
    frequencies,
    groupby,
    interleave,
    itertoolz,
    juxt,
    keyfilter,
    memoize,
    merge_with,
    partition_all,
    pipe,
    pluck,
    reduceby,
    thread_last,
    topk,
    unique,
    update_in,
    valmap,
)
from toolz import (
    sliding_window as toolz_window,
)

#: By the name of the package.
CALLERS = {}

WORDS = ["apple", "avocado", "banana", "blueberry", "cherry"]


def of(package):
    """Collect a caller of a package."""

    def collect(function):
        CALLERS.setdefault(package, []).append(function)
        return function

    return collect


# more-itertools


@of("more-itertools")
def grouped_words():
    return dict(map_reduce(WORDS, keyfunc=lambda w: w[0], valuefunc=len, reducefunc=sum))


@of("more-itertools")
def flat():
    return list(flatten([[1, 2], [3]])), list(collapse([[1, [2, (3, "ab")]]]))


@of("more-itertools")
def windows():
    return list(sliding_window("abcd", 2)), list(windowed_complete(range(4), 2))


@of("more-itertools")
def look_ahead():
    p = peekable([1, 2, 3])
    return p.peek(), next(p), p[0], p.peek(), list(p), p.peek("end")


@of("more-itertools")
def go_back():
    s = seekable(str(n) for n in range(5))
    consume(s, 3)
    s.seek(1)
    return list(s), s.elements()[2]


@of("more-itertools")
def buckets():
    b = bucket(WORDS, key=lambda w: w[0])
    return sorted(b), list(b["b"])


@of("more-itertools")
def only_one():
    try:
        one([1, 2])
    except ValueError as error:
        return one(["x"]), first([], "default"), str(error)


@of("more-itertools")
def parts():
    even, odd = partition(lambda n: n % 2, range(6))
    return list(even), list(odd), [list(d) for d in divide(3, range(7))]


@of("more-itertools")
def encoded():
    return list(run_length.encode("aabccc")), "".join(run_length.decode([("a", 2), ("b", 1)]))


@of("more-itertools")
def permuted():
    return sorted(distinct_permutations("aab")), len(list(set_partitions("abcd", 2)))


@of("more-itertools")
def mixed():
    return list(interleave_longest([1, 2, 3], "ab")), all_equal("aaa"), minmax([3, 1, 2])


@of("more-itertools")
def split():
    return list(split_when([1, 2, 5, 6, 9], lambda a, b: b - a > 1)), spy("abc", 2)[0]


@of("more-itertools")
def shifted():
    return list(stagger(range(3))), list(zip_offset("abc", "xyz", offsets=(0, 1)))


@of("more-itertools")
def seen_once():
    seen = []
    list(side_effect(seen.append, unique_everseen("AbaBc", key=str.lower)))
    return seen


# toolz


@of("toolz")
def composed():
    return compose(str, abs, lambda x: x - 5)(2), compose_left(len, operator.neg)("ab")


@of("toolz")
def curried():
    add = curry(lambda a, b, c: a + b * c)
    return add(1)(2)(3), add(1, c=5)(2), curry(map)(str)([1, 2]) is not None


@of("toolz")
def piped():
    return pipe(WORDS, lambda ws: map(len, ws), sum), thread_last([1, 2], (map, abs), list)


@of("toolz")
def groups():
    return groupby(len, WORDS), frequencies("mississippi"), reduceby(len, operator.add, WORDS, "")


@of("toolz")
def dicts():
    nested = {"a": {"b": 1}}
    return (
        update_in(nested, ["a", "b"], lambda x: x + 1),
        assoc_in(nested, ["a", "c"], 2),
        merge_with(sum, {"x": 1}, {"x": 2, "y": 3}),
        dissoc({"k": 1, "l": 2}, "k"),
        valmap(str, {"k": 1}),
        keyfilter(lambda k: k > 1, {1: "a", 2: "b"}),
    )


@of("toolz")
def remembered():
    calls = []
    square = memoize(lambda x: calls.append(x) or x * x)
    return square(3), square(3), calls


@of("toolz")
def juxtaposed():
    return juxt(min, max, len)([3, 1, 2]), complement(str.isdigit)("a"), flip(operator.sub, 1, 5)


@of("toolz")
def guarded():
    safe = excepts(ZeroDivisionError, lambda x: 1 / x, lambda error: f"{error}")
    return safe(0), safe(4)


@of("toolz")
def sequences():
    return (
        list(partition_all(2, range(5))),
        list(toolz_window(2, "abc")),
        list(interleave(["ab", "cd"])),
        list(pluck("n", [{"n": 1}, {"n": 2}])),
        topk(2, [5, 1, 4]),
        list(unique("aab")),
        list(accumulate(operator.mul, [1, 2, 3])),
    )


@of("toolz")
def joined():
    left, right = [(1, "a"), (2, "b")], [("x", 1), ("y", 2), ("z", 2)]
    return sorted(itertoolz.join(0, left, 1, right))


@of("toolz")
def by_the_module():
    return toolz.countby(len, WORDS), toolz.get([0, 2], "abc"), toolz.first("xy")


# attrs


@define
class Point:
    x: int = field(validator=validators.instance_of(int))
    y: int = field(default=0, converter=int)
    tags: list = field(factory=list, repr=False)

    @x.validator
    def positive(self, attribute, value):
        if value < 0:
            raise ValueError(f"{attribute.name} is negative")


@attr.s(auto_attribs=True, order=True, frozen=True)
class Version:
    major: int
    minor: int = 0


@define
class Named(Point):
    name: str = "origin"

    def shifted(self):
        return evolve(self, x=self.x + 1)


@of("attrs")
def instances():
    return repr(Point(1, "2")), Point(1) == Point(1), Point(1, 2) != Point(2, 1)


@of("attrs")
def validated():
    out = []
    for value in ("text", -1):
        try:
            Point(value)
        except (TypeError, ValueError) as error:
            out.append(type(error).__name__)
    return out


@of("attrs")
def frozen():
    try:
        Version(1).major = 2
    except attrs.exceptions.FrozenInstanceError:
        return sorted([Version(2), Version(1, 5)]), hash(Version(1)) == hash(Version(1))


@of("attrs")
def inherited():
    return repr(Named(1).shifted()), isinstance(Named(1), Point), Named.__mro__[1].__name__


@of("attrs")
def converted():
    return (
        attrs.asdict(Named(1, 2)),
        attrs.astuple(Version(3)),
        [f.name for f in attrs.fields(Point)],
    )


@of("attrs")
def defined_there():
    made = attrs.make_class("Made", ["a", "b"])
    return repr(made(1, 2)), made(1, 2) == made(1, 2)


@of("attrs")
def slotted():
    try:
        Point(1).other = 1
    except AttributeError:
        return Point.__slots__


@of("attrs")
def optional_values():
    @define
    class Config:
        level: str = field(default="low", validator=validators.in_(["low", "high"]))
        size: int = field(default=None, validator=validators.optional(validators.ge(0)))

    return repr(Config()), repr(Config("high", 3))


# boltons


@of("boltons")
def chunks():
    return chunked(range(5), 2), windowed("abc", 2), bucketize(range(5), lambda n: n % 2)


@of("boltons")
def remapped():
    return remap({"a": [1, None, {"b": None}]}, visit=lambda path, key, value: value is not None)


@of("boltons")
def multi():
    d = OrderedMultiDict([("a", 1), ("b", 2), ("a", 3)])
    return d.getlist("a"), d.items(multi=True), d.inverted().getlist(3)


@of("boltons")
def one_to_one():
    d = OneToOne({"a": 1})
    d["b"] = 2
    return d.inv[2], dict(d), hash(FrozenDict(a=1)) == hash(FrozenDict(a=1))


@of("boltons")
def indexed():
    s = IndexedSet("hello")
    return s[1], list(s | "x"), s.index("o")


@of("boltons")
def strings():
    return (
        slugify("Hello, World!"),
        camel2under("HelloThere"),
        ordinalize(22),
        cardinalize("box", 2),
    )


@of("boltons")
def caches():
    cache = LRU(max_size=2)
    double = cached(cache)(lambda x: x * 2)
    return double(2), double(3), double(4), len(cache)


@of("boltons")
def statistics_of():
    s = Stats([1, 2, 3, 4])
    return s.mean, s.median, round(s.std_dev, 3), clamp(15, 0, 10)


@of("boltons")
def built():
    b = FunctionBuilder("add", body="return a + b", args=["a", "b"])
    return b.get_func()(1, 2)


@of("boltons")
def urls():
    u = URL("http://user@host:80/a/b?c=d#e")
    return u.host, u.path, u.query_params["c"], str(u.navigate("../x"))


@of("boltons")
def times():
    return str(parse_timedelta("1h30m")), backoff(1, 10, count=4)


# networkx


@of("networkx")
def paths():
    g = nx.Graph([("a", "b"), ("b", "c"), ("a", "c"), ("c", "d")])
    return nx.shortest_path(g, "a", "d"), nx.diameter(g), sorted(g.degree)


@of("networkx")
def weighted():
    g = nx.DiGraph()
    g.add_weighted_edges_from([("s", "a", 2), ("s", "b", 5), ("a", "b", 1)])
    return nx.dijkstra_path(g, "s", "b"), nx.dijkstra_path_length(g, "s", "b")


@of("networkx")
def components():
    g = nx.Graph([(1, 2), (3, 4)])
    return [sorted(c) for c in nx.connected_components(g)], nx.is_connected(g)


@of("networkx")
def sorted_graph():
    g = nx.DiGraph([(1, 2), (2, 3), (1, 3)])
    return list(nx.topological_sort(g)), nx.is_directed_acyclic_graph(g)


@of("networkx")
def trees():
    g = nx.cycle_graph(4)
    return sorted(nx.minimum_spanning_tree(g).edges), list(nx.bfs_tree(g, 0))


@of("networkx")
def communities():
    return sorted(len(c) for c in greedy_modularity_communities(nx.barbell_graph(4, 0)))


@of("networkx")
def flows():
    g = nx.DiGraph()
    g.add_edge("s", "a", capacity=3)
    g.add_edge("a", "t", capacity=2)
    return nx.maximum_flow_value(g, "s", "t")


@of("networkx")
def matched():
    return sorted(map(sorted, nx.max_weight_matching(nx.path_graph(4))))


@of("networkx")
def coloured():
    return max(nx.greedy_color(nx.cycle_graph(5)).values())


# sympy


@of("sympy")
def derivative():
    x = Symbol("x")
    return str(diff(x**3 + 2 * x, x)), str(integrate(2 * x, x))


@of("sympy")
def algebra():
    x, y = sympy.symbols("x y")
    return str(expand((x + y) ** 2)), str(factor(x**2 - 1)), str(simplify((x**2 - 1) / (x - 1)))


@of("sympy")
def equations():
    x = Symbol("x")
    return [str(s) for s in solve(x**2 - 2, x)]


@of("sympy")
def limits():
    x = Symbol("x")
    return str(limit(sympy.sin(x) / x, x, 0)), str(sympy.series(sympy.exp(x), x, 0, 3))


@of("sympy")
def primes():
    return isprime(97), factorint(360), sympy.prime(10)


@of("sympy")
def matrices():
    m = Matrix([[1, 2], [3, 4]])
    return m.det(), str(m.inv()), str(Rational(1, 3) + Rational(1, 6))


@of("sympy")
def functions_made():
    x = Symbol("x")
    return sympy.lambdify(x, x**2 + 1)(3)


# python-dateutil


@of("python-dateutil")
def parsed():
    return str(parse("2024-02-29 12:30")), str(isoparse("2024-01-02T03:04:05Z"))


@of("python-dateutil")
def shifted_dates():
    return str(parse("2024-01-31") + relativedelta(months=1)), str(easter(2024))


@of("python-dateutil")
def mondays():
    return str(parse("2024-05-15") + relativedelta(weekday=MO(-1)))


@of("python-dateutil")
def rules():
    start = parse("2024-01-01")
    return (
        [str(d.date()) for d in rrule(DAILY, count=3, dtstart=start)],
        [str(d.date()) for d in rrule(WEEKLY, count=2, dtstart=start, interval=2)],
    )


@of("python-dateutil")
def zones():
    return str(parse("2024-01-01").replace(tzinfo=tzoffset("X", 3600))), str(gettz("UTC"))


@of("python-dateutil")
def fuzzy():
    return str(parse("on the 3rd of May 2020 at 10 pm", fuzzy=True))


@of("python-dateutil")
def differences():
    delta = dateutil.relativedelta.relativedelta(parse("2024-03-01"), parse("2023-01-15"))
    return delta.years, delta.months, delta.days


# pyparsing


def arithmetic():
    number = Word(nums).set_parse_action(lambda tokens: int(tokens[0]))
    expression = Forward()
    atom = number | Suppress("(") + expression + Suppress(")")
    term = atom + ZeroOrMore(Literal("*") + atom)
    term.set_parse_action(lambda t: functools_product(t.as_list()[::2]))
    expression <<= term + ZeroOrMore(Literal("+") + term)
    expression.set_parse_action(lambda t: sum(t.as_list()[::2]))
    return expression


def functools_product(values):
    total = 1
    for value in values:
        total *= value
    return total


@of("pyparsing")
def calculated():
    return arithmetic().parse_string("2*(3+4)+1")[0]


@of("pyparsing")
def parsed_list():
    return pyparsing.DelimitedList(Word(alphas)).parse_string("a, b, c").as_list()


@of("pyparsing")
def named_results():
    pair = Word(alphas)("key") + Suppress("=") + Word(nums)("value")
    return pair.parse_string("x = 5").as_dict()


@of("pyparsing")
def grouped():
    return ZeroOrMore(Group(Word(alphas) + Word(nums))).parse_string("a1b2").as_list()


@of("pyparsing")
def failing():
    try:
        Word(nums).parse_string("abc")
    except pyparsing.ParseException as error:
        return error.loc, error.lineno


@of("pyparsing")
def scanned():
    return [t[0] for t, _, _ in Word(nums).scan_string("a 1 b 22")]


# sortedcontainers


@of("sortedcontainers")
def sorted_list():
    s = SortedList([3, 1, 2])
    s.add(0)
    return list(s), s.index(2), s.bisect(1), s.count(3)


@of("sortedcontainers")
def sorted_dict():
    d = SortedDict({"b": 1, "a": 2})
    return list(d), d.peekitem(0), d.keys()[1]


@of("sortedcontainers")
def sorted_set():
    s = SortedSet([3, 1, 3])
    return list(s), s[0], list(s | {2})


@of("sortedcontainers")
def by_a_key():
    return list(SortedKeyList(WORDS, key=len)), list(SortedList("cab").irange("b"))


@of("sortedcontainers")
def many_of_them():
    s = sortedcontainers.SortedList(range(5000, 0, -1))
    return s[0], s[-1], len(s), s.bisect_left(2500)


# jinja2


@of("jinja2")
def rendered():
    return Template("Hello {{ name|upper }}!").render(name="Ann")


@of("jinja2")
def looped():
    return Template(
        "{% for w in words if w|length > 5 %}{{ loop.index }}{{ w }} {% endfor %}"
    ).render(words=WORDS)


@of("jinja2")
def extended():
    loader = DictLoader(
        {
            "base": "[{% block body %}{% endblock %}]",
            "page": "{% extends 'base' %}{% block body %}{{ x|double }}{% endblock %}",
        }
    )
    environment = Environment(loader=loader)
    environment.filters["double"] = lambda value: value * 2
    return environment.get_template("page").render(x=21)


@of("jinja2")
def macros():
    return Template(
        "{% macro f(a, b=2) %}{{ a + b }}{% endmacro %}{{ f(1) }}{{ f(1, 5) }}"
    ).render()


# markdown


@of("markdown")
def converted_text():
    return markdown.markdown("# Title\n\nA *word* and `code`.")


@of("markdown")
def tables():
    return markdown.markdown("a | b\n--|--\n1 | 2", extensions=["tables"])


class Shouting(Preprocessor):
    def run(self, lines):
        return [line.upper() for line in lines]


class ShoutingExtension(Extension):
    def extendMarkdown(self, md):
        md.preprocessors.register(Shouting(md), "shouting", 5)


@of("markdown")
def own_extension():
    return Markdown(extensions=[ShoutingExtension()]).convert("quiet *text*")


# tabulate


@of("tabulate")
def table():
    return tabulate([["a", 1], ["b", 22.5]], headers=["name", "n"])


@of("tabulate")
def github():
    return tabulate({"x": [1, 2], "y": ["a", None]}, headers="keys", tablefmt="github")


@of("tabulate")
def html():
    return str(tabulate([[1.5, "é"]], tablefmt="html", floatfmt=".3f"))
