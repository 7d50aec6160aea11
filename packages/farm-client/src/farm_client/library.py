"""The modules that a kernel gives to its workers.

A worker that lacks a module asks, and the library answers: with the text, or with the reason why
not. What is given is decided by ``make_kernel(modules=...)``; ``"auto"`` gives the user's own
modules, that is all but the standard library and what an installer put into a ``site-packages`` or
``dist-packages``.

All workers of a kernel get the same text, that of the first time. When does another one count? A
program that runs must not change because its files are being edited. So where this process has
imported the module itself, the text is renewed when the module is imported again (a reload, a
notebook's autoreload). Of a module that only tasks import there is no version here but the file,
and so it is renewed when the file has changed. `Library.look` finds that out, for whoever submits a
task; the more files there are to look at, the longer it lets the next look wait.

Files are read by whichever thread reads from the worker, so nothing here imports, or waits for
anybody who does.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import decode_source
from time import perf_counter
from typing import NamedTuple, Optional, Union

from farm_common.shipping.modules import GivenModule, contents, is_module_name, python_name

from .observer import observe, stop_observing
from .origin import absolute, find_module, is_installed, is_own, is_standard, spec_of

__all__ = ["Answer", "Library"]

#: How many answers are remembered, and how many of those that there is no such module.
_MOST = 4096
_MOST_ABSENT = 256

# Looking at files takes at most one part in so many of the time; in seconds, between two looks.
_SHARE = 10
_LEAST = 50e-6
_LONGEST = 1.0

_NEVER = float("inf")

#: A file as it was: its time and size; None where there is no file.
_Stamp = Optional[tuple[int, int]]

_SCRIPTS = frozenset({"__main__", "__mp_main__"})


class Answer(NamedTuple):
    """What to tell a worker.

    Attributes:
        module: The module, or why there is none.
        version: `Library.version` when it was found out.
    """

    module: GivenModule
    version: int


class _Given(NamedTuple):
    """What was given, and the state of its file just before it was read."""

    module: GivenModule
    stamp: _Stamp = None


class Library:
    """Finds modules, and sees when they change; for any thread.

    Args:
        modules: ``"auto"``, the names of modules and packages, or None.

    Raises:
        TypeError: `modules` is something else.
        ValueError: A name is none.
    """

    def __init__(self, modules: Union[str, Iterable[str], None] = "auto") -> None:
        self._off = modules is None
        self._auto = modules == "auto"
        self._names = () if self._auto or modules is None else _checked(modules)
        #: Grows when a text that was given before does not count any more.
        self.version = 0
        #: When it is time to look again, by `time.perf_counter`.
        self.due = _NEVER
        self._lock = threading.Lock()
        self._answers: dict[str, _Given] = {}
        self._absent: set[str] = set()  # what was asked for and is not there
        self._folders: dict[str, _Stamp] = {}  # where it might appear
        self._imported = set(sys.modules)
        self._again: set[str] = set()  # what has been imported again since the last look
        if not self._off:
            observe(self._notice)

    def close(self) -> None:
        """Look no more; twice is no error."""
        self.due = _NEVER
        stop_observing(self._notice)

    # answers

    def answer(self, name: str) -> Answer:
        """What to tell a worker that asks for a module; never raises."""
        with self._lock:
            given, version = self._answers.get(name), self.version
        if given is None:
            try:
                given = self._find(name)
            except BaseException as error:  # noqa: BLE001 (a finder or loader of the user's)
                given = _none(f"could not look for it: {type(error).__name__}: {error}"[:500])
            with self._lock:
                if version == self.version and is_module_name(name):
                    self._remember(name, given)
        return Answer(given.module, version)

    def _remember(self, name: str, given: _Given) -> None:
        if len(self._answers) >= _MOST:
            kept = {name: one for name, one in self._answers.items() if one.module.text}
            self._answers = kept
        self._answers[name] = given
        if given.stamp is not None:
            self.due = min(self.due, 0.0)

    def _find(self, name: str) -> _Given:
        if self._off:
            return _none("gives none, as its kernel was made with modules=None")
        if not is_module_name(name) or name in _SCRIPTS:
            return _none("gives no such thing")
        if not (self._auto or self._is_named(name)):
            return _none("gives only what its make_kernel(modules=[...]) names")
        spec = find_module(name)
        if spec is None:
            if any(other.startswith(f"{name}.") for other in list(sys.modules)):
                return _Given(GivenModule("namespace"))  # pytest, for one, makes such packages
            if name in sys.modules:
                return _none("has it without a file: it was made by hand there")
            self._miss(name)
            return _none("has none of that name either: install it for the worker's Python")
        if self._auto and not is_own(spec):
            return _none(_why_not(name, spec))
        return _read(spec)

    def _is_named(self, name: str) -> bool:
        """Whether a list names a module, a package that it is in, or a module in it."""
        return any(
            name == listed or name.startswith(f"{listed}.") or listed.startswith(f"{name}.")
            for listed in self._names
        )

    def _miss(self, name: str) -> None:
        """Have `look` see when a module is written that was asked for."""
        package = contents(sys.modules.get(name.rpartition(".")[0]))
        places = package.get("__path__") or sys.path
        with self._lock:
            if len(self._absent) < _MOST_ABSENT:
                self._absent.add(name)
                self.due = min(self.due, 0.0)
                for place in map(absolute, places):
                    if not (is_installed(place) or is_standard(place)):
                        self._folders.setdefault(place, _stamp(place))

    # changes

    def look(self) -> dict[str, str]:
        """See what has changed since the last time.

        Returns:
            The file of each module that workers are to import afresh, by name; it counts as it is
            now from here on.
        """
        begun = perf_counter()
        with self._lock:
            if self.due == _NEVER:
                return {}
            self.due = _NEVER  # whoever notices something from here on brings that forward again
            changed = {**self._reloaded(), **self._edited(), **self._written()}
            if changed:
                self.version += 1
                for name in changed:
                    self._answers.pop(name, None)
                    self._absent.discard(name)
            if self._absent or any(map(self._is_file_watched, self._answers)):
                now = perf_counter()
                pause = min(_LONGEST, max(_LEAST, _SHARE * (now - begun)))
                self.due = min(self.due, now + pause)
        return changed

    def _notice(self, name: str) -> None:
        """Take note that something is imported; for the observer."""
        if name in self._imported or name in self._answers:
            self._again.add(name)
            self.due = 0.0
        self._imported.add(name)

    def _reloaded(self) -> dict[str, str]:
        """What this process has imported again, or after it was given."""
        changed = {}
        while self._again:
            name = self._again.pop()
            spec = spec_of(sys.modules.get(name))
            if spec is None or not (is_own(spec) if self._auto else self._is_named(name)):
                continue
            origin = spec.origin or ""
            given = self._answers.get(name)
            # One that was not given may be one that a worker has found by itself in the same file.
            if given is None or (origin, _stamp(origin)) != (given.module.origin, given.stamp):
                changed[name] = origin
        return changed

    def _edited(self) -> dict[str, str]:
        """Of the modules that only workers have imported, those whose files have changed."""
        changed = {}
        for name in filter(self._is_file_watched, self._answers):
            module, stamp = self._answers[name]
            # One that is not there at the moment is perhaps being written.
            if _stamp(module.origin) not in (stamp, None):
                changed[name] = module.origin
        return changed

    def _is_file_watched(self, name: str) -> bool:
        return name not in sys.modules and self._answers[name].stamp is not None

    def _written(self) -> dict[str, str]:
        """Which modules there are that there were not when somebody asked."""
        if not self._absent:
            return {}
        now = {folder: _stamp(folder) for folder in self._folders}
        if now == self._folders:
            return {}
        self._folders = now
        found = {}
        for name in self._absent:
            try:
                spec = find_module(name)
            except Exception:  # noqa: BLE001, S112 (a finder of the user's)
                continue
            if spec is not None:
                found[name] = spec.origin or ""
        return found


def _checked(modules: Iterable[str]) -> tuple[str, ...]:
    """The names, if that is what they are."""
    if isinstance(modules, str):
        raise ValueError(f"modules is 'auto', a list of names, or None, not {modules!r:.100}")
    try:
        names = tuple(modules)
    except TypeError:
        names = (modules,)  # type: ignore[assignment]
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"modules is 'auto', a list of names, or None, not {modules!r:.100}")
        if not is_module_name(name):
            raise ValueError(f"modules lists {name!r:.100}, which is no name of a module")
        if name in _SCRIPTS:
            raise ValueError(f"modules lists {name!r}, but what a script defines travels by itself")
    return names


def _none(reason: str) -> _Given:
    return _Given(GivenModule("none", reason=reason))


def _why_not(name: str, spec: ModuleSpec) -> str:
    places = [spec.origin] if spec.origin is not None else spec.submodule_search_locations or ()
    if any(map(is_installed, places)):
        return (
            f"may not give it: it is in site-packages there. Install it for the worker's Python, "
            f"or name it in make_kernel(modules=[{name.partition('.')[0]!r}])"
        )
    python = python_name(sys.implementation.name, sys.version_info[:2])
    return f"does not give it: it is of the standard library of its {python}"


def _stamp(path: str) -> _Stamp:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size


_NAMESPACE_LOADERS = frozenset({"NoneType", "NamespaceLoader", "_NamespaceLoader"})


def _read(spec: ModuleSpec) -> _Given:
    """The text of a module."""
    package = spec.submodule_search_locations is not None
    origin = spec.origin
    if origin is None:
        # Not what a finder of the user's makes, as six does: there, that finder will do it again.
        if package and type(spec.loader).__name__ in _NAMESPACE_LOADERS:
            return _Given(GivenModule("namespace"))
        return _none("has it without a file: it was made by hand there")
    stamp = _stamp(origin)
    if origin.endswith(tuple(EXTENSION_SUFFIXES)):
        return _Given(GivenModule("extension", origin), stamp)
    text = _text(spec, origin)
    if text is None:
        return _none(f"has no source of it, only {origin}: install it for the worker's Python")
    return _Given(GivenModule("package" if package else "module", origin, text), stamp)


def _text(spec: ModuleSpec, origin: str) -> Optional[str]:
    get_source = getattr(spec.loader, "get_source", None)
    text: Optional[str] = None
    if get_source is not None:
        try:
            text = get_source(spec.name)
        except ImportError:  # the loader knows the module by another name
            text = None
    if text is None and origin.endswith(".py"):
        with open(origin, "rb") as file:
            text = decode_source(file.read())
    return text
