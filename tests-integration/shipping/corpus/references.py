"""What travels by its name: builtins, functions of C, and the standard library."""

import collections
import datetime
import decimal
import itertools
import json
import math
import operator
import os.path
import random
import re
import string
import struct
import sys
import textwrap
import zlib

from harness import case


@case
def builtin_functions(call):
    assert call(abs, -3) == 3
    assert call(sorted, [2, 1], reverse=True) == [2, 1]
    assert call(divmod, 7, 2) == (3, 1)
    assert call(max, 1, 5, 2) == 5
    assert call(sum, [1, 2], 10) == 13


@case
def builtin_types(call):
    assert call(int, "12") == 12
    assert call(list, "ab") == ["a", "b"]
    assert call(dict, a=1) == {"a": 1}
    assert call(type, 1) is int


@case
def functions_written_in_c(call):
    assert call(math.hypot, 3, 4) == 5.0
    assert call(operator.mul, 6, 7) == 42
    assert call(zlib.crc32, b"abc") == zlib.crc32(b"abc")
    assert call(struct.pack, ">I", 1) == b"\0\0\0\1"


@case
def functions_written_in_python(call):
    assert call(textwrap.dedent, "  a") == "a"
    assert call(os.path.join, "a", "b") == "a/b"
    assert call(json.loads, "[1]") == [1]


@case
def types_of_the_library(call):
    assert call(collections.OrderedDict, a=1) == collections.OrderedDict(a=1)
    assert call(datetime.date, 2020, 1, 2) == datetime.date(2020, 1, 2)
    assert call(decimal.Decimal, "1.5") == decimal.Decimal("1.5")


@case
def methods_of_library_types(call):
    assert call(datetime.date.fromisoformat, "2020-01-02") == datetime.date(2020, 1, 2)
    assert call(datetime.date(2020, 1, 2).isoformat) == "2020-01-02"
    assert call(collections.Counter("aab").most_common, 1) == [("a", 2)]


@case
def by_a_string(call):
    if call.remote:
        assert call("math:floor", 2.5) == 2
        assert call("os.path:basename", "/a/b") == "b"
        assert call("datetime:date.fromisoformat", "2020-01-02") == datetime.date(2020, 1, 2)


@case
def in_a_dispatch_table(call):
    table = {"up": str.upper, "len": len, "sqrt": math.sqrt, "add": operator.add, "type": type}
    assert call(lambda: (table["up"]("a"), table["len"]([1]), table["sqrt"](4))) == ("A", 1, 2.0)
    assert call(lambda: table["add"](1, 2)) == 3


@case
def iterators_of_itertools(call):
    assert call(lambda: list(itertools.permutations("ab"))) == [("a", "b"), ("b", "a")]
    assert call(lambda f: list(f("ab", repeat=2)), itertools.product)[1] == ("a", "b")


@case
def a_bound_method_of_random(call):
    assert call(random.Random(5).random) == random.Random(5).random()


@case
def a_compiled_pattern_and_its_methods(call):
    pattern = re.compile(r"(\w)(\d)")
    assert call(lambda: pattern.sub(r"\2\1", "a1 b2")) == "1a 2b"
    assert call(pattern.findall, "a1") == [("a", "1")]


@case
def standard_streams(call):
    out, err = sys.stdout, sys.stderr
    assert call(lambda: (out is sys.stdout, err is sys.stderr)) == (True, True)


@case
def constants_of_modules(call):
    assert call(lambda: string.ascii_lowercase[:3] + os.sep) == "abc/"


@case
def modules_as_values(call):
    assert call(lambda module: module.sqrt(16), math) == 4.0
    assert call(lambda: math) is math
    assert call(lambda modules: [m.__name__ for m in modules], [json, os.path]) == [
        "json",
        "posixpath",
    ]


@case
def modules_in_containers_and_attributes(call):
    class Engine:
        backend = json

    assert call(lambda: Engine.backend.dumps(1)) == "1"


@case
def exceptions_by_name(call):
    assert call(lambda kinds: [k.__name__ for k in kinds], [KeyError, json.JSONDecodeError]) == [
        "KeyError",
        "JSONDecodeError",
    ]


@case
def types_that_have_no_public_name(call):
    import types

    kinds = [types.FunctionType, types.GeneratorType, type(None), type(...), types.MethodType]
    assert call(lambda k: k, kinds) == kinds


@case
def builtin_with_keyword_only_arguments(call):
    assert call(lambda f: f("a b c", maxsplit=1), str.split) == ["a", "b c"]
    assert call(sorted, "bca", key=ord, reverse=True) == ["c", "b", "a"]


@case
def namedtuple_types_of_the_library(call):
    from urllib.parse import ParseResult, urlparse

    back = call(urlparse, "http://h/p?q")
    assert type(back) is ParseResult
    assert back.path == "/p"


@case
def operator_functions_and_slot_wrappers(call):
    assert call(lambda f: f(1, 2), int.__add__) == 3
    assert call(lambda f: f([3]), list.__len__) == 1
    assert call(lambda f: f(5), (2).__add__) == 7
