"""Runs on the other machine, before anything of farm is there: finds farm-server and starts it.

The text of this module is sent through ssh and executed by the Python that was found there, with
a call of `main` below it. So it imports the standard library only, and works on every Python that
farm does. It speaks in lines of its own, which begin with a word that nobody else can know,
because a login shell may write whatever it likes before.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import re
import runpy
import shutil
import stat
import sys
import tempfile
import time
from typing import Any, NoReturn, Optional

__all__ = ["main"]

#: How the size of the archive is sent: decimal digits, and a newline.
SIZE_LENGTH = 13

# In the folder of an archive: its time says when that was used last, and who uses it holds a lock
# on it, for as long as there is a process of the server's.
_USED = "used"

# How many archives are kept in any case, those used last, and how long the others are, in seconds;
# and how long what was left half unpacked is.
_KEPT = 3
_UNUSED_SECONDS = 30 * 86400.0
_PARTIAL_SECONDS = 86400.0

# How often to unpack an archive that is removed at the same moment.
_ATTEMPTS = 5


def main(
    token: str, socket: str, digest: str, series: dict[str, str], arguments: list[str]
) -> None:
    """Start farm-server, of which what is missing comes through standard input.

    Args:
        token: What this side's lines begin with.
        socket: Where the server is to listen; its folder is made, and removed in the end.
        digest: Identifies the archive.
        series: The first two numbers of the version that each package must have, if it is
            installed; empty where any will do.
        arguments: Further arguments of farm-server.
    """
    if sys.path[:1] == [""]:
        # The modules in the home directory are not the server's; the client gives what is needed.
        del sys.path[0]
    try:
        missing = find_missing(series)
        if missing is None:
            say(token, {"python": describe(), "missing": None, "need": False})
        else:
            sys.path.insert(0, provide(token, missing, digest))
        folder = os.path.dirname(socket)
        os.mkdir(folder, 0o700)
    except Exception as error:  # noqa: BLE001  whatever it is, the other side wants to know
        fail(token, error)
    owner = os.getpid()
    try:
        # As ``python -m`` does it, so that nothing is known of farm-server but its command line.
        sys.argv = ["farm-server", f"unix://{socket}", "--until-stdin-closes", *arguments]
        runpy.run_module("farm_server", run_name="__main__")
    finally:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)


def provide(token: str, missing: str, digest: str) -> str:
    """A folder with the modules of the archive: one that is kept, or else it is sent.

    Raises:
        RuntimeError: It cannot be kept here; says where, and what would help.
    """
    cache = "the cache"
    try:
        cache = cache_folder()
        kept = find_kept(cache, digest)
        if kept is not None and not hold(kept):
            kept = None
        say(token, {"python": describe(), "missing": missing, "need": kept is None})
        if kept is not None:
            return kept
        data = receive()
        folder = keep(cache, digest, data)
        for _ in range(_ATTEMPTS):
            if hold(folder):
                break
            folder = keep(cache, digest, data)
        remove_unused(cache)
        return folder
    except OSError as error:
        raise RuntimeError(
            f"cannot keep farm-server in {error.filename or cache}: {error.strerror or error}; "
            "make room there, or set XDG_CACHE_HOME, or install farm-server"
        ) from error


def say(token: str, message: dict[str, Any]) -> None:
    """Tell the other side something, on a line of its own whatever stood there before."""
    line = f"\n{token} {json.dumps(message)}\n".encode()
    while line:
        line = line[os.write(1, line) :]


def fail(token: str, error: Exception) -> NoReturn:
    """Tell the other side what went wrong here, and end."""
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        text = f"{error.strerror}{where}"
    elif isinstance(error, (RuntimeError, EOFError)):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}"
    say(token, {"error": text})
    sys.exit(1)


def describe() -> str:
    """This interpreter, for people."""
    version = ".".join(map(str, sys.version_info[:3]))
    return f"{sys.implementation.name} {version} ({sys.executable})"


def find_missing(series: dict[str, str]) -> Optional[str]:
    """Why what is installed here will not do, or None where it will."""
    for package, wanted in series.items():
        try:
            spec = importlib.util.find_spec(package)
        except (ImportError, ValueError):
            spec = None
        if spec is None or spec.origin is None:
            return f"{package} is not installed"
        version = version_of(spec.origin)
        if wanted and ".".join(version.split(".")[:2]) != wanted:
            return f"{package} is of version {version or 'unknown'}, not {wanted}"
    if importlib.util.find_spec("cloudpickle") is None:
        return "cloudpickle is not installed"
    return None


def version_of(origin: str) -> str:
    """The version of the package whose ``__init__.py`` this is, without importing it."""
    try:
        with open(os.path.join(os.path.dirname(origin), "__about__.py"), encoding="utf-8") as file:
            found = re.search(r'__version__ = "([^"]*)"', file.read())
    except OSError:
        return ""
    return found.group(1) if found else ""


def cache_folder() -> str:
    """The folder of this user in which archives are kept; it is made if need be.

    As the XDG Base Directory Specification has it, a relative ``XDG_CACHE_HOME`` is none.

    Raises:
        OSError: It cannot be made.
        RuntimeError: It belongs to somebody else.
    """
    home = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(home):
        home = os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.path.join(home, "farm")
    os.makedirs(home, 0o700, exist_ok=True)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        check_owner(folder)
        if stat.S_IMODE(os.stat(folder).st_mode) & 0o077:
            os.chmod(folder, 0o700)
    return folder


def check_owner(folder: str) -> None:
    """Refuse a folder in which somebody else could have put something.

    Raises:
        RuntimeError: It is one.
    """
    owner = os.stat(folder).st_uid
    if owner != os.geteuid():
        raise RuntimeError(f"{folder} belongs to user {owner}, not to you: remove it")


def find_kept(cache: str, digest: str) -> Optional[str]:
    """The folder of an archive that is kept already, if what is in it is right."""
    folder = os.path.join(cache, digest)
    return folder if digest_of(folder) == digest else None


def hold(folder: str) -> bool:
    """Have nobody remove an archive as long as this process or one that it forks is there.

    Returns:
        Whether it is there to be used. Where files cannot be locked, nobody removes any.
    """
    try:
        import fcntl

        used = os.open(os.path.join(folder, _USED), os.O_RDWR | os.O_CREAT, 0o600)
    except (ImportError, OSError):
        return os.path.isdir(folder)  # it may be read, if not written to
    try:
        fcntl.flock(used, fcntl.LOCK_SH | fcntl.LOCK_NB)
        os.utime(used)
    except BlockingIOError:
        os.close(used)
        return False  # it is being removed
    except OSError:
        pass
    # Between the two it may have been moved away.
    try:
        there = os.path.samestat(os.fstat(used), os.stat(os.path.join(folder, _USED)))
    except OSError:
        there = False
    if not there:
        os.close(used)
    return there


def remove_unused(cache: str) -> None:
    """Remove old archives that nobody uses, but for a few; and what was left half unpacked."""
    try:
        import fcntl

        now = time.time()
        archives = []
        for name in os.listdir(cache):
            path = os.path.join(cache, name)
            if name.startswith("partial-"):
                if now - os.stat(path).st_mtime > _PARTIAL_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)
            elif os.path.exists(os.path.join(path, _USED)):
                archives.append((os.stat(os.path.join(path, _USED)).st_mtime, path))
    except (ImportError, OSError):
        return  # this is not worth to fail
    for when, path in sorted(archives, reverse=True)[_KEPT:]:
        if now - when <= _UNUSED_SECONDS:
            continue
        try:
            used = os.open(os.path.join(path, _USED), os.O_RDWR)
        except OSError:
            continue  # somebody else removes it
        try:
            fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(used).st_mtime == when:  # else it was used since
                work = tempfile.mkdtemp(prefix="partial-", dir=cache)
                move(path, os.path.join(work, "old"))
                shutil.rmtree(work, ignore_errors=True)
        except OSError:
            pass  # it is used, or nobody can tell
        finally:
            os.close(used)


def digest_of(folder: str) -> str:
    """Identifies the modules in a folder; as `farm_common.ssh.archive` does it."""
    files = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            if not name.endswith(".py"):
                continue
            path = os.path.join(place, name)
            files[os.path.relpath(path, folder).replace(os.sep, "/")] = path
    whole = hashlib.sha256()
    for name in sorted(files):
        with open(files[name], "rb") as file:
            data = file.read()
        whole.update(f"{name} {len(data)}\n".encode())
        whole.update(data)
    return whole.hexdigest()


def receive() -> bytes:
    """The archive, from standard input.

    Raises:
        EOFError: The other side is gone.
    """
    stdin = sys.stdin.buffer
    size = int(stdin.read(SIZE_LENGTH) or b"-1")
    data = stdin.read(size) if size >= 0 else b""
    if len(data) != size:
        raise EOFError("the archive was not received whole")
    return data


def keep(cache: str, digest: str, data: bytes) -> str:
    """Unpack an archive beside its place and move it there, whole or not at all.

    Returns:
        The folder that it is in.

    Raises:
        OSError: There is no room for it, say.
        RuntimeError: It is not what was to come.
    """
    import zipfile  # not needed where it is kept already

    folder = os.path.join(cache, digest)
    work = tempfile.mkdtemp(prefix="partial-", dir=cache)
    partial = os.path.join(work, "new")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            archive.extractall(partial)
        if digest_of(partial) != digest:
            raise RuntimeError("the archive was damaged on its way, or the disk is at fault")
        if not move(partial, folder) and find_kept(cache, digest) is None:
            # Not another client that was as fast, but one that was damaged later: it makes room.
            move(folder, os.path.join(work, "old"))
            if not move(partial, folder) and find_kept(cache, digest) is None:
                raise RuntimeError(f"{folder} is damaged, and cannot be replaced: remove it")
        return folder
    finally:
        shutil.rmtree(work, ignore_errors=True)


def move(source: str, target: str) -> bool:
    """Rename a folder; return whether that could be done."""
    try:
        os.rename(source, target)
    except OSError:
        return False
    return True
