"""Small programs as people write them, each of several functions and classes."""

import collections
import functools
import heapq
import itertools
import json
import math
import operator
import random
import re
import string
import textwrap
from dataclasses import dataclass, field
from enum import Enum

from harness import case

TOKEN = re.compile(r"\s*(?:(\d+\.?\d*)|(.))")
OPERATORS = {
    "+": (1, operator.add),
    "-": (1, operator.sub),
    "*": (2, operator.mul),
    "/": (2, operator.truediv),
}


def tokens(text):
    for number, sign in TOKEN.findall(text):
        yield float(number) if number else sign


class Parser:
    """Precedence climbing."""

    def __init__(self, text):
        self.tokens = list(tokens(text))
        self.at = 0

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def next(self):
        token = self.peek()
        self.at += 1
        return token

    def atom(self):
        token = self.next()
        if token == "(":
            value = self.expression(1)
            assert self.next() == ")", "a parenthesis is missing"
            return value
        if token == "-":
            return -self.atom()
        if not isinstance(token, float):
            raise SyntaxError(f"unexpected {token!r}")
        return token

    def expression(self, lowest=1):
        left = self.atom()
        while self.peek() in OPERATORS and OPERATORS[self.peek()][0] >= lowest:
            rank, apply = OPERATORS[self.next()]
            left = apply(left, self.expression(rank + 1))
        return left


def evaluate(text):
    return Parser(text).expression()


@dataclass(order=True)
class Job:
    when: float
    name: str = field(compare=False)
    action: object = field(compare=False, repr=False)


class Simulation:
    def __init__(self):
        self.now, self.queue, self.log = 0.0, [], []

    def at(self, delay, name, action):
        heapq.heappush(self.queue, Job(self.now + delay, name, action))

    def run(self):
        while self.queue:
            job = heapq.heappop(self.queue)
            self.now = job.when
            self.log.append((self.now, job.name))
            job.action(self)
        return self.log


class State(Enum):
    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"

    def next(self):
        return TRANSITIONS[self]


TRANSITIONS = {
    State.GREEN: State.YELLOW,
    State.YELLOW: State.RED,
    State.RED: State.GREEN,
}


class Matrix:
    def __init__(self, rows):
        self.rows = [list(row) for row in rows]

    @classmethod
    def identity(cls, n):
        return cls([[int(i == j) for j in range(n)] for i in range(n)])

    def __matmul__(self, other):
        columns = list(zip(*other.rows))
        return Matrix([[sum(map(operator.mul, row, c)) for c in columns] for row in self.rows])

    def __pow__(self, n):
        if n == 0:
            return Matrix.identity(len(self.rows))
        half = self ** (n // 2)
        return half @ half @ self if n % 2 else half @ half

    def __eq__(self, other):
        return self.rows == other.rows

    __hash__ = None


class Visitor:
    def visit(self, node):
        return getattr(self, f"visit_{type(node).__name__.lower()}", self.other)(node)

    def other(self, node):
        raise TypeError(f"no visit for {type(node).__name__}")


class Number(collections.namedtuple("Number", "value")):
    pass


class Add(collections.namedtuple("Add", "left right")):
    pass


class Evaluator(Visitor):
    def visit_number(self, node):
        return node.value

    def visit_add(self, node):
        return self.visit(node.left) + self.visit(node.right)


def dijkstra(graph, start):
    distances, queue = {}, [(0, start)]
    while queue:
        distance, node = heapq.heappop(queue)
        if node not in distances:
            distances[node] = distance
            for other, weight in graph.get(node, {}).items():
                heapq.heappush(queue, (distance + weight, other))
    return distances


def memoise(f):
    known = {}

    @functools.wraps(f)
    def wrapper(*args):
        if args not in known:
            known[args] = f(*args)
        return known[args]

    wrapper.known = known
    return wrapper


@memoise
def edit_distance(a, b):
    if not a or not b:
        return len(a) + len(b)
    return min(
        edit_distance(a[1:], b) + 1,
        edit_distance(a, b[1:]) + 1,
        edit_distance(a[1:], b[1:]) + (a[0] != b[0]),
    )


class Pipeline:
    def __init__(self, *steps):
        self.steps = steps

    def __or__(self, step):
        return Pipeline(*self.steps, step)

    def __call__(self, value):
        return functools.reduce(lambda v, step: step(v), self.steps, value)


class Events:
    def __init__(self):
        self.handlers = collections.defaultdict(list)

    def on(self, name):
        def register(handler):
            self.handlers[name].append(handler)
            return handler

        return register

    def emit(self, name, *args):
        return [handler(*args) for handler in self.handlers[name]]


events = Events()


@events.on("greet")
def polite(name):
    return f"Good day, {name}"


@events.on("greet")
def brief(name):
    return f"Hi {name}"


class Money:
    def __init__(self, cents, currency="EUR"):
        self.cents, self.currency = cents, currency

    def __add__(self, other):
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency}")
        return Money(self.cents + other.cents, self.currency)

    def __radd__(self, other):
        return self if other == 0 else NotImplemented

    def __eq__(self, other):
        return (self.cents, self.currency) == (other.cents, other.currency)

    def __hash__(self):
        return hash((self.cents, self.currency))

    def __str__(self):
        return f"{self.cents / 100:.2f} {self.currency}"


def life(cells):
    counts = collections.Counter(
        (x + dx, y + dy)
        for x, y in cells
        for dx, dy in itertools.product((-1, 0, 1), repeat=2)
        if (dx, dy) != (0, 0)
    )
    return {cell for cell, n in counts.items() if n == 3 or (n == 2 and cell in cells)}


def mean_and_deviation(values):
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))


class LinearModel:
    def __init__(self, rate=0.01):
        self.rate, self.slope, self.intercept = rate, 0.0, 0.0

    def predict(self, x):
        return self.slope * x + self.intercept

    def fit(self, points, rounds=2000):
        for _ in range(rounds):
            for x, y in points:
                error = self.predict(x) - y
                self.slope -= self.rate * error * x
                self.intercept -= self.rate * error
        return self


class Trie:
    def __init__(self):
        self.children, self.ends = {}, False

    def insert(self, word):
        node = self
        for letter in word:
            node = node.children.setdefault(letter, Trie())
        node.ends = True
        return self

    def words(self, prefix=""):
        if self.ends:
            yield prefix
        for letter, child in sorted(self.children.items()):
            yield from child.words(prefix + letter)


class Undo:
    def __init__(self, text=""):
        self.text, self._undo = text, []

    def type(self, more):
        old = self.text
        self._undo.append(lambda: setattr(self, "text", old))
        self.text += more
        return self

    def undo(self):
        self._undo.pop()()
        return self


@case
def a_calculator(call):
    assert call(evaluate, "2 * (3 + 4) - 10 / 4") == 11.5
    error = call.error(evaluate, "2 + *")
    assert type(error) is SyntaxError


@case
def a_discrete_simulation(call):
    def task():
        simulation = Simulation()
        simulation.at(2, "late", lambda s: None)
        simulation.at(1, "early", lambda s: s.at(0.5, "follow", lambda s: None))
        return simulation.run()

    assert call(task) == [(1.0, "early"), (1.5, "follow"), (2.0, "late")]


@case
def a_state_machine(call):
    assert call(lambda s: s.next().next(), State.GREEN) is State.RED


@case
def matrices(call):
    assert call(lambda m: (m**30).rows[0][1], Matrix([[1, 1], [1, 0]])) == 832040
    assert call(pow, Matrix([[2]]), 3) == Matrix([[8]])


@case
def a_visitor(call):
    tree = Add(Number(1), Add(Number(2), Number(3)))
    assert call(Evaluator().visit, tree) == 6
    error = call.error(Evaluator().visit, "text")
    assert str(error) == "no visit for str"


@case
def shortest_paths(call):
    graph = {"a": {"b": 7, "c": 3}, "c": {"b": 1, "d": 8}, "b": {"d": 2}}
    assert call(dijkstra, graph, "a") == {"a": 0, "c": 3, "b": 4, "d": 6}


@case
def edit_distances(call):
    assert call(edit_distance, "kitten", "sitting") == 3


@case
def word_counts(call):
    def count(text):
        words = re.findall(r"\w+", text.lower())
        return collections.Counter(w.strip(string.punctuation) for w in words).most_common(2)

    assert call(count, "The cat and the dog and the end") == [("the", 3), ("and", 2)]


@case
def map_and_reduce(call):
    def mapper(text):
        return {word: 1 for word in text.split()}

    def reducer(a, b):
        return {k: a.get(k, 0) + b.get(k, 0) for k in {*a, *b}}

    texts = ["a b", "b c", "a a"]
    mapped = [call(mapper, t) for t in texts]
    assert call(functools.reduce, reducer, mapped) == {"a": 2, "b": 2, "c": 1}


@case
def a_pipeline_of_functions(call):
    pipeline = Pipeline(str.strip) | str.title | (lambda s: s + "!") | textwrap.dedent
    assert call(pipeline, " hello world ") == "Hello World!"


@case
def registered_handlers(call):
    assert call(events.emit, "greet", "Ann") == ["Good day, Ann", "Hi Ann"]
    assert call(lambda: events.emit("nothing")) == []


@case
def money(call):
    assert call(sum, [Money(150), Money(275)]) == Money(425)
    assert call(lambda a: f"{a}", Money(999)) == "9.99 EUR"
    assert type(call.error(operator.add, Money(1), Money(1, "USD"))) is ValueError


@case
def the_game_of_life(call):
    blinker = {(0, 0), (1, 0), (2, 0)}
    assert call(life, blinker) == {(1, -1), (1, 0), (1, 1)}
    assert call(lambda c: life(life(c)), blinker) == blinker


@case
def statistics_of_numbers(call):
    assert call(mean_and_deviation, [2, 4, 4, 4, 5, 5, 7, 9]) == (5.0, 2.0)


@case
def fitting_a_line(call):
    model = call(LinearModel(0.05).fit, [(x, 3 * x + 1) for x in range(4)])
    assert type(model) is LinearModel
    assert abs(model.predict(10) - 31) < 0.01


@case
def a_trie(call):
    trie = functools.reduce(Trie.insert, ["tea", "ten", "to"], Trie())
    assert call(lambda t: list(t.words()), trie) == ["tea", "ten", "to"]
    assert list(call(lambda t: t.insert("an"), trie).words()) == ["an", "tea", "ten", "to"]


@case
def undo(call):
    assert call(lambda u: u.type("b").type("c").undo().text, Undo("a")) == "ab"
    back = call(lambda u: u.type("b").type("c"), Undo("a"))
    assert back.undo().undo().text == "a"


@case
def estimating_pi(call):
    def inside(seed, n):
        draw = random.Random(seed).random
        return sum(draw() ** 2 + draw() ** 2 < 1 for _ in range(n))

    total = sum(call(inside, seed, 500) for seed in range(4))
    assert total == sum(inside(seed, 500) for seed in range(4))


@case
def sieve(call):
    def primes(n):
        candidates = bytearray([1]) * (n + 1)
        for i in range(2, int(n**0.5) + 1):
            if candidates[i]:
                candidates[i * i :: i] = bytes(len(range(i * i, n + 1, i)))
        return [i for i in range(2, n + 1) if candidates[i]]

    assert call(primes, 30) == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]


@case
def mandelbrot(call):
    def row(y, width, limit):
        def steps(c):
            z = 0
            for n in range(limit):
                z = z * z + c
                if abs(z) > 2:
                    return n
            return limit

        return [steps(complex(x / width * 3 - 2, y)) for x in range(width)]

    assert call(row, 0.1, 20, 30) == row(0.1, 20, 30)


@case
def quicksort_with_a_key(call):
    def quicksort(values, key=lambda v: v):
        if len(values) < 2:
            return values
        pivot, *rest = values
        smaller = [v for v in rest if key(v) < key(pivot)]
        larger = [v for v in rest if key(v) >= key(pivot)]
        return quicksort(smaller, key) + [pivot] + quicksort(larger, key)

    assert call(quicksort, [3, 1, 2]) == [1, 2, 3]
    assert call(quicksort, ["ccc", "a", "bb"], key=len) == ["a", "bb", "ccc"]


@case
def json_in_and_out(call):
    class Encoder(json.JSONEncoder):
        def default(self, value):
            return sorted(value) if isinstance(value, set) else super().default(value)

    assert call(lambda v: json.dumps(v, cls=Encoder), {"a": {2, 1}}) == '{"a": [1, 2]}'


@case
def a_parameter_sweep(call):
    def run(config):
        kind = {"linear": lambda x: x, "square": lambda x: x * x}[config["kind"]]
        return {**config, "value": kind(config["x"])}

    grid = [{"kind": k, "x": x} for k in ("linear", "square") for x in (2, 3)]
    assert [call(run, c)["value"] for c in grid] == [2, 3, 4, 9]


@case
def a_strategy_chosen_by_name(call):
    strategies = {}

    def strategy(f):
        strategies[f.__name__] = f
        return f

    @strategy
    def cheapest(offers):
        return min(offers, key=operator.itemgetter("price"))

    @strategy
    def nearest(offers):
        return min(offers, key=lambda o: o["distance"])

    def choose(name, offers):
        return strategies[name](offers)["id"]

    offers = [{"id": 1, "price": 5, "distance": 1}, {"id": 2, "price": 3, "distance": 9}]
    assert (call(choose, "cheapest", offers), call(choose, "nearest", offers)) == (2, 1)


@case
def backtracking(call):
    def queens(n):
        def place(row, columns, sums, differences):
            if row == n:
                return 1
            return sum(
                place(row + 1, columns | {c}, sums | {row + c}, differences | {row - c})
                for c in range(n)
                if c not in columns and row + c not in sums and row - c not in differences
            )

        return place(0, frozenset(), frozenset(), frozenset())

    assert call(queens, 6) == 4
