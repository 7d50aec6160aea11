"""Where modules come from: the user's own folders, an installation, or the standard library."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec
from typing import Any, Optional

from farm_common.shipping.modules import contents

__all__ = ["absolute", "find_module", "is_installed", "is_own", "is_standard", "spec_of"]

#: Longer than a tick of any file system's clock, in seconds.
_TICK = 3.0

_INSTALLED = frozenset({"site-packages", "dist-packages"})

_STANDARD = tuple(
    {
        folder(os.path.dirname(os.__file__)) + os.sep
        for folder in (os.path.abspath, os.path.realpath)
    }
)


def absolute(path: str) -> str:
    """The absolute form of a path, or the path itself where the working directory is gone."""
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        return path


def is_installed(path: str) -> bool:
    """Whether a file or folder belongs to what an installer put there."""
    return not _INSTALLED.isdisjoint(absolute(path).split(os.sep))


def is_standard(path: str) -> bool:
    """Whether a file or folder belongs to the standard library."""
    return not is_installed(path) and (absolute(path) + os.sep).startswith(_STANDARD)


def is_own(spec: ModuleSpec) -> bool:
    """Whether a module is the user's own: neither installed nor of the standard library."""
    if spec.origin is None:
        places = spec.submodule_search_locations or ()
        return any(not (is_installed(place) or is_standard(place)) for place in places)
    if not os.path.isabs(spec.origin):  # "built-in", "frozen"
        return False
    return not (is_installed(spec.origin) or is_standard(spec.origin))


def spec_of(module: Any) -> Optional[ModuleSpec]:
    """How a loaded module came to be; None where it was made by hand."""
    spec = contents(module).get("__spec__")
    return spec if isinstance(spec, ModuleSpec) else None


def find_module(name: str) -> Optional[ModuleSpec]:
    """Find a module as an import would, without importing anything, its packages included.

    So no code of the modules runs, and no lock of the import system is waited for: whoever holds
    that may in turn be waiting for this thread.

    Args:
        name: The full name.

    Returns:
        What is known of it; None where there is none, or it was made by hand.

    Raises:
        Exception: Whatever a finder raises.
    """
    if name in sys.modules:
        return spec_of(sys.modules[name])
    parent, _, tail = name.rpartition(".")
    path: Optional[Sequence[str]] = None
    if parent:
        package = find_module(parent)
        if package is None or package.submodule_search_locations is None:
            return None
        loaded = contents(sys.modules.get(parent)).get("__path__")
        path = package.submodule_search_locations if loaded is None else loaded
    found = _search(name, tail, path)
    if found is None and _look_again(sys.path if path is None else path):
        found = _search(name, tail, path)
    return found


def _search(name: str, tail: str, path: Optional[Sequence[str]]) -> Optional[ModuleSpec]:
    for finder in list(sys.meta_path):
        find_spec = getattr(finder, "find_spec", None)
        try:
            spec = None if find_spec is None else find_spec(name, path, None)
        except (KeyError, ModuleNotFoundError) as error:
            # A namespace package in one that is not imported; a KeyError up to Python 3.14.
            if isinstance(error, ModuleNotFoundError) and error.name != name.rpartition(".")[0]:
                raise
            spec = _find_folder(name, tail, path or ())
        if isinstance(spec, ModuleSpec):
            return spec
    return None


def _look_again(path: Iterable[str]) -> bool:
    """Have the path finder read folders anew that were written to just now; return whether any was.

    It reads a folder again when the folder's time has changed, and so does not see what was
    written there within the same tick of the file system's clock.
    """
    again = False
    for entry in path:
        with contextlib.suppress(OSError):  # there is no such folder any more
            place = os.path.abspath(entry)
            finder: Any = sys.path_importer_cache.get(place)
            if hasattr(finder, "invalidate_caches") and (
                time.time() - os.stat(place).st_mtime < _TICK
            ):
                finder.invalidate_caches()
                again = True
    return again


def _find_folder(name: str, tail: str, path: Sequence[str]) -> Optional[ModuleSpec]:
    places = [
        place for place in (os.path.join(entry, tail) for entry in path) if os.path.isdir(place)
    ]
    if not places:
        return None
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = places
    return spec
