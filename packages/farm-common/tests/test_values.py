"""Values become what every Python can read; what cannot travel says so in plain words.

The tables are values_corpus.py and arrays_corpus.py; tests-integration sends the same between all
interpreters.
"""

import array
import builtins
import collections
import collections.abc
import contextlib
import copyreg
import functools
import gc
import importlib
import importlib.util
import inspect
import io
import itertools
import os
import pickle
import pickletools
import random
import re
import struct
import sys
import threading
import traceback
import types
import typing
import urllib.parse
import weakref
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm_common.errors import SerializationError
from farm_common.shipping import (
    arrays,
    callables,
    hints,
    iterators,
    pack,
    rebuild_arrays,
    rebuild_belongings,
    rebuild_hints,
    rebuild_iterators,
    rebuild_sentinels,
    rebuild_values,
    records,
    unpack,
)
from farm_common.shipping.values import REDUCERS, Refusal, reducer_for

PYPY = sys.implementation.name == "pypy"


def load(name):
    """A table, as the module that its own classes say they are in."""
    if name not in sys.modules:
        path = Path(__file__).with_name(f"{name}.py")
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


CORPUS = load("values_corpus")
try:
    NUMPY = load("arrays_corpus")
except ImportError:
    NUMPY = types.SimpleNamespace(VALUES={}, CANNOT={})


def there_and_back(value, bytecode=False):
    """The value as the other side has it; its buffers can be written to if they could be here."""
    parcel = pack(value, 5, "it", bytecode)
    buffers = [
        bytes(buffer) if memoryview(buffer).readonly else bytearray(buffer)
        for buffer in parcel.buffers
    ]
    return unpack(parcel.body, buffers)


@pytest.fixture
def closed():
    """Closes what a test made, if it can be."""
    made = []
    yield made.append
    for value in made:
        value = getattr(value, "connection", value)  # a cursor's
        for name in ("communicate", "close", "cleanup"):
            if hasattr(value, name):
                with contextlib.suppress(Exception):  # a parser finds that nothing came
                    getattr(value, name)()
                break


# the tables


@pytest.mark.parametrize(
    ("table", "name"),
    [
        *(("values", name) for name, case in CORPUS.VALUES.items() if case.here),
        *(("arrays", name) for name, case in NUMPY.VALUES.items() if case.here),
    ],
)
def test_it_travels(table, name):
    """Its check holds for what comes."""
    case = (CORPUS if table == "values" else NUMPY).VALUES[name]
    come = there_and_back(case.make())
    assert case.check(case.make(), come)


@pytest.mark.parametrize("name", [name for name, case in CORPUS.ITERTOOLS.items() if not case.here])
def test_it_cannot_tell_where_it_is(name):
    """From Python 3.14 on; the error says what helps."""
    with pytest.raises(SerializationError, match=r"itertools.* make a list of it"):
        pack(CORPUS.ITERTOOLS[name].make(), 5, "it", False)


@pytest.mark.parametrize("name", [*CORPUS.CANNOT, *NUMPY.CANNOT])
@pytest.mark.parametrize("bytecode", [True, False])
def test_it_cannot_travel(name, bytecode, closed):
    """Whoever would pickle it, and its error says what it is; so does one that contains it."""
    case = {**CORPUS.CANNOT, **NUMPY.CANNOT}[name]
    value = case.make()
    if value is not sys.__stdin__:
        closed(value)
    with pytest.raises(SerializationError, match=re.escape(case.text)) as caught:
        pack(value, 5, "it", bytecode)
    with pytest.raises(SerializationError, match=r"^it -> \['key'\] -> \[0\]"):
        pack({"key": [value]}, 5, "it", bytecode)
    text = str(caught.value)
    assert text.startswith("it")
    assert "cannot travel: " in text


def test_numpy_is_tested():
    """On CPython CI installs it; there the tables are never empty."""
    if not PYPY:
        pytest.importorskip("numpy")
    assert bool(NUMPY.VALUES) == bool(importlib.util.find_spec("numpy"))


# what is on the wire


WIRE = {
    rebuild_values: """
        array_of(typecode itemsize byteorder data) attribute_of_class(cls name)
        c_data(kind data byteorder) cached_property(function name doc)
        comparison_key(compare wrapped) construct(make keywords)
        context_manager(function args keywords)
        data_field(values) dict_view(kind elements ordered) enum_member(module qualname value)
        frame_summary(filename lineno name line variables places) immutable(base cls args)
        lru_cache(function maxsize typed) mapping_proxy(mapping)
        match(compiled method string pos endpos) memory_view(buffer form shape readonly byteorder)
        method_caller(name args keywords) new_type(name supertype module)
        partial_method(cls function args keywords) partial_method_function(method)
        partial_place() pattern(text flags) property_of(cls fget fset fdel doc)
        set_attributes(obj state) single_dispatch(function registered)
        single_dispatch_method(function registered)
        struct_sequence(module qualname names values more) syntax_node(name values)
        time_zone(key cached) url_parts(cls parts keep_empty) weak_dictionary(name items)
        weak_method(method) weak_reference(target) weak_set(elements)
    """,
    rebuild_belongings: """
        absent_function(name qualname module reason) belonging(module path make args)
        context_variable(name default) fill_plain(obj state) local(cls state)
        make_event(is_set) make_lock(kind args) make_plain(cls) missing_member(module name)
        semaphore(kind value) sent_module(name doc)
        advice(module) is_member(value module path) key_of(value) offer_module(module)
        renew_offered(name content) slots_of(cls)
    """,
    rebuild_iterators: """
        accumulate_iterator(iterator function total) chain_iterator(source active)
        combination_iterator(name args indices given) cycle_iterator(saved rest index)
        dropwhile_iterator(iterator) groupby_iterator(iterator key value inside)
        map_iterator(function iterators strict) reverse_iterator(sequence index)
        sequence_iterator(sequence index) zip_iterator(iterators strict)
        zip_longest_iterator(iterators fill)
    """,
    rebuild_sentinels: "sentinel(ident module name shown)",
    rebuild_hints: """
        abstract_callable(parameters result) forward_reference(name) generic(origin arguments)
        parameter_part(origin name) parameter_specification(name options)
        type_alias(name value parameters) type_variable(name constraints options)
        type_variable_tuple(name options) union(members) unpacked(alias)
    """,
    rebuild_arrays: """
        array(buffer dtype shape order) bit_generator(name state seeds) element(array)
        empty_array() generator(bits) masked_array(data mask fill hard) plain_dtype(text)
        random_state(bits state) scalar(dtype data)
        seed_sequence(entropy spawn_key pool_size children)
        structured_dtype(layout align kind) subarray_dtype(base shape) subclass_array(cls plain)
    """,
}


@pytest.mark.parametrize("module", WIRE, ids=lambda module: module.__name__.rpartition(".")[2])
def test_names_on_the_wire(module):
    """A peer of another release calls these functions: they stay, and take what they took."""
    found = [
        f"{name}({' '.join(inspect.signature(getattr(module, name)).parameters)})"
        for name in module.__all__
    ]
    assert sorted(found) == sorted(re.findall(r"\w+\([^)]*\)", WIRE[module]))
    assert all(type(getattr(module, name)) is types.FunctionType for name in module.__all__)


PUBLIC = {
    *("_thread", "array", "builtins", "codecs", "collections", "copyreg", "datetime", "decimal"),
    *("farm_common.shipping.aliases", "fractions", "functools", "importlib", "ipaddress"),
    *("itertools", "json", "logging", "numpy", "operator", "pathlib", "random", "statistics"),
    *("struct", "types", "typing", "urllib", "uuid", "values_corpus", "xml", "zipfile"),
    *("rebuild", "rebuild_values", "rebuild_iterators", "rebuild_hints", "rebuild_arrays"),
}


#: Private, and in every version.
ALLOWED = {
    *("_thread", "email._header_value_parser", "numpy._core.multiarray"),
    "numpy.random._generator",  # where some builds say that default_rng is; all have it there
}


@pytest.mark.parametrize("table", [CORPUS, NUMPY], ids=["values", "arrays"])
def test_no_private_modules_on_the_wire(table):
    """Nothing is named that another version may keep elsewhere."""
    private = {}
    for name, case in table.VALUES.items():
        if case.here:
            body = pack(case.make(), 5, "it", bytecode=False).body
            for _, text, _ in pickletools.genops(body):
                is_private = isinstance(text, str) and (text[0:1] == "_" or "._" in text)
                if is_private and text in sys.modules and text not in ALLOWED:
                    private[name] = text
    assert private == {}


# finding reducers


def test_nothing_is_imported_to_find_a_reducer(monkeypatch):
    """A type is known by its name when it is met."""
    kind = type("Unknown", (), {})
    with monkeypatch.context() as patch:
        patch.setattr(importlib, "import_module", None)
        patch.setattr(builtins, "__import__", None)
        assert reducer_for(kind) is None


def test_a_reducer_is_found_once():
    """By name at first, and by type from then on."""
    kind = type(os.stat("/"))
    REDUCERS.pop(kind, None)
    reducer = reducer_for(kind)
    assert reducer is records.reduce_struct_sequence
    assert REDUCERS[kind] is reducer


def test_classes_are_not_kept_alive():
    """A class that needs no reducer may go away."""
    kind = type("Mortal", (), {})
    assert reducer_for(kind) is None
    assert reducer_for(kind) is None
    reference = weakref.ref(kind)
    del kind
    gc.collect()
    assert reference() is None


def test_a_way_that_was_registered():
    """With copyreg the user decides for a type that cannot travel."""
    lock = threading.Lock()
    copyreg.pickle(type(lock), lambda _: (list, ()))
    try:
        assert there_and_back(lock) == []
    finally:
        del copyreg.dispatch_table[type(lock)]


class LockOfMine(threading.Thread):
    """Says itself how it is pickled."""

    def __reduce__(self):
        return LockOfMine, ()


class ThreadOfMine(threading.Thread):
    pass


class StateOfMine(struct.Struct):
    def __reduce__(self):
        return str, ("mine",)


def test_subclasses():
    """Are reduced like their base, unless they say themselves how."""
    assert type(there_and_back(LockOfMine())) is LockOfMine
    assert there_and_back(StateOfMine("i")) == "mine"
    with pytest.raises(SerializationError, match=r"ThreadOfMine: a thread cannot travel"):
        pack(ThreadOfMine(), 5, "it")


def test_a_refusal_knows_its_value():
    """So that who explains it does not look for a part of it that is to blame."""
    lock = threading.Lock()
    with pytest.raises(Refusal, match="a lock cannot travel") as caught:
        REDUCERS[type(lock)](lock)
    assert caught.value.value is lock


# callables


def test_random_numbers_are_not_repeated():
    """The functions of `random` are the other side's own, not copies of this side's state."""
    for function in (random.random, random.randint, random.shuffle):
        assert there_and_back(function) == function
        assert len(pack(function, 5, "it").body) < 200
    own = random.Random(1)
    assert there_and_back(own.random)() == random.Random(1).random()


def local_functions():
    """What the library makes of functions that travel by value."""

    @functools.lru_cache(maxsize=5)
    def fibonacci(n):
        """Its text."""
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    fibonacci.note = "added"

    @functools.singledispatch
    def kind(value):
        return "any"

    @kind.register
    def _(value: list):
        return [kind(item) for item in value]

    return fibonacci, kind


@pytest.mark.parametrize("bytecode", [True, False])
def test_decorated_functions_by_value(bytecode):
    """They refer to themselves, keep their names and attributes, and begin with an empty cache."""
    fibonacci, kind = local_functions()
    fibonacci(30)
    fibonacci, kind = there_and_back([fibonacci, kind], bytecode)
    assert fibonacci.cache_info()[:] == (0, 0, 5, 0)
    assert fibonacci(20) == 6765
    assert fibonacci.cache_info().misses == 21
    assert fibonacci.__qualname__ == "local_functions.<locals>.fibonacci"
    assert (fibonacci.__doc__, fibonacci.note) == ("Its text.", "added")
    assert fibonacci.__module__ == __name__
    assert kind([1, [2]]) == ["any", ["any"]]
    assert kind.__name__ == "kind"


class Described:
    """Has descriptors that are found by their names, and others."""

    @property
    def size(self):
        """Its size."""
        return 3

    other = size
    __slots__ = ("slot",)


class Special(property):
    """A subclass."""


def test_descriptors():
    """Are their class's own where it has them under their names, else made again."""
    assert there_and_back(vars(Described)["size"]) is Described.size
    assert there_and_back(Described.slot) is Described.slot
    made = there_and_back(property(len, doc="text"))
    assert (made.fget, made.__doc__) == (len, "text")
    special = Special(len)
    special.extra = 1
    come = there_and_back(special)
    assert type(come) is Special
    assert (come.fget, come.extra) == (len, 1)


# iterators


POOLS = st.lists(st.lists(st.integers(0, 3), max_size=3), min_size=1, max_size=3)


UNTOLD = not PYPY and sys.version_info >= (3, 14)  # where those of itertools are


@pytest.mark.skipif(UNTOLD, reason="from Python 3.14 on nothing tells where they are")
@given(st.integers(0, 70), POOLS, st.integers(1, 3))
def test_arrangements_go_on(steps, pools, size):
    """An iterator over arrangements goes on wherever it is."""
    pool = list(itertools.chain.from_iterable(pools))[:4]
    for make in (
        lambda: itertools.product(*pools),
        lambda: itertools.permutations(pool, size),
        lambda: itertools.combinations(pool, size),
        lambda: itertools.combinations_with_replacement(pool, size),
    ):
        iterator = make()
        collections.deque(itertools.islice(iterator, steps), maxlen=0)
        assert list(there_and_back(iterator)) == list(itertools.islice(make(), steps, None))


ITERTOOLS = {
    "cycle": lambda: itertools.cycle("abc"),
    "chain": lambda: itertools.chain("ab", [], "cd"),
    "chain of iterables": lambda: itertools.chain.from_iterable(iter(["ab", "c"])),
    "islice": lambda: itertools.islice("abcdefghij", 1, 8, 3),
    "endless islice": lambda: itertools.islice(itertools.count(), 2, None, 2),
    "accumulate": lambda: itertools.accumulate([3, 1, 2]),
    "accumulate with initial": lambda: itertools.accumulate([3, 1], initial=0),
    "accumulate None": lambda: itertools.accumulate([3, 1, 2], lambda a, b: None),
    "takewhile": lambda: itertools.takewhile(bool, [1, 2, 0, 3]),
    "dropwhile": lambda: itertools.dropwhile(bool, [1, 0, 2, 0]),
    "filterfalse": lambda: itertools.filterfalse(bool, [1, 0, 2, 0]),
    "compress": lambda: itertools.compress("abcd", [1, 0, 1, 1]),
    "starmap": lambda: itertools.starmap(pow, [(1, 2), (3, 4)]),
    "zip_longest": lambda: itertools.zip_longest("abc", "d", fillvalue=0),
    "repeat": lambda: itertools.repeat(1, 3),
    "count": lambda: itertools.count(2, 3),
}
ITERATORS = {
    **({} if UNTOLD else ITERTOOLS),
    "zip": lambda: zip("abc", [1, 2]),
    "map": lambda: map(str, [1, 2, 3]),
    "filter": lambda: filter(None, [1, 0, 2]),
    "list": lambda: iter([1, 2, 3]),
    "reversed": lambda: reversed([1, 2, 3]),
    "range": lambda: iter(range(0, 10, 3)),
    "large range": lambda: iter(range(1 << 70, (1 << 70) + 3)),
    "dict": lambda: iter({1: 2, 3: 4}),
    "set": lambda: iter({1}),
    "deque": lambda: iter(collections.deque("abc")),
    "reversed deque": lambda: reversed(collections.deque("abc")),
    "until": lambda: iter(iter([1, 2, 0]).__next__, 0),
}


@pytest.mark.parametrize("name", ITERATORS)
@pytest.mark.parametrize("steps", range(6))
def test_iterators_go_on(name, steps):
    """An iterator goes on wherever it is, at its end too, twice over."""
    if PYPY and name == "accumulate None" and steps:
        pytest.skip("PyPy says that it is at its start")
    iterator, expected = ITERATORS[name](), ITERATORS[name]()
    for one in (iterator, expected):
        collections.deque(itertools.islice(one, steps), maxlen=0)
    come = there_and_back(there_and_back(iterator))
    assert list(itertools.islice(come, 8)) == list(itertools.islice(expected, 8))


@pytest.mark.skipif(UNTOLD, reason="from Python 3.14 on nothing tells where they are")
@pytest.mark.parametrize("steps", range(4))
def test_groups_go_on(steps):
    """Wherever a groupby is. (Of a group that was begun CPython does not tell.)"""
    come, expected = itertools.groupby("aabbc"), itertools.groupby("aabbc")
    for one in (come, expected):
        collections.deque(itertools.islice(one, steps), maxlen=0)
    come = there_and_back(there_and_back(come))
    assert [(k, list(g)) for k, g in come] == [(k, list(g)) for k, g in expected]


def test_an_iterator_shares_what_it_is_over():
    """A list that is sent with its iterator."""
    items = [1, 2]
    items_there, iterator = there_and_back([items, iter(items)])
    items_there.append(3)
    assert list(iterator) == [1, 2, 3]


def test_iterators_that_say_nothing():
    """From 3.14 on; the error says what to do."""

    class Silent:
        def __reduce__(self):
            raise TypeError("cannot pickle")

    with pytest.raises(Refusal, match="cannot tell where it is; make a list of it"):
        iterators._state(Silent())


# records


def test_a_record_of_another_size():
    """What this version has no place for is left out; what it has none of is a named tuple."""
    stat = rebuild_values.struct_sequence(
        "os", "stat_result", (), (*range(10), "new"), {"st_new": 1, "st_atime_ns": 5}
    )
    assert type(stat) is os.stat_result
    assert tuple(stat) == tuple(range(10))
    short = rebuild_values.struct_sequence("os", "stat_result", ("a",), (1, 2), {})
    assert short == (1, 2)
    assert (short.a, type(short).__name__) == (1, "stat_result")
    later = rebuild_values.struct_sequence("os", "later_result", ("_a", "b"), (1, 2), {})
    assert (later.b, later) == (2, (1, 2))


def test_a_member_that_is_not_here():
    """Is its value."""
    assert rebuild_values.enum_member("signal", "Signals", 99999) == 99999
    assert rebuild_values.enum_member("http", "Later", "x") == "x"
    assert rebuild_values.enum_member("http", "HTTPStatus", 200).name == "OK"


def test_a_field_of_another_version():
    """What it does not say has its default, what is not known here is left out."""
    field = rebuild_values.data_field({"name": "a", "later": 1})
    assert field.name == "a"
    assert not hasattr(field, "later")


def test_a_pattern_that_is_too_new():
    """Says which, and for what version."""
    with pytest.raises(re.error, match=r"cannot compile '\(unclosed'"):
        rebuild_values.pattern("(unclosed", 0)


def test_a_match_that_is_not_found_again():
    """One that hangs on what is before its start is found by the search that found it."""
    match = re.compile(r"(?<=a)b").search("xab", 1)
    come = there_and_back(match)
    assert (come.span(), come.pos) == (match.span(), 1)


def test_a_time_zone_that_is_not_there():
    """Says what to install, and where."""
    with pytest.raises(KeyError, match=r"does not know the time zone 'No/Where': install tzdata"):
        rebuild_values.time_zone("No/Where", True)


def test_syntax_that_is_not_there():
    """Is an error that names it."""
    with pytest.raises(AttributeError, match="NewStatement"):
        rebuild_values.syntax_node("NewStatement", {})


def test_a_frame_of_another_version():
    """Lines and columns are left out where they are not known."""
    frame = rebuild_values.frame_summary("f.py", 3, "g", "    x = 1\n", None, (3, 4, 5))
    assert (frame.lineno, frame.line) == (3, "x = 1")
    assert "x = 1" in "".join(traceback.StackSummary.from_list([frame]).format())
    bare = rebuild_values.frame_summary("f.py", 3, "g", None, None, ())
    assert bare.name == "g"


@pytest.mark.parametrize("typecode", "bBhHiIlLqQfd")
def test_arrays_of_other_machines(typecode):
    """Bytes are swapped, and elements of another size find a type of theirs."""
    made = array.array(typecode, [1, 2])
    other = "big" if sys.byteorder == "little" else "little"
    swapped = array.array(typecode, made)
    swapped.byteswap()
    data = swapped.tobytes()
    assert rebuild_values.array_of(typecode, made.itemsize, other, data) == made
    view = rebuild_values.memory_view(data, typecode, (2,), True, other)
    assert view.tolist() == [1, 2]


def test_arrays_of_other_sizes():
    """A long of four bytes is an int here."""
    data = array.array("i", [1, -2]).tobytes()
    assert rebuild_values.array_of("l", 4, sys.byteorder, data).tolist() == [1, -2]


def test_characters():
    """Arrays of characters travel as text."""
    made = rebuild_values.array_of("w", 4, sys.byteorder, "a\U0001f600")
    assert made.tolist() == ["a", "\U0001f600"]
    assert there_and_back(made).tolist() == made.tolist()


def test_a_view_of_something_odd():
    """Elements in the other byte order have no name in memoryview."""
    view = memoryview(bytes(8))
    if PYPY:
        pytest.skip("PyPy's views have native formats only")
    numpy = pytest.importorskip("numpy")
    view = memoryview(numpy.zeros(2, ">i4" if sys.byteorder == "little" else "<i4"))
    with pytest.raises(Refusal, match=r"whose elements have the format '[<>]i' cannot travel"):
        records.REDUCERS[memoryview](view)


def test_large_buffers_are_not_copied():
    """Views, arrays and NumPy's go out of band, as the memory that they are."""
    data = bytearray(100_000)
    values = [memoryview(data), array.array("b", data)]
    parcel = pack(values, 5, "it")
    assert len(parcel.body) < 1000
    data[0] = 7  # the memory itself, not a copy
    assert [len(buffer) for buffer in parcel.buffers] == [100_000, 100_000]
    assert parcel.buffers[0][0] == 7
    values[1][0] = 8
    assert parcel.buffers[1][0] == 8


def test_standard_output_goes_by_name(monkeypatch):
    """It is what the other side writes to; a file that stands in for it does so, too."""

    class Own(io.TextIOBase):
        pass

    own = Own()
    monkeypatch.setattr(sys, "stdout", own)
    parcel = pack([sys.stdout, sys.stderr], 5, "it")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert unpack(parcel.body) == [sys.stdout, sys.stderr]
    with pytest.raises(SerializationError, match="an open file"):
        pack(sys.__stdin__, 5, "it")


# annotations


def test_hints_of_other_versions():
    """What does not fit here becomes what is next to it."""
    variable = typing.TypeVar("variable")
    assert rebuild_hints.generic(typing.Callable, (int,)) == typing.Callable[..., int]
    assert rebuild_hints.generic(int, (str,)) is int
    assert rebuild_hints.parameter_part(variable, "args") is typing.Any
    made = rebuild_hints.type_variable("T", (), {"bound": int, "default": str})
    assert made.__bound__ is int
    assert rebuild_hints.parameter_specification("P", {"default": int}).__name__ == "P"
    assert rebuild_hints.type_variable_tuple("Ts", {}).__name__ == "Ts"
    assert rebuild_hints.unpacked(tuple[int]) is not None


# NumPy


def test_numpy_arrays_are_not_copied():
    """In either order; what is not contiguous is, once."""
    numpy = pytest.importorskip("numpy")
    made = numpy.arange(60_000.0).reshape(200, 300)
    for value in (made, made.T):
        parcel = pack(value, 5, "it")
        assert len(parcel.body) < 500
        assert numpy.shares_memory(numpy.frombuffer(parcel.buffers[0]), made)
        come = unpack(parcel.body, [bytearray(parcel.buffers[0])])
        assert come.flags.writeable
        assert come.flags.f_contiguous == value.flags.f_contiguous
        assert not unpack(parcel.body, [bytes(parcel.buffers[0])]).flags.writeable
    strided = made[:, ::2]
    parcel = pack(strided, 5, "it")
    assert (unpack(parcel.body, parcel.buffers) == strided).all()


def test_numpy_is_not_imported_for_this():
    """Its reducers are known by name."""
    assert all(name.startswith("numpy.") for name in arrays.BY_NAME)
    assert "numpy" not in vars(arrays)


def test_every_reducer_is_in_the_table():
    """The parts add up, and none hides another."""
    parts = [records.REDUCERS, hints.REDUCERS, callables.REDUCERS, iterators.REDUCERS]
    kinds = [kind for part in parts for kind in part]
    assert len(kinds) == len(set(kinds))
    assert set(kinds) <= set(REDUCERS)
    assert pickle.PickleBuffer not in REDUCERS


class Pair(tuple):
    """Takes two, where a tuple takes one."""

    __slots__ = ()

    def __new__(cls, a, b):
        return super().__new__(cls, (a, b))


class Marked(complex):
    """Has state besides."""

    def __new__(cls, number, mark):
        made = super().__new__(cls, number)
        made.mark = mark
        return made


def test_immutable_classes_with_a_new_of_their_own():
    """Pickle would call it with what it does not take."""
    back = unpack(pack([Pair(1, [2]), Marked(1j, "m")], 5, "it").body)
    assert back == [(1, [2]), 1j]
    assert [type(value) for value in back] == [Pair, Marked]
    assert back[1].mark == "m"
    assert records.has_own_new(Pair)
    assert not any(map(records.has_own_new, (int, str, urllib.parse.ParseResult, dict)))
