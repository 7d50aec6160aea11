"""Finds again what a module compiled, besides its file, when it was imported.

Some packages generate functions from text that nobody keeps. Where such a package is sent by value
to another version of Python, the text is needed; so its module is imported once more, in a process
of its own that takes note of all that is compiled there. The text is only a guess, as any other:
`source` sees whether it gives the code at hand.

This is as `multiprocessing` starts its processes, and asks of a module what that asks: that it can
be imported twice. It is done for modules that `by_value` names, never for a script. PyPy does not
tell what it compiles.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

__all__ = ["generated_texts"]

#: How long an import may take, in seconds.
_TIMEOUT = 60.0

#: How many characters one text may have, and all together.
_TEXT_LIMIT, _TOTAL_LIMIT = 1 << 20, 32 << 20

_RECORDER = f"""
import os, sys
places, module = sys.argv[1:]
answer = os.fdopen(os.dup(1), "w", encoding="ascii")
os.dup2(2, 1)  # what the module prints is no part of the answer
texts, size = {{}}, 0
def note(event, about):
    global size
    if event != "compile" or not isinstance(about[0], (str, bytes)):
        return
    text, name = about
    if not isinstance(name, str) or os.path.isfile(name):
        return
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if len(text) <= {_TEXT_LIMIT} and size + len(text) <= {_TOTAL_LIMIT} and text not in texts:
        size += len(text)
        texts[text] = None
import importlib, json
sys.path[:] = json.loads(places)
sys.addaudithook(note)
try:
    importlib.import_module(module)
except Exception:
    pass  # what it compiled until then may do
answer.write(json.dumps([list(texts), list(sys.modules)]))
answer.flush()
os._exit(0)
"""

_lock = threading.Lock()
_texts: dict[str, tuple[str, ...]] = {}


def generated_texts(module: str) -> tuple[str, ...]:
    """What was compiled when a module and those that it needs were imported, files apart.

    Args:
        module: The full name of a module that can be imported. The first call takes as long as
            starting Python and importing it.
    """
    if sys.implementation.name == "pypy" or getattr(sys, "frozen", False) or not sys.executable:
        return ()
    with _lock:
        found = _texts.get(module)
        if found is None:
            found, imported = _record(module)
            for name in (*imported, module):
                _texts.setdefault(name, found)
        return found


def _record(module: str) -> tuple[tuple[str, ...], list[str]]:
    """The texts, and the modules that were imported."""
    options = ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []
    places = json.dumps([str(place) for place in sys.path])
    command = [sys.executable, *options, "-c", _RECORDER, places, module]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT,
            check=True,
        )
        texts, imported = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return (), []
    return tuple(texts), imported


def _renew_lock() -> None:
    """In the child of a fork, nobody asks what another thread was asking."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
