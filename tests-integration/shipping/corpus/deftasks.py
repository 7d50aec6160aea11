"""Functions marked by deftask: their source is that of their definition, whatever is edited later."""

import importlib
import os
import sys
import tempfile

import farm_client as farm
from harness import case, script

RATE = 3


@farm.deftask
def scaled(x):
    return x * RATE


@farm.deftask
def with_defaults(a, b=2, *rest, **more):
    """Documented."""
    return a, b, rest, more


@farm.deftask(local=False)
def only_there(x):
    return x + 1


@farm.deftask
def recursive(n):
    return 0 if n == 0 else 1 + recursive(n - 1)


@farm.deftask
def calls_another(x):
    return scaled(x) + only_there(x)


@case
def a_function(call):
    assert call(scaled, 4) == 12
    assert call(with_defaults, 1, 5, 6, k=7) == (1, 5, (6,), {"k": 7})


@case
def callable_here(call):
    assert scaled(2) == 6
    assert with_defaults.__doc__ == "Documented."


@case
def the_latest_globals(call):
    global RATE
    RATE = 5
    got = call(scaled, 1)
    RATE = 3
    assert got == 5


@case
def recursion(call):
    assert call(recursive, 5) == 5


@case(remote=True)
def only_a_task(call):
    assert call(only_there, 1) == 2
    try:
        only_there(1)
    except farm.InvalidTaskError as error:
        assert "only a task" in str(error)
    else:
        raise AssertionError("it can be called here")


@case(remote=True)
def that_calls_others(call):
    assert call(calls_another, 1) == 5


@case(remote=True)
def used_in_a_lambda(call):
    assert call(lambda: scaled(1) + only_there(1)) == 5


@case
def a_lambda(call):
    f = farm.deftask(lambda x: x - 1)
    assert call(f, 1) == 0


@case
def a_closure(call):
    n = 10
    total = 0

    @farm.deftask
    def add(x):
        nonlocal total
        total += x + n
        return total

    assert call(add, 1) == 11


@case
def a_method(call):
    class Service:
        base = 5

        @farm.deftask
        def get(self, x):
            return self.base + x

    assert call(Service().get, 1) == 6


@case
def over_other_decorators(call):
    def doubling(f):
        return lambda *args: 2 * f(*args)

    @farm.deftask
    @doubling
    def f(x):
        return x

    assert call(f, 4) == 8


SOURCE = """
import farm_client as farm
K = 2
@farm.deftask
def f(x):
    return helper(x) * K
@farm.deftask
def helper(x):
    return x + 1
g = farm.deftask(lambda x: [x])
"""


def rewrite(path, text):
    with open(path, "w") as file:
        file.write(text)


@case
def edited_afterwards(call):
    with script(SOURCE) as main:
        rewrite(main.__file__, "# another file now\n" * 3 + SOURCE.replace("x + 1", "x + 1000"))
        assert call(main.f, 1) == 4
        assert call(main.g, 1) == [1]


@case
def edited_between_two_submits(call):
    with script(SOURCE) as main:
        assert call(main.f, 1) == 4
        rewrite(main.__file__, SOURCE.replace("x + 1", "x + 1000"))
        main.K = 3
        assert call(main.f, 1) == 6


@case
def emptied_afterwards(call):
    with script(SOURCE) as main:
        rewrite(main.__file__, "")
        assert call(main.f, 2) == 6


@case
def removed_afterwards(call):
    with script(SOURCE) as main:
        os.remove(main.__file__)
        assert call(main.f, 3) == 8
        assert call(main.g, "g") == ["g"]


@case
def in_a_module_that_is_edited(call):
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "edited_module.py")
    rewrite(path, "import farm_client as farm\n@farm.deftask\ndef f():\n    return 'old'\n")
    sys.path.insert(0, folder)
    try:
        f = importlib.import_module("edited_module").f
    finally:
        sys.path.remove(folder)
    assert call(f) == "old"


@case
def a_generator_function_and_its_list(call):
    @farm.deftask
    def squares(n):
        return list(gen(n))

    @farm.deftask
    def gen(n):
        for i in range(n):
            yield i * i

    assert call(squares, 4) == [0, 1, 4, 9]
