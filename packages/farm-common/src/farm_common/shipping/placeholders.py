"""Stand-ins for classes that exist only on the other side, so that their instances can pass here.

A class travels as its name where the other side is thought to have it. Where it has not, and
cannot get it either, an instance need not fail: a stand-in takes its state as the pickle brings
it, and gives it back in the same form, so that it is an instance of the true class again where it
came from. Between the two a task can keep it in containers, read and set its attributes, and use
what it holds as a list or as a dict. It cannot run its methods, which are not here, and says so.

What pickle does with an instance is the same for all classes: it calls the class, or its
``__new__``, with some arguments; then it appends and sets elements, and sets the state. That is
what is recorded. Anything else that a pickle may call is recorded in the same way, though it may
be a function: its name does not tell.
"""

from __future__ import annotations

import builtins
import copy
import copyreg
import pickle
import reprlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Optional

from . import aliases
from .rebuild_classes import table

__all__ = [
    "Placeholder",
    "PlaceholderUnpickler",
    "keep_exception",
    "placeholder_class",
    "placeholder_of",
]

_lock = threading.Lock()
_classes: dict[tuple[str, str], PlaceholderType] = {}
_loading = threading.local()


def placeholder_class(module: str, qualname: str, reason: str = "") -> type:
    """The stand-in for a class; the same one each time in a process.

    Args:
        module: The module that the class is said to be in.
        qualname: Its qualified name there.
        reason: Why it is not here.
    """
    key = module, qualname
    with _lock:
        found = _classes.get(key)
        if found is None:
            names = {"__module__": module, "__qualname__": qualname, "_placeholder_reason": reason}
            found = PlaceholderType(qualname.rpartition(".")[2], (Placeholder,), names)
            _classes[key] = found
        return found


def placeholder_of(obj: Any) -> Optional[tuple[str, str]]:
    """The module and qualified name of the class that a class, or an instance, stands in for."""
    cls = obj if isinstance(obj, PlaceholderType) else type(obj)
    if isinstance(cls, PlaceholderType) and cls is not Placeholder:
        return cls.__module__, cls.__qualname__
    return None


def _explain(cls: Any, what: str) -> str:
    import platform  # an error is rare, and platform takes longer to import than this module

    here, there = ("server", "client") if table.at_worker else ("client", "server")
    name = f"{cls.__module__}.{cls.__qualname__}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    reason = cls._placeholder_reason
    return (
        f"class {name} exists only at the {there}: {what} "
        f"(at the {here}, {python} on {platform.node()}{': ' if reason else ''}{reason}); install "
        f"{cls.__module__.partition('.')[0]} there, or send what the task needs of it"
    )


_METHODS = "its methods cannot run here"


class PlaceholderType(type):
    """The type of stand-ins; they have no attributes, and make no instances but from a pickle."""

    _placeholder_reason: str

    def __call__(cls, *args: Any, **keywords: Any) -> Any:
        """Make an instance of what a pickle brings.

        Raises:
            TypeError: A task calls the class.
        """
        if not getattr(_loading, "depth", 0):
            raise TypeError(_explain(cls, "it cannot be called here"))
        make: Any = cls
        made = make.__new__(make, *args, **keywords)
        made._placeholder.called = True
        return made

    def __getattr__(cls, name: str) -> NoReturn:
        if name[:2] == "__":
            raise AttributeError(name)  # somebody asks what it is
        raise AttributeError(_explain(cls, f"it has no {name} here"))

    def __iter__(cls) -> NoReturn:
        raise TypeError(_explain(cls, "it cannot be iterated over here"))


class _Record:
    """What a pickle said of an instance.

    Attributes:
        args: What the class was called with.
        keywords: The same, by name.
        called: Whether the class was called, not its ``__new__``.
        plain: The names in its dict, where it has slots besides; else None.
        raw: The state, in a list, where it is nothing that could become attributes.
        stated: Whether there was a state.
        items: What was appended, if anything was.
        mapping: What was set by key, if anything was.
        error: The state of an exception, which is made and filled in a way of its own.
    """

    __slots__ = (
        *("args", "called", "error", "items", "keywords", "mapping", "plain", "raw", "stated"),
    )

    def __init__(self, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        self.args = args
        self.keywords = keywords
        self.called = False
        self.plain: Optional[frozenset[str]] = None
        self.raw: list[Any] = []
        self.stated = False
        self.items: Optional[list[Any]] = None
        self.mapping: Optional[dict[Any, Any]] = None
        self.error: Optional[dict[str, Any]] = None


class Placeholder(metaclass=PlaceholderType):
    """An instance of a class that is not here."""

    __slots__ = ("__dict__", "__weakref__", "_placeholder")

    _placeholder: _Record
    _placeholder_reason = ""

    def __new__(cls, *args: Any, **keywords: Any) -> Any:
        """An instance that remembers how it was made."""
        made = object.__new__(cls)
        made._placeholder = _Record(args, keywords)
        return made

    # What pickle does

    def __setstate__(self, state: Any) -> None:
        record = self._placeholder
        record.stated = True
        slots = None
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
            state, slots = state
        if isinstance(state, dict) or (state is None and slots is not None):
            values = {**(state or {}), **(slots or {})}
            if all(isinstance(name, str) for name in values):
                vars(self).update(values)
                if slots is not None:
                    record.plain = frozenset(state or ())
                return
        record.raw = [state if slots is None else (state, slots)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """The way that it came, with what it holds now."""
        record = self._placeholder
        values = dict(vars(self))
        if record.error is not None:
            return _reduce_exception(self, record.error, values)
        made: tuple[Any, ...]
        if record.called:
            made = type(self), record.args
        elif record.keywords:
            made = copyreg.__newobj_ex__, (type(self), record.args, record.keywords)  # type: ignore[attr-defined]
        else:
            made = copyreg.__newobj__, (type(self), *record.args)  # type: ignore[attr-defined]
        state: Any = values if values or record.stated else None
        if record.plain is not None:
            # What is new may be a slot, or not; what is not of the dict is set as an attribute.
            slots = {name: value for name, value in values.items() if name not in record.plain}
            state = ({name: values[name] for name in values if name not in slots} or None, slots)
        items = None if record.items is None else iter(record.items)
        mapping = None if record.mapping is None else iter(record.mapping.items())
        if not record.raw:
            return (*made, state, items, mapping)
        if not values:
            return (*made, record.raw[0], items, mapping)
        return (*made, (record.raw[0], values), items, mapping, restore)

    def __copy__(self) -> Any:
        return self._copied(type(self).__new__(type(self)), copy.copy)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made = memo[id(self)] = type(self).__new__(type(self))
        return self._copied(made, lambda value: copy.deepcopy(value, memo))

    def _copied(self, made: Any, copied: Callable[[Any], Any]) -> Any:
        for name in _Record.__slots__:
            setattr(made._placeholder, name, copied(getattr(self._placeholder, name)))
        vars(made).update(copied(vars(self)))
        return made

    # What it holds, if it is a list or a dict

    def append(self, item: Any) -> None:
        """As a list does."""
        self._held(list).append(item)

    def extend(self, items: Any) -> None:
        """As a list does."""
        self._held(list).extend(items)

    def __setitem__(self, key: Any, value: Any) -> None:
        record = self._placeholder
        if record.items is not None:
            record.items[key] = value
        else:
            self._held(dict)[key] = value

    def __getitem__(self, key: Any) -> Any:
        return self._held()[key]

    def __delitem__(self, key: Any) -> None:
        del self._held()[key]

    def __contains__(self, item: Any) -> bool:
        return item in self._held()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._held())

    def __reversed__(self) -> Iterator[Any]:
        return reversed(self._held())

    def __len__(self) -> int:
        return len(self._held())

    def __bool__(self) -> bool:
        record = self._placeholder
        held = record.mapping if record.items is None else record.items
        return held is None or bool(held)

    def _held(self, kind: Any = None) -> Any:
        """The list or the dict; made if a `kind` is given."""
        record = self._placeholder
        if record.items is not None or kind is list:
            if record.items is None:
                record.items = []
            return record.items
        if record.mapping is not None or kind is dict:
            if record.mapping is None:
                record.mapping = {}
            return record.mapping
        raise TypeError(_explain(type(self), _METHODS))

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__" or name == "_placeholder":
            raise AttributeError(name)  # somebody asks what it is
        record = self._placeholder
        held = record.mapping if record.items is None else record.items
        if held is not None and hasattr(held, name):
            return getattr(held, name)
        raise AttributeError(_explain(type(self), f"it has no attribute {name!r}, and {_METHODS}"))

    # What else is asked of anything

    def _value(self) -> Optional[tuple[Any, ...]]:
        """What it is equal by, if it is nothing but what it was made from: an enum's member."""
        record = self._placeholder
        bare = record.items is None and record.mapping is None and not record.keywords
        if bare and record.args and not record.stated and not vars(self):
            return record.args
        return None

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        assert isinstance(other, Placeholder)
        value = self._value()
        return value is not None and value == other._value()

    def __hash__(self) -> int:
        # Not by whether there is a state: that comes later, and a dict in it may have it as a key.
        args = self._placeholder.args
        if not args:
            return object.__hash__(self)
        try:
            return hash((type(self), args))
        except TypeError:
            return hash(type(self))

    @reprlib.recursive_repr()
    def __repr__(self) -> str:
        record = self._placeholder
        parts = [repr(arg) for arg in record.args]
        parts += [f"{name}={value!r}" for name, value in vars(self).items()]
        parts += [repr(held) for held in (record.items, record.mapping) if held is not None]
        cls = type(self)
        return f"<stands in for {cls.__module__}.{cls.__qualname__}({', '.join(parts)})>"

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Nothing.

        Raises:
            TypeError: Always.
        """
        raise TypeError(_explain(type(self), _METHODS))


def _refuse(self: Any, *_: Any) -> NoReturn:
    raise TypeError(_explain(type(self), _METHODS))


for _name in (
    *("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "floordiv", "mod"),
    *("pow", "neg", "pos", "abs", "and", "or", "xor", "invert", "lshift", "rshift", "matmul"),
    *("lt", "le", "gt", "ge", "enter", "exit", "next", "int", "float"),
):
    type.__setattr__(Placeholder, f"__{_name}__", _refuse)


def restore(obj: Any, state: tuple[Any, dict[str, Any]]) -> None:
    """Give an instance a state that only its class understands, then attributes.

    It is part of the wire format: a pickle of a stand-in may call it where the class is.
    """
    raw, attributes = state
    if isinstance(obj, Placeholder) or hasattr(obj, "__setstate__"):
        obj.__setstate__(raw)
    for name, value in attributes.items():
        setattr(obj, name, value)


# Exceptions


def keep_exception(error: Any, state: dict[str, Any]) -> None:
    """Have a stand-in for an exception hold the state that `rebuild_exceptions` would give it."""
    error._placeholder.error = state
    vars(error).update(state.get("attributes") or {}, args=state.get("args", ()))


def _reduce_exception(error: Any, state: dict[str, Any], values: dict[str, Any]) -> Any:
    from . import rebuild_exceptions  # which names this module

    state = {**state, "args": values.pop("args", ()), "attributes": values}
    make, fill = rebuild_exceptions.make_exception, rebuild_exceptions.fill_exception
    return make, (type(error),), state, None, None, fill


# Loading


class _Attribute:
    """An attribute of an instance whose class is not here: a bound method, most often.

    Args:
        owner: The instance, or what stands in for it.
        name: The name of the attribute.
    """

    def __init__(self, owner: Any, name: str) -> None:
        self._owner = owner
        self._name = name

    def __reduce__(self) -> Any:
        return getattr, (self._owner, self._name)

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(_explain(type(self._owner), _METHODS))


class PlaceholderUnpickler(pickle.Unpickler):
    """Unpickles what names classes that are not here, with stand-ins for them."""

    def __init__(self, file: Any, **options: Any) -> None:
        super().__init__(file, **options)

    def load(self) -> Any:
        """The value; raises what unpickling raises for other reasons."""
        depth = getattr(_loading, "depth", 0)
        _loading.depth = depth + 1
        try:
            return super().load()
        finally:
            _loading.depth = depth

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle names, or what stands in for it.

        Raises:
            ImportError: It is one of farm's own modules, or its module is here, and fails.
            AttributeError: It is one of farm's own names.
        """
        return _instead(_find(module, name, super().find_class))


def _instead(found: Any) -> Any:
    """What does the same as something that a pickle calls, with what is not here, too."""
    if found is aliases.resolve:
        return _resolve
    return _getattr if found is builtins.getattr else found


def _resolve(module: str, qualname: str) -> Any:
    return _instead(_find(module, qualname, aliases.resolve))


def _find(module: str, qualname: str, find: Callable[[str, str], Any]) -> Any:
    try:
        return find(module, qualname)
    except (ImportError, AttributeError) as error:
        if module.partition(".")[0] in _OURS or not _is_about(error, module):
            raise
        try:
            return aliases.resolve(module, qualname)
        except (ImportError, AttributeError):
            return placeholder_class(module, qualname, _reason(error))


#: Where nothing is missing but by mistake.
_OURS = frozenset({"farm_common", "farm_server", "farm_client", "cloudpickle"})


def _is_about(error: Exception, module: str) -> bool:
    """Whether an error says that the module is not here, not one that it wants itself."""
    if not isinstance(error, ImportError) or not error.name:
        return True
    return module == error.name or module.startswith(f"{error.name}.")


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ImportError) else ""


def _getattr(owner: Any, name: str) -> Any:
    """`getattr`, which a pickle may call for a member or a method of what is not here."""
    if isinstance(owner, PlaceholderType):
        return placeholder_class(owner.__module__, f"{owner.__qualname__}.{name}")
    if isinstance(owner, Placeholder) and name not in vars(owner):
        return _Attribute(owner, name)
    return getattr(owner, name)
