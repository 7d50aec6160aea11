"""Globals: captured by name, transitively, as they are at each submit."""

import collections
import importlib.machinery
import math
import os.path
import xml.etree.ElementTree
from collections import OrderedDict, deque as queue
from math import pi, sqrt as root

from harness import case

RATE = 0.25
TABLE = {"a": 1}
NAMES = ["x", "y"]
SCALE = 3
written = 0
shadowed = 0
version = "first"
len = len
format = "my own format"


def total(values):
    return sum(scaled(v) for v in values)


def scaled(v):
    return v * SCALE


def uses_rate(x):
    return x * RATE


def nested_use():
    def inner():
        return [NAMES[i] for i in range(2) if TABLE]

    return inner()


def in_comprehensions():
    return (
        [SCALE * i for i in range(2)],
        {SCALE + i for i in range(2)},
        {i: TABLE for i in NAMES},
        list(SCALE for _ in NAMES),
    )


def writes():
    global written
    written += 1
    return written


def reads_written():
    return written


def defines():
    global defined_there
    defined_there = "defined"
    return uses_defined()


def uses_defined():
    return defined_there


def deletes():
    global shadowed
    shadowed = 1
    del shadowed
    try:
        return shadowed
    except NameError as error:
        return str(error)


def uses_version():
    return version, helper_version()


def helper_version():
    return version


class Model:
    limit = SCALE * 2

    def check(self, x):
        return x < self.limit and x > SCALE


def uses_class(x):
    return Model().check(x)


def even(n):
    return True if n == 0 else odd(n - 1)


def odd(n):
    return False if n == 0 else even(n - 1)


@case
def a_constant(call):
    assert call(uses_rate, 8) == 2.0


@case
def of_a_function_that_is_called(call):
    assert call(total, [1, 2, 3]) == 18


@case
def in_nested_functions(call):
    assert call(nested_use) == ["x", "y"]


@case
def inside_comprehensions(call):
    assert call(in_comprehensions) == in_comprehensions()


@case
def in_a_lambda_in_a_default(call):
    def f(key=lambda v: -v * SCALE):
        return sorted([1, 3, 2], key=key)

    assert call(f) == [3, 2, 1]


@case
def latest_value_at_each_submit(call):
    global RATE
    got = [call(uses_rate, 4)]
    RATE = 0.5
    got.append(call(uses_rate, 4))
    RATE = "ab"
    got.append(call(uses_rate, 4))
    RATE = 0.25
    assert got == [1.0, 2.0, "abababab"]


@case
def latest_value_for_a_function_further_down(call):
    global version
    got = [call(uses_version)]
    version = "second"
    got.append(call(uses_version))
    version = "first"
    got.append(call(uses_version))
    assert got == [("first",) * 2, ("second",) * 2, ("first",) * 2]


@case
def a_dict_that_is_changed_in_place(call):
    def f():
        return sorted(TABLE.items())

    got = [call(f)]
    TABLE["b"] = 2
    got.append(call(f))
    del TABLE["b"]
    got.append(call(f))
    assert got == [[("a", 1)], [("a", 1), ("b", 2)], [("a", 1)]]


@case
def a_redefined_function(call):
    global scaled
    old = scaled
    got = [call(total, [1, 2])]

    def scaled(v):
        return -v

    got.append(call(total, [1, 2]))
    scaled = old
    got.append(call(total, [1, 2]))
    assert got == [9, -3, 9]


@case
def a_redefined_class(call):
    global Model
    old = Model
    got = [call(uses_class, 4)]

    class Model:
        def check(self, x):
            return "redefined"

    got.append(call(uses_class, 4))
    Model = old
    got.append(call(uses_class, 4))
    assert got == [True, "redefined", True]


@case
def a_class_attribute_that_changes(call):
    def f():
        return Model.limit

    got = [call(f)]
    Model.limit = 100
    got.append(call(f))
    Model.limit = SCALE * 2
    assert got == [6, 100]


@case
def a_redefined_method(call):
    old = Model.check
    got = [call(uses_class, 4)]
    Model.check = lambda self, x: "other"
    got.append(call(uses_class, 4))
    Model.check = old
    got.append(call(uses_class, 4))
    assert got == [True, "other", True]


@case
def writes_stay_there(call):
    if not call.remote:
        return
    assert call(writes) >= 1
    assert written == 0


@case
def writes_are_seen_by_other_functions_of_the_task(call):
    def task():
        before = reads_written()
        writes()
        return reads_written() - before

    assert call(task) == 1


@case
def defined_by_the_task(call):
    assert call(defines) == "defined"


@case
def deleted_by_the_task(call):
    assert "'shadowed'" in call(deletes)


@case
def not_defined(call):
    def f():
        return nowhere_to_be_found

    error = call.error(f)
    assert type(error) is NameError
    assert "nowhere_to_be_found" in str(error)


@case
def a_builtin_shadowed_by_itself(call):
    assert call(lambda: len([1, 2])) == 2


@case
def a_builtin_shadowed_by_something_else(call):
    assert call(lambda: format) == "my own format"


@case
def a_builtin_shadowed_between_submits(call):
    global abs

    def f():
        return abs(-5)

    got = [call(f)]
    abs = lambda x: "mine"
    got.append(call(f))
    del abs
    got.append(call(f))
    assert got == [5, "mine", 5]


@case
def a_module(call):
    assert call(lambda: math.floor(2.5)) == 2


@case
def a_dotted_module(call):
    assert call(lambda: os.path.basename("/a/b")) == "b"


@case
def a_deeply_dotted_module(call):
    def f():
        root = xml.etree.ElementTree.fromstring("<a><b/></a>")
        return [child.tag for child in root]

    assert call(f) == ["b"]


@case
def a_dotted_module_that_nothing_else_imports(call):
    assert call(lambda: importlib.machinery.SOURCE_SUFFIXES) == [".py"]


@case
def names_from_a_module(call):
    assert call(lambda: root(16) + pi) == math.sqrt(16) + math.pi


@case
def classes_from_a_module(call):
    assert call(lambda: list(queue(OrderedDict(a=1)))) == ["a"]


@case
def an_attribute_with_the_name_of_a_global(call):
    class Holder:
        SCALE = "attribute"

    assert call(lambda h: h.SCALE, Holder) == "attribute"


@case
def only_what_is_used_travels(call):
    # `unsendable` below is a global of this file, and no part of these functions.
    assert call(total, [1]) == 3
    assert call(lambda: collections.Counter("aa")["a"]) == 2


unsendable = (i for i in range(3))


@case
def a_name_of_an_unsendable_global_as_an_attribute(call):
    class Holder:
        unsendable = 1

    assert call(lambda: Holder.unsendable) == 1


@case
def a_local_with_the_name_of_an_unsendable_global(call):
    def f():
        unsendable = 5
        return unsendable

    assert call(f) == 5


@case
def mutual_recursion_of_globals(call):
    assert call(even, 7) is False


@case
def one_namespace_for_all_functions_of_a_file(call):
    def task(f, g):
        return f.__globals__ is g.__globals__

    assert call(task, total, nested_use) is True


@case
def the_name_of_the_file(call):
    assert call(lambda: __name__) == "__main__"


@case
def class_body_globals(call):
    def f():
        class Inner:
            doubled = SCALE * 2
            names = [n.upper() for n in NAMES]

        return Inner.doubled, Inner.names

    assert call(f) == (6, ["X", "Y"])


@case
def a_global_and_a_cell_of_the_same_name(call):
    def outer():
        SCALE = "cell"

        def inner():
            return SCALE

        return inner

    assert (call(outer()), call(lambda: SCALE)) == ("cell", 3)


@case
def a_task_that_imports_a_global(call):
    def f():
        global fractions
        import fractions

        return str(g())

    def g():
        return fractions.Fraction(1, 3)

    assert call(f) == "1/3"


@case
def used_only_by_a_method_of_a_captured_class(call):
    assert call(lambda model: model.check(5), Model()) is True


@case
def used_by_a_function_in_a_table(call):
    table = {"rate": uses_rate}
    assert call(lambda: table["rate"](8)) == 2.0
