"""Closures: cells, shared and not, and what is in them."""

import math

from harness import case


def counter(start=0):
    count = start

    def increment(by=1):
        nonlocal count
        count += by
        return count

    def get():
        return count

    return increment, get


def adders(numbers):
    return [lambda x, n=n: x + n for n in numbers]


@case
def over_a_value(call):
    n = 10
    assert call(lambda x: x + n, 1) == 11


@case
def over_several_values(call):
    a, b, c = 1, "two", [3]
    assert call(lambda: (a, b, c)) == (1, "two", [3])


@case
def over_an_argument(call):
    def make(n):
        def f(x):
            return x * n

        return f

    assert [call(make(n), 5) for n in range(3)] == [0, 5, 10]


@case
def nonlocal_counter(call):
    increment, _ = counter()
    assert call(lambda f: [f(), f(), f(5)], increment) == [1, 2, 7]


@case
def a_cell_shared_by_two(call):
    increment, get = counter(10)
    assert call(lambda f, g: (f(), g(), f(), g()), increment, get) == (11, 11, 12, 12)


@case
def a_cell_shared_by_two_in_a_list(call):
    pair = list(counter(10))
    assert call(lambda pair: (pair[0](), pair[1]()), pair) == (11, 11)


@case
def a_cell_shared_by_two_that_are_captured(call):
    increment, get = counter(1)

    def task():
        increment()
        return get()

    assert call(task) == 2


@case
def a_cell_shared_in_the_result(call):
    increment, get = call(counter, 5)
    assert (increment(), get(), increment(), get()) == (6, 6, 7, 7)


@case
def writes_do_not_come_back(call):
    if not call.remote:
        return
    increment, get = counter()
    assert call(increment) == 1
    assert get() == 0


@case
def latest_value_at_each_submit(call):
    n = 1

    def f():
        return n

    got = [call(f)]
    n = 2
    got.append(call(f))
    n = "three"
    got.append(call(f))
    assert got == [1, 2, "three"]


@case
def latest_state_of_a_captured_list(call):
    items = []
    got = []
    for i in range(3):
        items.append(i)
        got.append(call(lambda: list(items)))
    assert got == [[0], [0, 1], [0, 1, 2]]


@case
def latest_state_of_the_same_function(call):
    items = []

    def f():
        return sum(items)

    got = []
    for i in range(4):
        items.append(i)
        got.append(call(f))
    assert got == [0, 1, 3, 6]


@case
def late_binding(call):
    made = []
    for i in range(3):
        made.append(lambda: i)
    assert [call(f) for f in made] == [2, 2, 2]


@case
def early_binding_by_default(call):
    assert [call(f, 1) for f in adders([1, 2, 3])] == [2, 3, 4]


@case
def recursion(call):
    def depth(tree):
        return 1 + max((depth(child) for child in tree), default=0)

    assert call(depth, [[], [[], [[]]]]) == 4


@case
def mutual_recursion(call):
    def even(n):
        return n == 0 or odd(n - 1)

    def odd(n):
        return n != 0 and even(n - 1)

    assert (call(even, 10), call(odd, 10)) == (True, False)


@case
def itself_in_its_cell_twice(call):
    def f(n):
        return g(n - 1) if n else "done"

    g = f
    assert call(f, 3) == "done"


@case
def an_unset_cell(call):
    def f(use):
        return later if use else "not used"

    assert call(f, False) == "not used"
    assert type(call.error(f, True)) is NameError
    if f is None:
        later = 1


@case
def an_emptied_cell(call):
    value = 5

    def f():
        try:
            return value
        except NameError:
            return "gone"

    del value
    assert call(f) == "gone"


@case
def three_levels(call):
    def a(x):
        def b(y):
            def c(z):
                return x, y, z

            return c

        return b

    assert call(a(1)(2), 3) == (1, 2, 3)


@case
def passed_through_a_level(call):
    x = 7

    def outer():
        def inner():
            return x

        return inner

    assert call(lambda f: f()(), outer) == 7


@case
def over_a_function(call):
    def square(x):
        return x * x

    def sum_of_squares(values):
        return sum(square(v) for v in values)

    assert call(sum_of_squares, [1, 2, 3]) == 14


@case
def over_a_chain_of_functions(call):
    f = lambda x: x
    for _ in range(20):
        f = (lambda g: lambda x: g(x) + 1)(f)
    assert call(f, 0) == 20


@case
def over_a_class(call):
    class Point:
        def __init__(self, x, y):
            self.x, self.y = x, y

        def norm(self):
            return math.hypot(self.x, self.y)

    assert call(lambda: Point(3, 4).norm()) == 5.0


@case
def over_an_instance(call):
    class Box:
        pass

    box = Box()
    box.content = [1, 2]
    assert call(lambda: box.content) == [1, 2]


@case
def over_a_module(call):
    import json as local_name

    assert call(lambda: local_name.dumps([1])) == "[1]"


@case
def over_a_submodule(call):
    import os.path

    assert call(lambda: os.path.join("a", "b")) == "a/b"


@case
def over_a_builtin(call):
    measure = len
    assert call(lambda: measure("four")) == 4


@case
def over_a_method(call):
    class Account:
        def __init__(self):
            self.balance = 0

        def add(self, n):
            self.balance += n
            return self.balance

    add = Account().add
    assert call(lambda: (add(1), add(2))) == (1, 3)


@case
def over_bytes(call):
    block = bytes(range(256)) * 100
    assert call(lambda: (len(block), block[255])) == (25600, 255)


@case
def over_a_large_integer_and_a_float(call):
    big, small = 10**50, 1e-300
    assert call(lambda: (big, small)) == (10**50, 1e-300)


@case
def in_a_comprehension_of_the_task(call):
    n = 3
    assert call(lambda: [[i * n for i in range(j)] for j in range(n)]) == [[], [0], [0, 3]]


@case
def over_a_comprehension_variable(call):
    functions = [lambda: [j for j in range(i)] for i in (1, 2, 3)]
    assert [call(f) for f in functions] == [[0, 1, 2]] * 3


@case
def nonlocal_through_two_levels(call):
    total = 0

    def outer(n):
        def inner():
            nonlocal total
            total += n

        inner()
        inner()
        return total

    assert call(outer, 4) == 8


@case
def over_what_is_defined_later(call):
    def f():
        return helper(2)

    def helper(x):
        return x * 50

    assert call(f) == 100


@case
def redefined_between_submits(call):
    def helper():
        return "old"

    def f():
        return helper()

    got = [call(f)]

    def helper():
        return "new"

    got.append(call(f))
    assert got == ["old", "new"]


@case
def over_two_functions_with_the_same_source(call):
    def make(n):
        return lambda: n

    one, two = make(1), make(2)
    assert call(lambda: (one(), two(), one())) == (1, 2, 1)


@case
def identity_of_what_is_captured_twice(call):
    shared = []
    f, g = (lambda: shared), (lambda: shared)
    assert call(lambda a, b: a() is b(), f, g) is True


@case
def a_memo(call):
    memo = {}

    def fibonacci(n):
        if n not in memo:
            memo[n] = n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)
        return memo[n]

    assert call(fibonacci, 80) == 23416728348467685


@case
def callbacks(call):
    log = []

    def on_event(name):
        log.append(name)

    def emit(*names):
        for name in names:
            on_event(name)
        return log

    assert call(emit, "a", "b") == ["a", "b"]


@case
def a_dispatch_table_of_closures(call):
    def make(operator):
        table = {"+": lambda a, b: a + b, "*": lambda a, b: a * b}
        return lambda a, b: table[operator](a, b)

    assert (call(make("+"), 2, 3), call(make("*"), 2, 3)) == (5, 6)


@case
def over_loop_variables_and_enclosing_class(call):
    class Maker:
        def __init__(self, n):
            self.n = n

        def make(self):
            return [lambda: (self.n, i) for i in range(2)]

    assert [call(f) for f in Maker(9).make()] == [(9, 1), (9, 1)]


@case
def over_an_exception_variable(call):
    try:
        raise ValueError("kept")
    except ValueError as error:
        kept = error
    assert call(lambda: repr(kept)) == "ValueError('kept')"
