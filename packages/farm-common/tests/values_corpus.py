"""Values that travel, and values that cannot: each with how to make it and what must hold there.

Loaded by path, under this module's own name, by test_values.py and by tests-integration. What
stands here is made anew on each side: `Case.make` makes the value, and `Case.check` gets the
value that was made here and the one that came from elsewhere.
"""

# What is odd or old is what it is about, and short is what a table needs.
# ruff: noqa: DTZ001, FURB167, ICN001, PLC3002, PLW0108, PT009, SIM115, SIM905, UP006

import argparse
import array
import ast
import asyncio
import base64
import builtins
import calendar
import cmath
import codecs
import collections
import collections.abc
import concurrent.futures
import configparser
import contextlib
import contextvars
import copy
import csv
import ctypes
import dataclasses
import datetime
import decimal
import difflib
import email.header
import email.message
import email.policy
import email.utils
import enum
import fractions
import ftplib
import functools
import gc
import graphlib
import gzip
import hashlib
import heapq
import hmac
import html.parser
import http
import http.client
import http.cookies
import importlib.metadata
import importlib.util
import inspect
import io
import ipaddress
import itertools
import json
import locale
import logging
import logging.handlers
import math
import mimetypes
import mmap
import multiprocessing
import numbers
import operator
import optparse
import os
import pathlib
import pkgutil
import plistlib
import pprint
import queue
import random
import re
import reprlib
import resource
import sched
import select
import selectors
import signal
import socket
import sqlite3
import ssl
import stat
import statistics
import string
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import tokenize
import traceback
import types
import typing
import unittest
import unittest.mock
import urllib.error
import urllib.parse
import urllib.request
import urllib.robotparser
import uuid
import warnings
import weakref
import xml.dom.minidom
import xml.etree.ElementTree
import xml.parsers.expat
import xml.sax.saxutils
import zipfile
import zlib
from typing import Any, Callable, NamedTuple

HERE = sys.version_info[:2]
PYPY = sys.implementation.name == "pypy"


def same(made: Any, come: Any) -> bool:
    """Equal and of one type; or, where there is no equality, alike in what they show."""
    if type(made) is not type(come):
        return False
    if type(made).__eq__ is object.__eq__:
        return plain(made) == plain(come)
    return bool(made == come) or made != made


def plain(value: Any) -> Any:
    """What is in an object: its attributes, or its repr without addresses."""
    state = getattr(value, "__dict__", None)
    if state:
        return {key: plain(item) for key, item in state.items()}
    return re.sub(r" at 0x\w+", "", repr(value))


def identical(made: Any, come: Any) -> bool:
    """The very object that has this name here."""
    return made is come


def alike(*names: str) -> Callable[[Any, Any], bool]:
    """Of one type, and these attributes are equal."""

    def check(made: Any, come: Any) -> bool:
        return type(made) is type(come) and all(
            getattr(made, name) == getattr(come, name) for name in names
        )

    return check


def yields(made: Any, come: Any) -> bool:
    """An iterator of the same type, with the same to come."""
    return type(made) is type(come) and list(itertools.islice(made, 9)) == list(
        itertools.islice(come, 9)
    )


def elements(made: Any, come: Any) -> bool:
    """Views of the same type and content."""
    return type(made) is type(come) and list(made) == list(come)


def found(made: Any, come: Any) -> bool:
    """The same thing; bound methods are made anew each time."""
    return made is come or (made == come and not isinstance(made, type))


def gives(function: Callable[[Any], Any]) -> Callable[[Any, Any], bool]:
    """The function says the same of both."""

    def check(made: Any, come: Any) -> bool:
        return bool(type(made) is type(come) and function(made) == function(come))

    return check


def holds(function: Callable[[Any], Any]) -> Callable[[Any, Any], bool]:
    """The function, which need not be able to make it here, is true of what came."""

    def check(made: Any, come: Any) -> bool:
        return bool(function(come))

    return check


class Case(NamedTuple):
    """A value, and what must hold where it arrives.

    Attributes:
        make: Makes it.
        check: Gets what is made here and what came; true where that is right.
        since: The first version whose `make` works.
        pypy: Whether it travels from PyPy.
        until: The first version of CPython from which it does not travel.
    """

    make: Callable[[], Any]
    check: Callable[[Any, Any], bool] = same
    since: tuple = (3, 9)
    pypy: bool = True
    until: tuple = (4, 0)

    @property
    def known(self) -> bool:
        """Whether this interpreter can make it."""
        return self.since <= HERE and (self.pypy or not PYPY)

    @property
    def here(self) -> bool:
        """Whether this interpreter can make and send it."""
        return self.known and (PYPY or self.until > HERE)


class Refusal(NamedTuple):
    """A value that cannot travel.

    Attributes:
        make: Makes it.
        text: What the error says.
    """

    make: Callable[[], Any]
    text: str


def named(name: str) -> Any:
    """What a dotted name means here; modules on the way are imported."""
    first, _, rest = name.partition(".")
    for place in (globals(), vars(builtins)):
        if first in place and not isinstance(place[first], types.ModuleType):
            return operator.attrgetter(rest)(place[first]) if rest else place[first]
    return pkgutil.resolve_name(name)


def advanced(iterator: Any, steps: int = 1) -> Any:
    """The iterator after some steps."""
    for _ in range(steps):
        next(iterator)
    return iterator


# What the cases are about; importable on both sides.


class Point:
    """Equal by its attributes."""

    factor = 2

    def __init__(self, x=0, y=0):
        self.x, self.y = x, y

    def __eq__(self, other):
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None

    def scaled(self, by=1):
        return self.x * by * self.factor

    def __secret(self):
        return "mangled"

    def secret(self):
        return self.__secret

    @classmethod
    def origin(cls):
        return cls(0, 0)

    @staticmethod
    def unit():
        return 1

    @property
    def norm(self):
        """The larger coordinate."""
        return max(self.x, self.y)

    @functools.cached_property
    def total(self):
        """Both coordinates."""
        return self.x + self.y

    @functools.singledispatchmethod
    def describe(self, value):
        return f"any {value}"

    @describe.register
    def _(self, value: int):
        return f"int {value}"

    doubled = functools.partialmethod(scaled, 2)
    oddly_named = lambda self: self.x  # noqa: E731


class Special(Point):
    def scaled(self, by=1):
        return "special"


class Slotted:
    """Has two slots, of which one is empty."""

    __slots__ = ("a", "b")

    def __init__(self, a=1):
        self.a = a

    def __eq__(self, other):
        return type(other) is type(self) and other.a == self.a

    __hash__ = None


class Tree:
    """Knows its parent weakly."""

    def __init__(self, parent=None):
        self.children = []
        self.parent = None if parent is None else weakref.ref(parent)
        if parent is not None:
            parent.children.append(self)


class Indexed:
    """Iterated over by its indices."""

    def __getitem__(self, index):
        if index > 2:
            raise IndexError
        return index * index


class Color(enum.Enum):
    RED = 1
    GREEN = "g"


class Mode(enum.Flag):
    READ = 1
    WRITE = 2


class Size(enum.IntEnum):
    SMALL = 1


class Pair(ctypes.Structure):
    _fields_ = (("a", ctypes.c_int), ("b", ctypes.c_double * 2))


class Texts(ctypes.Structure):
    _fields_ = (("a", ctypes.c_int), ("b", ctypes.c_char_p))


class Row(NamedTuple):
    a: int
    b: str = "b"


@dataclasses.dataclass
class Record:
    a: int
    b: list = dataclasses.field(default_factory=list, repr=False, metadata={"unit": "m"})


@dataclasses.dataclass(frozen=True)
class Frozen:
    a: int = 1


class MyList(list):
    pass


class MyDict(dict):
    pass


class MyPartial(functools.partial):
    pass


class MyDeque(collections.deque):
    pass


class MyPath(type(pathlib.Path())):
    pass


class MyInt(int):
    pass


class MyStr(str):
    __slots__ = ()


class MyRandom(random.Random):
    pass


class MyStruct(struct.Struct):
    pass


T = typing.TypeVar("T")
UserId = typing.NewType("UserId", int)


class Box(typing.Generic[T]):
    pass


class Movie(typing.TypedDict):
    name: str


class Sizeable(typing.Protocol):
    def size(self) -> int: ...


def function(x, y=2, *, z=3):
    """Found by its name."""
    return x + y + z


@functools.lru_cache(maxsize=7)
def cached(x):
    """Found by its name."""
    return x + 1


@functools.singledispatch
def shape(value):
    return f"any {value}"


@shape.register
def _(value: int):
    return f"int {value}"


@contextlib.contextmanager
def managed(value):
    yield value


def of_size(value: Any) -> str:
    return f"sized {len(value)}"


def make_single_dispatch():
    made = functools.singledispatch(function)
    made.register(str, of_size)
    made.register(collections.abc.Sized, of_size)
    return made


def entered(manager):
    with manager as value:
        return value


def union(*kinds):
    return functools.reduce(operator.or_, kinds)


def generator():
    yield 1


def set_attribute(obj, name, value):
    setattr(obj, name, value)
    return obj


def with_weak_reference():
    root = Tree()
    Tree(root)
    return root


def shared_pair():
    inner = [1]
    return [inner, inner, {"again": inner}]


def recursive_list():
    inner: list = [1]
    inner.append(inner)
    return inner


def recursive_deque():
    made: collections.deque = collections.deque([1])
    made.append(made)
    return made


def traceback_of(error):
    try:
        raise error
    except Exception as caught:
        return caught.__traceback__


def weak_values(kind):
    made = kind()
    for key, value in (("a", function), ("b", Point)):
        made[key] = value
    return made


def logger_case():
    return logging.getLogger("farm.corpus")


def frames():
    try:
        raise ValueError
    except ValueError as error:
        return traceback.extract_tb(error.__traceback__)


def same_or_function(made, come):
    """PyPy has the same type for several things that can be called."""
    return made is come or come in (
        *(types.FunctionType, types.MethodType, types.BuiltinFunctionType, classmethod),
    )


def timed_out(made, come):
    return come is made or come is TimeoutError


def dead_reference():
    made = weakref.ref(Point())
    gc.collect()
    return made


def fold(iterator):
    return [(key, list(group)) for key, group in iterator]


def flagged(array_, **flags):
    array_.setflags(**flags)
    return array_


def positioned(file, position):
    file.seek(position)
    return file


#: What itertools has; from 3.14 on they do not tell where they are.
ITERTOOLS: dict[str, Case] = {
    "cycle": Case(lambda: itertools.cycle([1, 2, 3]), yields),
    "cycle begun": Case(lambda: advanced(itertools.cycle([1, 2, 3]), 2), yields),
    "cycle after its first round": Case(lambda: advanced(itertools.cycle([1, 2, 3]), 4), yields),
    "cycle after a round": Case(lambda: advanced(itertools.cycle([1, 2, 3]), 3), yields),
    "cycle after rounds": Case(lambda: advanced(itertools.cycle([1, 2, 3]), 12), yields),
    "empty cycle": Case(lambda: itertools.cycle([]), yields),
    "count": Case(lambda: advanced(itertools.count(3, 0.5)), yields),
    "large count": Case(lambda: itertools.count(10**30), yields),
    "repeat": Case(lambda: advanced(itertools.repeat("a", 3)), yields),
    "endless repeat": Case(lambda: itertools.repeat("a"), yields),
    "chain": Case(lambda: advanced(itertools.chain([1, 2], "ab")), yields),
    "chain begun": Case(lambda: advanced(itertools.chain([1, 2], "ab"), 3), yields),
    "chain from iterable": Case(lambda: itertools.chain.from_iterable(["ab", "cd"]), yields),
    "finished chain": Case(lambda: advanced(itertools.chain([1]), 1), yields),
    "islice": Case(lambda: itertools.islice(iter("abcdefg"), 1, 6, 2), yields),
    "islice begun": Case(lambda: advanced(itertools.islice("abcdefg", 1, 6, 2)), yields),
    "islice without end": Case(lambda: advanced(itertools.islice("abcdefg", 1, None)), yields),
    "finished islice": Case(lambda: advanced(itertools.islice("abc", 1), 1), yields),
    "accumulate": Case(lambda: itertools.accumulate([1, 2, 3]), yields),
    "accumulate begun": Case(
        lambda: advanced(itertools.accumulate([1, 2, 3], operator.mul)), yields
    ),
    "accumulate with initial": Case(lambda: itertools.accumulate([1, 2], initial=9), yields),
    "accumulate with initial begun": Case(
        lambda: advanced(itertools.accumulate([1, 2], initial=9)), yields
    ),
    "product": Case(lambda: itertools.product("ab", [1, 2]), yields),
    "product begun": Case(lambda: advanced(itertools.product("abc", repeat=3), 14), yields),
    "finished product": Case(lambda: advanced(itertools.product("ab", "c"), 2), yields),
    "empty product": Case(lambda: itertools.product("ab", ""), yields),
    "permutations": Case(lambda: itertools.permutations("abcd", 2), yields),
    "permutations begun": Case(lambda: advanced(itertools.permutations("abcd", 3), 13), yields),
    "finished permutations": Case(lambda: advanced(itertools.permutations("ab"), 2), yields),
    "combinations": Case(lambda: itertools.combinations("abcd", 2), yields),
    "combinations begun": Case(lambda: advanced(itertools.combinations("abcde", 3), 5), yields),
    "combinations with replacement": Case(
        lambda: advanced(itertools.combinations_with_replacement("abcd", 3), 7), yields
    ),
    "takewhile": Case(lambda: advanced(itertools.takewhile(bool, [1, 2, 0, 3])), yields),
    "takewhile stopped": Case(
        lambda: (lambda i: (list(i), i)[1])(itertools.takewhile(bool, [1, 0, 3])), yields
    ),
    "dropwhile": Case(lambda: itertools.dropwhile(bool, [1, 2, 0, 3, 0]), yields),
    "dropwhile begun": Case(lambda: advanced(itertools.dropwhile(bool, [1, 0, 3, 4])), yields),
    "filterfalse": Case(lambda: itertools.filterfalse(None, [1, 0]), yields),
    "starmap": Case(lambda: advanced(itertools.starmap(pow, [(2, 3), (3, 2)])), yields),
    "zip_longest": Case(lambda: advanced(itertools.zip_longest("ab", "c", fillvalue="-")), yields),
    "zip_longest with one at its end": Case(
        lambda: advanced(itertools.zip_longest("abc", "d", "ef", fillvalue="-"), 2), yields
    ),
    "compress": Case(lambda: advanced(itertools.compress("abcd", [1, 0, 1, 1])), yields),
    "groupby": Case(
        lambda: itertools.groupby("aabbc"), lambda made, come: fold(made) == fold(come)
    ),
    "groupby begun": Case(
        lambda: advanced(itertools.groupby("aabbc"), 2),
        holds(lambda come: fold(come) == [("c", ["c"])]),
    ),
    "groupby with key": Case(
        lambda: itertools.groupby([1, -1, 2], abs),
        holds(lambda come: fold(come) == [(1, [1, -1]), (2, [2])]),
    ),
    "counter elements": Case(
        lambda: collections.Counter("aab").elements(), holds(lambda i: list(i) == ["a", "a", "b"])
    ),
    "nested iterators": Case(
        lambda: itertools.islice(map(str, itertools.chain([1], itertools.count(5))), 3), yields
    ),
}
ITERTOOLS = {name: case._replace(until=(3, 14)) for name, case in ITERTOOLS.items()}

VALUES: "dict[str, Case]" = {
    **ITERTOOLS,
    # builtins
    "int": Case(lambda: 10**40),
    "float": Case(lambda: -0.0, gives(repr)),
    "nan": Case(lambda: float("nan"), gives(repr)),
    "infinity": Case(lambda: math.inf),
    "complex": Case(lambda: 1 - 2j),
    "surrogate": Case(lambda: "\ud800a\U0001f600"),
    "bytearray": Case(lambda: bytearray(b"ab")),
    "large bytearray": Case(lambda: bytearray(100_000)),
    "large bytes": Case(lambda: bytes(100_000)),
    "set": Case(lambda: {1, "a", None}),
    "frozenset": Case(lambda: frozenset({(1, 2)})),
    "slice": Case(lambda: slice(1, None, "step")),
    "range": Case(lambda: range(10, 0, -3)),
    "large range": Case(lambda: range(10**30)),
    "Ellipsis": Case(lambda: ..., identical),
    "NotImplemented": Case(lambda: NotImplemented, identical),
    "object": Case(object),
    "shared list": Case(shared_pair, holds(lambda x: x[0] is x[1] is x[2]["again"])),
    "recursive list": Case(recursive_list, holds(lambda x: x[1] is x)),
    "dict order": Case(lambda: {"b": 1, "a": 2}, gives(list)),
    "subclasses": Case(lambda: [MyList([1]), MyDict(a=1), MyInt(3), MyStr("s")], gives(repr)),
    "list subclass with attribute": Case(
        lambda: set_attribute(MyList([1]), "extra", 2), holds(lambda x: x == [1] and x.extra == 2)
    ),
    # names of builtin types and functions
    **{
        f"types.{name}": Case(lambda name=name: getattr(types, name), same_or_function)
        for name in (
            "AsyncGeneratorType BuiltinFunctionType BuiltinMethodType CellType "
            "ClassMethodDescriptorType CodeType CoroutineType DynamicClassAttribute FrameType "
            "FunctionType GeneratorType GenericAlias GetSetDescriptorType LambdaType "
            "MappingProxyType MemberDescriptorType MethodDescriptorType MethodType "
            "MethodWrapperType ModuleType SimpleNamespace TracebackType WrapperDescriptorType"
        ).split()
    },
    **{
        f"type of {name}": Case(lambda make=make: type(make()), identical)
        for name, make in {
            "None": lambda: None,
            "Ellipsis": lambda: ...,
            "NotImplemented": lambda: NotImplemented,
            "dict keys": lambda: {}.keys(),
            "dict values": lambda: {}.values(),
            "dict items": lambda: {}.items(),
            "list iterator": lambda: iter([]),
            "a pattern": lambda: re.compile(""),
            "a generator": generator,
            "a logger": logger_case,
            "a path": pathlib.Path,
            "a file": lambda: sys.__stdin__,
            "an enum class": lambda: Color,
            "a partial": lambda: functools.partial(len),
        }.items()
    },
    # From 3.13 on it goes as threading.Lock, which was a function before.
    "type of a lock": Case(lambda: type(threading.Lock()), holds(callable)),
    **{
        name: Case(lambda name=name: named(name), found)
        for name in (
            "abs len print sorted __import__ int object type list dict.fromkeys str.maketrans "
            "bytes.fromhex int.from_bytes float.fromhex ValueError BaseException "
            "math.sqrt math.log cmath.exp operator.add operator.getitem operator.not_ "
            "functools.reduce functools.partial functools.cmp_to_key functools.lru_cache "
            "functools.wraps functools.total_ordering functools.cached_property "
            "functools.singledispatch functools.singledispatchmethod functools.partialmethod "
            "operator.itemgetter operator.attrgetter operator.methodcaller "
            "collections.deque collections.OrderedDict collections.defaultdict "
            "collections.Counter collections.ChainMap collections.namedtuple "
            "collections.UserDict collections.abc.Mapping collections.abc.Callable "
            "itertools.chain itertools.count itertools.chain.from_iterable itertools.tee "
            "queue.Queue queue.SimpleQueue queue.Empty queue.Full queue.PriorityQueue "
            "pathlib.Path pathlib.PurePath pathlib.PosixPath pathlib.PureWindowsPath "
            "re.compile re.error re.Pattern re.Match re.RegexFlag re.IGNORECASE re.sub "
            "enum.Enum enum.EnumMeta enum.Flag enum.IntFlag enum.auto enum.unique "
            "struct.Struct struct.pack struct.error struct.calcsize "
            "random.Random random.SystemRandom random.random random.randint random.seed "
            "random.choice random.shuffle "
            "json.dumps json.loads json.JSONDecodeError json.JSONEncoder "
            "datetime.datetime datetime.timezone datetime.datetime.now datetime.date.today "
            "datetime.datetime.fromtimestamp datetime.timedelta datetime.tzinfo "
            "time.time time.sleep time.struct_time time.perf_counter time.monotonic "
            "os.getcwd os.getpid os.stat os.stat_result os.path.join os.path.exists os.listdir "
            "os.environ.get os.fspath os.times_result os.terminal_size os.DirEntry "
            "os.PathLike os.scandir os.urandom os.error "
            "sys.getsizeof sys.exit sys.intern "
            "io.StringIO io.BytesIO io.TextIOWrapper io.BufferedReader io.FileIO io.open "
            "io.IOBase io.UnsupportedOperation io.RawIOBase io.TextIOBase "
            "threading.Lock threading.RLock threading.Thread threading.Event threading.local "
            "threading.Condition threading.get_ident threading.current_thread "
            "socket.socket socket.gaierror socket.gethostname socket.error "
            "asyncio.CancelledError asyncio.Queue asyncio.Event "
            "asyncio.Future asyncio.Task asyncio.run asyncio.sleep asyncio.gather "
            "asyncio.InvalidStateError asyncio.AbstractEventLoop asyncio.get_event_loop "
            "asyncio.QueueEmpty asyncio.IncompleteReadError asyncio.StreamReader "
            "asyncio.Semaphore asyncio.Lock "
            "concurrent.futures.Future "
            "concurrent.futures.CancelledError concurrent.futures.ThreadPoolExecutor "
            "concurrent.futures.ProcessPoolExecutor concurrent.futures.Executor "
            "concurrent.futures.wait concurrent.futures.BrokenExecutor "
            "decimal.Decimal decimal.Context decimal.localcontext decimal.InvalidOperation "
            "decimal.getcontext "
            "fractions.Fraction statistics.mean statistics.NormalDist statistics.StatisticsError "
            "heapq.heappush heapq.heapify heapq.nlargest heapq.merge "
            "bisect.bisect bisect.insort "
            "uuid.UUID uuid.uuid4 ipaddress.ip_address ipaddress.IPv4Address "
            "hashlib.sha256 hashlib.md5 hashlib.blake2b hashlib.new hashlib.sha3_256 "
            "zlib.compress zlib.crc32 base64.b64encode binascii.hexlify "
            "codecs.encode codecs.lookup codecs.CodecInfo "
            "copy.copy copy.deepcopy copy.Error pickle.dumps pickle.loads pickle.PickleError "
            "pickle.Pickler pickle.Unpickler pickle.PicklingError pickle.PickleBuffer "
            "weakref.ref weakref.WeakSet weakref.WeakValueDictionary weakref.proxy "
            "weakref.finalize weakref.WeakMethod weakref.ReferenceType weakref.ProxyType "
            "abc.ABC abc.ABCMeta abc.abstractmethod contextlib.contextmanager "
            "contextlib.ExitStack contextlib.suppress contextlib.AbstractContextManager "
            "contextvars.ContextVar contextvars.Context "
            "typing.List typing.Any typing.Optional typing.Union typing.NamedTuple "
            "typing.TypedDict typing.Generic typing.Protocol typing.TypeVar typing.NewType "
            "typing.Callable typing.Type typing.Tuple typing.Literal typing.ClassVar "
            "typing.get_type_hints typing.cast typing.overload typing.IO typing.Text "
            "typing.Dict typing.Iterable typing.NoReturn typing.Hashable typing.AnyStr "
            "types.SimpleNamespace types.MappingProxyType types.new_class types.coroutine "
            "dataclasses.dataclass dataclasses.field dataclasses.Field dataclasses.MISSING "
            "dataclasses.asdict dataclasses.InitVar dataclasses.FrozenInstanceError "
            "inspect.Signature inspect.Parameter inspect.Parameter.empty inspect.signature "
            "inspect.Signature.empty "
            "logging.Logger logging.getLogger logging.LogRecord logging.Formatter "
            "logging.StreamHandler logging.INFO "
            "subprocess.run subprocess.Popen subprocess.PIPE subprocess.CalledProcessError "
            "tempfile.mkdtemp tempfile.NamedTemporaryFile tempfile.TemporaryDirectory "
            "csv.reader csv.writer csv.DictReader csv.QUOTE_ALL csv.Error csv.excel "
            "sqlite3.connect sqlite3.Row sqlite3.Error sqlite3.Connection "
            "string.Template string.Formatter string.capwords "
            "textwrap.dedent difflib.SequenceMatcher pprint.pprint reprlib.Repr "
            "urllib.parse.urlparse urllib.parse.ParseResult urllib.parse.quote "
            "urllib.request.urlopen urllib.error.HTTPError "
            "http.HTTPStatus http.client.HTTPConnection http.client.HTTPException "
            "xml.etree.ElementTree.Element xml.etree.ElementTree.fromstring "
            "xml.etree.ElementTree.ParseError xml.etree.ElementTree.ElementTree "
            "xml.etree.ElementTree.SubElement xml.dom.minidom.parseString "
            "array.array array.ArrayType ast.parse ast.Name ast.literal_eval ast.NodeVisitor "
            "ctypes.c_int ctypes.Structure ctypes.POINTER ctypes.c_char_p ctypes.sizeof "
            "multiprocessing.Process "
            "multiprocessing.TimeoutError "
            "multiprocessing.current_process "
            "signal.signal signal.SIGINT signal.SIG_DFL signal.default_int_handler "
            "traceback.FrameSummary traceback.StackSummary traceback.format_exc "
            "unittest.TestCase unittest.mock.Mock unittest.mock.DEFAULT "
            "unittest.mock.sentinel.thing unittest.SkipTest "
            "zipfile.ZipFile zipfile.BadZipFile zipfile.Path gzip.GzipFile gzip.open "
            "ssl.SSLContext ssl.SSLError ssl.create_default_context "
            "warnings.warn warnings.catch_warnings configparser.ConfigParser "
            "argparse.Namespace argparse.ArgumentParser argparse.ArgumentTypeError "
            "graphlib.TopologicalSorter graphlib.CycleError shlex.split glob.glob "
            "shutil.copy shutil.which shutil.Error itertools.product zoneinfo.ZoneInfo "
            "importlib.import_module importlib.machinery.ModuleSpec importlib.reload "
            "importlib.machinery.SourceFileLoader importlib.metadata.version "
            "importlib.abc.Loader importlib.util.find_spec types.ModuleType "
            "numbers.Number numbers.Integral selectors.DefaultSelector mmap.mmap "
            "locale.getlocale locale.setlocale stat.S_ISDIR fcntl.flock select.select "
            "atexit.register gc.collect platform.node getpass.getuser sched.scheduler"
        ).split()
    },
    # methods of builtin and of other types
    **{
        f"method {name}": Case(lambda name=name: named(name))
        for name in (
            "str.upper list.append dict.get int.__add__ object.__repr__ list.__getitem__ "
            "type.__call__ set.union bytes.join float.is_integer collections.deque.popleft "
            "collections.OrderedDict.move_to_end datetime.date.isoformat pathlib.Path.exists "
            "collections.Counter.most_common Point.scaled Color.__str__ io.StringIO.write "
            "array.array.append random.Random.random decimal.Decimal.quantize "
            "re.Pattern.match struct.Struct.pack threading.Thread.start"
        ).split()
    },
    "str.upper works": Case(lambda: str.upper, holds(lambda f: f("a") == "A")),
    "list.append works": Case(
        lambda: ([], list.append), holds(lambda x: x[1](x[0], 1) is None and x[0] == [1])
    ),
    "bound builtin method": Case(lambda: [1, 2].index, holds(lambda f: f(2) == 1)),
    "bound append is shared": Case(
        lambda: (lambda items: [items, items.append])([]),
        holds(lambda x: x[1](3) is None and x[0] == [3]),
    ),
    "bound str method": Case(lambda: ", ".join, holds(lambda f: f("ab") == "a, b")),
    "method wrapper": Case(lambda: (5).__add__, holds(lambda f: f(1) == 6)),
    "bound method": Case(lambda: Point(3).scaled, holds(lambda f: f(2) == 12)),
    "bound method of a private name": Case(
        lambda: Point(3).secret(), holds(lambda f: f() == "mangled")
    ),
    "bound lambda": Case(lambda: Point(3).oddly_named, holds(lambda f: f() == 3)),
    "class method": Case(lambda: Point.origin, holds(lambda f: f() == Point())),
    "static method": Case(lambda: Point.unit, identical),
    "bound partial method": Case(lambda: Point(3).doubled, holds(lambda f: f() == 12)),
    "bound dispatched method": Case(
        lambda: Point(3).describe, holds(lambda f: f(1) == "int 1" and f("a") == "any a")
    ),
    "compiled pattern's method": Case(
        lambda: re.compile("a+").findall, holds(lambda f: f("aab") == ["aa"])
    ),
    "hidden random's method": Case(lambda: [random.gauss, random.sample], same),
    "own random's method": Case(
        lambda: random.Random(1).random, holds(lambda f: f() == random.Random(1).random())
    ),
    "super": Case(
        lambda: super(Special, Special(3)),
        holds(lambda s: type(s) is super and s.scaled() == 6 and s.__self__.scaled() == "special"),
    ),
    # descriptors
    "property": Case(
        lambda: Point.norm, holds(lambda p: p.fget(Point(1, 2)) == 2 and "larger" in p.__doc__)
    ),
    "property with all": Case(
        lambda: property(len, print, abs, "doc"), alike("fget", "fset", "fdel", "__doc__")
    ),
    "cached property": Case(
        lambda: Point.total,
        holds(lambda p: p.func(Point(1, 2)) == 3 and p.attrname == "total" and "Both" in p.__doc__),
    ),
    "cached property works": Case(
        lambda: Point.total, holds(lambda p: p.__get__(Point(1, 2), Point) == 3)
    ),
    "classmethod object": Case(lambda: classmethod(len), alike("__func__")),
    "classmethod of a class": Case(lambda: vars(Point)["origin"], alike("__func__")),
    "staticmethod object": Case(lambda: staticmethod(len), alike("__func__")),
    "slot": Case(lambda: Slotted.a, identical),
    "getset descriptor": Case(lambda: vars(int)["real"], same),
    "dict of a class": Case(lambda: vars(type)["__dict__"], identical),
    "classmethod descriptor": Case(
        lambda: vars(dict)["fromkeys"], holds(lambda d: d.__get__(None, dict)("a") == {"a": None})
    ),
    "partialmethod": Case(lambda: vars(Point)["doubled"], alike("func", "args", "keywords")),
    "singledispatchmethod": Case(
        lambda: vars(Point)["describe"],
        holds(lambda d: d.__get__(Point(), Point)(3) == "int 3"),
    ),
    "DynamicClassAttribute": Case(lambda: types.DynamicClassAttribute(len), alike("fget")),
    # functools, operator
    "partial": Case(lambda: functools.partial(function, 1, z=4), alike("func", "args", "keywords")),
    "partial works": Case(lambda: functools.partial(int, base=2), holds(lambda f: f("11") == 3)),
    "partial with attribute": Case(
        lambda: set_attribute(functools.partial(len), "note", 1), holds(lambda f: f.note == 1)
    ),
    "partial of a builtin method": Case(
        lambda: functools.partial(str.replace, "abc", "a"), holds(lambda f: f("x") == "xbc")
    ),
    "partial subclass": Case(lambda: MyPartial(len, "ab"), alike("func", "args", "keywords")),
    "lru_cache": Case(lambda: cached, identical),
    "lru_cache by value": Case(
        lambda: functools.lru_cache(maxsize=5, typed=True)(function),
        holds(
            lambda f: (
                f(1) == 6
                and f.cache_parameters() == {"maxsize": 5, "typed": True}
                and f.cache_info().currsize == 1
                and f.__wrapped__ is function
            )
        ),
    ),
    "unbounded cache": Case(
        lambda: functools.lru_cache(maxsize=None)(len),
        holds(lambda f: f("abc") == 3 and f.cache_info().maxsize is None),
    ),
    "singledispatch": Case(lambda: shape, identical),
    "singledispatch by value": Case(
        make_single_dispatch,
        holds(
            lambda f: (
                f(1) == 6
                and f("abc") == "sized 3"
                and f([1]) == "sized 1"
                and f.__name__ == "function"
                and set(f.registry) == {object, str, collections.abc.Sized}
            )
        ),
    ),
    "cmp_to_key": Case(lambda: functools.cmp_to_key, identical),
    "contextmanager": Case(lambda: managed, identical),
    "contextmanager by value": Case(
        lambda: contextlib.contextmanager(generator),
        holds(lambda f: entered(f()) == 1 and f.__name__ == "generator"),
    ),
    "itemgetter": Case(lambda: operator.itemgetter(1), holds(lambda f: f("abc") == "b")),
    "itemgetter of many": Case(
        lambda: operator.itemgetter(1, slice(2)), holds(lambda f: f("abc") == ("b", "ab"))
    ),
    "itemgetter of a tuple": Case(
        lambda: operator.itemgetter((1, 2)), holds(lambda f: f({(1, 2): 3}) == 3)
    ),
    "attrgetter": Case(lambda: operator.attrgetter("x"), holds(lambda f: f(Point(3)) == 3)),
    "attrgetter of many": Case(
        lambda: operator.attrgetter("x", "__class__.__name__"),
        holds(lambda f: f(Point(3)) == (3, "Point")),
    ),
    "methodcaller": Case(
        lambda: operator.methodcaller("split", ",", maxsplit=1),
        holds(lambda f: f("a,b,c") == ["a", "b,c"]),
    ),
    "methodcaller plain": Case(
        lambda: operator.methodcaller("upper"), holds(lambda f: f("a") == "A")
    ),
    # iterators
    "list iterator": Case(lambda: advanced(iter([1, 2, 3])), yields),
    "used up list iterator": Case(lambda: advanced(iter([1]), 1), holds(lambda i: not list(i))),
    "finished list iterator": Case(
        lambda: (lambda i: (list(i), i)[1])(iter([1])), holds(lambda i: not list(i))
    ),
    "reversed list": Case(lambda: advanced(reversed([1, 2, 3])), yields),
    "reversed tuple": Case(lambda: advanced(reversed((1, 2, 3))), yields),
    "reversed range": Case(lambda: reversed(range(3)), yields),
    "reversed dict": Case(lambda: reversed({1: 2, 3: 4}), holds(lambda i: list(i) == [3, 1])),
    "tuple iterator": Case(lambda: advanced(iter((1, 2, 3))), yields),
    "str iterator": Case(lambda: advanced(iter("abc")), yields),
    "non-ASCII str iterator": Case(lambda: advanced(iter("aäc")), yields),
    "bytes iterator": Case(lambda: advanced(iter(b"abc")), yields),
    "bytearray iterator": Case(lambda: advanced(iter(bytearray(b"abc"))), yields),
    "range iterator": Case(lambda: advanced(iter(range(0, 9, 3))), yields),
    "finished range iterator": Case(
        lambda: advanced(iter(range(2)), 2), holds(lambda i: not list(i))
    ),
    "long range iterator": Case(lambda: advanced(iter(range(10**30, 2 * 10**30))), yields),
    "dict iterator": Case(lambda: advanced(iter({1: 2, 3: 4})), holds(lambda i: list(i) == [3])),
    "dict value iterator": Case(lambda: iter({1: 2}.values()), holds(lambda i: list(i) == [2])),
    "dict item iterator": Case(lambda: iter({1: 2}.items()), holds(lambda i: list(i) == [(1, 2)])),
    "OrderedDict iterator": Case(
        lambda: iter(collections.OrderedDict(a=1)), holds(lambda i: list(i) == ["a"])
    ),
    "set iterator": Case(lambda: iter({1}), holds(lambda i: list(i) == [1])),
    "deque iterator": Case(
        lambda: advanced(iter(collections.deque([1, 2]))), holds(lambda i: list(i) == [2])
    ),
    "reversed deque": Case(
        lambda: advanced(reversed(collections.deque([1, 2]))), holds(lambda i: list(i) == [1])
    ),
    "array iterator": Case(
        lambda: advanced(iter(array.array("i", [1, 2]))), holds(lambda i: list(i) == [2])
    ),
    "callable iterator": Case(
        lambda: iter(functools.partial(next, iter([1, 2, 0, 3])), 0),
        holds(lambda i: list(i) == [1, 2]),
    ),
    "sequence iterator": Case(
        lambda: advanced(iter(Indexed())), holds(lambda i: list(i) == [1, 4])
    ),
    "enumerate": Case(
        lambda: advanced(enumerate("abc", 5)),
        holds(lambda e: type(e) is enumerate and list(e) == [(6, "b"), (7, "c")]),
        pypy=False,
    ),
    "zip": Case(lambda: advanced(zip([1, 2], "ab")), yields),
    "map": Case(lambda: advanced(map(operator.add, [1, 2], [3, 4])), yields),
    "filter": Case(lambda: filter(None, [0, 1]), yields),
    # collections
    "deque": Case(lambda: collections.deque([1, 2], 3), gives(repr)),
    "recursive deque": Case(recursive_deque, holds(lambda d: d[1] is d)),
    "deque subclass": Case(lambda: set_attribute(MyDeque([1], 2), "a", 1), gives(repr)),
    "Counter": Case(lambda: collections.Counter("aab")),
    "ChainMap": Case(lambda: collections.ChainMap({1: 2}, {3: 4})),
    "OrderedDict": Case(lambda: collections.OrderedDict(b=1, a=2)),
    "defaultdict": Case(lambda: collections.defaultdict(list, a=[1]), gives(repr)),
    "UserDict": Case(lambda: collections.UserDict(a=1)),
    "UserList": Case(lambda: collections.UserList([1])),
    "UserString": Case(lambda: collections.UserString("a")),
    "namedtuple": Case(lambda: Row(1)),
    "dict keys": Case(lambda: {"b": 1, "a": 2}.keys(), elements),
    "dict values": Case(lambda: {1: [2]}.values(), elements),
    "dict items": Case(lambda: {1: [2]}.items(), elements),
    "OrderedDict keys": Case(lambda: collections.OrderedDict(b=1, a=2).keys(), elements),
    "OrderedDict values": Case(lambda: collections.OrderedDict(b=1).values(), elements),
    "OrderedDict items": Case(lambda: collections.OrderedDict(b=1).items(), elements),
    "abstract keys": Case(lambda: collections.UserDict(a=1).keys(), elements),
    "ChainMap items": Case(lambda: collections.ChainMap({1: 2}).items(), elements),
    "mappingproxy": Case(lambda: types.MappingProxyType({1: [2]})),
    "mappingproxy of another": Case(
        lambda: types.MappingProxyType(collections.OrderedDict(a=1)),
        holds(lambda x: type(x.copy()) is collections.OrderedDict and x["a"] == 1),
    ),
    "SimpleNamespace": Case(lambda: types.SimpleNamespace(a=1)),
    # enumerations, dataclasses
    "enum members": Case(lambda: [Color.RED, Color.GREEN, Size.SMALL, http.HTTPStatus.OK]),
    "flags": Case(lambda: [Mode.READ | Mode.WRITE, Mode(0), re.I | re.M]),
    **{
        f"member {name}": Case(lambda name=name: named(name), found)
        for name in (
            "http.HTTPStatus.IM_A_TEAPOT signal.SIGINT signal.SIG_IGN "
            "socket.AF_INET socket.SOCK_STREAM ssl.CERT_REQUIRED ssl.PROTOCOL_TLS_CLIENT "
            "re.IGNORECASE inspect.Parameter.KEYWORD_ONLY uuid.SafeUUID.safe plistlib.FMT_XML "
            "selectors.EVENT_READ pstats.SortKey.TIME py_compile.PycInvalidationMode.TIMESTAMP"
        ).split()
    },
    "status that was renamed": Case(lambda: http.HTTPStatus(413)),
    "dataclass": Case(lambda: [Record(1, [2]), Frozen(3)]),
    "dataclass field": Case(
        lambda: dataclasses.fields(Record)[1],
        alike("name", "type", "default", "default_factory", "init", "repr", "compare", "metadata"),
    ),
    "dataclass field's kind": Case(lambda: dataclasses.fields(Record)[0]._field_type, identical),
    "unbound dataclass field": Case(
        lambda: dataclasses.field(default=3),
        holds(
            lambda f: f.default == 3 and f.default_factory is dataclasses.MISSING and f.name is None
        ),
    ),
    "InitVar": Case(lambda: dataclasses.InitVar[int], alike("type")),
    "slots": Case(Slotted),
    # typing
    "list[int]": Case(lambda: list[int]),
    "dict[str, list[int]]": Case(lambda: dict[str, list[int]]),
    "generic of an abstract class": Case(lambda: collections.abc.Mapping[str, int]),
    "abstract Callable": Case(lambda: collections.abc.Callable[[int], str], gives(repr)),
    "abstract Callable of any": Case(lambda: collections.abc.Callable[..., str], gives(repr)),
    "type[int]": Case(lambda: type[int]),
    "List[int]": Case(lambda: typing.List[int]),
    "Dict": Case(lambda: typing.Dict[str, typing.Any]),
    # From 3.14 on nobody can tell them from those with bars, and that is how they come elsewhere.
    "Optional": Case(lambda: typing.Optional[int], operator.eq),
    "Union": Case(lambda: typing.Union[int, str, None], operator.eq),
    "Callable": Case(lambda: typing.Callable[[int, str], bool]),
    "Callable of any": Case(lambda: typing.Callable[..., int]),
    "Literal": Case(lambda: typing.Literal["a", 1]),
    "Annotated": Case(lambda: typing.Annotated[int, "positive", 3]),
    "ClassVar": Case(lambda: typing.ClassVar[int]),
    "Final": Case(lambda: typing.Final[int]),
    "Type": Case(lambda: typing.Type[Point]),
    "Tuple": Case(lambda: [typing.Tuple[int, ...], typing.Tuple[()], tuple[()]]),
    "ForwardRef": Case(lambda: typing.ForwardRef("Point"), gives(lambda r: r.__forward_arg__)),
    "List of a name": Case(lambda: typing.List["Point"]),
    "TypeVar": Case(lambda: T, identical),
    "TypeVar by value": Case(
        lambda: typing.TypeVar("S", bound=int, covariant=True),
        alike("__name__", "__bound__", "__covariant__", "__constraints__"),
    ),
    "TypeVar constrained": Case(
        lambda: typing.TypeVar("S", int, str), alike("__name__", "__bound__", "__constraints__")
    ),
    "TypeVar shared": Case(
        lambda: (lambda v: [v, typing.List[v]])(typing.TypeVar("S")),
        holds(lambda x: x[1].__parameters__ == (x[0],)),
    ),
    "NewType": Case(lambda: UserId, holds(lambda t: t.__name__ == "UserId" and t(3) == 3)),
    "NewType by value": Case(
        lambda: typing.NewType("Meters", float),
        holds(lambda t: t.__name__ == "Meters" and t.__supertype__ is float),
    ),
    "generic class": Case(lambda: [Box, Box[int], Movie, Sizeable]),
    "instance of a generic": Case(
        lambda: Box[int](), holds(lambda b: b.__orig_class__ == Box[int])
    ),
    "int | str": Case(
        lambda: union(int, str),
        holds(lambda u: set(typing.get_args(u)) == {int, str}),
        (3, 10),
    ),
    "int | None": Case(
        lambda: int | None,
        holds(lambda u: u == typing.Optional[int] or set(typing.get_args(u)) == {int, type(None)}),
        (3, 10),
    ),
    "list[int] | str": Case(
        lambda: list[int] | str,
        holds(lambda u: set(typing.get_args(u)) == {list[int], str}),
        (3, 10),
    ),
    "ParamSpec": Case(lambda: typing.ParamSpec("P"), holds(lambda p: p.__name__ == "P"), (3, 10)),
    "Callable of ParamSpec": Case(
        lambda: typing.Callable[typing.ParamSpec("P"), int], holds(callable), (3, 10)
    ),
    "Concatenate": Case(
        lambda: typing.Callable[typing.Concatenate[int, typing.ParamSpec("P")], int],
        holds(callable),
        (3, 10),
    ),
    "TypeVarTuple": Case(
        lambda: typing.TypeVarTuple("Ts"), holds(lambda p: p.__name__ == "Ts"), (3, 11)
    ),
    "new special forms": Case(
        lambda: [typing.Self, typing.Never, typing.LiteralString, typing.Required[int]],
        holds(
            lambda x: (
                [str(form)[:15] for form in x]
                == [
                    "typing.Self",
                    "typing.Never",
                    "typing.LiteralString"[:15],
                    "typing.Required[int]"[:15],
                ]
            )
        ),
        (3, 11),
    ),
    "TypeGuard": Case(
        lambda: typing.TypeGuard[int], holds(lambda x: str(x) == "typing.TypeGuard[int]"), (3, 10)
    ),
    "Unpack": Case(lambda: typing.Unpack[tuple[int]], holds(lambda x: x is not None), (3, 11)),
    "*tuple[int]": Case(lambda: next(iter(tuple[int])), holds(lambda x: x is not None), (3, 11)),
    "parts of ParamSpec": Case(
        lambda: (lambda p: [p.args, p.kwargs])(typing.ParamSpec("P")),
        holds(lambda x: len(x) == 2),
        (3, 10),
    ),
    "type alias": Case(
        lambda: typing.TypeAliasType("Ints", list[int]),
        holds(lambda x: getattr(x, "__value__", x) == list[int]),
        (3, 12),
    ),
    "annotations": Case(lambda: typing.get_type_hints(Row)),
    "signature": Case(lambda: inspect.signature(function)),
    "parameter": Case(lambda: inspect.signature(function).parameters["y"]),
    "parameters": Case(lambda: inspect.signature(function).parameters, gives(list)),
    "argument specification": Case(lambda: inspect.getfullargspec(function)),
    "bound arguments": Case(lambda: inspect.signature(function).bind(1, z=2)),
    "KW_ONLY": Case(lambda: dataclasses.KW_ONLY, holds(lambda x: "KW_ONLY" in repr(x)), (3, 10)),
    "StrEnum": Case(lambda: enum.StrEnum, holds(lambda x: issubclass(x, str)), (3, 11)),
    "HTTPMethod": Case(lambda: http.HTTPMethod.GET, holds(lambda x: x == "GET"), (3, 11)),
    "new signal": Case(lambda: signal.Signals.SIGSTKFLT, holds(lambda x: x == 16), (3, 11), False),
    # traceback, time, system
    "FrameSummary": Case(
        lambda: traceback.FrameSummary("f.py", 3, "g", line="x = 1", locals={"a": 1}),
        alike("filename", "lineno", "name", "line", "locals"),
    ),
    "StackSummary": Case(frames, holds(lambda s: s[0].name == "frames" and "raise" in s[0].line)),
    "StackSummary formatted": Case(frames, holds(lambda s: "ValueError" in "".join(s.format()))),
    "struct_time": Case(
        lambda: time.gmtime(86400.0), gives(lambda t: (tuple(t), t.tm_zone, t.tm_gmtoff))
    ),
    "stat_result": Case(
        lambda: os.stat("/"), holds(lambda s: stat.S_ISDIR(s.st_mode) and s.st_mtime_ns)
    ),
    "stat_result's times": Case(
        lambda: os.stat("/dev/null"), holds(lambda s: abs(s.st_mtime - s.st_mtime_ns / 1e9) < 1)
    ),
    "statvfs_result": Case(lambda: os.statvfs("/"), holds(lambda s: s.f_bsize > 0)),
    "times_result": Case(os.times, holds(lambda t: t.elapsed > 0)),
    "uname_result": Case(os.uname),
    "terminal_size": Case(lambda: os.terminal_size((80, 24))),
    "sched_param": Case(lambda: os.sched_param(1), holds(lambda p: p.sched_priority == 1)),
    "rusage": Case(
        lambda: resource.getrusage(resource.RUSAGE_SELF), holds(lambda r: r.ru_maxrss > 0)
    ),
    "password entry": Case(lambda: __import__("pwd").getpwuid(0), holds(lambda p: p.pw_uid == 0)),
    "group entry": Case(lambda: __import__("grp").getgrgid(0), holds(lambda g: g.gr_gid == 0)),
    "version_info": Case(lambda: sys.version_info, holds(lambda v: v.major == 3 and v >= (3, 9))),
    "float_info": Case(lambda: sys.float_info, holds(lambda f: f.max == sys.float_info.max)),
    "int_info": Case(lambda: sys.int_info, holds(lambda f: f.bits_per_digit > 0)),
    "hash_info": Case(lambda: sys.hash_info, holds(lambda f: f.width > 0)),
    "flags of the interpreter": Case(lambda: sys.flags, holds(lambda f: f.optimize == 0)),
    "implementation": Case(lambda: sys.implementation, holds(lambda f: f.name and f.version)),
    "clock info": Case(lambda: time.get_clock_info("time"), holds(lambda c: c.monotonic is False)),
    "environ": Case(lambda: os.environ, holds(lambda e: e["PATH"])),
    "uname of platform": Case(
        lambda: __import__("platform").uname(), holds(lambda u: u.system == "Linux")
    ),
    # text
    "pattern": Case(lambda: re.compile("a(?P<b>.)", re.I | re.S)),
    "bytes pattern": Case(lambda: re.compile(b"a.")),
    "match": Case(
        lambda: re.search(r"(?P<x>\d)(z)?", "ab1c"),
        gives(lambda m: (m.group(), m.span(), m.groupdict(), m.groups(), m.pos, m.string)),
    ),
    "second match": Case(
        lambda: list(re.finditer(r"\b\w", "ab cd"))[1], gives(lambda m: (m.group(), m.span()))
    ),
    "full match": Case(
        lambda: re.compile("a|ab").fullmatch("xab", 1),
        gives(lambda m: (m.group(), m.span(), m.pos)),
    ),
    "template": Case(lambda: string.Template("$a"), alike("template")),
    "StringIO": Case(
        lambda: positioned(io.StringIO("abc\r\ndef", newline=""), 2),
        gives(lambda f: (f.tell(), f.getvalue(), f.read())),
    ),
    "BytesIO": Case(
        lambda: positioned(io.BytesIO(b"abc"), 2),
        gives(lambda f: (f.tell(), f.getvalue(), f.read())),
    ),
    "TextWrapper": Case(
        lambda: textwrap.TextWrapper(30), holds(lambda w: w.width == 30 and w.fill("a"))
    ),
    "SequenceMatcher": Case(
        lambda: difflib.SequenceMatcher(None, "ab", "ac"), gives(lambda m: m.ratio())
    ),
    "Struct": Case(lambda: struct.Struct("<iH"), gives(lambda s: (s.format, s.pack(1, 2)))),
    "Struct subclass": Case(lambda: MyStruct("<i"), gives(lambda s: s.format)),
    "memoryview": Case(
        lambda: memoryview(b"abc"), gives(lambda m: (bytes(m), m.readonly, m.format))
    ),
    "writable memoryview": Case(
        lambda: memoryview(bytearray(b"abc")),
        holds(lambda m: not m.readonly and bytes(m) == b"abc"),
    ),
    "shaped memoryview": Case(
        lambda: memoryview(array.array("i", range(6))).cast("B").cast("i", (2, 3)),
        gives(lambda m: (m.tolist(), m.format, m.shape, m.readonly)),
    ),
    "strided memoryview": Case(lambda: memoryview(b"abcdef")[::2], gives(lambda m: m.tolist())),
    "empty memoryview": Case(lambda: memoryview(b""), gives(lambda m: m.tolist())),
    "large memoryview": Case(
        lambda: memoryview(bytearray(100_000)),
        holds(lambda m: len(m) == 100_000 and not m.readonly),
    ),
    "array": Case(lambda: array.array("d", [1.5, 2])),
    **{
        f"array {code}": Case(lambda code=code: array.array(code, [1, 2])) for code in "bBhHiIlLqQf"
    },
    "large array": Case(lambda: array.array("d", bytes(80_000))),
    "empty array": Case(lambda: array.array("i")),
    # numbers, time
    "Random": Case(
        lambda: advanced(iter(random.Random(5).random, None), 0) and random.Random(5),
        gives(lambda r: r.getstate()),
    ),
    "Random subclass": Case(lambda: MyRandom(5), gives(lambda r: r.random())),
    "SystemRandom": Case(random.SystemRandom, holds(lambda r: 0 <= r.random() < 1)),
    "Decimal": Case(lambda: [decimal.Decimal("1.50"), decimal.Decimal("-Infinity")], gives(repr)),
    "decimal context": Case(lambda: decimal.Context(prec=5, traps=[decimal.Inexact]), gives(repr)),
    "decimal context with flags": Case(
        lambda: (lambda c: (c.divide(1, 3), c)[1])(decimal.Context(prec=5)), gives(repr)
    ),
    "Fraction": Case(lambda: fractions.Fraction(1, 3)),
    "NormalDist": Case(lambda: statistics.NormalDist(1, 2)),
    "datetime": Case(
        lambda: datetime.datetime(2020, 2, 3, 4, 5, 6, 7, fold=1), gives(lambda d: (d, d.fold))
    ),
    "aware datetime": Case(
        lambda: datetime.datetime(
            2020, 2, 3, tzinfo=datetime.timezone(datetime.timedelta(hours=2), "X")
        )
    ),
    "date and time": Case(
        lambda: [datetime.date(2020, 1, 2), datetime.time(1, 2), datetime.timedelta(1, 2)]
    ),
    "UTC": Case(lambda: datetime.timezone.utc),
    "isocalendar": Case(
        lambda: datetime.date(2020, 1, 2).isocalendar(), holds(lambda c: tuple(c) == (2020, 1, 4))
    ),
    "UUID": Case(lambda: uuid.UUID(int=5)),
    "addresses": Case(
        lambda: [
            ipaddress.ip_address("::1"),
            ipaddress.ip_network("10.0.0.0/8"),
            ipaddress.ip_interface("10.0.0.1/8"),
        ]
    ),
    "IPv6 with scope": Case(lambda: ipaddress.ip_address("fe80::1%1")),
    "paths": Case(
        lambda: [pathlib.Path("a/b"), pathlib.PurePosixPath("/x"), pathlib.PureWindowsPath("c:\\x")]
    ),
    "path that was looked at": Case(
        lambda: (lambda p: (str(p), hash(p), p.parts, p)[3])(pathlib.Path("/a/b"))
    ),
    "path subclass": Case(lambda: MyPath("a/b")),
    "paths in a set": Case(lambda: {pathlib.Path("a"), pathlib.Path("b")}),
    "calendar": Case(calendar.TextCalendar, alike("firstweekday")),
    # modules, loggers, the rest of the library
    "module": Case(lambda: math, identical),
    "submodule": Case(lambda: os.path, identical),
    "modules": Case(lambda: [sys, io, json, collections.abc, xml.etree.ElementTree, re]),
    "logger": Case(logger_case, identical),
    "root logger": Case(logging.getLogger, identical),
    "logger adapter": Case(
        lambda: logging.LoggerAdapter(logger_case(), {"a": 1}), alike("extra", "logger")
    ),
    "log record": Case(
        lambda: logging.makeLogRecord({"msg": "a %s", "args": (1,)}),
        gives(lambda r: r.getMessage()),
    ),
    "formatter": Case(
        lambda: logging.Formatter("%(message)s"),
        gives(lambda f: f.format(logging.makeLogRecord({"msg": "a"}))),
    ),
    "stdout": Case(lambda: sys.stdout, identical),
    "stderr": Case(lambda: sys.stderr, identical),
    "weak reference": Case(
        with_weak_reference, holds(lambda root: root.children[0].parent() is root)
    ),
    "weak reference to a class": Case(lambda: weakref.ref(Point), holds(lambda r: r() is Point)),
    "dead weak reference": Case(dead_reference, holds(lambda r: r() is None)),
    "WeakSet": Case(lambda: weakref.WeakSet([Point, Color]), gives(set)),
    "WeakValueDictionary": Case(lambda: weak_values(weakref.WeakValueDictionary), gives(dict)),
    "WeakKeyDictionary": Case(lambda: weakref.WeakKeyDictionary({Point: 1}), gives(dict)),
    "WeakMethod": Case(
        lambda: weakref.WeakMethod(Point.origin), holds(lambda m: m() == Point.origin)
    ),
    "ArgumentParser": Case(
        lambda: set_attribute(argparse.ArgumentParser("p"), "x", 1),
        holds(lambda p: p.parse_args([]) == argparse.Namespace() and p.format_help()),
    ),
    "Namespace": Case(lambda: argparse.Namespace(a=1)),
    "ConfigParser": Case(
        lambda: (lambda c: (c.read_dict({"a": {"b": "c"}}), c)[1])(configparser.ConfigParser()),
        holds(lambda c: c["a"]["b"] == "c"),
    ),
    "SplitResult": Case(lambda: urllib.parse.urlsplit("http://a/b?c#d")),
    "ParseResult": Case(lambda: urllib.parse.urlparse("http://a/b?c#d")),
    "Request": Case(
        lambda: urllib.request.Request("http://a/b", headers={"X": "y"}),
        alike("full_url", "headers"),
    ),
    "cookies": Case(lambda: http.cookies.SimpleCookie("a=b"), gives(lambda c: c.output())),
    "EmailMessage": Case(
        lambda: (lambda m: (m.set_content("hello"), m)[1])(email.message.EmailMessage()),
        gives(str),
    ),
    "Message": Case(lambda: email.message.Message(), gives(str)),
    "Element": Case(
        lambda: xml.etree.ElementTree.fromstring("<a b='c'><d/>t</a>"),
        gives(xml.etree.ElementTree.tostring),
    ),
    "ElementTree": Case(
        lambda: xml.etree.ElementTree.ElementTree(xml.etree.ElementTree.Element("a")),
        gives(lambda t: t.getroot().tag),
    ),
    "minidom": Case(lambda: xml.dom.minidom.parseString("<a/>"), gives(lambda d: d.toxml())),
    "syntax tree": Case(
        lambda: ast.parse("def f(a, *b, c=1):\n    return [x for x in a if x] + f'{b}'"),
        gives(ast.dump),
    ),
    "syntax tree's places": Case(
        lambda: ast.parse("x = 1\n"), gives(lambda t: ast.dump(t, include_attributes=True))
    ),
    "compiled syntax tree": Case(
        lambda: ast.parse("x = 1\n"), holds(lambda t: compile(t, "f", "exec"))
    ),
    "bare syntax node": Case(lambda: ast.Load(), same),
    "token": Case(lambda: next(tokenize.generate_tokens(io.StringIO("a").readline))),
    "TopologicalSorter": Case(
        lambda: graphlib.TopologicalSorter({"a": {"b"}}),
        holds(lambda t: list(t.static_order()) == ["b", "a"]),
    ),
    "CompletedProcess": Case(
        lambda: subprocess.CompletedProcess(["a"], 0, b"x"), alike("args", "returncode", "stdout")
    ),
    "ZipInfo": Case(lambda: zipfile.ZipInfo("a"), alike("filename", "date_time", "compress_type")),
    "ModuleSpec": Case(lambda: importlib.util.find_spec("json"), alike("name")),
    "ctypes int": Case(lambda: ctypes.c_int(5), alike("value")),
    "ctypes array": Case(lambda: (ctypes.c_double * 2)(1, 2), holds(lambda a: list(a) == [1, 2])),
    "ctypes structure": Case(
        lambda: Pair(1, (ctypes.c_double * 2)(2, 3)),
        holds(lambda p: (p.a, list(p.b)) == (1, [2, 3])),
    ),
    "codec": Case(lambda: codecs.lookup("utf-8"), alike("name")),
    "exceptions": Case(
        lambda: [ValueError("a"), OSError(2, "b", "c"), KeyError(1)],
        gives(lambda x: [(type(e), e.args) for e in x]),
    ),
    # The builtin one since 3.11, and a class of their own before.
    "asyncio.TimeoutError": Case(lambda: asyncio.TimeoutError, timed_out),
    "futures' TimeoutError": Case(lambda: concurrent.futures.TimeoutError, timed_out),
    "socket.timeout": Case(lambda: socket.timeout, timed_out),
    "nullcontext": Case(lambda: contextlib.nullcontext(3), holds(lambda c: entered(c) == 3)),
    "suppress": Case(lambda: contextlib.suppress(KeyError), holds(lambda c: entered(c) is None)),
    "ExitStack": Case(contextlib.ExitStack, holds(lambda c: entered(c) is c)),
    "reprlib": Case(reprlib.Repr, alike("maxlist")),
    "PrettyPrinter": Case(pprint.PrettyPrinter, holds(lambda p: p.pformat(1) == "1")),
    "mimetypes": Case(
        mimetypes.MimeTypes, holds(lambda m: m.guess_type("a.txt")[0] == "text/plain")
    ),
    "shlex": Case(lambda: io.StringIO("a b"), gives(lambda f: f.read())),
    "robots": Case(urllib.robotparser.RobotFileParser, alike("url")),
    "JSON encoder": Case(lambda: json.JSONEncoder(indent=1), gives(lambda e: e.encode([1]))),
    "JSON decoder": Case(json.JSONDecoder, holds(lambda d: d.decode("[1]") == [1])),
    "string formatter": Case(string.Formatter, holds(lambda f: f.format("{}", 1) == "1")),
    "unittest.TestCase": Case(
        lambda: unittest.TestCase("assertTrue"), holds(lambda t: t.assertTrue(True) is None)
    ),
    "copyreg'd": Case(lambda: re.compile("x").flags),
    "HTTP headers": Case(lambda: email.header.Header("a"), gives(str)),
    "email policy": Case(lambda: email.policy.default, alike("max_line_length")),
    "TarInfo": Case(lambda: __import__("tarfile").TarInfo("a"), alike("name", "size")),
    "ftp error": Case(lambda: ftplib.error_perm("x"), gives(lambda e: e.args)),
    "completed dataclass": Case(lambda: dataclasses.astuple(Record(1, [2]))),
    "plist UID": Case(lambda: plistlib.UID(3)),
    "hmac key": Case(lambda: hmac.digest(b"k", b"m", "sha256")),
    "heap": Case(lambda: heapq.nsmallest(2, [3, 1, 2])),
    "Number": Case(
        lambda: [numbers.Number, cmath.pi, base64.b64encode(b"a"), html.parser.HTMLParser]
    ),
    "optparse values": Case(lambda: optparse.Values({"a": 1})),
    "locale": Case(lambda: locale.localeconv()),
    "fold of copies": Case(lambda: copy.copy(Point(1, 2))),
    "warning": Case(
        lambda: warnings.WarningMessage("m", UserWarning, "f", 1), alike("message", "lineno")
    ),
    "escape": Case(lambda: xml.sax.saxutils.escape, identical),
    "scheduled event": Case(lambda: sched.scheduler, identical),
}


def _open_text():
    return open(os.devnull, encoding="utf-8")


async def coroutine():
    """Nothing."""


def made_coroutine():
    made = coroutine()
    weakref.finalize(made, int)
    made.close()
    return made


def executor():
    made = concurrent.futures.ThreadPoolExecutor(1)
    made.shutdown()
    return made


def event_loop():
    made = asyncio.new_event_loop()
    made.close()
    return made


def memory_map():
    return mmap.mmap(-1, 10)


CANNOT: "dict[str, Refusal]" = {
    "text file": Refusal(_open_text, "an open file"),
    "binary file": Refusal(lambda: open(os.devnull, "rb"), "an open file"),
    "file to write": Refusal(lambda: open(os.devnull, "wb"), "an open file"),
    "file for both": Refusal(lambda: open(os.devnull, "r+b"), "an open file"),
    "raw file": Refusal(lambda: open(os.devnull, "rb", buffering=0), "an open file"),
    "temporary file": Refusal(tempfile.TemporaryFile, "an open file"),
    "named temporary file": Refusal(tempfile.NamedTemporaryFile, "an open file"),
    "temporary directory": Refusal(tempfile.TemporaryDirectory, "a temporary directory"),
    "stdin": Refusal(lambda: sys.__stdin__, "an open file"),
    "gzip file": Refusal(lambda: gzip.GzipFile(fileobj=io.BytesIO(), mode="w"), "an open file"),
    "zip file": Refusal(lambda: zipfile.ZipFile(io.BytesIO(), "w"), "an open archive"),
    "lock": Refusal(threading.Lock, "a lock"),
    "RLock": Refusal(threading.RLock, "a lock"),
    "condition": Refusal(threading.Condition, "a lock"),
    "event": Refusal(threading.Event, "a lock"),
    "semaphore": Refusal(threading.Semaphore, "a lock"),
    "thread": Refusal(threading.Thread, "a thread"),
    "thread-local": Refusal(threading.local, "a thread-local"),
    "queue": Refusal(queue.Queue, "a queue"),
    "simple queue": Refusal(queue.SimpleQueue, "a queue"),
    "generator": Refusal(generator, "a generator"),
    "generator expression": Refusal(lambda: (x for x in ()), "a generator"),
    "coroutine": Refusal(made_coroutine, "a coroutine"),
    "frame": Refusal(sys._getframe, "a frame"),
    "traceback": Refusal(lambda: traceback_of(ValueError()), "a traceback"),
    "socket": Refusal(socket.socket, "a socket"),
    "sqlite connection": Refusal(lambda: sqlite3.connect(":memory:"), "a database connection"),
    "sqlite cursor": Refusal(lambda: sqlite3.connect(":memory:").cursor(), "a database cursor"),
    "ctypes pointer": Refusal(lambda: ctypes.pointer(ctypes.c_int()), "a pointer"),
    "ctypes string": Refusal(lambda: ctypes.c_char_p(b"a"), "a pointer"),
    "ctypes structure with a pointer": Refusal(lambda: Texts(1, b"a"), "a pointer"),
    "ctypes function": Refusal(lambda: ctypes.CDLL(None).abs, "a C function"),
    "library": Refusal(lambda: ctypes.CDLL(None), "a C library"),
    "hash": Refusal(hashlib.sha256, "a hash"),
    "blake2": Refusal(hashlib.blake2b, "a hash"),
    "hmac": Refusal(lambda: hmac.new(b"a", digestmod="sha256"), "a hash"),
    "compressor": Refusal(zlib.compressobj, "a compressor"),
    "decompressor": Refusal(zlib.decompressobj, "a compressor"),
    "process": Refusal(
        lambda: set_attribute(subprocess.Popen([sys.executable, "-c", ""]), "waited", 1),
        "a process",
    ),
    "executor": Refusal(executor, "an executor"),
    "future": Refusal(concurrent.futures.Future, "a future"),
    "event loop": Refusal(event_loop, "an event loop"),
    "context variable": Refusal(lambda: contextvars.ContextVar("a"), "a context variable"),
    "context": Refusal(contextvars.copy_context, "a context"),
    "TLS context": Refusal(lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "a TLS context"),
    "tee": Refusal(lambda: itertools.tee([1])[0], "an iterator of itertools.tee"),
    "group": Refusal(lambda: next(itertools.groupby("a"))[1], "a group of itertools.groupby"),
    "csv dialect": Refusal(lambda: csv.get_dialect("excel"), "a csv dialect"),
    "mock": Refusal(unittest.mock.Mock, "a mock"),
    "call": Refusal(lambda: unittest.mock.call(1), "the call of a mock"),
    "stream": Refusal(lambda: codecs.getreader("utf-8")(io.BytesIO()), "an open stream"),
    "XML parser": Refusal(xml.etree.ElementTree.XMLParser, "a parser"),
    "expat parser": Refusal(lambda: xml.parsers.expat.ParserCreate(), "a parser"),
    "scanner": Refusal(lambda: re.Scanner([("a", None)]).scanner, "a scanner's pattern"),
    "memory map": Refusal(memory_map, "a memory map"),
    "selector": Refusal(selectors.DefaultSelector, "a selector"),
    "poll": Refusal(select.poll, "a selector"),
    "scandir": Refusal(lambda: os.scandir("/"), "a directory that is being read"),
    "directory entry": Refusal(lambda: next(reversed(list(os.scandir("/")))), "a directory entry"),
    "csv reader": Refusal(lambda: csv.reader([]), "a csv reader"),
    "csv writer": Refusal(lambda: csv.writer(io.StringIO()), "a csv writer"),
    "finder": Refusal(lambda: re.finditer("a", "a"), "an iterator"),
    "weak proxy": Refusal(lambda: weakref.proxy(Point), "a weak proxy"),
    "finalizer": Refusal(lambda: weakref.finalize(Point, int), "a finalizer"),
    "multiprocessing lock": Refusal(lambda: multiprocessing.get_context("fork").Lock(), "a lock"),
    "multiprocessing process": Refusal(multiprocessing.Process, "a process"),
    "handler": Refusal(lambda: logging.handlers.BufferingHandler(1), "a lock"),
    "async generator": Refusal(lambda: _async_generator(), "a generator"),
}


async def _async_generator():
    yield 1
