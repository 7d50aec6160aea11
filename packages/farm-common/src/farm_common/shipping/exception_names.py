"""Finds the classes of exceptions, and what else an ERROR frame names, without importing it.

A task may fail with an exception of any module that the server has. The client may lack it, or
may have it and not want it: importing runs code, takes time, and may break a program that is just
handling an error. So what an ERROR frame names is looked up among the modules that the client's
program imported already, and those of the standard library that only define things. A program
that never imported a module has no ``except`` clause for its exceptions either. This keeps the
client as its user made it; it is no protection against a malicious server, which is what
authentication is for.
"""

from __future__ import annotations

import builtins
import importlib
import pickle
import sys
from typing import Any, Callable, Optional

from . import aliases, rebuild
from .placeholders import placeholder_of
from .rebuild_classes import table
from .rebuild_exceptions import group_class, group_name

__all__ = ["LookupUnpickler", "find_class", "name_of"]

#: Modules and packages of the standard library that may be imported to look for a class.
_STANDARD = frozenset(
    {
        *("argparse", "array", "ast", "asyncio", "bdb", "binascii", "bz2", "calendar", "codecs"),
        *("collections", "concurrent", "configparser", "contextlib", "contextvars", "copy"),
        *("csv", "ctypes", "dataclasses", "datetime", "dbm", "decimal", "doctest", "email"),
        *("enum", "fractions", "ftplib", "functools", "getopt", "graphlib", "gzip", "html"),
        *("http", "imaplib", "importlib", "inspect", "io", "ipaddress", "itertools", "json"),
        *("locale", "lzma", "mailbox", "math", "multiprocessing", "netrc", "numbers"),
        *("operator", "optparse", "os", "pathlib", "pickle", "plistlib", "poplib", "queue"),
        *("random", "re", "runpy", "select", "selectors", "shelve", "shlex", "shutil", "signal"),
        *("smtplib", "socket", "sqlite3", "ssl", "statistics", "string", "struct", "subprocess"),
        *("sys", "tarfile", "tempfile", "threading", "time", "tokenize", "tomllib", "traceback"),
        *("types", "typing", "unittest", "urllib", "uuid", "wave", "weakref", "xml", "xmlrpc"),
        *("zipfile", "zlib", "zoneinfo"),
    }
)

#: What is farm's own, or comes with it.
_OURS = frozenset({"farm_common", "cloudpickle"})


def name_of(cls: type) -> tuple[str, str]:
    """The module and the qualified name under which the other side may find a class."""
    name = group_name(cls) or placeholder_of(cls) or aliases.public_name(cls)
    return name or (str(cls.__module__), cls.__qualname__)


def find_class(
    module: str, qualname: str, ident: Optional[str] = None
) -> Optional[type[BaseException]]:
    """An exception class by its name, None if it is not here.

    Args:
        module: The name of its module.
        qualname: Its qualified name in that.
        ident: Its id, where it travelled by value: then it is that very class or none.
    """
    if ident is not None:
        found: Any = table.find(ident)
    else:
        found = group_class(module, qualname)
        if found is None:
            try:
                found = _look_up(module, qualname)
            except LookupError:
                return None
    if isinstance(found, type) and issubclass(found, BaseException):
        return found
    return None


def _look_up(module: str, qualname: str) -> Any:
    """What a module that may be used has under a name.

    Raises:
        LookupError: There is no such thing.
    """
    found: Any = sys.modules.get(module)
    if found is None:
        top = module.partition(".")[0]
        if top not in _STANDARD and top not in _OURS:
            raise LookupError(f"{module} is not imported here")
        try:
            found = importlib.import_module(module)
        except ImportError:
            return _renamed(module, qualname)
    first, *others = qualname.split(".")
    try:
        # Not getattr: it might have a package import what it holds.
        found = vars(found)[first]
        for name in others:
            found = getattr(found, name)
    except (AttributeError, KeyError):
        return _renamed(module, qualname)
    return found


def _renamed(module: str, qualname: str) -> Any:
    """What the standard library had under a name in another version."""
    if module.partition(".")[0] in _STANDARD:
        try:
            return aliases.resolve(module, qualname)
        except (ImportError, AttributeError):
            pass
    raise LookupError(f"{module} has no {qualname} here")


def _module(name: str) -> Any:
    """A module that is imported here; stands in for importing it."""
    if name not in sys.modules:
        raise LookupError(f"{name} is not imported here")
    return sys.modules[name]


def _harmless(module: str, qualname: str) -> Any:
    """What a module that may be used has under a name, unless it is there to import others."""
    found = _look_up(module, qualname)
    try:
        return _INSTEAD.get(found, found)
    except TypeError:  # it has no hash
        return found


#: What would import a module by its name, and what does the same without.
_INSTEAD: dict[Any, Callable[..., Any]] = {
    aliases.resolve: _harmless,
    rebuild.import_module: _module,
    importlib.import_module: _module,
    builtins.__import__: _module,
}


class LookupUnpickler(pickle.Unpickler):
    """Loads what an ERROR frame brings, importing nothing."""

    def find_class(self, module: str, qualname: str) -> Any:
        """What a pickle names.

        Raises:
            LookupError: It is not here.
        """
        return _harmless(module, qualname)
