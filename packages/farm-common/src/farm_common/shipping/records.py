"""Reduces the standard library's data: views, buffers, patterns, records of the system, and more.

Each says what it is made of in a form that every version of Python can take (`rebuild_values`).
"""

from __future__ import annotations

import array
import ast
import collections
import copyreg
import dataclasses
import enum
import functools
import importlib
import os
import pickle
import re
import struct
import sys
import traceback
import types
import weakref
from collections.abc import Hashable, Iterator
from typing import Any, Callable, Optional, cast

from . import rebuild_values as values
from .aliases import public_name, resolve
from .rebuild_sentinels import KIND
from .refusals import Refusal
from .sentinels import reduce_sentinel

__all__ = [
    "BY_NAME",
    "REDUCERS",
    "SUBCLASSES",
    "has_own_new",
    "reduce_immutable",
    "reduce_member",
    "reduce_struct_sequence",
]

Reducer = Callable[[Any], Any]

# Mappings and views


def _mapping_proxy(proxy: Any) -> Any:
    return values.mapping_proxy, (proxy.copy(),)


def _view(kind: str, ordered: bool = False) -> Reducer:
    def reduce(view: Any) -> Any:
        return values.dict_view, (kind, list(view), ordered)

    return reduce


# Weak references


def _reference(reference: Any) -> Any:
    target = reference()
    if target is None:
        return values.weak_reference, ()
    callback = reference.__callback__
    return values.weak_reference, (target,) if callback is None else (target, callback)


def _weak_method(method: Any) -> Any:
    bound = method()
    return (values.weak_reference, ()) if bound is None else (values.weak_method, (bound,))


def _weak_set(weak: Any) -> Any:
    return values.weak_set, (list(weak),)


def _weak_dictionary(weak: Any) -> Any:
    return values.weak_dictionary, (type(weak).__name__, list(weak.items()))


# Buffers and binary data

_NATIVE = frozenset("bBhHiIlLqQfd?c")


def _memory_view(view: memoryview) -> Any:
    form = view.format
    if form[:1] == "@" or form[:1] == ("<" if sys.byteorder == "little" else ">"):
        form = form[1:]
    if form not in _NATIVE or struct.calcsize(form) != view.itemsize:
        raise Refusal(
            f"a memoryview whose elements have the format {view.format!r} cannot travel: send its "
            f"bytes, or an array",
            view,
        )
    buffer: Any
    if view.c_contiguous:
        buffer = pickle.PickleBuffer(view)
    else:
        buffer = view.tobytes() if view.readonly else bytearray(view.tobytes())
    return values.memory_view, (buffer, form, view.shape, view.readonly, sys.byteorder)


def _array(data: array.array[Any]) -> Any:
    if data.typecode in "uw":
        return values.array_of, ("w", data.itemsize, sys.byteorder, data.tounicode())
    buffer: Any = pickle.PickleBuffer(data) if len(data) else b""
    return values.array_of, (data.typecode, data.itemsize, sys.byteorder, buffer)


def _struct(packer: struct.Struct) -> Any:
    state = getattr(packer, "__dict__", None)
    made = type(packer), (packer.format,)
    return (*made, state) if state else made


def _c_data(data: Any) -> Any:
    kind = type(data)
    if _has_pointer(importlib.import_module("ctypes"), kind):
        raise Refusal("a pointer (ctypes) cannot travel: send what it points to", data)
    return values.c_data, (_c_kind(kind), bytes(data), sys.byteorder)


def _c_kind(kind: Any) -> Any:
    """A class of `ctypes`; an array's is made anew for each length, and has no name."""
    return (_c_kind(kind._type_), kind._length_) if hasattr(kind, "_length_") else kind


def _has_pointer(ctypes: Any, kind: Any) -> bool:
    if issubclass(kind, ctypes.Array):
        return _has_pointer(ctypes, kind._type_)
    if issubclass(kind, (ctypes.Structure, ctypes.Union)):
        fields = [field for cls in kind.__mro__ for field in cls.__dict__.get("_fields_", ())]
        return any(_has_pointer(ctypes, field[1]) for field in fields)
    code = getattr(kind, "_type_", None)
    return not isinstance(code, str) or code in "PzZOX"


# Text


def _pattern(compiled: re.Pattern[Any]) -> Any:
    if not isinstance(compiled.pattern, (str, bytes)):
        raise Refusal("a scanner's pattern cannot travel: compile it in the task", compiled)
    # Not what only controls how it is compiled: DEBUG prints, TEMPLATE is gone.
    return values.pattern, (compiled.pattern, compiled.flags & ~(128 | 1))


def _match(match: re.Match[Any]) -> Any:
    """A match is found again; how is tried out here."""
    compiled, string = match.re, match.string
    wanted = _spans(match)
    tries = (
        ("search", match.pos),
        ("match", match.pos),
        ("fullmatch", match.pos),
        ("search", match.start()),
        ("match", match.start()),
        ("fullmatch", match.start()),
    )
    for method, pos in tries:
        found = getattr(compiled, method)(string, pos, match.endpos)
        if found is not None and _spans(found) == wanted:
            return values.match, (compiled, method, string, pos, match.endpos)
    raise Refusal("this match of a regular expression cannot travel: send its groups", match)


def _spans(match: re.Match[Any]) -> list[tuple[int, int]]:
    return [match.span(group) for group in range(match.re.groups + 1)]


# Records


def reduce_struct_sequence(record: Any) -> Any:
    """A named tuple of the interpreter, such as ``os.stat_result`` or ``time.struct_time``."""
    kind = type(record)
    module, qualname = public_name(kind) or (kind.__module__, kind.__qualname__)
    names = _names(cast(Hashable, kind))
    shown = kind.n_sequence_fields
    more = {name: getattr(record, name) for name in names[shown - kind.n_unnamed_fields :]}
    for name in ("atime", "mtime", "ctime"):
        # Which of the two is a field depends on the implementation.
        nanoseconds = getattr(record, f"st_{name}_ns", None)
        if nanoseconds is not None:
            more[f"st_{name}_ns"] = nanoseconds
            more[f"nsec_{name}"] = nanoseconds % 1_000_000_000
    shown_names = tuple(names[: shown - kind.n_unnamed_fields])
    return values.struct_sequence, (module, qualname, shown_names, tuple(record), more)


@functools.lru_cache(None)
def _names(kind: Hashable) -> list[str]:
    """The names of all fields, those of the tuple first."""
    skip = {"n_fields", "n_sequence_fields", "n_unnamed_fields"}
    fields = [
        (getattr(field, "index", place), name)
        for place, (name, field) in enumerate(vars(kind).items())
        if name not in skip
        and not name.startswith("__")
        and type(field).__name__ in ("member_descriptor", "structseqfield")
    ]
    return [name for _, name in sorted(fields)]


_IMMUTABLE = (int, float, complex, str, bytes, tuple)


def has_own_new(kind: type) -> bool:
    """Whether a class of numbers, text or tuples has a ``__new__`` that pickle may not know.

    Pickle calls it with the number, text or tuple, as it would that of the builtin class, though
    it may take something else: ``Pair(a, b)`` for a tuple of two.
    """
    base = _immutable_base(kind)
    if base is None or kind in copyreg.dispatch_table:
        return False
    owner = next(cls for cls in kind.__mro__ if "__new__" in cls.__dict__)
    if owner is base or owner.__module__ == "builtins":
        return False
    hooks = ("__getnewargs__", "__getnewargs_ex__", "__reduce__", "__reduce_ex__")
    return all(getattr(kind, name, None) is getattr(base, name, None) for name in hooks)


def _immutable_base(kind: type) -> Any:
    return next((base for base in _IMMUTABLE if issubclass(kind, base)), None)


def reduce_immutable(value: Any) -> Any:
    """A value of such a class: made by the builtin's ``__new__``, and given its state."""
    kind = type(value)
    base = _immutable_base(kind)
    state = object.__reduce_ex__(value, 2)[2]
    return values.immutable, (base, kind, *base.__getnewargs__(value)), state


def _frame_summary(frame: traceback.FrameSummary) -> Any:
    lines: Optional[str] = frame.line  # which has it read the file, where it did not yet
    for name in ("_original_lines", "_original_line"):
        original = getattr(frame, name, None)
        if isinstance(original, str):
            lines = original
            break
    places = [getattr(frame, name, None) for name in ("end_lineno", "colno", "end_colno")]
    variables = frame.locals
    args = (frame.filename, frame.lineno, frame.name, lines, variables, places)
    return values.frame_summary, args


def _field(field: Any) -> Any:
    state = {name: getattr(field, name) for name in field.__slots__}
    state["metadata"] = types.MappingProxyType(dict(field.metadata))  # as it is before Python 3.15
    return values.data_field, (state,)


def _sentinel(name: str) -> Reducer:
    def reduce(_: Any) -> Any:
        return resolve, ("dataclasses", name)

    return reduce


def _field_kind(kind: Any) -> Any:
    return resolve, ("dataclasses", kind.name)


def reduce_member(member: Any) -> Any:
    """A member of an enumeration of the standard library; it may be a plain number elsewhere."""
    kind, value = type(member), member.value
    while isinstance(value, enum.Enum):  # PyPy makes some of another module's members
        value = value.value
    return values.enum_member, (kind.__module__, kind.__qualname__, value)


def _syntax_node(node: ast.AST) -> Any:
    kind = type(node)
    if getattr(ast, kind.__name__, None) is not kind:
        return NotImplemented  # the user's own
    return values.syntax_node, (kind.__name__, dict(_attributes(node)))


def _attributes(node: ast.AST) -> Iterator[tuple[str, Any]]:
    for name in (*node._fields, *node._attributes):
        if hasattr(node, name):
            yield name, getattr(node, name)
    for name, value in vars(node).items():
        if name not in node._fields and name not in node._attributes:
            yield name, value


# What need not be imported


def _normal_distribution(normal: Any) -> Any:
    return type(normal), (normal.mean, normal.stdev)


def _system_random(made: Any) -> Any:
    return type(made), ()


def _zone(zone: Any) -> Any:
    return values.time_zone, zone.__reduce__()[1]  # its key, and whether it is from the cache


def _with(**added: Any) -> Reducer:
    """As pickle does it, with attributes that newer versions want."""

    def reduce(made: Any) -> Any:
        return copyreg.__newobj__, (type(made),), {**added, **vars(made)}  # type: ignore[attr-defined]

    return reduce


class _Suppress:
    """Stands for ``argparse.SUPPRESS``, a string that argparse knows by its identity."""

    def __reduce__(self) -> Any:
        return resolve, ("argparse", "SUPPRESS")


def _of_argparse(**added: Any) -> Reducer:
    """As `_with`, for parsers and their parts."""

    def reduce(made: Any) -> Any:
        suppress = importlib.import_module("argparse").SUPPRESS
        state = {**added, **vars(made)}
        for name, value in state.items():
            if value is suppress:
                state[name] = _Suppress()
        if "_cached_formatter" in state:
            state["_cached_formatter"] = None  # it has the colours of this terminal
        return copyreg.__newobj__, (type(made),), state  # type: ignore[attr-defined]

    return reduce


def _url(parts: Any) -> Any:
    return values.url_parts, (type(parts), tuple(parts), getattr(parts, "_keep_empty", False))


#: The attributes of cookies that Python 3.9 knows.
_COOKIE = frozenset(
    {
        *("expires", "path", "comment", "domain", "max-age", "secure", "httponly", "version"),
        "samesite",
    }
)


def _morsel(morsel: Any) -> Any:
    """A cookie, without the empty ones of the attributes that older versions refuse."""
    items = [(key, value) for key, value in morsel.items() if value != "" or key in _COOKIE]
    kind = type(morsel)
    if kind.__module__ != "http.cookies":
        return NotImplemented
    return kind, (), morsel.__getstate__(), None, iter(items)


def _fixed_zone(zone: Any) -> Any:
    return type(zone), zone.__getinitargs__()


def _json_encoder(encoder: Any) -> Any:
    given = {
        name: getattr(encoder, name)
        for name in (
            "skipkeys",
            "ensure_ascii",
            "check_circular",
            "allow_nan",
            "sort_keys",
            "indent",
        )
    }
    given["separators"] = (encoder.item_separator, encoder.key_separator)
    if "default" in vars(encoder):
        given["default"] = encoder.default
    return values.construct, (type(encoder), given)


def _codec(codec: Any) -> Any:
    if not isinstance(codec.name, str):
        return NotImplemented
    return importlib.import_module("codecs").lookup, (codec.name,)


def _zip_info(info: Any) -> Any:
    state = {name: getattr(info, name) for name in info.__slots__ if hasattr(info, name)}
    args = (info.filename, info.date_time)
    return type(info), args, state, None, None, values.set_attributes


def _address(address: Any) -> Any:
    return type(address), (str(address),)  # its own way loses the scope


def _constructed(**names: str) -> Reducer:
    """By what its class is called with; the names of its attributes by those of parameters."""

    def reduce(made: Any) -> Any:
        given = {name: getattr(made, attribute, None) for name, attribute in names.items()}
        return values.construct, (type(made), given)

    return reduce


def _environment(environ: Any) -> Any:
    for name in ("environ", "environb"):
        if getattr(os, name, None) is environ:
            return resolve, ("os", name)
    return NotImplemented


_DICT: dict[int, int] = {}
_ODICT: collections.OrderedDict[int, int] = collections.OrderedDict()

REDUCERS: dict[type, Reducer] = {
    types.MappingProxyType: _mapping_proxy,
    type(_ODICT.keys()): _view("keys", True),
    type(_ODICT.values()): _view("values", True),
    type(_ODICT.items()): _view("items", True),
    # After those of OrderedDict, which are the same on PyPy.
    type(_DICT.keys()): _view("keys"),
    type(_DICT.values()): _view("values"),
    type(_DICT.items()): _view("items"),
    weakref.ref: _reference,
    weakref.WeakMethod: _weak_method,
    weakref.WeakSet: _weak_set,
    weakref.WeakKeyDictionary: _weak_dictionary,
    weakref.WeakValueDictionary: _weak_dictionary,
    memoryview: _memory_view,
    array.array: _array,
    struct.Struct: _struct,
    re.Pattern: _pattern,
    re.Match: _match,
    traceback.FrameSummary: _frame_summary,
    dataclasses.Field: _field,
    type(dataclasses._FIELD): _field_kind,  # type: ignore[attr-defined]
    KIND: reduce_sentinel,
}

# They are sentinels from Python 3.15 on.
for _name in ("MISSING", "KW_ONLY"):
    if hasattr(dataclasses, _name):
        REDUCERS.setdefault(type(getattr(dataclasses, _name)), _sentinel(_name))

#: For classes that derive from these, and are not pickled in a way of their own.
SUBCLASSES: dict[type, Reducer] = {
    struct.Struct: _struct,
    ast.AST: _syntax_node,
}

#: The same for what may not be imported yet, by module and name; for subclasses as well.
BY_NAME: dict[str, Reducer] = {
    "_ctypes._CData": _c_data,
    "_ctypes.basics._CData": _c_data,
    "argparse.Action": _of_argparse(deprecated=False),
    "argparse.ArgumentParser": _of_argparse(
        exit_on_error=True, suggest_on_error=False, color=False, _cached_formatter=None
    ),
    "codecs.CodecInfo": _codec,
    "http.cookies.Morsel": _morsel,
    "ipaddress.IPv6Address": _address,
    "json.decoder.JSONDecoder": _constructed(
        **{
            name: name
            for name in (
                *("object_hook", "object_pairs_hook", "parse_constant", "parse_float"),
                *("parse_int", "strict"),
            )
        }
    ),
    "json.encoder.JSONEncoder": _json_encoder,
    "logging.PercentStyle": _with(_defaults=None),
    "os._Environ": _environment,
    "pprint.PrettyPrinter": _constructed(
        indent="_indent_per_level",
        width="_width",
        depth="_depth",
        stream="_stream",
        compact="_compact",
        sort_dicts="_sort_dicts",
        underscore_numbers="_underscore_numbers",
    ),
    "random.SystemRandom": _system_random,
    "statistics.NormalDist": _normal_distribution,
    **{
        f"urllib.parse.{name}{kind}": _url
        for name in ("DefragResult", "SplitResult", "ParseResult")
        for kind in ("", "Bytes")
    },
    "zipfile.ZipInfo": _zip_info,
    "zoneinfo.ZoneInfo": _zone,
}

if sys.implementation.name == "pypy":
    BY_NAME["datetime.timezone"] = _fixed_zone  # which PyPy's writes as its own attributes
