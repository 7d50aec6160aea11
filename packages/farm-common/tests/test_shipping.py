"""Values, functions, errors and shared values become bytes and come back."""

import abc
import collections
import functools
import gc
import importlib
import operator
import pickle
import struct
import threading
import types
import weakref
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm_common.errors import FarmError, InvalidTaskError, SerializationError
from farm_common.shipping import (
    Capture,
    Shared,
    SharedStore,
    load_function,
    pack,
    ship_function,
    unpack,
)
from farm_common.shipping.functions import global_names
from farm_common.shipping.importable import is_importable
from farm_common.shipping.tasks import task_name

PROTOCOL = 5


class Importable:
    """Found by its name, in this process."""

    def __init__(self, value=0):
        self.value = value

    def __eq__(self, other):
        return type(other) is type(self) and other.value == self.value

    __hash__ = None


def importable(x):
    """Found by its name, in this process."""
    return x + 1


def there_and_back(value):
    """The value as the other side has it."""
    parcel = pack(value, PROTOCOL, "it")
    return unpack(parcel.body, [bytes(buffer) for buffer in parcel.buffers])


def shipped(task):
    """The task as the other side has it."""
    function = ship_function(task, PROTOCOL)
    return load_function(function.body)


# values

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner)
        | st.frozensets(st.integers())
    ),
    max_leaves=20,
)


@given(values)
def test_any_plain_value_comes_back(value):
    """Equal, without bytecode and without buffers when small."""
    parcel = pack(value, PROTOCOL, "it")
    assert not parcel.bytecode
    assert unpack(parcel.body, parcel.buffers) == value


@pytest.mark.parametrize(
    ("value", "bytecode"),
    [
        (Importable(3), False),
        ([importable, Importable, abs, len], False),
        (list[int], False),
        (collections.OrderedDict(a=1), False),
        (functools.partial(importable, 1), False),
        (lambda: 1, True),
        ([{"a": lambda: 1}], True),
        (type("Local", (), {}), False),
        (type("Local", (), {"method": lambda self: 1}), True),
    ],
)
def test_what_needs_bytecode_is_marked(value, bytecode):
    """Only what the other side could not find by its name."""
    assert pack(value, PROTOCOL, "it").bytecode is bytecode


def test_large_buffers_stay_out_of_the_pickle():
    """As views of the value's own memory; small ones go inside."""
    large, small = bytearray(1 << 16), bytearray(100)
    parcel = pack([pickle.PickleBuffer(large), pickle.PickleBuffer(small)], PROTOCOL, "it")
    assert [len(buffer) for buffer in parcel.buffers] == [1 << 16]
    large[0] = 7
    assert parcel.buffers[0][0] == 7
    assert len(parcel.body) < 1000


def test_large_buffers_are_of_bytes():
    """Whatever they are of where they come from: their length is what travels."""
    parcel = pack(array("d", range(10_000)), PROTOCOL, "it")
    assert sum(map(len, parcel.buffers)) in (0, 80_000)
    assert unpack(parcel.body, parcel.buffers)[9_999] == 9_999


def test_a_pickler_that_failed_leaves_nothing_behind():
    """Neither a memo, nor a buffer, nor a shared value, for what is packed next."""
    held = [1, 2]
    for _ in range(3):
        with pytest.raises(SerializationError):
            pack([held, pickle.PickleBuffer(bytes(1 << 16)), Shared(1), LOCK], 5, "it")
        parcel = pack(held, PROTOCOL, "it")
        assert (unpack(parcel.body), list(parcel.buffers), list(parcel.shared)) == (held, [], [])
        assert there_and_back([held, held]) == [held, held]


class Shy:
    """Fails when it is first asked, so that the thorough pickler has its turn."""

    asked = 0

    def __reduce__(self):
        type(self).asked += 1
        if self.asked == 1:
            raise RuntimeError("not yet")
        return int, (5,)


def test_a_pickler_that_was_given_up():
    """It is not used again: it remembers what it had written."""
    try:
        importlib.import_module("cloudpickle")
    except AttributeError as error:  # cloudpickle 3.1.2 wants a table of PyPy's pickler
        pytest.skip(f"nothing is more thorough here: {error}")
    held = [1, 2]
    pack(held, PROTOCOL, "it")
    assert unpack(pack([held, Shy()], PROTOCOL, "it").body) == [held, 5]
    assert there_and_back([held, held]) == [held, held]


def test_packing_inside_of_packing():
    """A value whose reduction packs something itself."""

    class Nested(Importable):
        def __reduce__(self):
            return operator.add, (unpack(pack(1, PROTOCOL, "inner").body), 2)

    assert there_and_back([Nested(), Nested()]) == [3, 3]


def test_threads_do_not_share_a_pickler():
    """Many pack at the same time."""
    failed = []

    def work(seed):
        for value in range(300):
            if there_and_back([seed] * value) != [seed] * value:
                failed.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


class Slotted:
    """Attributes without a ``__dict__``."""

    __slots__ = ("inner",)

    def __init__(self, inner):
        self.inner = inner


class Plain:
    """Attributes."""

    def __init__(self, inner):
        self.inner = inner


class Unsendable:
    """What no interpreter can pickle: some can do it with locks, generators and files."""

    def __getstate__(self):
        raise TypeError("cannot pickle it")


LOCK = Unsendable()


def over(x):
    """A closure."""
    return lambda: x


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (LOCK, "it: "),
        ([0, LOCK], "it -> [1]: "),
        ({"a": {"b": LOCK}}, "it -> ['a'] -> ['b']: "),
        ((Plain([LOCK]),), "it -> [0] -> attribute .inner -> [0]: "),
        (Slotted(LOCK), "it -> attribute .inner: "),
        (functools.partial(print, LOCK), "it -> its arguments -> [0]: "),
        (Plain(LOCK).__init__, "it -> its object -> attribute .inner: "),
        ((lambda a=LOCK: a), "it -> <lambda> -> defaults -> [0]: "),
        (over(LOCK), "it -> closure of <lambda> -> cell 'x': "),
    ],
)
def test_what_cannot_travel_is_named(value, path):
    """With the path to it, its type, and the reason."""
    with pytest.raises(SerializationError) as caught:
        pack(value, PROTOCOL, "it")
    name = f"{__name__}.Unsendable"
    assert str(caught.value) == f"{path}a {name}: cannot pickle it"


def test_an_object_with_its_own_way_to_travel():
    """Its attributes are not looked at: the reason is the one that it gives."""

    class Private(Plain):
        def __reduce__(self):
            raise FarmError("do something else")

    with pytest.raises(SerializationError, match=r"\[0\]: a .*Private: do something else"):
        pack([Private(LOCK)], PROTOCOL, "it")


def test_what_is_nested_too_deeply():
    """Is named as such."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(SerializationError, match="it is nested too deeply; send it as a flatter"):
        pack(deep, PROTOCOL, "it")
    while deep:
        deep = deep[0]


# functions


@pytest.mark.parametrize(
    ("task", "arguments", "result"),
    [
        (importable, (1,), 2),
        ("math:hypot", (3, 4), 5),
        (abs, (-1,), 1),
        (dict, ([(1, 2)],), {1: 2}),
        (Importable, (3,), Importable(3)),
        ("a,b".split, (",",), ["a", "b"]),
        (functools.partial(pow, 2), (3,), 8),
        (lambda x: x * 2, (4,), 8),
        (collections.OrderedDict.fromkeys, ("a",), {"a": None}),
    ],
)
def test_tasks_come_back(task, arguments, result):
    """And do the same."""
    assert shipped(task)(*arguments) == result


def test_equal_functions_have_equal_ids():
    """By content, so that each is sent once."""

    def make(n):
        return lambda: n

    assert ship_function(make(1), 5).ident == ship_function(make(1), 5).ident
    assert ship_function(make(1), 5).ident != ship_function(make(2), 5).ident
    assert ship_function("math:hypot", 5).ident != ship_function("math:sin", 5).ident


def test_by_name_wherever_possible():
    """Then no bytecode travels."""
    for task in (importable, Importable, "math:hypot"):
        function = ship_function(task, PROTOCOL)
        assert function.body[:1] == b"N"
        assert not function.bytecode
    assert ship_function(lambda: 1, PROTOCOL).bytecode


class OnlyATask:
    """Stands for a function, under its name in a module."""

    def __init__(self, function):
        functools.update_wrapper(self, function)

    @property
    def __farm_task__(self):
        return self.__wrapped__

    def __call__(self):
        raise AssertionError("called instead of the function")


@OnlyATask
def only_a_task():
    """Found by its name, as an `OnlyATask`."""
    return "ran"


def test_what_is_only_a_task():
    """By name where that finds it, else its function; the other side calls the function."""
    function = ship_function(only_a_task, PROTOCOL)
    assert function.body == f"N{__name__}:only_a_task".encode()
    assert (function.name, function.bytecode) == ("only_a_task", False)
    local = OnlyATask(lambda: "local")
    assert ship_function(local, PROTOCOL).bytecode
    for task, result in ((only_a_task, "ran"), (local, "local"), (OnlyATask(local), "local")):
        assert shipped(task)() == result


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"Nno_such_module_x:f", ModuleNotFoundError),
        (b"Nmath:nothing", AttributeError),
        (b"Nmath:pi", InvalidTaskError),
        (b"Xabc", InvalidTaskError),
        (b"", InvalidTaskError),
        (b"Pabc", struct.error),
        (b"P\0\0\0\0abc", (pickle.UnpicklingError, IndexError)),
    ],
)
def test_functions_that_cannot_be_loaded(body, kind):
    """Each raises what says why."""
    with pytest.raises(kind):
        load_function(body)


@pytest.mark.parametrize(
    "task", ["abs", "a.b", "", ":", "a:", ":b", "a b:c", "a:b c", "1:2", "a::b"]
)
def test_strings_that_name_no_task(task):
    """The error shows the form."""
    with pytest.raises(InvalidTaskError, match=r"names no task: write 'package\.module:qualified"):
        task_name(task)


def test_names_for_people():
    """Of everything that can be a task."""
    assert task_name(importable) == "importable"
    assert task_name("m:f") == "m:f"
    assert task_name(functools.partial(abs)) == "partial"
    assert task_name(Importable) == "Importable"
    with pytest.raises(InvalidTaskError, match="3 is not a task: submit a callable, or a string"):
        task_name(3)


def test_what_can_be_imported():
    """Found under its name in a module that has a loader, and the same object."""

    def local():
        pass

    assert is_importable(importable)
    assert is_importable(abs)
    assert is_importable(ValueError)
    assert is_importable(abc.ABC)
    assert not is_importable(local)
    assert not is_importable(lambda: 1)
    impostor = type("Importable", (), {"__module__": __name__})
    assert not is_importable(impostor)
    main = type("Local", (), {"__module__": "__main__"})
    assert not is_importable(main)


def test_global_names():
    """Also of functions inside the function; not of attributes."""

    def f():
        return [ONE for _ in range(TWO.three)]  # noqa: F821

    assert global_names(f.__code__) == ("range", "TWO", "ONE")


@pytest.mark.parametrize(
    ("captured", "stable"),
    [
        (1, True),
        ("text", True),
        (None, True),
        ((1, ("a", None)), True),
        (abs, True),
        (importable, True),
        (Importable, True),
        (collections, True),
        (types.ModuleType("by_hand"), False),
        (types.ModuleType("collections"), False),
        ([1], False),
        ({}, False),
        (([],), False),
        (Importable(), False),
        (bytearray(b"x"), False),
    ],
)
def test_what_a_capture_can_watch(captured, stable):
    """Whatever cannot change in place."""

    def task():
        return captured

    capture = Capture(task)
    assert capture.stable is stable
    assert capture.current() is stable


def test_a_capture_does_not_hold_its_function():
    """Once that is gone, it is not current."""
    capture = Capture(lambda: 1)
    while gc.collect():
        pass
    assert not capture.current()


def test_a_capture_notices():
    """A cell that is set anew, or emptied; defaults; code; functions inside."""
    n = 1

    def inner():
        return n

    def outer():
        return inner()

    def again():
        return [inner]

    capture = Capture(outer)
    assert capture.current()
    n = 2
    assert not capture.current()
    capture = Capture(outer)
    inner.__defaults__ = (1,)
    assert not capture.current()
    capture = Capture(outer)
    outer.__code__ = again.__code__
    assert not capture.current()


def test_a_capture_of_what_is_nested_too_deeply():
    """Is not watched; packing it says what is wrong."""
    deep = ()
    for _ in range(100_000):
        deep = (deep,)
    assert not Capture(lambda: deep).stable


def test_a_capture_notices_attributes():
    """Also those of a function inside, which go with it."""

    def inner():
        return inner.mode

    def outer():
        return inner()

    for function in (inner, outer):
        capture = Capture(outer)
        assert capture.current()
        function.mode = 3
        assert not capture.current()
        assert Capture(outer).current()
    inner.modes = []
    assert not Capture(outer).stable


def test_a_capture_notices_a_builtin_that_is_shadowed():
    """And that it is so no longer."""
    namespace = {"__name__": "__main__"}
    exec("def f(x):\n    return len(x)", namespace)
    builtin = Capture(namespace["f"])
    assert builtin.current()
    namespace["len"] = abs
    assert not builtin.current()
    shadowed = Capture(namespace["f"])
    assert shadowed.current()
    del namespace["len"]
    assert not shadowed.current()


# shared values


def test_a_shared_value_travels_as_its_id():
    """Who packs it learns that the value is needed, once."""
    shared = Shared(list(range(100_000)))
    parcel = pack([shared, {"a": shared}], PROTOCOL, "it")
    assert list(parcel.shared) == [shared]
    assert len(parcel.body) < 1000
    assert unpack(parcel.body)[0] is shared  # here it is the one that went out


def test_a_function_that_captured_one():
    """The same."""
    shared = Shared([1])
    assert list(ship_function(lambda: shared.value, PROTOCOL).shared) == [shared]


def test_it_does_not_travel_alone():
    """Outside of tasks, nobody would send the value."""
    with pytest.raises(FarmError, match="travels only inside a task"):
        pickle.dumps(Shared(1))


def test_a_store():
    """Loads a value when it is first asked for, and once; forgets it when told."""
    store = SharedStore()
    loads = []
    store.put(b"1" * 16, lambda: loads.append(1) or "value")
    assert loads == []
    assert [store.get(b"1" * 16) for _ in range(2)] == ["value"] * 2
    assert loads == [1]
    store.drop(b"1" * 16)
    store.drop(b"1" * 16)
    with pytest.raises(FarmError, match="released"):
        store.get(b"1" * 16)


def test_release():
    """Whoever keeps a copy is told, once; afterwards there is no value."""
    told = []

    class Owner:
        def forget(self, shared):
            told.append(shared)

    shared, owner = Shared(1), Owner()
    shared.on_release(owner.forget)
    shared.on_release(owner.forget)
    shared.release()
    shared.release()
    assert told == [shared]
    with pytest.raises(FarmError, match="was released"):
        _ = shared.value
    with pytest.raises(SerializationError, match="was released"):
        pack(shared, PROTOCOL, "it")
    assert "released" in repr(shared)


@pytest.mark.timeout(30)
def test_very_many_shared_values_in_one_parcel():
    """Each is told once, in order, in a time that grows with their number, not its square."""
    handles = [Shared(None) for _ in range(60_000)]
    parcel = pack([handles, handles[::-1]], PROTOCOL, "it")
    assert list(map(id, parcel.shared)) == list(map(id, handles))


def test_shared_values_of_packing_inside_of_packing():
    """Each parcel knows its own, also what comes after the inner one."""
    one, two, three = Shared(1), Shared(2), Shared(3)
    inner = []

    class Nested(Importable):
        def __reduce__(self):
            inner.append(list(pack([two, one], PROTOCOL, "inner").shared))
            return int, (1,)

    parcel = pack([one, Nested(), one, three], PROTOCOL, "it")
    assert inner[-1] == [two, one]
    assert list(parcel.shared) == [one, three]


def test_a_shared_value_does_not_keep_who_was_sent_it():
    """Their number does not grow while links come and go; those that remain are told once."""

    class Link:
        def __init__(self):
            self.told = []

        def forget(self, shared):
            self.told.append(shared)

    shared = Shared(1)
    gone = []
    for _ in range(100):
        link = Link()
        shared.on_release(link.forget)
        gone.append(weakref.ref(link))
        del link
        gc.collect()
    link = Link()
    shared.on_release(link.forget)
    shared.on_release(link.forget)
    assert [reference for reference in gone if reference() is not None] == []
    assert len(shared._owners) == 1
    shared.release()
    assert link.told == [shared]


def test_large_buffers_are_bytes():
    """Whatever items an array has, the length of its buffer is that of its bytes."""
    value = array("q", range(5000))
    parcel = pack(value, 5, "it")
    assert [len(buffer) for buffer in parcel.buffers] in ([40_000], [])
    assert unpack(parcel.body, [bytes(buffer) for buffer in parcel.buffers]) == value
