"""Imports modules that only the client has.

The importer stands last among the finders, so what the worker has itself wins. For what it lacks,
it asks the client, who sends the text or says why not; either answer holds for the session, until
the client says that the module has changed.

A finder that does not find is silent, so that ``importlib.util.find_spec`` says None and
``except ImportError`` works as everywhere. Why a module was not to be had is put into the error
when it leaves the task (`Importer.explain`).
"""

from __future__ import annotations

import ast
import builtins
import importlib
import linecache
import os
import socket
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from typing import Any, Callable, Optional

from farm_common.handshake import ClientHello
from farm_common.shipping.modules import GivenModule, contents, is_module_name, python_name
from farm_common.shipping.rebuild_belongings import advice

from .importlock import released

__all__ = ["GivenLoader", "Importer"]

#: How many names are remembered that the client did not give.
_MOST_REFUSED = 4096

#: How many errors are looked at that led to one another.
_MOST_ERRORS = 100

# What stands in the `__path__` of a package from the client. It is no directory: a real one of the
# same name may be there on this machine, and hold something else.
_PLACE = "farm-client:"

#: Of the standard library, and absent on some systems; for interpreters that do not list their own.
_STANDARD = frozenset(
    {
        *(
            "__main__",
            "__mp_main__",
            "_winapi",
            "_winreg",
            "_wmi",
            "_msi",
            "_overlapped",
            "_scproxy",
        ),
        *("msvcrt", "nt", "winreg", "winsound", "ossaudiodev", "spwd", "sitecustomize"),
        *("usercustomize", "_bz2", "_curses", "_dbm", "_gdbm", "_lzma", "_sqlite3", "_tkinter"),
    }
)


class Importer:
    """A finder for ``sys.meta_path``.

    Args:
        ask: Asks the client for a module; raises an `OSError` when it is gone, and a `RuntimeError`
            where the calling thread must not wait.
        client: What the client said of itself.
    """

    def __init__(self, ask: Callable[[str], GivenModule], client: ClientHello) -> None:
        self._ask = ask
        theirs = python_name(client.implementation, client.python)
        self._newer = f"the client's {theirs}" if tuple(client.python[:2]) != _OURS else ""
        self._process = os.getpid()
        self._given: dict[str, GivenModule] = {}
        self._refused: dict[str, str] = {}
        self._guard = _Guard(self)

    def install(self) -> None:
        """Take part in the imports of this process."""
        places = sys.meta_path
        # Before the path finder, as that takes a mere directory for a package.
        position = places.index(PathFinder) if PathFinder in places else len(places)
        places.insert(position, self._guard)
        places.append(self)

    def uninstall(self) -> None:
        """Take part no more; what was imported stays."""
        for finder in (self, self._guard):
            if finder in sys.meta_path:
                sys.meta_path.remove(finder)

    # finding

    def find_spec(
        self,
        name: str,
        path: Optional[Sequence[str]] = None,
        target: Optional[types.ModuleType] = None,
    ) -> Optional[ModuleSpec]:
        """What the import system calls; None where the client does not give the module."""
        given = self.find(name)
        return None if given is None else self.spec(name, given)

    def find(self, name: str) -> Optional[GivenModule]:
        """What the client gives under this name, if anything.

        Raises:
            ImportError: The client is gone.
        """
        parent = name.rpartition(".")[0]
        if parent and not _is_open(sys.modules.get(parent)):
            return None  # a package that is whole here is not mixed with the client's
        given = self._given.get(name)
        if given is not None:
            return given
        if name in self._refused or not is_module_name(name) or _is_standard(name):
            return None
        if os.getpid() != self._process:
            return None  # the child of a fork has no connection
        try:
            with released():
                given = self._ask(name)
        except OSError:
            raise ImportError(
                f"cannot import {name}: the client was asked for it, and is gone", name=name
            ) from None
        except RuntimeError:
            return None  # for once: another thread may ask
        if given.kind == "extension" and not _is_extension(given.origin):
            given = GivenModule("none", reason=f"has it as {given.origin}, which is not here")
        if given.kind == "none":
            if len(self._refused) >= _MOST_REFUSED:
                self._refused.clear()
            self._refused[name] = given.reason
            return None
        self._given[name] = given
        return given

    def spec(self, name: str, given: GivenModule) -> Optional[ModuleSpec]:
        """How to make a module from what the client gave."""
        if given.kind == "extension":
            return spec_from_file_location(name, given.origin)
        if given.kind == "namespace":
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [_PLACE + name]
            return spec
        package = given.kind == "package"
        origin = given.origin or f"<{name}>"
        loader: Any = GivenLoader(origin, given.text, package, self._newer)
        spec = ModuleSpec(name, loader, origin=origin, is_package=package)
        spec.has_location = bool(given.origin)
        if package:
            spec.submodule_search_locations = [_PLACE + name]
        return spec

    # forgetting

    def forget(self, changes: Mapping[str, str]) -> None:
        """Have modules imported afresh that have changed, and those that use them.

        A package is forgotten as a whole: its parts are bound to it. Not so a namespace package, of
        which others may have parts.

        Args:
            changes: The client's file of each, by name.
        """
        outdated: set[str] = set()
        for name, origin in changes.items():
            self._refused.pop(name, None)
            self._given.pop(name, None)
            module = sys.modules.get(name)
            # One of the worker's own may come from the very file that has changed.
            if _is_given(module) or (origin and _file_of(module) == origin):
                outdated.add(_whole(name))
        importlib.invalidate_caches()
        if not outdated:
            return
        loaders = {name: _loader_of(module) for name, module in list(sys.modules.items())}
        given = {name: one for name, one in loaders.items() if isinstance(one, GivenLoader)}
        while True:
            users = {
                _whole(name)
                for name, loader in given.items()
                if not _belongs(name, outdated)
                and any(_belongs(used, outdated) for used in _uses(name, loader))
            }
            if not users:
                break
            outdated |= users
        for name, module in list(sys.modules.items()):
            # What another thread is just importing would break in its hands.
            spec = contents(module).get("__spec__") if _belongs(name, outdated) else None
            if spec is not None and not getattr(spec, "_initializing", False):
                sys.modules.pop(name, None)

    # explaining

    def explain(self, error: Optional[BaseException]) -> None:
        """Say in an error, and in those that led to it, why a module is missing."""
        seen: set[int] = set()
        waiting = [error]
        while waiting and len(seen) < _MOST_ERRORS:
            one = waiting.pop()
            if one is None or id(one) in seen:
                continue
            seen.add(id(one))
            if isinstance(one, ImportError):
                self._explain(one)
            waiting += [one.__cause__, one.__context__]
            if isinstance(one, _GROUPS):
                waiting += one.exceptions

    def _explain(self, error: ImportError) -> None:
        name = error.name
        if str(error.msg).startswith("cannot import name "):
            told = advice(name) if isinstance(name, str) else ""
            if not error.msg.endswith(told):
                error.msg += told
                error.args = (error.msg, *error.args[1:])
            return
        plain = f"No module named {name!r}"
        if not isinstance(name, str) or error.msg != plain:
            return
        reason = self._refused.get(name)
        if reason is None:
            parent = name.rpartition(".")[0]
            package = sys.modules.get(parent)
            if not parent or package is None or _is_open(package):
                return
            file = _file_of(package)
            reason = f"is not asked for it, because {parent} is the worker's own ({file})"
        where = f"worker {socket.gethostname()} ({_interpreter()})"
        error.msg = f"{plain} on {where}, and the client {reason}"
        error.args = (error.msg, *error.args[1:])


class _Guard:
    """Finds what the path finder finds, and looks twice where that is only a directory."""

    def __init__(self, importer: Importer) -> None:
        self._importer = importer

    def find_spec(
        self,
        name: str,
        path: Optional[Sequence[str]] = None,
        target: Optional[types.ModuleType] = None,
    ) -> Optional[ModuleSpec]:
        """The worker's own module; a module of the client's before a directory of that name."""
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.origin is not None or spec.submodule_search_locations is None:
            return spec
        given = self._importer.find(name)
        if given is None:
            return spec
        if given.kind == "namespace":
            spec.submodule_search_locations = [*spec.submodule_search_locations, _PLACE + name]
            return spec
        return self._importer.spec(name, given)


class GivenLoader:
    """Makes a module from its text.

    Args:
        origin: What its code objects and its ``__file__`` name.
        text: The text.
        package: Whether it is that of a package.
        newer: Who wrote it for another version of Python, if so.
    """

    def __init__(self, origin: str, text: str, package: bool, newer: str) -> None:
        self.path = origin
        self._text = text
        self._package = package
        self._newer = newer

    # Not those of `importlib.abc.InspectLoader`, which do the same: to import that brings a third
    # of what a server imports. Errors of the module are shown without frames of the machinery.
    exec_module = SourceFileLoader.exec_module

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to the machinery, which makes an ordinary module."""

    def is_package(self, fullname: str) -> bool:
        """Whether it is a package."""
        return self._package

    def get_source(self, fullname: str) -> str:
        """The text."""
        return self._text

    def get_filename(self, fullname: str) -> str:
        """The file, as the client calls it."""
        return self.path

    def get_data(self, path: str) -> bytes:
        """A file beside the module, for `pkgutil`; raises `OSError` where it is not here."""
        with open(path, "rb") as file:
            return file.read()

    def get_resource_reader(self, fullname: str) -> Any:
        """Finds files beside a package, for `importlib.resources`, if they are here."""
        for module in ("importlib.resources.readers", "importlib.readers"):
            try:
                reader: Any = importlib.import_module(module)
            except ImportError:  # 3.10 has only the second, and 3.9 looks for the file itself
                continue
            return reader.FileReader(self) if self._package else None
        return None

    def imports(self) -> Iterator[tuple[int, str]]:
        """What it imports when it is executed, not later in a function.

        Returns:
            Names as they are written, each after the number of dots before it.
        """
        try:
            waiting: list[ast.AST] = [ast.parse(self._text)]
        except (SyntaxError, ValueError, RecursionError):
            return
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.Import):
                yield from ((0, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.level, node.module or ""
                start = f"{node.module}." if node.module else ""
                yield from ((node.level, start + alias.name) for alias in node.names)
            elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                waiting += ast.iter_child_nodes(node)

    def get_code(self, fullname: str) -> types.CodeType:
        """The compiled text.

        Raises:
            SyntaxError: This interpreter cannot read it.
        """
        # With no time, so that no file of that name on this machine is shown in its place.
        lines = self._text.splitlines(True)
        linecache.cache[self.path] = (len(self._text), None, lines, self.path)
        try:
            code: types.CodeType = compile(self._text, self.path, "exec", dont_inherit=True)
        except SyntaxError as error:
            if self._newer:
                error.msg += (
                    f"; module {fullname} comes from {self._newer}, and this worker runs "
                    f"{_interpreter()}"
                )
                error.args = (error.msg, *error.args[1:])
            raise
        return code


_OURS = tuple(sys.version_info[:2])

# A class of Python 3.11.
_GROUPS: tuple[Any, ...] = tuple(filter(None, [getattr(builtins, "BaseExceptionGroup", None)]))


def _interpreter() -> str:
    return python_name(sys.implementation.name, sys.version_info[:3])


def _root(name: str) -> str:
    return name.partition(".")[0]


def _is_standard(name: str) -> bool:
    """Whether a module that is missing here belongs to this interpreter's standard library."""
    root = _root(name)
    return root in _STANDARD or root in getattr(sys, "stdlib_module_names", ())


def _is_extension(origin: str) -> bool:
    return origin.endswith(tuple(EXTENSION_SUFFIXES)) and os.path.isfile(origin)


def _file_of(module: Optional[types.ModuleType]) -> Optional[str]:
    file = contents(module).get("__file__")
    return file if isinstance(file, str) else None


def _loader_of(module: Optional[types.ModuleType]) -> Any:
    return getattr(contents(module).get("__spec__"), "loader", None)


def _is_given(module: Optional[types.ModuleType]) -> bool:
    """Whether a module came from the client."""
    if isinstance(_loader_of(module), GivenLoader):
        return True
    spec = contents(module).get("__spec__")
    places = getattr(spec, "submodule_search_locations", None)
    return isinstance(places, list) and any(str(place).startswith(_PLACE) for place in places)


def _is_open(module: Optional[types.ModuleType]) -> bool:
    """Whether parts of a package may be the client's: it is, or it is a namespace package."""
    return _is_given(module) or (_file_of(module) is None and "__path__" in contents(module))


def _whole(name: str) -> str:
    """The largest package that a module is a part of, namespace packages not counted."""
    parts = name.split(".")
    for end in range(1, len(parts)):
        package = ".".join(parts[:end])
        module = sys.modules.get(package)
        if _file_of(module) is not None or isinstance(_loader_of(module), GivenLoader):
            return package
    return name


def _belongs(name: str, packages: set[str]) -> bool:
    """Whether a name is that of one of some packages and modules, or of a part of one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _uses(name: str, loader: GivenLoader) -> Iterator[str]:
    """The modules that a module uses: those that it imports, and those that its contents are of."""
    package = name if loader.is_package(name) else name.rpartition(".")[0]
    for level, imported in loader.imports():
        base = package.split(".")[: 1 - level] if level > 1 else [package]
        yield ".".join([*base, imported]) if level else imported
    for value in list(contents(sys.modules.get(name)).values()):
        if isinstance(value, types.ModuleType):
            yield str(contents(value).get("__name__"))
            continue
        owner = value if isinstance(value, (type, types.FunctionType)) else type(value)
        yield str(owner.__module__)
