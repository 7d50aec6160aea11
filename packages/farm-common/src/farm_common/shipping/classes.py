"""Reduces classes that travel by value, for the pickler, and knows the classes that came so.

What travels is the dict of a class, not its class statement, whose enclosing locals are gone. A
skeleton is made without running any of the user's code, and its attributes follow. Each class has
an id, so that it is one class on the other side however often it is sent, and so that what a
worker sends back is an instance of the client's own class: a worker sends a class that it was
sent as its id alone.
"""

from __future__ import annotations

import abc
import enum
import sys
import types
import typing
from typing import Any

from . import rebuild_classes as rebuild
from .aliases import public_name, resolve
from .hints import annotations_of
from .importable import is_importable
from .placeholders import placeholder_of

__all__ = ["MADE", "reduce_class"]

#: Made by the class statement or by what made the class, on either side.
_STATEMENT = frozenset(
    {
        *("__dict__", "__weakref__", "__module__", "__qualname__", "__slots__", "__doc__"),
        *("_abc_impl", "_abc_cache", "_abc_registry", "_abc_negative_cache"),
        *("_abc_negative_cache_version", "__annotate__", "__annotate_func__"),
        *("__annotations_cache__", "__static_attributes__", "__firstlineno__", "__classdictcell__"),
    }
)


def reduce_class(cls: type) -> Any:
    """Reduce a class: as its name, as its id, or by value; NotImplemented: as pickle does it.

    Raises:
        TypeError: It cannot travel; says why.
    """
    public = public_name(cls)
    if public is not None:
        return resolve, public
    if is_importable(cls):
        return NotImplemented
    placeholder = placeholder_of(cls)
    if placeholder is not None:
        return resolve, placeholder
    if cls in _SINGLETONS:
        return NotImplemented  # pickle knows how
    table = rebuild.table
    if table.is_foreign(cls) and table.at_worker:
        return rebuild.known_class, (table.ident(cls),)
    return _by_value(cls, table.ident(cls))


#: What is never looked at for changes: nobody changes it, or it does not travel.
MADE = _STATEMENT | {
    *("__annotations__", "__dataclass_fields__", "__dataclass_params__", "__parameters__"),
    *("__orig_bases__", "__type_params__", "__hash__"),
}

_SINGLETONS = frozenset({type(None), type(NotImplemented), type(...)})


def _by_value(cls: type, ident: str) -> Any:
    bases = cls.__bases__
    names = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": _doc(cls),
    }
    skip = _STATEMENT
    extra: dict[str, Any] = {}
    if isinstance(cls, enum.EnumMeta):
        members, states = _members(cls)
        make: Any = rebuild.make_enum
        skeleton: tuple[Any, ...] = (ident, type(cls), cls.__name__, bases, names, members)
        skip = skip | _enum_names(cls)
        if states:
            extra["members"] = states
        boundary = getattr(cls, "_boundary_", None)
        if boundary is not None:
            names["boundary"] = boundary.name
    elif _is_namedtuple(cls):
        make = rebuild.make_namedtuple
        skeleton = (ident, cls.__name__, cls._fields, names)  # type: ignore[attr-defined]
        skip = skip | _namedtuple_names(cls)
        extra["defaults"] = tuple(cls.__dict__["_field_defaults"].values())
    else:
        slots = cls.__dict__.get("__slots__")
        if slots is not None:
            slots = (slots,) if isinstance(slots, str) else tuple(slots)
            names["__slots__"] = slots
            skip = skip | {_mangle(cls, slot) for slot in slots}
        if "__del__" in cls.__dict__:
            names["__del__"] = None  # PyPy never calls one that was not there from the start
        make = rebuild.make_class
        skeleton = (ident, type(cls), cls.__name__, bases, names)
    state: dict[str, Any] = {}
    if "__dataclass_fields__" in cls.__dict__:
        extra["dataclass"] = _dataclass_options(cls)
        skip = skip | _dataclass_names(cls)
    if cls.__dict__.get("_is_protocol") and cls.__module__ != "typing":
        extra["protocol"] = True
        skip = skip | _PROTOCOL_NAMES
    if _PROTOCOL in cls.__mro__ and cls.__module__ != "typing":
        skip = skip | _typing_methods(cls)
    attributes = {name: value for name, value in cls.__dict__.items() if name not in skip}
    annotations = annotations_of(cls)
    attributes.pop("__annotations__", None)
    if annotations:
        attributes["__annotations__"] = annotations
    state["attributes"] = attributes
    if isinstance(cls, abc.ABCMeta):
        registry = _registry(cls)
        if registry:
            extra["registry"] = registry
    state.update(extra)
    return make, skeleton, state, None, None, rebuild.fill_class


def _doc(cls: type) -> Any:
    doc = cls.__dict__.get("__doc__")
    # From Python 3.15 on data classes make theirs when it is asked for.
    return cls.__doc__ if type(doc).__module__ == "dataclasses" else doc


def _mangle(cls: type, name: str) -> str:
    """The name of an attribute as the class has it: ``__x`` of class A is ``_A__x``."""
    if name.startswith("__") and not name.endswith("__"):
        return f"_{cls.__name__.lstrip('_')}{name}"
    return name


# Abstract classes


def _registry(cls: type) -> list[type]:
    """The classes that were registered as subclasses of an abstract class."""
    try:
        registry = abc._get_dump(cls)[0]  # type: ignore[attr-defined]
    except (AttributeError, TypeError):  # the pure-Python version
        return list(cls.__dict__.get("_abc_registry", ()))
    return [found for found in (reference() for reference in registry) if found is not None]


# Enumerations


def _members(cls: Any) -> tuple[list[tuple[str, Any, Any]], dict[str, Any]]:
    """Names, values and data of an enumeration's members, and what else they hold, by name."""
    members, states = [], {}
    mixin = cls._member_type_
    for name, member in cls.__members__.items():
        data = None
        if mixin is not object and issubclass(mixin, (int, float, complex, str, bytes, tuple)):
            data = _plain(mixin, member)
        members.append((name, member._value_, data))
        state = {
            key: value
            for key, value in getattr(member, "__dict__", {}).items()
            if key not in _MEMBER_NAMES
        }
        if state and member._name_ == name:
            states[name] = state
    return members, states


def _plain(mixin: type, member: Any) -> Any:
    """What a member is as the immutable value that it is, too."""
    kinds: tuple[Any, ...] = (int, float, complex, str, bytes, tuple)
    for kind in kinds:
        if issubclass(mixin, kind):
            return kind(*kind.__getnewargs__(member))
    return None


_MEMBER_NAMES = frozenset(
    {"_value_", "_name_", "__objclass__", "_sort_order_", "_inverted_", "_hash_"}
)


def _enum_names(cls: Any) -> set[str]:
    """What an enumeration's metaclass puts into its dict."""
    made = {name for name in cls.__dict__ if name.startswith("_") and name in _ENUM_MADE}
    if cls.__dict__.get("__new__") is enum.Enum.__dict__["__new__"]:
        made.add("__new__")
    for name in ("__reduce_ex__", "__format__", "__repr__", "__str__"):
        value = cls.__dict__.get(name)
        if value is not None and getattr(value, "__module__", None) == "enum":
            made.add(name)
    # Where a member and an attribute of the mixin share a name, the dict has a property.
    return made | set(cls.__members__)


_ENUM_MADE = frozenset(
    {
        *("_member_names_", "_member_map_", "_value2member_map_", "_member_type_", "__new__"),
        *("_value_repr_", "_unhashable_values_", "_unhashable_values_map_", "_hashable_values_"),
        *("_use_args_", "_new_member_", "__new_member__", "_flag_mask_", "_singles_mask_"),
        *("_all_bits_", "_inverted_", "_boundary_", "_generate_next_value_", "__set_name__"),
        *("__and__", "__or__", "__xor__", "__invert__", "__rand__", "__ror__", "__rxor__"),
    }
)


# Named tuples


def _is_namedtuple(cls: type) -> bool:
    return (
        cls.__bases__ == (tuple,)
        and isinstance(cls.__dict__.get("_fields"), tuple)
        and "_make" in cls.__dict__
        and "_field_defaults" in cls.__dict__
    )


def _namedtuple_names(cls: Any) -> set[str]:
    """What `collections.namedtuple` put into the dict; what the user put in its place stays."""
    made = set(cls._fields) | {"_fields", "_fields_defaults", "__match_args__", "__getnewargs__"}
    for name in ("__new__", "_make", "_replace", "_asdict", "__repr__", "__replace__"):
        value = cls.__dict__.get(name)
        function = getattr(value, "__func__", value)
        code = getattr(function, "__code__", None)
        filename = getattr(code, "co_filename", "")
        if filename.startswith("<") or filename.replace("\\", "/").endswith(_COLLECTIONS):
            made.add(name)
    return made


_COLLECTIONS = "collections/__init__.py"


# Data classes


def _dataclass_options(cls: Any) -> dict[str, Any]:
    """How to call `dataclasses.dataclass` again."""
    params = cls.__dict__.get("__dataclass_params__")
    options = {
        name: getattr(params, name)
        for name in ("init", "repr", "eq", "order", "unsafe_hash", "frozen", "match_args")
        if hasattr(params, name)
    }
    getstate = cls.__dict__.get("__getstate__")
    fields = cls.__dict__["__dataclass_fields__"]
    options["key"] = (id(fields), *fields)  # another one when the class is decorated again
    options["getstate"] = getattr(getstate, "__module__", None) == "dataclasses"
    return options


_DATACLASS_METHODS = (
    *("__init__", "__repr__", "__eq__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__"),
    *("__setattr__", "__delattr__", "__replace__", "__getstate__", "__setstate__"),
)


def _dataclass_names(cls: Any) -> set[str]:
    """The methods that `dataclasses` generated: they have no source, and are generated again."""
    made = {"__dataclass_params__", "__match_args__"}
    for name in _DATACLASS_METHODS:
        value = cls.__dict__.get(name)
        value = getattr(value, "__wrapped__", value)  # of __repr__, which guards against recursion
        if not isinstance(value, types.FunctionType):
            continue
        if _is_generated(value):
            made.add(name)
    return made


def _is_generated(function: types.FunctionType) -> bool:
    """Whether `dataclasses` made a method, from text; a user's may have the same file name."""
    code = function.__code__
    if code.co_filename != "<string>":
        return function.__module__ == "dataclasses"
    qualname = getattr(code, "co_qualname", function.__qualname__)
    if sys.version_info[:2] == (3, 10):  # which renames the function, and its code cannot tell
        return code.co_firstlineno == 2
    return qualname.startswith("__create_fn__.")


# Protocols


_PROTOCOL: Any = typing.Protocol

#: They differ in each version of `typing`, which makes them again there.
_PROTOCOL_NAMES = frozenset(
    {
        *("__protocol_attrs__", "__callable_proto_members_only__"),
        *("__non_callable_proto_members__", "__parameters__"),
    }
)


def _typing_methods(cls: type) -> set[str]:
    """What `typing` puts into a protocol, and into what inherits from one: the bases have it."""
    made = set()
    for name in ("__init__", "__subclasshook__"):
        value = cls.__dict__.get(name)
        if getattr(getattr(value, "__func__", value), "__module__", None) == "typing":
            made.add(name)
    return made
