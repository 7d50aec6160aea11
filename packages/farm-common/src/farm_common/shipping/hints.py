"""Reduces what annotations are made of.

They travel with the functions and classes that they annotate, so nothing in them may keep a task
from running: where a version of Python lacks something, what it gets instead is close.
"""

from __future__ import annotations

import collections.abc
import importlib
import sys
import types
import typing
from typing import Any, Callable, Optional

from . import rebuild_hints as rebuild
from .aliases import resolve
from .importable import is_importable
from .substitutes import MissingForm

__all__ = ["REDUCERS", "annotations_of"]

#: The special forms that Python 3.9 has: pickle may name them.
_OLD_FORMS = frozenset(
    {
        *("Any", "Callable", "ClassVar", "Final", "Literal", "NoReturn", "Optional", "Tuple"),
        *("Type", "Union"),
    }
)


#: Whether annotations are evaluated only when somebody asks for them.
_LAZY = sys.version_info >= (3, 14)


def annotations_of(annotated: Any) -> Optional[dict[str, Any]]:
    """The own annotations of a class or a function; None where it has none, or they fail.

    From Python 3.14 on they are evaluated only now; names in them that are not defined become
    forward references.
    """
    found: Optional[dict[str, Any]]
    try:
        if not isinstance(annotated, type):
            found = annotated.__annotations__
        elif _LAZY:
            # Not annotated.__annotations__, which may be the metaclass's own.
            found = type.__dict__["__annotations__"].__get__(annotated)  # noqa: RUF063
        else:
            found = annotated.__dict__.get("__annotations__")  # noqa: RUF063 (not its bases')
        return found
    except Exception:  # whatever the user wrote there raises
        if not _LAZY:
            return None
    lib: Any = importlib.import_module("annotationlib")
    try:
        found = lib.get_annotations(annotated, format=lib.Format.FORWARDREF)
    except Exception:  # as above
        return None
    return found


def _union(union: Any) -> Any:
    return rebuild.union, (union.__args__,)


def _generic(alias: Any) -> Any:
    reduced = alias.__reduce__()
    if not isinstance(reduced, tuple) or len(reduced) != 2 or len(reduced[1]) != 2:
        return NotImplemented
    origin, arguments = reduced[1]
    if arguments == ((),):  # an empty Tuple, as Python 3.9 has it
        arguments = ()
    return rebuild.generic, (origin, arguments)


def _builtin_generic(alias: Any) -> Any:
    if getattr(alias, "__unpacked__", False) is True:
        return rebuild.unpacked, (types.GenericAlias(alias.__origin__, alias.__args__),)
    return types.GenericAlias, (alias.__origin__, alias.__args__)


def _abstract_callable(alias: Any) -> Any:
    return rebuild.abstract_callable, alias.__reduce__()[1][1]


def _form(form: Any) -> Any:
    name = form._name
    return name if name in _OLD_FORMS else (resolve, ("typing", name))


def _missing_form(form: MissingForm) -> Any:
    name = resolve, ("typing", form.__name__)
    return (rebuild.generic, (form_of(form), form.parameters)) if form.parameters else name


def form_of(form: MissingForm) -> MissingForm:
    """A missing form without its parameters."""
    return MissingForm(form.__name__)


def _type_variable(variable: Any) -> Any:
    if is_importable(variable):
        return NotImplemented
    options: dict[str, Any] = {}
    for name in ("covariant", "contravariant", "infer_variance"):
        if getattr(variable, f"__{name}__", False):
            options[name] = True
    if variable.__bound__ is not None:
        options["bound"] = variable.__bound__
    _take_default(variable, options)
    return rebuild.type_variable, (variable.__name__, variable.__constraints__, options)


def _parameter_specification(variable: Any) -> Any:
    if is_importable(variable):
        return NotImplemented
    options: dict[str, Any] = {}
    _take_default(variable, options)
    return rebuild.parameter_specification, (variable.__name__, options)


def _type_variable_tuple(variable: Any) -> Any:
    if is_importable(variable):
        return NotImplemented
    options: dict[str, Any] = {}
    _take_default(variable, options)
    return rebuild.type_variable_tuple, (variable.__name__, options)


def _take_default(variable: Any, options: dict[str, Any]) -> None:
    has_default = getattr(variable, "has_default", None)
    if has_default is not None and has_default():
        options["default"] = variable.__default__


def _parameter_part(part: Any) -> Any:
    name = "args" if type(part).__name__ == "ParamSpecArgs" else "kwargs"
    return rebuild.parameter_part, (part.__origin__, name)


def _type_alias(alias: Any) -> Any:
    if is_importable(alias):
        return NotImplemented
    return rebuild.type_alias, (alias.__name__, alias.__value__, alias.__type_params__)


def _forward_reference(reference: Any) -> Any:
    return rebuild.forward_reference, (reference.__forward_arg__,)


REDUCERS: dict[type, Callable[[Any], Any]] = {
    types.GenericAlias: _builtin_generic,
    typing.TypeVar: _type_variable,
    typing.ForwardRef: _forward_reference,
    type(collections.abc.Callable[[int], int]): _abstract_callable,
    MissingForm: _missing_form,
}

# What only some versions have. From Python 3.14 on all unions are of types.UnionType, and what is
# called _UnionGenericAlias says that it is equal to that.
for _module, _name, _reducer in (
    (types, "UnionType", _union),
    (typing, "_GenericAlias", _generic),
    (typing, "_CallableGenericAlias", _generic),
    (typing, "_LiteralGenericAlias", _generic),
    (typing, "_AnnotatedAlias", _generic),
    (typing, "_UnionGenericAlias", _generic),
    (typing, "_ConcatenateGenericAlias", _generic),
    (typing, "_UnpackGenericAlias", _generic),
    (typing, "_SpecialForm", _form),
    (typing, "_LiteralSpecialForm", _form),
    (typing, "_TypedCacheSpecialForm", _form),
    (typing, "ParamSpec", _parameter_specification),
    (typing, "ParamSpecArgs", _parameter_part),
    (typing, "ParamSpecKwargs", _parameter_part),
    (typing, "TypeVarTuple", _type_variable_tuple),
    (typing, "TypeAliasType", _type_alias),
):
    _kind = vars(_module).get(_name)  # not getattr, which may warn of what is to go
    if isinstance(_kind, type) and not (_LAZY and _name == "_UnionGenericAlias"):
        REDUCERS[_kind] = _reducer
