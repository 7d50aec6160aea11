"""Values of the standard library: as arguments, captured, as results, and made there.

Each entry is a function that makes a value, and optionally what to compare it by. One case sends
the value there and back, has it captured by a closure, and has it made on the other side.
"""

import array
import ast
import calendar
import collections
import configparser
import copy
import csv
import datetime
import decimal
import difflib
import email.message
import enum
import fractions
import functools
import graphlib
import heapq
import http
import http.cookies
import inspect
import io
import ipaddress
import itertools
import json
import locale
import logging
import math
import mimetypes
import numbers
import operator
import os
import pathlib
import pickle
import platform
import queue
import random
import re
import secrets
import shlex
import signal
import socket
import sqlite3
import ssl
import statistics
import string
import struct
import sys
import textwrap
import time
import traceback
import types
import typing
import urllib.parse
import uuid
import xml.etree.ElementTree as etree
import zoneinfo
from collections import abc

from harness import Skipped, case, matches

UTC = datetime.timezone.utc
WHEN = datetime.datetime(2024, 2, 29, 12, 30, 15, 250, tzinfo=UTC)


def xml_text(element):
    return etree.tostring(element)


def listed(iterable):
    return list(iterable)


def state(generator):
    return generator.getstate()


def same_types(values):
    return [(type(value), value) for value in values]


def text(value):
    return repr(value)


def as_dict(value):
    return dict(value)


def memory(view):
    return type(view), view.tobytes()


def message(value):
    return value.as_string()


def fields(value):
    return type(value), vars(value)


def tuple_of(value):
    return type(value), tuple(value)


def frame(value):
    return value.filename, value.lineno, value.name, value.line


def log_record(record):
    return record.name, record.levelno, record.getMessage()


# Makers are functions of this script: they travel, and run on either side.
VALUES = {
    # numbers
    "integers": lambda: [0, -1, 255, 2**31, -(2**63), 2**64, 10**100, True],
    "floats": lambda: [0.1, -0.0, 1e308, 5e-324, math.inf, -math.inf],
    "nan": (lambda: math.nan, math.isnan),
    "complex": lambda: [1j, complex(1, -2), complex(-0.0, 0.0)],
    "decimals": lambda: [
        decimal.Decimal("1.10"),
        decimal.Decimal("-Infinity"),
        decimal.Decimal("1E+9"),
    ],
    "decimal_context": (lambda: decimal.Context(prec=5), lambda c: (c.prec, c.rounding)),
    "fractions": lambda: [fractions.Fraction(1, 3), fractions.Fraction(-5)],
    "types_of_numbers": (lambda: [1, 1.0, True, 1j], same_types),
    # text and bytes
    "strings": lambda: ["", "é", "\0", "\U0001f600", "a" * 1000, "line\nline"],
    "surrogates": lambda: "\ud800 lone",
    "bytes": lambda: [b"", b"\0\xff", bytes(range(256))],
    "bytearrays": (lambda: [bytearray(b"abc"), bytearray()], same_types),
    "memoryview": (lambda: memoryview(b"abcd"), memory),
    "memoryview_cast": (lambda: memoryview(b"abcdefgh").cast("I"), memory),
    "array_of_each_code": lambda: [array.array(c, [1, 2]) for c in "bBhHiIlLqQfd"],
    "template": (lambda: string.Template("$a b"), lambda t: t.substitute(a=1)),
    "struct": (lambda: struct.Struct(">IH"), lambda s: (s.format, s.size)),
    "pattern": lambda: re.compile(r"a(?P<b>\d+)", re.I | re.M),
    "pattern_of_bytes": lambda: re.compile(rb"\d"),
    # containers
    "containers": lambda: [(), (1,), [], {}, set(), frozenset({1, 2}), {1: {2: [3]}}],
    "range": lambda: [range(5), range(0, -10, -3), range(10**20)],
    "slice": lambda: [slice(1), slice(1, 2, 3), slice(None, "b")],
    "singletons": lambda: [None, True, False, ..., NotImplemented],
    "ordered_dict": (
        lambda: collections.OrderedDict([("b", 1), ("a", 2)]),
        lambda d: (type(d), list(d.items())),
    ),
    "default_dict": (
        lambda: collections.defaultdict(list, {"a": [1]}),
        lambda d: (d, d["new"], d.default_factory),
    ),
    "default_dict_of_lambda": (lambda: collections.defaultdict(lambda: 7), lambda d: d["x"]),
    "counter": lambda: collections.Counter("abca"),
    "deque": (lambda: collections.deque([1, 2, 3], maxlen=2), lambda d: (list(d), d.maxlen)),
    "chain_map": lambda: collections.ChainMap({"a": 1}, {"a": 2, "b": 3}),
    "user_containers": lambda: [
        collections.UserDict(a=1),
        collections.UserList([1]),
        collections.UserString("s"),
    ],
    "mapping_proxy": (lambda: types.MappingProxyType({"a": 1}), lambda p: (type(p), dict(p))),
    "dict_views": (
        lambda: [{"a": 1}.keys(), {"a": 1}.values(), {"a": 1}.items()],
        lambda v: [list(x) for x in v],
    ),
    "simple_namespace": lambda: types.SimpleNamespace(a=1, b=[2]),
    # times
    "dates": lambda: [
        datetime.date(1, 1, 1),
        datetime.time(1, 2, 3, 4),
        WHEN,
        datetime.timedelta(-1, 5),
    ],
    "time_zones": lambda: [UTC, datetime.timezone(datetime.timedelta(hours=-5), "EST")],
    "fold": (lambda: datetime.datetime(2020, 1, 1, fold=1), lambda d: (d, d.fold)),
    "zone_info": (lambda: zoneinfo.ZoneInfo("UTC"), lambda z: z.key),
    "struct_time": (lambda: time.gmtime(86400), tuple_of),
    "calendar": (lambda: calendar.TextCalendar(6), lambda c: (type(c), c.firstweekday)),
    # paths, addresses, identifiers
    "paths": (lambda: [pathlib.PurePosixPath("/a/b"), pathlib.PureWindowsPath("c:/x")], same_types),
    "path": (lambda: pathlib.Path("/a") / "b", lambda p: (type(p), str(p))),
    "uuid": lambda: uuid.UUID(int=5),
    "ip_addresses": lambda: [ipaddress.ip_address("10.0.0.1"), ipaddress.ip_network("fe80::/10")],
    "ip_interface": lambda: ipaddress.ip_interface("10.0.0.1/24"),
    "urls": (
        lambda: [urllib.parse.urlparse("http://h/p"), urllib.parse.urlsplit("//h")],
        same_types,
    ),
    "stat_result": (lambda: os.stat(os.devnull), lambda s: (type(s), s.st_mode, s.st_ino, s.st_size)),
    "terminal_size": (lambda: os.terminal_size((80, 24)), tuple_of),
    "uname_result": (lambda: platform.uname(), lambda u: u.system),
    # enumerations and constants of the library
    "http_status": lambda: [http.HTTPStatus.NOT_FOUND],
    "signals": lambda: [signal.SIGTERM, signal.Signals.SIGINT],
    "socket_constants": lambda: [socket.AF_INET, socket.SOCK_STREAM],
    "regular_expression_flags": lambda: re.I | re.X,
    "parameter_kinds": lambda: inspect.Parameter.KEYWORD_ONLY,
    "uuid_safety": lambda: uuid.SafeUUID.unknown,
    # iterators
    "list_iterator": (lambda: iter([1, 2]), listed),
    "tuple_and_string_iterators": (
        lambda: [iter((1,)), iter("ab")],
        lambda v: [list(i) for i in v],
    ),
    "dict_iterator": (lambda: iter({"a": 1}), listed),
    "set_iterator": (lambda: iter({5}), listed),
    "range_iterator": (lambda: iter(range(3)), listed),
    "reversed": (lambda: reversed([1, 2]), listed),
    "enumerate": (lambda: enumerate("ab"), listed),
    "zip": (lambda: zip("ab", [1, 2]), listed),
    "map_of_builtin": (lambda: map(str, [1, 2]), listed),
    "map_of_lambda": (lambda: map(lambda x: x + 1, [1, 2]), listed),
    "filter": (lambda: filter(None, [0, 1]), listed),
    # objects with state
    "random_state": (lambda: random.Random(3), lambda r: r.random()),
    "string_io": (lambda: io.StringIO("text"), lambda f: f.read()),
    "bytes_io": (lambda: io.BytesIO(b"data"), lambda f: f.read()),
    "configuration": (lambda: configured(), lambda c: {s: dict(c[s]) for s in c.sections()}),
    "element": (lambda: etree.fromstring('<a b="1"><c/>t</a>'), xml_text),
    "email_message": (lambda: mailed(), message),
    "cookie": (lambda: http.cookies.SimpleCookie("a=1"), lambda c: c["a"].value),
    "normal_distribution": (lambda: statistics.NormalDist(1, 2), lambda d: (d.mean, d.stdev)),
    "json_encoder": (lambda: json.JSONEncoder(indent=1), lambda e: e.encode([1])),
    "logger": (lambda: logging.getLogger("corpus.x"), lambda log: log.name),
    "log_record": (lambda: logging.LogRecord("n", 20, "f", 1, "m %s", ("a",), None), log_record),
    "topological_sorter": (
        lambda: {1: {2}},
        lambda g: list(graphlib.TopologicalSorter(g).static_order()),
    ),
    "frame_summary": (lambda: traceback.FrameSummary("f.py", 3, "g", line="x = 1"), frame),
    "stack_summary": (
        lambda: traceback.StackSummary.from_list([("f.py", 3, "g", "x")]),
        lambda s: [frame(f) for f in s],
    ),
    "fast_queue_item": lambda: [(1, "a"), (2, "b")],
    "syntax_tree": (lambda: ast.parse("a + 1"), lambda t: ast.unparse(t)),
    "signature": (lambda: inspect.signature(lambda a, b=1, *, c: 0), text),
    "difference_match": lambda: difflib.SequenceMatcher(None, "ab", "b").find_longest_match(
        0, 2, 0, 1
    ),
    "csv_dialect": (lambda: csv.excel, lambda d: d.delimiter),
    "completed_process": (
        lambda: __import__("subprocess").CompletedProcess(["a"], 0, b"o"),
        fields,
    ),
    # callables and types
    "builtin_types": lambda: [int, str, list, dict, type, object, type(None), Exception],
    "library_types": lambda: [decimal.Decimal, pathlib.Path, collections.OrderedDict, uuid.UUID],
    "abstract_types": lambda: [abc.Mapping, numbers.Number, abc.Callable, typing.Any],
    "enum_type": lambda: [type(http.HTTPStatus), enum.Enum],
    "types_of_types": lambda: [types.FunctionType, types.ModuleType, types.SimpleNamespace],
    "errors_of_re_and_queue": lambda: [re.error, queue.Empty, queue.Full, json.JSONDecodeError],
    "modules": lambda: [math, os.path, json, sys],
    "generic_aliases": lambda: [list[int], dict[str, int], typing.List[str], typing.Optional[int]],
    "property_object": (lambda: property(operator.attrgetter("real")), lambda p: p.fget(5)),
    "static_and_class_methods": (
        lambda: [staticmethod(len), classmethod(len)],
        lambda v: [m.__func__ for m in v],
    ),
    "weak_method_and_partial": (lambda: functools.partial(int, base=2), lambda p: p("11")),
    "field_object": (lambda: dataclass_field(), lambda f: (f.name, f.default)),
    # what is pickled or copied
    "pickled": (lambda: pickle.dumps([1, {"a": "b"}], 2), pickle.loads),
    "deep_copy": (lambda: copy.deepcopy({"a": [1]}), as_dict),
    "heap": lambda: heapq.nsmallest(2, [3, 1, 2]),
    "shell_words": lambda: shlex.split("a 'b c'"),
    "wrapped_text": lambda: textwrap.wrap("a b c d", 3),
    "mime_type": lambda: mimetypes.guess_type("a.html"),
    "secret": (lambda: secrets.token_hex(2), len),
    "locale_conventions": (lambda: locale.localeconv()["decimal_point"], len),
    "row_of_a_database": (lambda: rows_of_a_database(), listed),
    "sockets_of_ssl": lambda: ssl.TLSVersion.TLSv1_2,
}


#: Iterators that do not travel from PyPy; `refusals` has them.
UNTOLD_BY_PYPY = {"enumerate"}


def configured():
    parser = configparser.ConfigParser()
    parser.read_string("[a]\nb = 1\n[c]\nd = %(e)s\ne = 2\n")
    return parser


def mailed():
    made = email.message.EmailMessage()
    made["Subject"] = "hello"
    made.set_content("body\n")
    return made


def dataclass_field():
    import dataclasses

    @dataclasses.dataclass
    class Holder:
        x: int = 5

    return dataclasses.fields(Holder)[0]


def rows_of_a_database():
    connection = sqlite3.connect(":memory:")
    return connection.execute("select 1, 'a'").fetchall()


def itself(value):
    return value


def each(name, make, key):
    """The case of one value."""

    def run(call):
        if name in UNTOLD_BY_PYPY and (call.here.pypy or call.there.pypy):
            raise Skipped("PyPy cannot tell where it is")
        expected = key(make())
        sent = make()
        assert key(call(itself, sent)) == expected, "sent there and back"
        sent = make()
        assert key(call(lambda: sent)) == expected, "captured"
        assert key(call(make)) == expected, "made there"
        sent = make()
        assert call(lambda: key(sent)) == expected, "looked at there"

    run.__name__ = name
    case(run)


for name, entry in VALUES.items():
    make, key = entry if isinstance(entry, tuple) else (entry, itself)
    each(name, make, key)


@case
def iterators_of_itertools(call):
    makers = {
        "count": lambda: itertools.count(3, 2),
        "repeat": lambda: itertools.repeat("x", 2),
        "chain": lambda: itertools.chain([1], [2]),
        "islice": lambda: itertools.islice([1, 2, 3], 1, 3),
        "product": lambda: itertools.product("ab", repeat=2),
    }
    for name, make in makers.items():
        if sys.version_info >= (3, 14) or call.there.version >= (3, 14):
            raise Skipped("from 3.14 on, iterators of itertools cannot be copied")
        got = call(lambda i: list(itertools.islice(i, 4)), make())
        assert got == list(itertools.islice(make(), 4)), name


@case
def a_cycle_of_itertools(call):
    def task(iterator):
        return list(itertools.islice(iterator, 5))

    if call.remote and not call.here.pypy and call.here.version >= (3, 14):
        matches(call.refused(task, itertools.cycle([1, 2])), "make a list of it")
    else:
        assert call(task, itertools.cycle([1, 2])) == [1, 2, 1, 2, 1]


@case(since=(3, 11))
def http_methods(call):
    assert call(itself, http.HTTPMethod.GET) is http.HTTPMethod.GET


@case
def a_wrapped_function_of_a_cached_property(call):
    @functools.cached_property
    def lazy(self):
        return 5

    assert call(lambda p: p.func(None), lazy) == 5


@case
def today_is_a_day(call):
    assert isinstance(call(datetime.date.today), datetime.date)


@case
def many_small_values(call):
    value = [(i, str(i), {"k": float(i)}) for i in range(2000)]
    assert call(itself, value) == value
