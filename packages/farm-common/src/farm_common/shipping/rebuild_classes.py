"""What the pickles of classes name: the receiving side of `classes`.

The functions' names are part of the wire format: they stay, and take what they took.
"""

from __future__ import annotations

import abc
import collections
import contextlib
import dataclasses
import enum
import os
import sys
import threading
import types
import typing
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, Optional

__all__ = [
    "ClassTable",
    "Classes",
    "fill_class",
    "known_class",
    "make_class",
    "make_enum",
    "make_namedtuple",
    "table",
]

#: How many classes that were sent are kept alive: an instance may come back after the last of
#: them is gone here.
_KEPT = 4096


class ClassTable:
    """The ids of the classes of this process that travelled by value, one way or the other.

    Attributes:
        at_worker: Whether this is a worker, whose client knows each class that it sent.
    """

    def __init__(self) -> None:
        self.at_worker = False
        self._lock = threading.RLock()
        self._idents: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()
        self._classes: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()
        self._foreign: weakref.WeakSet[type] = weakref.WeakSet()
        #: Whose load gave a class its attributes last.
        self.owners: weakref.WeakKeyDictionary[type, Optional[Classes]] = (
            weakref.WeakKeyDictionary()
        )
        #: By which fields a data class was finished.
        self.finished: weakref.WeakKeyDictionary[type, Any] = weakref.WeakKeyDictionary()
        self._kept: collections.OrderedDict[str, type] = collections.OrderedDict()

    def ident(self, cls: type) -> str:
        """The id of a class, which it gets when it is first sent."""
        with self._lock:
            ident = self._idents.get(cls)
            if ident is None:
                ident = os.urandom(16).hex()
                self._enter(ident, cls)
            return ident

    def find(self, ident: str) -> Optional[type]:
        """The class with this id, if this process has it."""
        return self._classes.get(ident)

    def is_foreign(self, cls: type) -> bool:
        """Whether a class came from the other side."""
        return cls in self._foreign

    def add(self, ident: str, cls: type) -> type:
        """Take in a class that came; return the one to use: another may have been faster."""
        with self._lock:
            known = self._classes.get(ident)
            if known is not None:
                return known
            self._foreign.add(cls)
            self._enter(ident, cls)
            return cls

    def _enter(self, ident: str, cls: type) -> None:
        self._idents[cls] = ident
        self._classes[ident] = cls
        self._kept[ident] = cls
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)


class Classes:
    """The classes that one function brought, as they were when it was loaded.

    A class is one for all functions and arguments that bring it, and each load gives it the
    attributes that it had at the client at that time. A function that was loaded before may be
    called again after that, and shall find its own: the methods that share its globals. As a
    context manager it takes note of what is loaded.
    """

    def __init__(self) -> None:
        self._contents: dict[Any, dict[str, Any]] = {}
        self._outer: Optional[Classes] = None

    def __enter__(self) -> None:
        self._outer = getattr(_loading, "classes", None)
        _loading.classes = self

    def __exit__(self, *_: object) -> None:
        _loading.classes, self._outer = self._outer, None
        for cls in self._contents:
            self._contents[cls] = dict(cls.__dict__)

    def note(self, cls: type) -> None:
        """A class is being loaded."""
        self._contents[cls] = {}

    def restore(self) -> None:
        """Give the classes back what others have replaced since."""
        for cls, content in self._contents.items():
            if table.owners.get(cls) is not self:
                table.owners[cls] = self
                _replace(cls, content)


_loading = threading.local()


def _replace(cls: Any, content: dict[str, Any]) -> None:
    """Set and delete the attributes in which a class differs."""
    now = dict(cls.__dict__)
    for name, value in content.items():
        if now.get(name, _loading) is not value:
            type.__setattr__(cls, name, value)
    for name in now:
        if name not in content:
            type.__delattr__(cls, name)


table = ClassTable()


def known_class(ident: str) -> type:
    """A class that was sent from here.

    Raises:
        LookupError: It is gone.
    """
    found = table.find(ident)
    if found is None:
        raise LookupError("a class that was sent from here is gone: keep a reference to it")
    return found


def make_class(
    ident: str, meta: Any, name: str, bases: tuple[type, ...], names: dict[str, Any]
) -> type:
    """The skeleton of a class, or the class itself if it is here already.

    Runs neither the metaclass's ``__new__`` nor any ``__init_subclass__``: they ran where the
    class was defined, and what they did comes as its attributes.
    """
    found = table.find(ident)
    if found is not None:
        return found
    if typing.Generic in {base for parent in bases for base in parent.__mro__}:
        names["__orig_bases__"] = ()  # or it complains of a plain Generic; the true ones follow
    # ABCMeta prepares its registry; it, too, looks at the bases only.
    make: Any = abc.ABCMeta.__new__ if issubclass(meta, abc.ABCMeta) else type.__new__
    with _no_init_subclass(bases):
        return table.add(ident, make(meta, name, bases, names))


def make_namedtuple(ident: str, name: str, fields: Sequence[str], names: dict[str, Any]) -> type:
    """A named tuple's class."""
    found = table.find(ident)
    if found is not None:
        return found
    cls: Any = collections.namedtuple(name, fields)  # type: ignore[misc]  # noqa: PYI024
    for key, value in names.items():
        setattr(cls, key, value)
    return table.add(ident, cls)


def make_enum(
    ident: str,
    meta: Any,
    name: str,
    bases: tuple[type, ...],
    names: dict[str, Any],
    members: Sequence[tuple[str, Any, Any]],
) -> type:
    """An enumeration with its members, whose own ``__new__`` and ``__init__`` do not run again.

    Args:
        ident: The class's id.
        meta: Its metaclass.
        name: Its name.
        bases: Its bases.
        names: Its module and the like, and the ``boundary`` of a flag.
        members: The name, the value and, where members are numbers, strings or the like, that,
            for each member and alias in order.
    """
    found = table.find(ident)
    if found is not None:
        return found
    coming = iter(members)

    def make(cls: Any, *args: Any) -> Any:
        _, value, data = next(coming)
        mixin = cls._member_type_
        member: Any
        if data is not None:
            member = type(data).__new__(cls, data)
        elif mixin.__new__ is object.__new__:
            member = object.__new__(cls)
        else:
            member = mixin.__new__(cls, *args)
        member._value_ = value
        return member

    body: Any = enum.EnumMeta.__prepare__(name, bases)
    boundary = names.pop("boundary", None)
    for key, value in names.items():
        body[key] = value
    body["__new__"] = make
    if any(base.__dict__.get("__init__") for parent in bases for base in parent.__mro__[:-1]):
        body["__init__"] = _do_nothing
    for key, value, _ in members:
        body[key] = value
    options: dict[str, Any] = {}
    if boundary is not None and hasattr(enum, "FlagBoundary"):
        options["boundary"] = enum.FlagBoundary[boundary]
    with _no_init_subclass(bases):
        cls: Any = enum.EnumMeta.__new__(meta, name, bases, body, **options)
    if "__init__" in body:
        type.__delattr__(cls, "__init__")
    for key in ("__new_member__", "_new_member_"):
        if key in cls.__dict__:
            type.__setattr__(cls, key, cls._member_type_.__new__)
    return table.add(ident, cls)


def _do_nothing(self: Any, *_: Any) -> None:
    pass


def fill_class(cls: Any, state: dict[str, Any]) -> None:
    """Give a class its attributes, unless it is one of this process's own.

    Args:
        cls: What `make_class` and its like made.
        state: ``attributes``, and what is to be made again rather than sent: of a ``dataclass``,
            a ``protocol``; the ``defaults`` of a named tuple, what the ``members`` of an
            enumeration hold, the ``registry`` of an abstract class.
    """
    if not table.is_foreign(cls):
        return
    classes: Optional[Classes] = getattr(_loading, "classes", None)
    table.owners[cls] = classes
    if classes is not None:
        classes.note(cls)
    attributes = state["attributes"]
    fields = None
    for name, value in attributes.items():
        if name == "__dataclass_fields__":
            fields = value
            continue
        try:
            type.__setattr__(cls, name, value)
        except (AttributeError, TypeError):
            pass  # what only other versions have
    if "defaults" in state:
        cls.__new__.__defaults__ = state["defaults"]
    for name, content in state.get("members", {}).items():
        cls.__members__[name].__dict__.update(content)
    if "protocol" in state and cls not in table.finished:
        _finish_protocol(cls)
        table.finished[cls] = None
    if fields is not None:
        options = dict(state["dataclass"])
        key = options.pop("key")
        if table.finished.get(cls) != key:  # it takes a millisecond
            _finish_dataclass(cls, fields, options)
            table.finished[cls] = key
    for registered in state.get("registry", ()):
        abc.ABCMeta.register(cls, registered)


_quiet = threading.RLock()


@contextlib.contextmanager
def _no_init_subclass(bases: tuple[type, ...]) -> Iterator[None]:
    """Have ``__init_subclass__`` do nothing, as it did all when the class was defined.

    `type.__new__` calls the next one of the bases, so each is taken away for the moment; the lock
    keeps others who unpickle from missing it. Those of builtin types cannot be, and need not.
    """
    with _quiet:
        taken = []
        for parent in bases:
            for base in parent.__mro__:
                found = base.__dict__.get("__init_subclass__")
                if found is not None and base is not object:
                    try:
                        type.__setattr__(base, "__init_subclass__", _NOTHING)
                    except TypeError:
                        continue  # immutable
                    taken.append((base, found))
        try:
            yield
        finally:
            for base, found in reversed(taken):
                type.__setattr__(base, "__init_subclass__", found)


_NOTHING = classmethod(lambda _cls, **_: None)


# Protocols


def _finish_protocol(cls: Any) -> None:
    """Do what `typing` does to a protocol in this version."""
    typing.Protocol.__init_subclass__.__func__(cls)  # type: ignore[attr-defined]
    attrs = getattr(typing, "_get_protocol_attrs", None)
    if attrs is not None and "__init__" in type(cls).__dict__:
        type.__setattr__(cls, "__protocol_attrs__", attrs(cls))
    if cls.__dict__.get("_is_runtime_protocol"):
        typing.runtime_checkable(cls)


# Data classes


def _finish_dataclass(cls: Any, fields: dict[str, Any], options: dict[str, Any]) -> None:
    """Have `dataclasses` generate its methods again, by the fields that it once found."""
    original = _own_annotations(cls)
    own = {name: field for name, field in fields.items() if name in original}
    kept = {name: cls.__dict__[name] for name in own if name in cls.__dict__}
    types_ = {name: field.type for name, field in own.items()}
    kinds = {name: field._field_type.name for name, field in own.items()}
    # Annotations that are strings would be looked up in a module that is not here.
    cls.__annotations__ = {
        name: _annotation(kinds[name], field.type) for name, field in own.items()
    }
    for name, field in own.items():
        if kinds[name] != "_FIELD_CLASSVAR":
            type.__setattr__(cls, name, field)
    if options.pop("getstate", False):
        cls.__getstate__ = _getstate
        cls.__setstate__ = _setstate
    import inspect  # takes 20 ms

    known = inspect.signature(dataclasses.dataclass).parameters
    options = {name: value for name, value in options.items() if name in known}
    keyword = [name for name, field in fields.items() if getattr(field, "kw_only", False) is True]
    if keyword and "kw_only" not in known and options.get("init", True):
        type.__setattr__(cls, "__init__", _keyword_init(fields, keyword))
        options["init"] = False
    dataclasses.dataclass(**options)(cls)
    made = cls.__dict__["__dataclass_fields__"]
    for name, field in fields.items():
        made.setdefault(name, field)
    for name, annotation in types_.items():
        made[name].type = annotation
    cls.__annotations__ = original
    init = cls.__dict__.get("__init__")
    for name, annotation in types_.items():
        if name in getattr(init, "__annotations__", ()):
            init.__annotations__[name] = annotation
    for name, value in kept.items():
        type.__setattr__(cls, name, value)  # slots, and defaults


def _own_annotations(cls: Any) -> dict[str, Any]:
    """What `fill_class` gave it; from Python 3.14 on the class's dict has them by another name."""
    found: dict[str, Any] = cls.__dict__.get("__annotations__", {})  # noqa: RUF063 (its own)
    if sys.version_info >= (3, 14):
        found = type.__dict__["__annotations__"].__get__(cls)  # noqa: RUF063
    return found


def _annotation(kind: str, annotation: Any) -> Any:
    if kind == "_FIELD_CLASSVAR":
        return typing.ClassVar[object]
    if kind == "_FIELD_INITVAR":
        return dataclasses.InitVar[object]
    return object if isinstance(annotation, str) else annotation


def _keyword_init(fields: dict[str, Any], keyword: Sequence[str]) -> types.FunctionType:
    """An ``__init__`` with keyword-only parameters, before Python 3.10 makes them.

    Args:
        fields: All fields, by their names.
        keyword: The names of those that are keyword-only.
    """
    import inspect

    missing = dataclasses.MISSING
    parameters = []
    for name, field in fields.items():
        if field.init and field._field_type.name != "_FIELD_CLASSVAR":
            kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD
            if name in keyword:
                kind = inspect.Parameter.KEYWORD_ONLY
            optional = field.default is not missing or field.default_factory is not missing
            default = field.default if optional else inspect.Parameter.empty
            parameters.append(inspect.Parameter(name, kind, default=default))
    parameters.sort(key=lambda parameter: parameter.kind)
    signature = inspect.Signature(parameters)

    def __init__(self: Any, *args: Any, **keywords: Any) -> None:  # noqa: N807
        given = signature.bind(*args, **keywords).arguments
        extra = []
        for name, field in fields.items():
            kind = field._field_type.name
            if kind == "_FIELD_CLASSVAR":
                continue
            if name in given:
                value = given[name]
            elif field.default_factory is not missing:
                value = field.default_factory()
            elif field.default is not missing:
                value = field.default
            else:
                continue  # a field without a value, which __post_init__ gives it
            if kind == "_FIELD_INITVAR":
                extra.append(value)
            else:
                object.__setattr__(self, name, value)
        if hasattr(self, "__post_init__"):
            self.__post_init__(*extra)

    return __init__  # type: ignore[return-value]


def _getstate(self: Any) -> list[Any]:
    """The state of a frozen data class with slots, as `dataclasses` has it."""
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _setstate(self: Any, state: Sequence[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state):
        object.__setattr__(self, field.name, value)
