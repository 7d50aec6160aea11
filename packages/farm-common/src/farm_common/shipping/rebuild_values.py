"""What the pickles of values name: the receiving side of `records` and `callables`.

All functions here are part of the wire format: a peer of another release calls them by their
names, so they stay, and take what they took. None of them takes anything that a version from 3.9
on or PyPy lacks, and each makes do with what is here.
"""

from __future__ import annotations

import array
import ast
import collections
import contextlib
import dataclasses
import functools
import gc
import importlib
import inspect
import operator
import re
import struct
import sys
import traceback
import types
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Optional

from .aliases import resolve

__all__ = [
    "array_of",
    "attribute_of_class",
    "c_data",
    "cached_property",
    "comparison_key",
    "construct",
    "context_manager",
    "data_field",
    "dict_view",
    "enum_member",
    "frame_summary",
    "immutable",
    "lru_cache",
    "mapping_proxy",
    "match",
    "memory_view",
    "method_caller",
    "new_type",
    "partial_method",
    "partial_method_function",
    "partial_place",
    "pattern",
    "property_of",
    "set_attributes",
    "single_dispatch",
    "single_dispatch_method",
    "struct_sequence",
    "syntax_node",
    "time_zone",
    "url_parts",
    "weak_dictionary",
    "weak_method",
    "weak_reference",
    "weak_set",
]

# Callables and descriptors


def attribute_of_class(cls: type, name: str) -> Any:
    """What a class or one of its bases has in its dict; raises `AttributeError` if none has."""
    for base in cls.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return getattr(cls, name)


def property_of(cls: Any, fget: Any, fset: Any, fdel: Any, doc: Optional[str]) -> Any:
    """A property of a class that is, or derives from, `property`."""
    made: Any = cls.__new__(cls)
    property.__init__(made, fget, fset, fdel, doc)
    return made


def cached_property(function: Any, name: Optional[str], doc: Optional[str]) -> Any:
    """A `functools.cached_property` that was given its name."""
    made: Any = functools.cached_property(function)
    made.attrname = name
    made.__doc__ = doc
    return made


def set_attributes(obj: Any, state: dict[str, Any]) -> None:
    """Set attributes one by one; what cannot be set here is left out."""
    for name, value in state.items():
        try:
            setattr(obj, name, value)
        except (AttributeError, TypeError):
            pass


def context_manager(function: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """A context manager that is not entered yet, from its generator function."""
    return contextlib.contextmanager(function)(*args, **keywords)


def lru_cache(function: Any, maxsize: Optional[int], typed: bool) -> Any:
    """A function with an empty cache."""
    return functools.lru_cache(maxsize=maxsize, typed=typed)(function)


def single_dispatch(function: Any, registered: Iterable[tuple[type, Any]]) -> Any:
    """A generic function, with what was registered for classes other than `object`."""
    made = functools.singledispatch(function)
    for cls, implementation in registered:
        made.register(cls, implementation)
    return made


def single_dispatch_method(function: Any, registered: Iterable[tuple[type, Any]]) -> Any:
    """A generic method."""
    made: Any = functools.singledispatchmethod(function)
    for cls, implementation in registered:
        made.dispatcher.register(cls, implementation)
    return made


def partial_method_function(method: Any) -> Any:
    """What a `functools.partialmethod` is called by."""
    return method._make_unbound_method()


def partial_method(
    cls: Any, function: Any, args: Sequence[Any], keywords: Mapping[str, Any]
) -> Any:
    """A `functools.partialmethod`, or an instance of a class that derives from it."""
    kind: Any = functools.partialmethod
    made = kind.__new__(cls, function, *args, **keywords)
    if "__init__" in vars(kind):  # before Python 3.14
        kind.__init__(made, function, *args, **keywords)
    return made


def partial_place() -> Any:
    """``functools.Placeholder``, for which nothing could stand: older partials would pass it on.

    Raises:
        TypeError: This version has none.
    """
    found = getattr(functools, "Placeholder", None)
    if found is None:
        raise TypeError(
            f"a functools.partial with a Placeholder needs Python 3.14 or later, and this is "
            f"{_version()}: send a lambda instead"
        )
    return found


def url_parts(cls: Any, parts: Sequence[Any], keep_empty: bool) -> Any:
    """What `urllib.parse` makes of a URL.

    Args:
        cls: Its class.
        parts: Its parts.
        keep_empty: Whether empty parts are told from missing ones, from Python 3.15 on.
    """
    made = cls(*parts)
    try:
        made._keep_empty = keep_empty  # or 3.15.2 cannot pickle it
    except AttributeError:
        pass
    return made


def new_type(name: str, supertype: Any, module: Optional[str]) -> Any:
    """A `typing.NewType`."""
    made: Any = resolve("typing", "NewType")(name, supertype)
    if module is not None:
        made.__module__ = module
    return made


def method_caller(name: str, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """An `operator.methodcaller`."""
    return operator.methodcaller(name, *args, **keywords)


def construct(make: Callable[..., Any], keywords: dict[str, Any]) -> Any:
    """Call something with those of the keyword arguments that it knows here."""
    known = inspect.signature(make).parameters
    return make(**{name: value for name, value in keywords.items() if name in known})


def comparison_key(compare: Callable[[Any, Any], Any], *wrapped: Any) -> Any:
    """What `functools.cmp_to_key` makes of a function, or what that makes of an object."""
    made: Any = functools.cmp_to_key(compare)
    return made(*wrapped) if wrapped else made


def immutable(base: Any, cls: type, *args: Any) -> Any:
    """A number, text or tuple of a class that derives from the builtin one, by that one's way."""
    return base.__new__(cls, *args)


# Mappings and views


def mapping_proxy(mapping: Mapping[Any, Any]) -> Any:
    """A `types.MappingProxyType`."""
    return types.MappingProxyType(mapping)


def dict_view(kind: str, elements: Sequence[Any], ordered: bool) -> Any:
    """A view of a dict that has these elements.

    Args:
        kind: ``"keys"``, ``"values"`` or ``"items"``.
        elements: What is in the view.
        ordered: Whether it is one of an `OrderedDict`.
    """
    made: dict[Any, Any] = collections.OrderedDict() if ordered else {}
    if kind == "values":
        made.update(enumerate(elements))
        return made.values()
    if kind == "items":
        made.update(elements)
        return made.items()
    made.update(dict.fromkeys(elements))
    return made.keys()


# Weak references


def weak_reference(*target: Any) -> Any:
    """A weak reference to an object, and its callback; without an object a dead one."""
    return weakref.ref(*target) if target else _dead()


class _Mortal:
    """What a dead reference once referred to."""


@functools.lru_cache(None)
def _dead() -> Any:
    reference = weakref.ref(_Mortal())
    if reference() is not None:  # PyPy lets it lie around
        gc.collect()
    return reference


def weak_method(method: Any) -> Any:
    """A `weakref.WeakMethod`."""
    return weakref.WeakMethod(method)


def weak_set(elements: Iterable[Any]) -> Any:
    """A `weakref.WeakSet`."""
    return weakref.WeakSet(elements)


def weak_dictionary(name: str, items: Iterable[tuple[Any, Any]]) -> Any:
    """A `weakref.WeakKeyDictionary` or `weakref.WeakValueDictionary`."""
    return getattr(weakref, name)(dict(items))


# Buffers


def memory_view(
    buffer: Any, form: str, shape: Sequence[int], readonly: bool, byteorder: str
) -> memoryview:
    """A `memoryview` of its own copy of the memory.

    Args:
        buffer: The bytes.
        form: The format of an element, a native one.
        shape: The shape.
        readonly: Whether it cannot be written to.
        byteorder: That of the sender.
    """
    view: Any = memoryview(buffer)
    if view.format != "B" or view.ndim != 1:
        view = view.cast("B")
    if byteorder != sys.byteorder:
        view = memoryview(_swapped(view, struct.calcsize(form)))
    if form != "B" or tuple(shape) != view.shape:
        view = view.cast(form, list(shape)) if view.nbytes and len(shape) != 1 else view.cast(form)
    made: memoryview = view.toreadonly() if readonly and not view.readonly else view
    return made


def _swapped(data: Any, itemsize: int) -> bytearray:
    """The bytes of each element in reverse."""
    swapped = bytearray(data)
    for index in range(itemsize):
        swapped[index::itemsize] = data[itemsize - 1 - index :: itemsize]
    return swapped


def array_of(typecode: str, itemsize: int, byteorder: str, data: Any) -> array.array[Any]:
    """An `array.array`.

    Args:
        typecode: The sender's; ``"w"`` for all arrays of characters.
        itemsize: The size of an element there.
        byteorder: The order of the bytes there.
        data: The bytes, or the string.
    """
    if typecode == "w":
        return array.array("w" if sys.version_info >= (3, 13) else "u", data)
    made = array.array(typecode)
    if made.itemsize != itemsize:
        for codes in ("bhilq", "BHILQ", "fd"):
            if typecode in codes:
                typecode = next(code for code in codes if array.array(code).itemsize == itemsize)
        made = array.array(typecode)
    made.frombytes(data)
    if byteorder != sys.byteorder:
        made.byteswap()
    return made


def c_data(kind: Any, data: bytes, byteorder: str) -> Any:
    """An object of `ctypes` that holds no pointer.

    Args:
        kind: Its class; for an array a tuple of what its elements are, and their number.
        data: Its memory.
        byteorder: That of the sender.

    Raises:
        TypeError: The sender's bytes are in the other order.
    """
    if byteorder != sys.byteorder:
        raise TypeError("data of ctypes cannot travel between machines of different byte orders")
    return _c_kind(kind).from_buffer_copy(data)


def _c_kind(kind: Any) -> Any:
    return _c_kind(kind[0]) * kind[1] if isinstance(kind, tuple) else kind


# Records


def struct_sequence(
    module: str, qualname: str, names: Sequence[str], values: Sequence[Any], more: dict[str, Any]
) -> Any:
    """An `os.stat_result` or another named tuple of the interpreter.

    Args:
        module: Where its class is.
        qualname: The name of that.
        names: The names of what is in the tuple; there may be fewer names than elements.
        values: What is in the tuple.
        more: What can be had by name only.
    """
    try:
        cls = resolve(module, qualname)
        size = cls.n_sequence_fields
        if isinstance(cls, type) and len(values) >= size:
            # Those that have more elsewhere have them by name only here, or not at all.
            extra = {**dict(zip(names[size:], values[size:])), **more}
            known = {key: value for key, value in extra.items() if hasattr(cls, key)}
            shown: Any = tuple(values[:size])
            if size == 1 and sys.implementation.name == "pypy":
                shown = shown[0]  # which it wraps itself
            return cls(shown, known)
    except (AttributeError, ImportError, TypeError):
        pass  # sys.flags, for example, there is but one of
    fields = list(names[: len(values)])
    fields += [f"field_{index}" for index in range(len(fields), len(values))]
    name = qualname.rpartition(".")[2]
    return collections.namedtuple(name, fields, rename=True)(*values)  # noqa: PYI024


def frame_summary(
    filename: str,
    lineno: Optional[int],
    name: str,
    line: Optional[str],
    variables: Optional[dict[str, str]],
    places: Sequence[Optional[int]],
) -> traceback.FrameSummary:
    """An entry of a traceback.

    Args:
        filename: The file.
        lineno: The line's number.
        name: What the code is called.
        line: The text of the line, or lines; None where it is not known.
        variables: The reprs of the local variables, if they were wanted.
        places: The last line, the first column and the last one.
    """
    more: dict[str, Any] = {}
    if sys.version_info >= (3, 11):
        more = dict(zip(("end_lineno", "colno", "end_colno"), places))
    elif line is not None:
        line = line.strip()
    made = traceback.FrameSummary(filename, lineno, name, lookup_line=False, line=line, **more)
    made.locals = variables
    return made


def enum_member(module: str, qualname: str, value: Any) -> Any:
    """A member of an enumeration of the standard library; where there is none, its value."""
    try:
        return resolve(module, qualname)(value)
    except (AttributeError, ImportError, ValueError):
        return value


def data_field(values: dict[str, Any]) -> Any:
    """A `dataclasses.Field`, by its attributes; those that this version lacks are left out."""
    made: Any = object.__new__(dataclasses.Field)
    defaults = {"kw_only": dataclasses.MISSING, "doc": None, "_field_type": None}
    for name in dataclasses.Field.__slots__:
        setattr(made, name, values.get(name, defaults.get(name)))
    if sys.version_info >= (3, 15) and made.metadata is not None:
        made.metadata = resolve("builtins", "frozendict")(made.metadata)
    return made


def pattern(text: Any, flags: int) -> Any:
    """A compiled regular expression.

    Raises:
        re.error: This version of Python cannot compile it.
    """
    try:
        return re.compile(text, flags)
    except re.error as error:
        raise re.error(f"{error}: Python {_version()} cannot compile {text!r:.200}") from None


def match(compiled: Any, method: str, string: Any, pos: int, endpos: int) -> Any:
    """A match, found once more by the method of the pattern that finds it."""
    return getattr(compiled, method)(string, pos, endpos)


def time_zone(key: str, cached: bool) -> Any:
    """A `zoneinfo.ZoneInfo`.

    Raises:
        zoneinfo.ZoneInfoNotFoundError: There is no such time zone here; says what to install.
    """
    zones: Any = importlib.import_module("zoneinfo")
    try:
        return zones.ZoneInfo(key) if cached else zones.ZoneInfo.no_cache(key)
    except zones.ZoneInfoNotFoundError:
        import platform

        raise zones.ZoneInfoNotFoundError(
            f"{platform.node()} does not know the time zone {key!r}: install tzdata there, the "
            f"package of the system or of Python {_version()}"
        ) from None


def _version() -> str:
    """This Python's version, for errors."""
    import platform  # they are rare, and it is slow to import

    return platform.python_version()


def syntax_node(name: str, values: dict[str, Any]) -> ast.AST:
    """A node of a syntax tree, by its attributes.

    Raises:
        AttributeError: This version of Python has no such syntax.
    """
    cls: Callable[..., ast.AST] = getattr(ast, name)
    known: Any = cls
    fields = {key: value for key, value in values.items() if key in known._fields}
    for key in known._fields:
        if key == "type_params":
            fields.setdefault(key, [])
    made = cls(**fields)
    for key, value in values.items():
        if key not in fields:
            setattr(made, key, value)
    return made
