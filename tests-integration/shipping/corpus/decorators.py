"""Decorated functions."""

import atexit
import contextlib
import functools
import time

from harness import case


def plain(f):
    def wrapper(*args, **kwargs):
        return ["plain", f(*args, **kwargs)]

    return wrapper


def wrapping(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        return ["wrapped", f(*args, **kwargs)]

    return wrapper


def repeat(times):
    def decorate(f):
        @functools.wraps(f)
        def wrapper(*args):
            return [f(*args) for _ in range(times)]

        return wrapper

    return decorate


class Counting:
    def __init__(self, f):
        functools.update_wrapper(self, f)
        self.f = f
        self.calls = 0

    def __call__(self, *args):
        self.calls += 1
        return self.calls, self.f(*args)


REGISTRY = {}


def register(f):
    REGISTRY[f.__name__] = f
    return f


@plain
def one(x):
    return x


@wrapping
def two(x):
    """Two."""
    return x


@repeat(3)
def three(x):
    return x


@Counting
def four(x):
    return x


@wrapping
@plain
@repeat(2)
def five(x):
    return x


@register
def six(x):
    return x * 6


@functools.lru_cache(maxsize=None)
def cached(n):
    return n if n < 2 else cached(n - 1) + cached(n - 2)


@functools.lru_cache
def bare_cached(n):
    return [n]


@functools.singledispatch
def describe(value):
    return "something"


@describe.register(int)
def _(value):
    return f"int {value}"


@describe.register(list)
def _(value):
    return [describe(item) for item in value]


@describe.register
def _(value: str):
    return f"str {value}"


@case
def without_wraps(call):
    assert call(one, 1) == ["plain", 1]


@case
def with_wraps(call):
    assert call(two, 2) == ["wrapped", 2]
    assert call(lambda f: (f.__name__, f.__doc__), two) == ("two", "Two.")


@case
def the_wrapped_function(call):
    assert call(lambda f: f.__wrapped__(5), two) == 5
    assert call(two.__wrapped__, 6) == 6


@case
def with_arguments(call):
    assert call(three, 3) == [3, 3, 3]


@case
def a_class(call):
    assert call(lambda f: (f(1), f(2)), four) == ((1, 1), (2, 2))


@case
def a_class_as_the_task(call):
    assert call(four, 4)[1] == 4


@case
def stacked(call):
    assert call(five, 5) == ["wrapped", ["plain", [5, 5]]]


@case
def registered(call):
    assert call(six, 1) == 6
    assert call(lambda: sorted(REGISTRY)) == ["six"]
    assert call(lambda name: REGISTRY[name](2), "six") == 12


@case
def lambdas_as_decorators(call):
    twice = lambda f: lambda x: f(f(x))

    @twice
    def increment(x):
        return x + 1

    assert call(increment, 1) == 3


@case
def lru_cache(call):
    assert call(cached, 60) == 1548008755920


@case
def lru_cache_without_arguments(call):
    assert call(bare_cached, 3) == [3]


@case
def lru_cache_keeps_its_parameters(call):
    @functools.lru_cache(maxsize=7, typed=True)
    def f(x):
        return x

    assert call(lambda f: f.cache_info().maxsize, f) == 7
    assert call(lambda f: (f(1), f(1), f(1.0), f.cache_info()[:2]), f)[3] == (1, 2)


@case
def lru_cache_in_a_closure(call):
    base = 10

    @functools.lru_cache(None)
    def f(n):
        return base if n == 0 else f(n - 1) + 1

    assert call(lambda: f(5)) == 15


@case
def lru_cache_on_a_method(call):
    class Model:
        def __init__(self, k):
            self.k = k

        @functools.lru_cache(maxsize=None)
        def value(self, n):
            return self.k * n

    assert call(lambda m: m.value(3), Model(4)) == 12


@case
def cache(call):
    if not hasattr(functools, "cache"):
        return

    @functools.cache
    def f(n):
        return n + 1

    assert call(f, 1) == 2


@case
def singledispatch(call):
    assert call(describe, 1) == "int 1"
    assert call(describe, ["a", 2, None]) == ["str a", "int 2", "something"]


@case
def singledispatch_for_an_own_class(call):
    class Animal:
        pass

    class Dog(Animal):
        pass

    @functools.singledispatch
    def speak(value):
        return "?"

    @speak.register(Animal)
    def speak_animal(value):
        return "animal " + type(value).__name__

    assert call(speak, Dog()) == "animal Dog"
    assert call(speak, 1) == "?"


@case
def singledispatch_registers_there(call):
    @functools.singledispatch
    def local(value):
        return "other"

    def task():
        local.register(float, lambda value: "float")
        return local(1.5), local(1)

    assert call(task) == ("float", "other")


@case
def singledispatchmethod(call):
    class Formatter:
        @functools.singledispatchmethod
        def show(self, value):
            return "object"

        @show.register(int)
        def _(self, value):
            return f"int {value}"

        @show.register(str)
        def _(self, value):
            return f"str {value}"

    assert call(lambda f: [f.show(1), f.show("a"), f.show(None)], Formatter()) == [
        *("int 1", "str a"),
        "object",
    ]


@case
def cached_property(call):
    class Lazy:
        count = 0

        @functools.cached_property
        def value(self):
            type(self).count += 1
            return 42

    assert call(lambda lazy: (lazy.value, lazy.value, type(lazy).count), Lazy()) == (42, 42, 1)


@case
def properties(call):
    class Celsius:
        def __init__(self, degrees):
            self._degrees = degrees

        @property
        def fahrenheit(self):
            """In the other scale."""
            return self._degrees * 9 / 5 + 32

        @fahrenheit.setter
        def fahrenheit(self, value):
            self._degrees = (value - 32) * 5 / 9

        @fahrenheit.deleter
        def fahrenheit(self):
            self._degrees = None

    def task(c):
        out = [c.fahrenheit]
        c.fahrenheit = 32
        out.append(c._degrees)
        del c.fahrenheit
        return [*out, c._degrees, type(c).fahrenheit.__doc__]

    assert call(task, Celsius(100)) == [212.0, 0.0, None, "In the other scale."]


@case
def staticmethod_and_classmethod(call):
    class Made:
        prefix = "made"

        @staticmethod
        def static(x):
            return ("static", x)

        @classmethod
        def make(cls, x):
            return (cls.__name__, cls.prefix, x)

    assert call(Made.static, 1) == ("static", 1)
    assert call(Made.make, 2) == ("Made", "made", 2)
    assert call(Made().make, 3) == ("Made", "made", 3)


@case
def total_ordering(call):
    @functools.total_ordering
    class Version:
        def __init__(self, n):
            self.n = n

        def __eq__(self, other):
            return self.n == other.n

        def __lt__(self, other):
            return self.n < other.n

        __hash__ = None

    assert call(lambda a, b: (a < b, a >= b, a > b, a <= b), Version(1), Version(2)) == (
        *(True, False),
        *(False, True),
    )


@case
def decorated_methods(call):
    class Service:
        @wrapping
        def run(self, x):
            return x

        @plain
        def go(self):
            return type(self).__name__

    assert call(Service().run, 1) == ["wrapped", 1]
    assert call(lambda s: s.go(), Service()) == ["plain", "Service"]


@case
def decorated_classes(call):
    def tagged(cls):
        cls.tag = cls.__name__.lower()
        return cls

    @tagged
    class Thing:
        pass

    assert call(lambda: Thing.tag) == "thing"


@case
def a_retry(call):
    def retry(attempts, errors=(Exception,)):
        def decorate(f):
            @functools.wraps(f)
            def wrapper(*args, **kwargs):
                for attempt in range(attempts):
                    try:
                        return f(*args, attempt=attempt, **kwargs)
                    except errors:
                        if attempt == attempts - 1:
                            raise

            return wrapper

        return decorate

    @retry(3, errors=(ValueError,))
    def flaky(limit, attempt):
        if attempt < limit:
            raise ValueError(attempt)
        return attempt

    assert call(flaky, 2) == 2
    assert call.error(flaky, 5).args == (2,)


@case
def a_timer(call):
    def timed(f):
        @functools.wraps(f)
        def wrapper(*args):
            start = time.perf_counter()
            value = f(*args)
            return value, time.perf_counter() - start >= 0

        return wrapper

    assert call(timed(lambda x: x), 1) == (1, True)


@case
def partialmethod(call):
    class Cell:
        def __init__(self):
            self.alive = None

        def set_state(self, state):
            self.alive = state
            return self.alive

        set_alive = functools.partialmethod(set_state, True)

    assert call(lambda cell: cell.set_alive(), Cell()) is True


@case
def several_decorators_over_lines(call):
    @repeat(
        2  # times
    )
    # a comment between
    @wrapping
    def f(x):
        return x

    assert call(f, 1) == [["wrapped", 1]] * 2


@case
def a_decorator_that_replaces_the_function_by_a_value(call):
    @lambda_call
    def value():
        return {"made": "here"}

    assert call(lambda: value) == {"made": "here"}


def lambda_call(f):
    return f()


@case
def suppressing_decorator(call):
    def quiet(*errors):
        def decorate(f):
            def wrapper(*args):
                with contextlib.suppress(*errors):
                    return f(*args)

            return wrapper

        return decorate

    @quiet(ZeroDivisionError)
    def divide(a, b):
        return a / b

    assert (call(divide, 1, 0), call(divide, 1, 2)) == (None, 0.5)


@case
def unused_decorators_do_not_run_again(call):
    runs = []

    def counting(f):
        runs.append(f.__name__)
        return f

    @counting
    def f():
        return len(runs)

    assert call(f) == 1


@case
def atexit_registered(call):
    def cleanup():
        return "clean"

    atexit.register(cleanup)
    try:
        assert call(cleanup) == "clean"
    finally:
        atexit.unregister(cleanup)
