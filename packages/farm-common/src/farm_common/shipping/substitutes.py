"""What stands for names that this version of Python lacks, and for types that have no name.

A task that was written for a newer Python than it runs on may use some of its names without
needing what is new in them: as annotations, as a base class, as a value that is passed on. What
stands for such a name says, when it is sent again, that it is the original.
"""

from __future__ import annotations

import collections
import collections.abc
import enum
import itertools
import sys
import threading
import types
import typing
from collections.abc import Iterable, Iterator
from typing import Any, Callable, NoReturn, Optional, cast

__all__ = ["MissingForm", "find", "name_of"]


class MissingForm:
    """Stands for a special form of `typing` that this version lacks.

    Args:
        name: Its name in `typing`.
        parameters: What it is subscripted with.
    """

    __module__ = "typing"
    # It passes where typing wants a type, for that asks whether it is callable.
    __slots__ = ("__name__", "parameters")

    def __init__(self, name: str, parameters: tuple[Any, ...] = ()) -> None:
        self.__name__ = name
        self.parameters = parameters

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Nothing: it is no class.

        Raises:
            TypeError: Always.
        """
        raise TypeError(f"{self!r} is not known to Python {sys.version_info[0]}.{_MINOR}")

    def __getitem__(self, parameters: Any) -> MissingForm:
        parameters = parameters if isinstance(parameters, tuple) else (parameters,)
        return MissingForm(self.__name__, parameters)

    def __or__(self, other: Any) -> Any:
        return typing.Union[self, other]

    def __ror__(self, other: Any) -> Any:
        return typing.Union[other, self]

    def __repr__(self) -> str:
        inner = ", ".join(getattr(item, "__name__", None) or repr(item) for item in self.parameters)
        return f"typing.{self.__name__}[{inner}]" if inner else f"typing.{self.__name__}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MissingForm):
            return NotImplemented
        return (self.__name__, self.parameters) == (other.__name__, other.parameters)

    def __hash__(self) -> int:
        return hash((self.__name__, self.parameters))


_MINOR = sys.version_info[1]

_FORMS = frozenset(
    {
        *("Concatenate", "LiteralString", "Never", "NotRequired", "ReadOnly", "Required", "Self"),
        *("TypeAlias", "TypeGuard", "TypeIs", "Unpack"),
    }
)


def find(module: str, qualname: str) -> Any:
    """What to take for a name that is not here; None if there is nothing like it."""
    if module == "typing" and qualname in _FORMS:
        return _forms.setdefault(qualname, MissingForm(qualname))
    for place in (module, "types") if module == "builtins" else (module,):
        if (place, qualname) in _UNNAMED:
            return _UNNAMED[place, qualname]
    make = _MAKERS.get((module, qualname))
    return None if make is None else _made.setdefault((module, qualname), make())


#: Where the groups of exceptions are that stand for the builtin ones.
_GROUPS = f"{__package__}.rebuild_exceptions"

_forms: dict[str, MissingForm] = {}
_made: dict[tuple[str, str], Any] = {}


def name_of(obj: Any) -> Optional[tuple[str, str]]:
    """The name to send for what `find` gives; None for all else."""
    if isinstance(obj, type) and obj.__module__ == _GROUPS:
        return ("builtins", obj.__name__) if obj.__name__.endswith("ExceptionGroup") else None
    for known in (_UNNAMED, _made):
        for key, value in known.items():
            if value is obj:
                return key
    return None


def _kinds(**values: Any) -> dict[tuple[str, str], type]:
    return {("builtins", name): type(value) for name, value in values.items()}


#: Types that no module makes public. PyPy has one type for some of them.
_UNNAMED: dict[tuple[str, str], type] = _kinds(
    dict_keys={}.keys(),
    dict_values={}.values(),
    dict_items={}.items(),
    odict_keys=collections.OrderedDict().keys(),
    odict_values=collections.OrderedDict().values(),
    odict_items=collections.OrderedDict().items(),
    list_iterator=iter([]),
    tuple_iterator=iter(()),
    str_iterator=iter("\xe9"),
    str_ascii_iterator=iter(""),
    bytes_iterator=iter(b""),
    bytearray_iterator=iter(bytearray()),
    set_iterator=iter(set()),
    range_iterator=iter(range(0)),
    longrange_iterator=iter(range(1 << 100)),
    dict_keyiterator=iter({}),
    dict_valueiterator=iter({}.values()),
    dict_itemiterator=iter({}.items()),
    list_reverseiterator=reversed([]),
    callable_iterator=iter(int, 0),
    _grouper=next(itertools.groupby("a"))[1],
)
# Public, but from 3.13 on as threading.Lock, which is a function before.
_UNNAMED["_thread", "LockType"] = type(threading.Lock())
# Public from 3.10 on.
_UNNAMED["types", "NoneType"] = type(None)
_UNNAMED["types", "EllipsisType"] = type(...)
_UNNAMED["types", "NotImplementedType"] = type(NotImplemented)


# Makers of what stands for newer classes and functions


def _str_enum() -> type:
    class StrEnum(str, enum.Enum):
        """An enumeration of strings, as Python 3.11 has it."""

        __str__ = str.__str__
        __format__ = str.__format__  # type: ignore[assignment]

        @staticmethod
        def _generate_next_value_(name: str, *_: Any) -> str:
            return name.lower()

    return _named(StrEnum, "enum", "StrEnum")


def _group(name: str) -> Callable[[], Any]:
    def make() -> Any:
        from .rebuild_exceptions import group_class  # which names what uses this

        return group_class("builtins", name)

    return make


def _http_method() -> type:
    names = "CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT TRACE"
    make: Any = enum.Enum
    cls = make("HTTPMethod", {name: name for name in names.split()}, type=str)
    cls.__str__ = str.__str__
    return _named(cls, "http", "HTTPMethod")


def _named(cls: Any, module: str, name: str) -> type:
    cls.__module__, cls.__qualname__ = module, name
    return cast(type, cls)


def _assert_never(arg: Any) -> NoReturn:
    raise AssertionError(f"Expected code to be unreachable, but got: {arg!r:.100}")


def _same(value: Any, *_: Any) -> Any:
    return value


def _decorator(*_: Any, **__: Any) -> Callable[[Any], Any]:
    return _same


def _pairwise(iterable: Iterable[Any], /) -> Iterator[tuple[Any, Any]]:
    """What `itertools.pairwise` gives."""
    first, second = itertools.tee(iterable)
    next(second, None)
    return zip(first, second)


def _batched(iterable: Iterable[Any], n: int, *, strict: bool = False) -> Iterator[tuple[Any, ...]]:
    """What `itertools.batched` gives."""
    if n < 1:
        raise ValueError("n must be at least one")
    return _batches(iter(iterable), n, strict)


def _batches(elements: Iterator[Any], n: int, strict: bool) -> Iterator[tuple[Any, ...]]:
    while True:
        batch = tuple(itertools.islice(elements, n))
        if not batch:
            return
        if strict and len(batch) != n:
            raise ValueError("batched(): incomplete batch")
        yield batch


class _KwOnly:
    """Stands for the type of `dataclasses.KW_ONLY`."""

    def __repr__(self) -> str:
        return "dataclasses.KW_ONLY"

    def __reduce__(self) -> Any:
        from .aliases import resolve  # which uses this

        return resolve, ("dataclasses", "KW_ONLY")


def _sentinel() -> Any:
    from .rebuild_sentinels import Sentinel  # which names what uses this

    return Sentinel


def _frozen_dict() -> type:
    class frozendict(collections.abc.Mapping):  # type: ignore[type-arg]  # noqa: N801
        """A mapping that does not change, as Python 3.15 has it."""

        __slots__ = ("_items",)

        _items: dict[Any, Any]

        def __new__(cls, *args: Any, **keywords: Any) -> Any:
            made = super().__new__(cls)
            made._items = dict(*args, **keywords)
            return made

        def __getitem__(self, key: Any) -> Any:
            return self._items[key]

        def __iter__(self) -> Any:
            return iter(self._items)

        def __len__(self) -> int:
            return len(self._items)

        def __hash__(self) -> int:
            return hash(frozenset(self._items.items()))

        def __or__(self, other: Any) -> Any:
            return type(self)({**self._items, **other})

        def __ror__(self, other: Any) -> Any:
            return type(self)({**other, **self._items})

        def __repr__(self) -> str:
            return f"frozendict({self._items or ''})"

        def __reduce__(self) -> Any:
            return type(self), (self._items,)

    return _named(frozendict, "builtins", "frozendict")


_MAKERS: dict[tuple[str, str], Callable[[], Any]] = {
    ("builtins", "BaseExceptionGroup"): _group("BaseExceptionGroup"),
    ("builtins", "ExceptionGroup"): _group("ExceptionGroup"),
    ("argparse", "_identity"): lambda: _same,
    ("builtins", "frozendict"): _frozen_dict,
    ("builtins", "sentinel"): _sentinel,
    ("types", "UnionType"): lambda: type(typing.Union[int, str]),
    ("types", "BuiltinMethodType"): lambda: types.BuiltinFunctionType,
    ("dataclasses", "KW_ONLY"): _KwOnly,
    ("enum", "StrEnum"): _str_enum,
    ("enum", "ReprEnum"): lambda: enum.Enum,
    ("http", "HTTPMethod"): _http_method,
    ("itertools", "batched"): lambda: _batched,
    ("itertools", "pairwise"): lambda: _pairwise,
    ("typing", "assert_never"): lambda: _assert_never,
    ("typing", "assert_type"): lambda: _same,
    ("typing", "override"): lambda: _same,
    ("typing", "dataclass_transform"): lambda: _decorator,
}
