"""What comes back: instances of the client's own classes, functions, and what tasks define."""

import collections
import enum
import functools
import math
import operator
from dataclasses import dataclass

from harness import case


class Result:
    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, Result) and self.value == other.value

    __hash__ = None

    def twice(self):
        return self.value * 2


class Detailed(Result):
    pass


@dataclass
class Summary:
    count: int
    parts: list


class State(enum.Enum):
    DONE = 1


def square(x):
    return x * x


@case
def an_instance(call):
    back = call(lambda: Result(3))
    assert type(back) is Result
    assert back.twice() == 6


@case
def an_instance_of_a_subclass(call):
    back = call(lambda: Detailed(1))
    assert type(back) is Detailed
    assert isinstance(back, Result)


@case
def the_class(call):
    assert call(lambda: Result) is Result
    assert call(lambda: [Result, Detailed, Summary, State]) == [Result, Detailed, Summary, State]


@case
def the_type_of_an_argument(call):
    assert call(type, Result(1)) is Result


@case
def an_argument_as_it_is(call):
    original = Result([1])
    back = call(lambda r: r, original)
    assert type(back) is Result
    assert back == original


@case
def instances_in_containers(call):
    back = call(lambda: {"a": [Result(1), (Result(2),)], Summary.__name__: Summary(1, [Result(3)])})
    assert back == {"a": [Result(1), (Result(2),)], "Summary": Summary(1, [Result(3)])}


@case
def many_instances(call):
    back = call(lambda n: [Result(i) for i in range(n)], 1000)
    assert all(type(r) is Result for r in back)
    assert back[999].value == 999


@case
def a_function(call):
    back = call(lambda: square)
    assert back(5) == 25


@case
def a_function_is_the_one_that_was_sent(call):
    assert call(lambda: square)(2) == 4
    assert call(lambda f: f, square).__name__ == "square"


@case
def a_closure(call):
    def task(n):
        def add(x):
            return x + n

        return add

    assert call(task, 5)(1) == 6


@case
def a_lambda_made_there(call):
    assert call(lambda: lambda x: x * 7)(3) == 21


@case
def functions_that_share_a_cell(call):
    def task():
        value = 0

        def put(x):
            nonlocal value
            value = x

        return put, lambda: value

    put, get = call(task)
    put(9)
    assert get() == 9


@case
def a_bound_method(call):
    back = call(lambda: Result(4).twice)
    assert back() == 8
    assert type(back.__self__) is Result


@case
def a_partial(call):
    back = call(lambda: functools.partial(square, 6))
    assert back() == 36


@case
def builtins_and_operators(call):
    assert call(lambda: [len, math.sqrt, operator.add, int]) == [len, math.sqrt, operator.add, int]
    assert call(lambda: operator.itemgetter(1))([1, 2]) == 2


@case
def a_class_made_there(call):
    def task():
        class There:
            def __init__(self, x):
                self.x = x

            def get(self):
                return self.x + 1

        return There(1)

    back = call(task)
    assert back.get() == 2
    assert type(back).__name__ == "There"


@case
def a_class_made_there_and_its_instances(call):
    def task():
        class There:
            pass

        return There, [There(), There()]

    cls, made = call(task)
    assert [type(m) for m in made] == [cls, cls]


@case
def a_class_made_there_that_inherits_from_here(call):
    def task():
        class Better(Result):
            def twice(self):
                return super().twice() + 1

        return Better(5)

    back = call(task)
    assert isinstance(back, Result)
    assert back.twice() == 11


@case
def a_dataclass_made_there(call):
    def task():
        import dataclasses

        Made = dataclasses.make_dataclass("Made", ["x"])
        return Made(5)

    assert call(task).x == 5


@case
def an_enum_made_there(call):
    def task():
        class Level(enum.Enum):
            LOW = 1

        return Level.LOW

    back = call(task)
    assert (back.name, back.value) == ("LOW", 1)


@case
def a_namedtuple_made_there(call):
    def task():
        return collections.namedtuple("Made", "x y")(1, 2)

    back = call(task)
    assert (back.x, back.y, back) == (1, 2, (1, 2))


@case
def sent_there_and_back_twice(call):
    first = call(lambda r: r, Result([1, 2]))
    second = call(lambda r: (r.twice(), r), first)
    assert second == ([1, 2, 1, 2], Result([1, 2]))
    assert type(second[1]) is Result


@case
def a_function_sent_back_again(call):
    f = call(lambda n: lambda x: x + n, 100)
    assert call(f, 1) == 101
    assert call(lambda g: g(2), f) == 102


@case
def a_class_made_there_sent_back_again(call):
    def task():
        class There:
            x = 1

            def get(self):
                return self.x

        return There()

    back = call(task)
    assert call(lambda thing: thing.get(), back) == 1


@case
def an_instance_that_was_changed(call):
    def task(r):
        r.value.append(4)
        r.extra = Result(5)
        return r

    back = call(task, Result([3]))
    assert back.value == [3, 4]
    assert type(back.extra) is Result


@case
def identity_inside_a_result(call):
    def task():
        r = Result(1)
        return [r, r, {"r": r}]

    a, b, c = call(task)
    assert a is b is c["r"]


@case
def a_cycle(call):
    def task():
        r = Result(None)
        r.value = [r]
        return r

    back = call(task)
    assert back.value[0] is back


@case
def none_true_and_ellipsis(call):
    assert call(lambda: [None, True, ..., NotImplemented]) == [None, True, ..., NotImplemented]


@case
def a_class_with_the_latest_definition(call):
    class Local:
        version = 1

    first = type(call(lambda: Local()))
    kept = Local

    class Local:
        version = 2

    second = type(call(lambda: Local()))
    assert first is kept
    assert second is Local


@case
def a_dict_of_functions(call):
    back = call(lambda: {"sq": square, "neg": lambda x: -x})
    assert (back["sq"](3), back["neg"](3)) == (9, -3)


@case
def an_exception_as_a_value(call):
    back = call(lambda: ValueError("a value", 3))
    assert type(back) is ValueError
    assert back.args == ("a value", 3)
