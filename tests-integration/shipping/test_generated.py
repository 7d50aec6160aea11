"""Made-up closures and classes stay the same, by both ways to ship code."""

import importlib.util
import itertools
import random
import types
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm_common.shipping import load_function, pack, rebuild_classes, ship_function, unpack

PROTOCOL = 5

# Each example writes a file, and makes what it defines once more, so none is fast.
LEISURELY = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

CALLS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), min_size=1, max_size=12)


def load():
    """The generator, from the file beside this one."""
    path = Path(__file__).with_name("generate.py")
    spec = importlib.util.spec_from_file_location("shipping_generate", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = load()


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """Executes a text as a script of its own; gives its namespace."""
    folder, count = tmp_path_factory.mktemp("generated"), itertools.count()

    def script_(text):
        path = folder / f"script{next(count)}.py"
        path.write_text(text, encoding="utf-8")
        module = types.ModuleType("__main__")
        exec(compile(text, str(path), "exec"), module.__dict__)
        return module

    return script_


@pytest.fixture(params=["bytecode", "source"])
def travel(request):
    """Has a value travel to another process, as far as that is concerned; and a task."""
    bytecode = request.param == "bytecode"

    def there(function, *args):
        kept = rebuild_classes.table
        rebuild_classes.table = rebuild_classes.ClassTable()
        try:
            return function(*args)
        finally:
            rebuild_classes.table = kept

    def value(value):
        parcel = pack(value, PROTOCOL, "it", bytecode)
        return there(unpack, parcel.body, parcel.buffers)

    def task(function):
        shipped = ship_function(function, PROTOCOL, bytecode)
        blobs = {blob.ident: blob for blob in shipped.blobs}
        return there(load_function, shipped.body, lambda ident: unpack(blobs[ident].body))

    return types.SimpleNamespace(value=value, task=task)


def chooser(data):
    """What the generator chooses with."""
    return lambda n: data.draw(st.integers(0, n - 1))


@LEISURELY
@given(data=st.data(), calls=CALLS)
def test_closures(script, travel, data, calls):
    """Functions that share cells give the same as before, call for call, log and all."""
    make = script(generate.closure_program(chooser(data))).make
    expected = generate.play(*make(2), calls)
    assert generate.play(*travel.value(make(2)), calls) == expected
    # Called before, too: what they have in their cells by then goes along.
    functions, log = make(2)
    first = generate.play(functions, log, calls)
    second = travel.value((functions, log))
    assert first == expected
    assert generate.play(*second, calls) == generate.play(functions, log, calls)


@LEISURELY
@given(data=st.data(), calls=CALLS)
def test_tasks(script, travel, data, calls):
    """The function that makes them all, with what it uses, travels as a task."""
    make = script(generate.closure_program(chooser(data))).make
    assert generate.play(*travel.task(make)(2), calls) == generate.play(*make(2), calls)


@LEISURELY
@given(data=st.data())
def test_classes(script, travel, data):
    """Methods, orders of bases, attributes, and references among classes and instances stay."""
    text = generate.class_program(chooser(data))
    try:
        module = script(text)
    except TypeError:  # no order of the bases, or of the slots
        return
    made = module.objects()
    expected = module.describe(module.CLASSES, made)
    classes, instances = travel.value((module.CLASSES, made))
    assert not set(classes) & set(module.CLASSES), "they did not travel"
    assert module.describe(classes, instances) == expected
    describe, classes, instances = travel.value((module.describe, module.CLASSES, made))
    assert describe(classes, instances) == expected


def test_the_generator_makes_what_it_should(script):
    """Among a few hundred programs there are those that a test of shipping needs."""
    seen = set()
    for seed in range(200):
        choose = random.Random(seed).randrange
        text = generate.closure_program(choose)
        seen |= {word for word in ("nonlocal", "lambda", "except NameError") if word in text}
        functions, log = script(text).make(2)
        results, _ = generate.play(functions, log, [(i, 2) for i in range(6)])
        seen |= {type(result) for result in results}
        text = generate.class_program(choose)
        seen |= {word for word in ("__slots__", "metaclass", "super()") if word in text}
    assert {"nonlocal", "lambda", "except NameError", "__slots__", "metaclass", "super()"} <= seen
    assert {int, str} <= seen, "numbers, and names of errors"
