"""Things are sent under the public names that every version has, and found under any."""

import asyncio
import collections
import collections.abc
import concurrent.futures
import dataclasses
import enum
import functools
import http
import importlib
import io
import itertools
import operator
import os
import pathlib
import pickle
import queue
import random
import re
import ssl
import struct
import sys
import threading
import types
import typing
import warnings
import weakref

import pytest

from farm_common.shipping import aliases, pack, rebuild_exceptions, substitutes, unpack
from farm_common.shipping.aliases import public_name, resolve
from farm_common.shipping.importable import is_importable
from farm_common.shipping.rebuild_exceptions import group_class
from farm_common.shipping.substitutes import MissingForm

PYPY = sys.implementation.name == "pypy"

#: The standard library, but for what starts things, is gone in some version, or is of one platform.
MODULES = """
    abc argparse array ast asyncio base64 bisect builtins bz2 calendar cmath codecs collections
    collections.abc concurrent.futures configparser contextlib contextvars copy csv ctypes
    dataclasses datetime decimal difflib dis email email.message email.policy enum errno fnmatch
    fractions functools gc getpass gettext glob graphlib gzip hashlib heapq hmac html http
    http.client http.cookies importlib importlib.abc importlib.machinery importlib.metadata
    importlib.resources importlib.util inspect io ipaddress itertools json json.decoder
    json.encoder json.scanner keyword linecache locale logging logging.handlers lzma math mimetypes
    mmap multiprocessing numbers operator os os.path pathlib pickle pkgutil platform plistlib
    posixpath pprint queue random re reprlib sched secrets select selectors shlex shutil signal
    socket socketserver sqlite3 ssl stat statistics string struct subprocess sys sysconfig tarfile
    tempfile textwrap threading time timeit token tokenize traceback types typing unicodedata
    unittest unittest.mock urllib.error urllib.parse urllib.request uuid warnings weakref
    xml.dom.minidom xml.etree.ElementTree zipfile zlib zoneinfo
""".split()  # noqa: SIM905

#: Private modules that all versions have.
COMMON = frozenset({"_thread", "_ctypes", "email._encoded_words", "email._header_value_parser"})


def named(module):
    """The public classes and functions of a module."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in list(vars(importlib.import_module(module)).items()):
            kinds = (types.FunctionType, types.BuiltinFunctionType)
            is_class = isinstance(value, type) and not isinstance(value, types.GenericAlias)
            if not name.startswith("_") and (is_class or type(value) in kinds):
                yield name, value


@pytest.mark.parametrize("module", MODULES)
def test_what_is_sent_is_found(module):
    """Whatever has a public name is sent under one, and that finds it again."""
    private, lost = [], []
    for name, value in named(module):
        sent = public_name(value)
        if sent is None and is_importable(value):
            sent = value.__module__, getattr(value, "__qualname__", None) or value.__name__
        if sent is None:
            continue  # a method, or made by hand: it goes by value
        if resolve(*sent) is not value:
            lost.append((name, sent))
        hidden = any(part.startswith("_") for part in sent[0].split("."))
        home = getattr(value, "__module__", None) or ""
        if hidden and sent[0] not in COMMON and home.partition(".")[0] == module.partition(".")[0]:
            private.append((name, sent))
    assert lost == []
    assert private == []


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (pathlib.Path, ("pathlib", "Path")),
        (pathlib.PurePosixPath, ("pathlib", "PurePosixPath")),
        (functools.partial, ("functools", "partial")),
        (functools.reduce, ("functools", "reduce")),
        (functools.cmp_to_key, ("functools", "cmp_to_key")),
        (operator.add, ("operator", "add")),
        (operator.itemgetter, ("operator", "itemgetter")),
        (queue.SimpleQueue, ("queue", "SimpleQueue")),
        (queue.Empty, ("queue", "Empty")),
        (enum.EnumMeta, ("enum", "EnumMeta")),
        (re.error, ("re", "error")),
        (re.Pattern, ("re", "Pattern")),
        (struct.Struct, ("struct", "Struct")),
        (io.BytesIO, ("io", "BytesIO")),
        (collections.deque, ("collections", "deque")),
        (collections.abc.Mapping, ("collections.abc", "Mapping")),
        (random.Random, ("random", "Random")),
        (os.getcwd, ("os", "getcwd")),
        (os.stat_result, ("os", "stat_result")),
        (os.fsdecode, ("os", "fsdecode")),
        (ssl.SSLError, ("ssl", "SSLError")),
        (ssl.Purpose, ("ssl", "Purpose")),
        (pickle.dumps, ("pickle", "dumps")),
        (pickle.Pickler, ("pickle", "Pickler")),
        (types.FunctionType, ("types", "FunctionType")),
        (types.MethodType, ("types", "MethodType")),
        (types.CodeType, ("types", "CodeType")),
        (types.MappingProxyType, ("types", "MappingProxyType")),
        (type(None), ("types", "NoneType")),
        (type(...), ("types", "EllipsisType")),
        (type(NotImplemented), ("types", "NotImplementedType")),
        (type({}.keys()), ("builtins", "dict_keys")),
        (type(iter([])), ("builtins", "list_iterator")),
        (weakref.ref, ("weakref", "ReferenceType")),
        (threading.RLock, ("threading", "RLock")),
        (itertools.chain, ("itertools", "chain")),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_names(value, name):
    """What is sent is this name, whether the thing calls itself so or not."""
    own = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    sent = public_name(value)
    if sent is None and own in (("weakref", "ReferenceType"), ("collections.abc", "Mapping")):
        sent = own
    if sent is None:
        assert own == name
    elif name[0] not in ("types", "builtins", "weakref"):
        assert sent == name
    assert resolve(*name) is value
    assert resolve(*(sent or own)) is value


@pytest.mark.parametrize(
    ("old", "value"),
    [
        (("pathlib._local", "Path"), pathlib.Path),
        (("pathlib._abc", "PurePath"), pathlib.PurePath),
        (("_functools", "partial"), functools.partial),
        (("_functools", "reduce"), functools.reduce),
        (("_queue", "SimpleQueue"), queue.SimpleQueue),
        (("_queue", "Empty"), queue.Empty),
        (("enum", "EnumType"), enum.EnumMeta),
        (("re", "PatternError"), re.error),
        (("_collections", "deque"), collections.deque),
        (("_collections_abc", "Mapping"), collections.abc.Mapping),
        (("_io", "BytesIO"), io.BytesIO),
        (("_operator", "itemgetter"), operator.itemgetter),
        (("_struct", "Struct"), struct.Struct),
        (("_random", "Random"), random.Random),
        (("_asyncio", "Future"), asyncio.Future),
        (("_pickle", "dumps"), pickle.dumps),
        (("_ssl", "SSLError"), ssl.SSLError),
        (("_cffi_ssl._stdssl.error", "SSLError"), ssl.SSLError),
        (("_pypy_generic_alias", "GenericAlias"), types.GenericAlias),
        (("builtins", "NoneType"), type(None)),
        (("types", "NoneType"), type(None)),
        (("builtins", "dict_values"), type({}.values())),
        (("_thread", "LockType"), type(threading.Lock())),
        (("importlib._abc", "Loader"), importlib.abc.Loader),
        (("zipfile._path", "Path"), importlib.import_module("zipfile").Path),
        (("posix", "getcwd"), os.getcwd),
        (("asyncio", "TimeoutError"), asyncio.TimeoutError),
        (("concurrent.futures._base", "TimeoutError"), concurrent.futures.TimeoutError),
        (("typing", "Any"), typing.Any),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else None,
)
def test_names_of_other_versions(old, value):
    """What another version calls something finds it here."""
    found = resolve(*old)
    if old[0] != "_random":  # which is its base, where there is one
        assert found is value
    assert issubclass(value, found) if isinstance(found, type) else found is value


def test_what_is_not_there():
    """Is the error that importing it gives."""
    with pytest.raises(ModuleNotFoundError) as caught:
        resolve("no_such_module.part", "name")
    assert caught.value.name == "no_such_module"
    with pytest.raises(AttributeError, match="no_such_name"):
        resolve("os", "no_such_name")
    with pytest.raises(AttributeError, match="no_such_name"):
        resolve("collections", "OrderedDict.no_such_name")


def test_dotted_names():
    """Name what is in a class."""
    assert resolve("collections", "OrderedDict.fromkeys") == collections.OrderedDict.fromkeys
    assert resolve("builtins", "str.upper") is str.upper


def test_what_changes_is_looked_up_each_time(monkeypatch):
    """Standard output, and what a module of the user's has."""
    assert resolve("sys", "stdout") is sys.stdout
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert resolve("sys", "stdout") is sys.stdout
    module = types.ModuleType("changing")
    monkeypatch.setitem(sys.modules, "changing", module)
    for _ in range(2):
        module.Thing = type("Thing", (), {})
        assert resolve("changing", "Thing") is module.Thing


def test_what_has_no_public_name():
    """Goes as it is: the user's classes, methods, and whatever is odd."""

    class Local:
        pass

    class Unnamed:
        __module__ = None
        __qualname__ = "Unnamed"

    class Odd:
        def __init__(self):
            self.__module__ = []
            self.__qualname__ = "Odd"

    for value in (Local, Unnamed, Odd(), test_dotted_names, [].append, len, int, 3, None):
        assert public_name(value) is None
    Local.__module__ = "os"
    assert public_name(Local) is None


def test_private_parts_of_packages(monkeypatch):
    """A class that its package offers is sent as the package's, under its own name only."""
    package, private = types.ModuleType("offers"), types.ModuleType("offers._parts.inner")
    monkeypatch.setitem(sys.modules, "offers", package)
    monkeypatch.setitem(sys.modules, "offers._parts.inner", private)
    for name in ("Offered", "Hidden", "Renamed"):
        setattr(private, name, type(name, (), {"__module__": "offers._parts.inner"}))
    package.Offered, package.Other = private.Offered, private.Renamed
    assert public_name(private.Offered) == ("offers", "Offered")
    assert public_name(private.Hidden) is None
    assert public_name(private.Renamed) is None
    assert resolve("offers._impl", "Offered") is private.Offered


def test_it_is_quick_for_most():
    """After the first time, one look into a dict tells that a module has nothing to hide."""

    class Plain:
        pass

    public_name(Plain)
    assert aliases._known[Plain.__module__] == ()


# what stands for what is too new

NEW_FORMS = ["Self", "Never", "LiteralString", "ReadOnly", "TypeIs", "Unpack", "Concatenate"]


@pytest.mark.parametrize("name", NEW_FORMS)
def test_special_forms(name):
    """Are the true ones or pass for such in annotations, and come back as what they stand for."""
    form = resolve("typing", name)
    assert repr(form) == f"typing.{name}"
    assert resolve("typing", name) == form
    optional = typing.Optional[form] if name in ("Self", "Never") else form
    come = unpack(pack(optional, 5, "it").body)
    assert come == optional
    if hasattr(typing, name):
        assert form is getattr(typing, name)


def test_a_missing_form():
    """Is subscripted, combined, compared and hashed as one; it cannot be called."""
    form = MissingForm("Later")
    assert repr(form[int, "text"]) == "typing.Later[int, 'text']"
    assert form[int] == MissingForm("Later", (int,)) != form
    assert form != "Later"
    assert {form[int]: 1}[MissingForm("Later", (int,))] == 1
    assert typing.Optional[form].__args__ == (form, type(None))
    assert (form | int).__args__ == (form, int)
    assert (int | form).__args__ == (int, form)
    assert list[form[int]].__args__ == (form[int],)
    with pytest.raises(TypeError, match=r"typing\.Later is not known to Python 3"):
        form()


def test_str_enum(monkeypatch):
    """A class that derives from it can be made where it is too new, and it comes back."""
    monkeypatch.setattr(aliases, "_resolved", {})
    monkeypatch.delattr(enum, "StrEnum", raising=False)
    base = substitutes.find("enum", "StrEnum")
    assert resolve("enum", "StrEnum") is base
    assert public_name(base) == ("enum", "StrEnum")
    color = base("Color", {"RED": "red"})
    assert (color.RED, str(color.RED), f"{color.RED}") == ("red", "red", "red")

    class Made(base):
        GREEN = enum.auto()

    assert Made.GREEN == "green"


def test_http_methods(monkeypatch):
    """Are strings where there is no class for them."""
    monkeypatch.setattr(aliases, "_resolved", {})
    monkeypatch.delattr(http, "HTTPMethod", raising=False)
    method = resolve("http", "HTTPMethod")
    assert public_name(method) == ("http", "HTTPMethod")
    assert method("GET") == "GET"
    assert str(method.GET) == "GET"


@pytest.mark.parametrize("name", ["ExceptionGroup", "BaseExceptionGroup"])
def test_groups_of_exceptions(name):
    """As classes they are what errors use that are sent from newer versions."""
    group = unpack(b"cbuiltins\n" + name.encode() + b"\n.")
    assert group is group_class("builtins", name)
    assert issubclass(group, BaseException)
    assert unpack(pack([group], 5, "it").body) == [group]
    assert public_name(getattr(rebuild_exceptions, name)) == ("builtins", name)


def test_small_things(monkeypatch):
    """Markers and functions for type checkers do what they do: nothing."""
    for name in ("assert_type", "override", "dataclass_transform", "assert_never"):
        monkeypatch.delattr(typing, name, raising=False)
    monkeypatch.delattr(dataclasses, "KW_ONLY", raising=False)
    assert resolve("typing", "assert_type")(3, int) == 3
    assert resolve("typing", "override")(len) is len
    assert resolve("typing", "dataclass_transform")(eq_default=True)(int) is int
    with pytest.raises(AssertionError, match="unreachable, but got: 3"):
        resolve("typing", "assert_never")(3)
    assert repr(resolve("dataclasses", "KW_ONLY")) == "dataclasses.KW_ONLY"
    assert substitutes.find("typing", "NoSuchThing") is None


# NumPy

NUMPY = [
    *("add", "mean", "ndarray", "dtype", "float64", "bool_", "zeros", "matrix", "recarray"),
    *("random.default_rng", "random.Generator", "random.RandomState", "linalg.norm", "fft.fft"),
    *("ma.MaskedArray", "polynomial.Polynomial", "exceptions.AxisError", "char.upper"),
]


@pytest.mark.parametrize("name", NUMPY)
def test_numpy(name):
    """Nothing private is named, and both find it."""
    numpy = pytest.importorskip("numpy")
    value = operator.attrgetter(name)(numpy)
    sent = public_name(value)
    if sent is None:
        sent = getattr(value, "__module__", None) or "numpy", value.__name__
    assert not any(part.startswith("_") or part == "core" for part in sent[0].split("."))
    assert resolve(*sent) is value


@pytest.mark.parametrize("package", ["numpy._core", "numpy.core"])
def test_numpys_private_names(package):
    """Those of NumPy 2 and of NumPy 1 mean the same, whichever this is."""
    numpy = pytest.importorskip("numpy")
    assert resolve(f"{package}.multiarray", "ndarray") is numpy.ndarray
    assert resolve(f"{package}.numeric", "array_equal") is numpy.array_equal
    function = resolve(f"{package}.multiarray", "_reconstruct")
    assert public_name(function) == ("numpy._core.multiarray", "_reconstruct")
    assert resolve("numpy", "AxisError") is numpy.exceptions.AxisError
    assert resolve("numpy", "bool") is numpy.bool_
