"""The public names of what other versions and implementations keep elsewhere, or lack.

``pathlib.Path`` calls itself ``pathlib._local.Path`` on 3.13, ``functools.reduce`` is
``_functools.reduce`` where there is an ``_functools``, the type of functions says that it is
``builtins.function``, where nobody finds it. So what has a private home, or a name that came
later, is sent under the public name that every version has, and looked up by `resolve`. That knows
the private names of other versions, too, and what to take where a name is too new (`substitutes`).
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any, Optional

from . import substitutes
from .by_value import goes_by_value

__all__ = ["public_name", "resolve"]

#: Where to look for what says that it is in one of these modules, or in a submodule of one.
_HOMES: dict[str, tuple[str, ...]] = {
    # accelerators
    **{
        f"_{name}": (name,)
        for name in (
            *("asyncio", "bisect", "bz2", "codecs", "collections", "contextvars", "csv", "ctypes"),
            *("curses", "datetime", "decimal", "functools", "heapq", "io", "locale", "lzma"),
            *("operator", "pickle", "posixshmem", "queue", "random", "signal", "socket", "sqlite3"),
            *(
                "ssl",
                "stat",
                "statistics",
                "string",
                "struct",
                "symtable",
                "tokenize",
                "tracemalloc",
            ),
            *("typing", "uuid", "warnings", "weakref", "zoneinfo"),
        )
    },
    **dict.fromkeys(
        ("_blake2", "_hashlib", "_md5", "_sha1", "_sha2", "_sha256", "_sha3", "_sha512"),
        ("hashlib", "hmac"),
    ),
    "_collections_abc": ("collections.abc",),
    "_ctypes": ("ctypes", "ctypes.wintypes"),
    "_curses_panel": ("curses.panel",),
    "_elementtree": ("xml.etree.ElementTree",),
    "_json": ("json.encoder", "json.decoder", "json.scanner"),
    "_sre": ("re",),
    "_thread": ("threading",),
    "_weakrefset": ("weakref",),
    "pyexpat": ("xml.parsers.expat",),
    # pure-Python versions
    "_pydatetime": ("datetime",),
    "_pydecimal": ("decimal",),
    "_py_warnings": ("warnings",),
    "_pyio": ("io",),
    "_pyrepl": ("pydoc", "readline"),
    "<unknown>": ("ssl",),  # ssl.Purpose, before 3.11
    f"{__package__}.rebuild_exceptions": ("builtins",),  # its groups, before 3.11
    # what PyPy has instead
    "_cffi_ssl": ("ssl",),
    "_pypy_generic_alias": ("types",),
    "pyrepl": ("readline",),
    # parts of packages
    "_frozen_importlib": ("importlib.machinery", "importlib.util", "importlib"),
    "_frozen_importlib_external": ("importlib.machinery", "importlib.util", "importlib"),
    "email._policybase": ("email.policy",),
    "genericpath": ("os.path",),
    "importlib._abc": ("importlib.abc",),
    "importlib._bootstrap": ("importlib.machinery", "importlib.util", "importlib"),
    "importlib._bootstrap_external": ("importlib.machinery", "importlib.util", "importlib"),
    "importlib._common": ("importlib.resources",),
    "importlib.resources._common": ("importlib.resources",),
    "importlib.resources._functional": ("importlib.resources",),
    "importlib.resources._legacy": ("importlib.resources",),
    "importlib.resources.abc": ("importlib.abc",),
    "importlib.resources.readers": ("importlib.readers",),
    "nt": ("os", "os.path"),
    "pathlib._abc": ("pathlib",),
    "pathlib._local": ("pathlib",),
    "pathlib._os": ("pathlib",),
    "posix": ("os", "os.path"),
    "zipfile._path": ("zipfile",),
    # modules of which a part calls itself by a name that finds nothing, or that came later
    "builtins": ("types", "weakref", "contextvars", "struct", "pickle", "zlib", "locale"),
    **{
        name: (name,)
        for name in (
            *("asyncio.tasks", "dataclasses", "enum", "hashlib", "http", "json.encoder"),
            *(
                "json.scanner",
                "logging",
                "os",
                "pickle",
                "queue",
                "re",
                "signal",
                "ssl",
                "types",
                "typing",
            ),
        )
    },
}

#: The same for NumPy, which is not imported to look.
_NUMPY_HOMES: dict[str, tuple[str, ...]] = {
    "numpy": ("numpy", "numpy.char", "numpy.rec", "numpy.lib", "numpy.exceptions"),
    "numpy._core": ("numpy", "numpy.exceptions", "numpy.char", "numpy.rec"),
    "numpy.core": ("numpy", "numpy.exceptions", "numpy.char", "numpy.rec"),
    "numpy.char": ("numpy.char",),
    "numpy.lib": ("numpy", "numpy.lib"),
    "numpy.ma": ("numpy.ma",),
    "numpy.random": ("numpy.random",),
    "numpy.rec": ("numpy", "numpy.rec"),
    "numpy.strings": ("numpy.char", "numpy.strings"),
}

#: Names that came later, with the name that every version has.
_LATER: dict[tuple[str, str], tuple[str, str]] = {
    ("builtins", "method"): ("types", "MethodType"),
    ("_thread", "_ExceptHookArgs"): ("threading", "ExceptHookArgs"),
    ("enum", "EnumType"): ("enum", "EnumMeta"),
    ("importlib.resources.abc", "ResourceReader"): ("importlib.abc", "ResourceReader"),
    **{
        ("numpy", name): ("numpy.exceptions", name)
        for name in (
            *("AxisError", "ComplexWarning", "DTypePromotionError", "ModuleDeprecationWarning"),
            *("TooHardError", "VisibleDeprecationWarning"),
        )
    },
    ("numpy", "bool"): ("numpy", "bool_"),
    ("numpy", "long"): ("numpy", "int_"),
    ("numpy", "ulong"): ("numpy", "uint"),
    **{
        ("pickle", f"_{name}"): ("pickle", name)  # what PyPy offers as its own
        for name in ("Pickler", "Unpickler", "dump", "dumps", "load", "loads")
    },
    ("queue", "_PySimpleQueue"): ("queue", "SimpleQueue"),
    ("re", "PatternError"): ("re", "error"),
}

#: Attributes of NumPy that are modules of their own in NumPy 2 only.
_NO_MODULES = frozenset({"numpy.char", "numpy.rec", "numpy.strings"})

#: What PyPy has among its builtins, and nobody else.
_ODD = frozenset({"NoneType", "sequenceiterator"})

#: By the module's name: its homes, once they were looked for; most have none.
_known: dict[str, tuple[str, ...]] = {}


def public_name(obj: Any) -> Optional[tuple[str, str]]:
    """The name to send for a class or function instead of its own.

    Args:
        obj: Anything that has a ``__module__`` and a ``__qualname__``.

    Returns:
        Module and qualified name, for `resolve`; None where its own will do, and where it has
            no other.
    """
    module = getattr(obj, "__module__", None)
    try:
        homes = _known[module]  # type: ignore[index]
    except TypeError:  # it has no hash, so it is no name
        return None
    except KeyError:
        if not isinstance(module, str):
            return None
        homes = _known[module] = _homes(module)
    if not homes or goes_by_value(str(module)):
        return None
    qualname = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
    if not isinstance(module, str) or not isinstance(qualname, str):
        return None
    later = _LATER.get((module, qualname))
    if later is not None and _find(*later) is obj:
        return later
    own = homes[0] == module or module == "builtins"
    if module in _NO_MODULES or qualname in _ODD:
        own = False
    if own and _find(module, qualname) is obj:
        return None
    for home in homes:
        if (home != module or not own) and _find(home, qualname) is obj:
            return home, qualname
    if module in _NO_MODULES:
        return _search(obj, homes)
    if module.startswith("numpy."):
        return _canonical(obj, module, qualname)
    if _top(module, _HOMES) is not None:
        return _search(obj, homes) or substitutes.name_of(obj)
    return None


def _homes(module: str) -> tuple[str, ...]:
    """The modules in which to look for what says that it is in this one; most often none."""
    for table in (_HOMES, _NUMPY_HOMES):
        top = _top(module, table)
        if top is not None and (top != "numpy" or module == "numpy"):
            return table[top]
    parts = module.split(".")
    for count, part in enumerate(parts):
        if part[:1] == "_" and part[:2] != "__":  # the packages that hide it
            return tuple(".".join(parts[:end]) for end in range(count, 0, -1))
    return ()


def _top(module: str, table: dict[str, tuple[str, ...]]) -> Optional[str]:
    """The name in the table that is the module's, or the nearest of a package that it is in."""
    while module:
        if module in table:
            return module
        module = module.rpartition(".")[0]
    return None


def _canonical(obj: Any, module: str, qualname: str) -> Optional[tuple[str, str]]:
    """The newer one of NumPy's private names, for what has no public one."""
    if not module.startswith(("numpy._core.", "numpy.core.")) or _find(module, qualname) is not obj:
        return None
    return f"numpy._core.{module.split('core.', 1)[1]}", qualname


def _find(module: str, qualname: str) -> Any:
    """What has a name, or None; imports nothing but the standard library."""
    found: Any = sys.modules.get(module)
    if found is None and module in _STANDARD:
        try:
            found = importlib.import_module(module)
        except ImportError:
            return None
    if found is None:
        package, _, name = module.rpartition(".")
        found = getattr(sys.modules.get(package), name, None)
    if found is None:
        return None
    for name in qualname.split("."):
        # Not getattr of a module: it may warn of a name that it is to lose.
        try:
            found = (
                vars(found)[name] if isinstance(found, types.ModuleType) else getattr(found, name)
            )
        except (AttributeError, KeyError):
            return None
    return found


#: What may be imported in order to look.
_STANDARD = frozenset(home for homes in _HOMES.values() for home in homes) | {"_thread"}


def _search(obj: Any, homes: tuple[str, ...]) -> Optional[tuple[str, str]]:
    """Another name that something has in one of its homes."""
    for home in homes:
        module = sys.modules.get(home)
        if module is not None:
            for name, value in sorted(vars(module).items()):
                if name.startswith(("_", "c_")):
                    continue  # private, or its C version
                if value is obj:
                    return home, name
                # A method that its class inherits from one that is private, or elsewhere.
                last = getattr(obj, "__name__", "")
                if isinstance(value, type) and getattr(value, last, None) is obj:
                    return home, f"{name}.{last}"
    return None


# The receiving side

_resolved: dict[tuple[str, str], Any] = {}


def resolve(module: str, qualname: str) -> Any:
    """What a name means here. It is part of the wire format: pickles call it.

    Args:
        module: The name of a module, as some version of it has it.
        qualname: The name in that module, with dots where it is inside a class.

    Raises:
        ImportError: There is no such module here.
        AttributeError: There is no such name in it, nor anything that could take its place.
    """
    key = module, qualname
    try:
        return _resolved[key]
    except KeyError:
        pass
    found = _resolve(module, qualname)
    # What the user's own modules have may change; and sys.stdout may be another.
    if isinstance(found, type) and (_top(module, _HOMES) or _top(module, _NUMPY_HOMES)):
        _resolved[key] = found
    return found


def _resolve(module: str, qualname: str) -> Any:
    if module.startswith(("numpy._core.", "numpy.core.")):
        part = module.split("core.", 1)[1]
        for package in ("numpy._core", "numpy.core"):
            try:
                return _get(f"{package}.{part}", qualname)
            except (ImportError, AttributeError):
                pass  # the other one may have it, or another module
    later = _LATER.get((module, qualname))
    try:
        if later is not None:
            importlib.import_module(module)
            found = _find(module, qualname)  # which has no module warn of a name that comes later
            if found is not None:
                return found
            raise AttributeError(f"module {module!r} has no attribute {qualname!r}")
        return _get(module, qualname)
    except (ImportError, AttributeError):
        homes = _homes(module)
        for home, name in [*([later] if later else ()), *((home, qualname) for home in homes)]:
            found = _find(home, name)
            if found is not None:
                return found
        found = substitutes.find(module, qualname)
        if found is None:
            raise
        return found


def _get(module: str, qualname: str) -> Any:
    found: Any = sys.modules.get(module)
    if found is None and module in _NO_MODULES:
        found = getattr(importlib.import_module("numpy"), module.rpartition(".")[2], None)
    if found is None:
        found = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    return found
