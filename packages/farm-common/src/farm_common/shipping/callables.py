"""Reduces what is called and what makes attributes, where no source of the user's describes it.

Methods of builtin types; descriptors (``property`` and the like); and what the standard library
makes of a function: a cache, a generic function, a context manager. The last are functions
themselves, or closures of `functools` and `contextlib`, whose source is none of ours to send:
they are made again from the user's function.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import operator
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any, Callable, Optional

from . import rebuild
from . import rebuild_values as values
from .aliases import public_name, resolve
from .importable import is_importable
from .refusals import Refusal

__all__ = ["BY_NAME", "REDUCERS", "SUBCLASSES", "reduce_made_function"]

_PYPY = sys.implementation.name == "pypy"

Reducer = Callable[[Any], Any]

# Methods

#: Modules that offer the methods of a hidden object as functions; by where its class is.
_HIDDEN = {
    "random": "random",
    "numpy.random.mtrand": "numpy.random",
    "unicodedata": "unicodedata",
}


def _hidden(method: Any, owner: Any, name: str) -> Optional[tuple[str, str]]:
    """The function that a method of a module's hidden object is: ``random.random``.

    By value each task would get a copy of the object, and the same random numbers.
    """
    public = _HIDDEN.get(type(owner).__module__)
    if public is not None and getattr(sys.modules.get(public), name, None) == method:
        return public, name
    return None


def _builtin(function: Any) -> Any:
    """A builtin function, or the bound method of a builtin type."""
    owner = getattr(function, "__self__", None)
    if owner is None or isinstance(owner, types.ModuleType):
        name = public_name(function) or _nameless(function)
        extension = _PYPY and type(function) is not types.BuiltinFunctionType
        if name is None and extension and is_importable(function):
            name = function.__module__, function.__name__  # which PyPy writes badly
        return NotImplemented if name is None else (resolve, name)
    hidden = _hidden(function, owner, function.__name__)
    return (resolve, hidden) if hidden is not None else (getattr, (owner, function.__name__))


def _nameless(function: Any) -> Optional[tuple[str, str]]:
    """The name of a builtin function that does not say in which module it is."""
    name: str = function.__name__
    if function.__module__ is None:
        for module in ("builtins", "codecs"):
            if getattr(sys.modules.get(module), name, None) is function:
                return module, name
    return None


def _method(method: Any) -> Any:
    """A bound method: found again by its name where that finds it."""
    owner, function = method.__self__, method.__func__
    name = getattr(function, "__name__", None)
    if isinstance(name, str):
        hidden = _hidden(method, owner, name)
        if hidden is not None:
            return resolve, hidden
        if _has(owner, name, method):
            return getattr, (owner, name)
    # Private methods, and those that are called otherwise than they were defined.
    for name in _names(owner, function):
        if _has(owner, name, method):
            return getattr, (owner, name)
    return rebuild.make_method, (function, owner)


def _has(owner: Any, name: str, method: Any) -> bool:
    try:
        return bool(getattr(owner, name, None) == method)
    except Exception:  # the user's __getattr__ may raise anything
        return False


def _names(owner: Any, function: Any) -> Iterator[str]:
    for cls in owner.__mro__ if isinstance(owner, type) else type(owner).__mro__:
        for name, value in list(vars(cls).items()):
            if value is function or getattr(value, "__func__", None) is function:
                yield name


def _unbound(function: Any) -> Any:
    """A method, or another attribute, of a builtin type or of slots."""
    owner = getattr(function, "__objclass__", None)
    if owner is None:
        return _pypy_unbound(function)
    return values.attribute_of_class, (_public_heir(owner), function.__name__)


def _public_heir(cls: type) -> type:
    """A class, or the public one that derives from it, where it is a private base of that."""
    if cls.__module__.startswith("_") and public_name(cls) is None:
        for heir in type.__subclasses__(cls):
            if heir.__module__ == cls.__module__.lstrip("_"):
                return heir
    return cls


def _pypy_unbound(function: Any) -> Any:
    """The same on PyPy, where it is a function, which does not know its class."""
    found = _pypy_owner(function)
    if found is not None:
        return values.attribute_of_class, found
    name = _nameless(function)
    if name is None:
        raise Refusal(f"a builtin function ({function.__name__}) cannot travel", function)
    return resolve, name


@functools.lru_cache(1024)
def _pypy_owner(function: Any) -> Optional[tuple[type, str]]:
    qualname = function.__qualname__ or function.__name__
    name = qualname.rpartition(".")[2]
    seen: set[type] = set()
    left: list[type] = [object]
    while left:
        cls = left.pop()
        if cls in seen:
            continue
        seen.add(cls)
        found = cls.__dict__.get(name)
        if found is function or getattr(found, "__func__", None) is function:
            if is_importable(cls):
                return cls, name
            # One that only PyPy has, as the base of a public one.
            return next(((heir, name) for heir in type.__subclasses__(cls)), None)
        left += type.__subclasses__(cls)
    return None


def _attribute(function: Any, descriptor: Any) -> Any:
    """A descriptor by its class, where that has it under the name of its function."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    *path, name = str(getattr(function, "__qualname__", "")).split(".")
    owner: Any = module
    for part in path:
        owner = getattr(owner, part, None)
    if isinstance(owner, type) and vars(owner).get(name) is descriptor and is_importable(owner):
        return values.attribute_of_class, (owner, name)
    return None


def _classmethod(method: Any) -> Any:
    function = getattr(method, "__func__", None)
    if _PYPY and "." in getattr(function, "__qualname__", "") and _is_builtin(function):
        # dict.__dict__["fromkeys"]
        return _pypy_unbound(function)
    return _attribute(function, method) or (type(method), (function,))


def _super(bound: Any) -> Any:
    owner = bound.__self__
    return super, (bound.__thisclass__,) if owner is None else (bound.__thisclass__, owner)


def _is_builtin(function: Any) -> bool:
    """Whether a function is one of PyPy's builtin ones, which have no source."""
    return type(getattr(function, "__code__", None)).__name__ == "builtin-code"


# Descriptors


def _property(prop: Any) -> Any:
    found = _attribute(prop.fget, prop)
    if found is not None:
        return found
    args = (type(prop), prop.fget, prop.fset, prop.fdel, prop.__doc__)
    state = getattr(prop, "__dict__", None)
    return (values.property_of, args, state) if state else (values.property_of, args)


def _cached_property(prop: Any) -> Any:
    made = values.cached_property, (prop.func, prop.attrname, prop.__doc__)
    return _attribute(prop.func, prop) or made


def _single_dispatch_method(method: Any) -> Any:
    found = _attribute(method.func, method)
    if found is not None:
        return found
    return values.single_dispatch_method, (method.func, _registered(method.dispatcher.registry))


def _registered(registry: Any) -> list[tuple[type, Any]]:
    return [(cls, function) for cls, function in registry.items() if cls is not object]


# What the library makes of functions


def _state(function: Any, *made: str) -> dict[str, Any]:
    """The attributes that were copied to a wrapper, or that it was given."""
    state = {}
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        value = getattr(function, name, None)
        if value is not None:
            state[name] = value
    skip = {*made, "__wrapped__"}
    state.update((name, value) for name, value in vars(function).items() if name not in skip)
    return state


def _remade(make: Any, args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    return make, args, state, None, None, values.set_attributes


def _cache(cache: Any) -> Any:
    """A function with a cache, which starts empty on the other side."""
    if is_importable(cache):
        return NotImplemented if public_name(cache) is None else (resolve, public_name(cache))
    parameters = cache.cache_parameters()
    args = (cache.__wrapped__, parameters["maxsize"], parameters["typed"])
    return _remade(values.lru_cache, args, _state(cache, "cache_parameters", *_CACHE_MADE))


#: What PyPy's caches, which are functions, have as attributes.
_CACHE_MADE = ("cache_info", "cache_clear")


def _cell(function: Any, name: str) -> Any:
    return function.__closure__[function.__code__.co_freevars.index(name)].cell_contents


def _context_manager(function: Any) -> Any:
    make = contextlib.contextmanager
    if function.__code__ in _inner(contextlib.asynccontextmanager):
        make = contextlib.asynccontextmanager  # type: ignore[assignment]
    return _remade(make, (_cell(function, "func"),), _state(function))


def _manager(manager: Any) -> Any:
    """What a function with `contextlib.contextmanager` gives; decorators made of it keep one."""
    if inspect.getgeneratorstate(manager.gen) != inspect.GEN_CREATED:
        raise Refusal(
            "a context manager that was entered cannot travel: send its function", manager
        )
    return values.context_manager, (manager.func, manager.args, manager.kwds)


def _single_dispatch(function: Any) -> Any:
    registry = function.registry
    args = (registry[object], _registered(registry))
    made = ("register", "dispatch", "registry", "_clear_cache")
    return _remade(values.single_dispatch, args, _state(function, *made))


def _single_dispatch_bound(function: Any) -> Any:
    """What looking up a `functools.singledispatchmethod` on an object gives."""
    owner = _cell(function, "obj")
    if owner is None:
        owner = _cell(function, "cls")
    found = inspect.getattr_static(owner, function.__name__, None)
    if isinstance(found, functools.singledispatchmethod):
        return getattr, (owner, function.__name__)
    return NotImplemented


def _single_dispatch_get(bound: Any) -> Any:
    """The same from Python 3.14 on."""
    owner = bound._cls if bound._obj is None else bound._obj
    name = bound._unbound.func.__name__
    if inspect.getattr_static(owner, name, None) is bound._unbound:
        return getattr, (owner, name)
    return NotImplemented


def _partial_method_bound(function: Any) -> Any:
    return values.partial_method_function, (_cell(function, "self"),)


def _partial_method(method: Any) -> Any:
    # Not as pickle does it: from Python 3.14 on its __new__ wants the arguments.
    made = {"func", "args", "keywords", "_phcount", "_merger"}
    state = {name: value for name, value in vars(method).items() if name not in made}
    args = type(method), method.func, method.args, method.keywords
    return (values.partial_method, args, state) if state else (values.partial_method, args)


def _partial_place(_: Any) -> Any:
    return values.partial_place, ()


def _comparison_key(key: Any) -> Any:
    """What `functools.cmp_to_key` gives; it keeps its function to itself."""
    found = gc.get_referents(key)
    obj = getattr(key, "obj", None)  # None where there is none, too
    wrapped = [obj] if any(one is obj for one in found) else []
    others = [one for one in found if callable(one) and (not wrapped or one is not obj)]
    others = [one for one in others if one is not type(key)]
    return (values.comparison_key, (*others, *wrapped)) if len(others) == 1 else NotImplemented


def _new_type(made: Any) -> Any:
    if is_importable(made):
        return NotImplemented
    return values.new_type, (made.__name__, made.__supertype__, made.__module__)


def _inner(function: Any) -> list[types.CodeType]:
    code = function.__code__
    return [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]


def _made_functions() -> Iterator[tuple[types.CodeType, Reducer]]:
    for function, name, reducer in (
        (contextlib.contextmanager, "helper", _context_manager),
        (contextlib.asynccontextmanager, "helper", _context_manager),
        (functools.singledispatch, "wrapper", _single_dispatch),
        (functools.singledispatchmethod.__get__, "_method", _single_dispatch_bound),
        (
            vars(functools.partialmethod).get("_make_unbound_method"),
            "_method",
            _partial_method_bound,
        ),
        (functools._lru_cache_wrapper, "wrapper", _cache),
        (typing.NewType, "new_type", _new_type),
    ):
        if isinstance(function, types.FunctionType):
            for code in _inner(function):
                if code.co_name == name:
                    yield code, reducer


# By id, which is quick; the modules keep the code.
_MADE = {id(code): reducer for code, reducer in _made_functions()}


def reduce_made_function(function: types.FunctionType) -> Any:
    """Reduce a function that the library made, or that is none; NotImplemented for the user's.

    Args:
        function: One that is not found under its name.
    """
    code = function.__code__
    reducer = _MADE.get(id(code))
    if reducer is not None:
        return reducer(function)
    if _PYPY and _is_builtin(function):
        return _pypy_unbound(function)
    return NotImplemented


# PyPy's operator


def _item_getter(getter: Any) -> Any:
    items = getter._idx
    return operator.itemgetter, (items,) if getter._single else tuple(items)


def _attribute_getter(getter: Any) -> Any:
    if hasattr(getter, "_simple_attr"):
        return operator.attrgetter, (getter._simple_attr,)
    paths = getter._multi_attrs if hasattr(getter, "_multi_attrs") else [getter._single_attr]
    return operator.attrgetter, tuple(".".join(path) for path in paths)


def _method_caller(caller: Any) -> Any:
    return values.method_caller, (caller._method_name, caller._args, caller._kwargs)


REDUCERS: dict[type, Reducer] = {
    types.BuiltinFunctionType: _builtin,
    types.MethodType: _method,
    types.GetSetDescriptorType: _unbound,
    types.MemberDescriptorType: _unbound,
    super: _super,
    property: _property,
    classmethod: _classmethod,
    staticmethod: _classmethod,
    functools.cached_property: _cached_property,
    functools.partialmethod: _partial_method,
    functools.singledispatchmethod: _single_dispatch_method,
    contextlib._GeneratorContextManager: _manager,
}

if _PYPY:
    REDUCERS[operator.itemgetter] = _item_getter
    REDUCERS[operator.attrgetter] = _attribute_getter
    REDUCERS[operator.methodcaller] = _method_caller
else:
    REDUCERS[types.MethodDescriptorType] = _unbound
    REDUCERS[types.WrapperDescriptorType] = _unbound
    REDUCERS[types.ClassMethodDescriptorType] = _unbound
    REDUCERS[functools._lru_cache_wrapper] = _cache
if hasattr(functools, "Placeholder"):
    REDUCERS[type(functools.Placeholder)] = _partial_place
if not isinstance(functools.cmp_to_key(max), type):  # what is in Python goes as a class
    REDUCERS[type(functools.cmp_to_key(max))] = _comparison_key
if "_singledispatchmethod_get" in vars(functools):
    REDUCERS[vars(functools)["_singledispatchmethod_get"]] = _single_dispatch_get
if isinstance(typing.NewType, type):
    REDUCERS[typing.NewType] = _new_type

#: What PyPy has for extensions written for CPython, besides what it has itself.
BY_NAME: dict[str, Reducer] = {
    "builtins.builtin_function_or_method": _builtin,
    "builtins.classmethod_descriptor": _unbound,
    "builtins.getset_descriptor": _unbound,
    "builtins.member_descriptor": _unbound,
    "builtins.method_descriptor": _unbound,
    "builtins.wrapper_descriptor": _unbound,
}

#: For classes that derive from these.
SUBCLASSES: dict[type, Reducer] = {
    functools.partialmethod: _partial_method,
    property: _property,
    classmethod: _classmethod,
    staticmethod: _classmethod,
}
