"""What cannot travel, in plain words, before a pickler finds some way to write it all the same.

What belongs to a process (locks, open files, connections, threads) means nothing in another one.
CPython says of most such things that it cannot pickle them, PyPy writes garbage, and cloudpickle
sends the content of an open file. Here each has a name that its user knows, and a next step.
"""

from __future__ import annotations

import contextvars
import copyreg
import io
import sys
import threading
import types
from typing import Any, Callable

from .aliases import resolve
from .belongings import reduce_belonging

__all__ = ["BY_NAME", "BY_TYPE", "Refusal", "is_customised", "reduce_file", "refuse"]


class Refusal(TypeError):  # noqa: N818 - it is what the sender says
    """A value cannot travel, whoever pickles it.

    Args:
        text: What it is, in plain words, and what to send instead.
        value: The value.
    """

    def __init__(self, text: str, value: Any) -> None:
        super().__init__(text)
        self.value = value


_HERE = "it belongs to this process: make it in the task, or send what it is made from"
_ADVICE = "send its name, or its content"
_LIST = "make a list of it"
_DATA = "send the data it was given"

_LOCK = "a lock"
_QUEUE = "a queue"
_THREAD = "a thread"
_PROCESS = "a process"
_EXECUTOR = "an executor"
_FUTURE = "a future"
_FILE = "an open file"

#: What each type is called, and what to do about it.
_WORDS: dict[Any, tuple[str, str]] = {
    type(threading.Lock()): (_LOCK, _HERE),
    type(threading.RLock()): (_LOCK, _HERE),
    type(iter(memoryview(b""))): ("an iterator over a memoryview", _LIST),
    threading.local: ("a thread-local", _HERE),
    threading.Thread: (_THREAD, _HERE),
    types.AsyncGeneratorType: ("a generator", _LIST),
    types.CoroutineType: ("a coroutine", "await it here, and send what comes of it"),
    types.FrameType: ("a frame", "send what you need of its variables"),
    types.TracebackType: ("a traceback", "send the error, or traceback.format_exc()"),
    contextvars.Context: ("a context", "send the values of its variables"),
    contextvars.ContextVar: ("a context variable", "send its value"),
    contextvars.Token: ("a context variable's token", _HERE),
    # by name, since they need not be imported
    "_asyncio.Future": (_FUTURE, "send its result"),
    "_asyncio.Task": (_FUTURE, "send its result"),
    "_blake2.blake2b": ("a hash", _DATA),
    "_blake2.blake2s": ("a hash", _DATA),
    "_bz2.BZ2Compressor": ("a compressor", _DATA),
    "_bz2.BZ2Decompressor": ("a compressor", _DATA),
    "_cffi_ssl._stdssl._SSLContext": ("a TLS context", _HERE),
    "_csv.Dialect": ("a csv dialect", "send its name"),
    "_csv.Reader": ("a csv reader", "send its rows as a list"),
    "_csv.Writer": ("a csv writer", "write to a StringIO in the task"),
    "_csv.reader": ("a csv reader", "send its rows as a list"),
    "_csv.writer": ("a csv writer", "write to a StringIO in the task"),
    "_ctypes.CFuncPtr": ("a C function", "load the library in the task"),
    "_ctypes.PyCFuncPtr": ("a C function", "load the library in the task"),
    "_ctypes.function.CFuncPtr": ("a C function", "load the library in the task"),
    "_curses.window": ("a window of the terminal", _HERE),
    "_lzma.LZMACompressor": ("a compressor", _DATA),
    "_lzma.LZMADecompressor": ("a compressor", _DATA),
    "_multiprocessing.SemLock": (_LOCK, _HERE),
    "_queue.SimpleQueue": (_QUEUE, "send what is in it, as a list"),
    "_hashlib.HASH": ("a hash", _DATA),
    "_hashlib.HMAC": ("a hash", _DATA),
    "_sha3._sha3": ("a hash", _DATA),
    "_sqlite3.Connection": ("a database connection", "connect in the task"),
    "_sqlite3.Cursor": ("a database cursor", "connect in the task"),
    "_sqlite3.Row": ("a database row", "send tuple(row) or dict(row)"),
    "_sre.SRE_Scanner": ("an iterator", "send the matches as a list"),
    "_ssl._SSLContext": ("a TLS context", _HERE),
    "_ssl._SSLSocket": ("a socket", _HERE),
    "_struct.unpack_iterator": ("an iterator", _LIST),
    "_thread._local": ("a thread-local", _HERE),
    "_tkinter.tkapp": ("a window", _HERE),
    "asyncio.events.AbstractEventLoop": ("an event loop", _HERE),
    "asyncio.events.Handle": ("a callback of an event loop", _HERE),
    "asyncio.futures.Future": (_FUTURE, "send its result"),
    "asyncio.queues.Queue": (_QUEUE, "send what is in it, as a list"),
    "asyncio.streams.StreamReader": ("a connection", _HERE),
    "asyncio.streams.StreamWriter": ("a connection", _HERE),
    "asyncio.tasks.Task": (_FUTURE, "send its result"),
    "builtins.Compress": ("a compressor", _DATA),
    "builtins.Decompress": ("a compressor", _DATA),
    "builtins.unpack_iterator": ("an iterator", _LIST),
    "bz2.BZ2File": (_FILE, _ADVICE),
    "codecs.StreamReader": ("an open stream", _ADVICE),
    "codecs.StreamReaderWriter": ("an open stream", _ADVICE),
    "codecs.StreamRecoder": ("an open stream", _ADVICE),
    "codecs.StreamWriter": ("an open stream", _ADVICE),
    "concurrent.futures._base.Executor": (_EXECUTOR, _HERE),
    "concurrent.futures._base.Future": (_FUTURE, "send its result"),
    "ctypes.CDLL": ("a C library", "load it in the task"),
    "gzip.GzipFile": (_FILE, _ADVICE),
    "hashlib.blake2b": ("a hash", _DATA),
    "hmac.HMAC": ("a hash", _DATA),
    "http.client.HTTPConnection": ("a connection", _HERE),
    "http.client.HTTPResponse": ("a connection", "send what it said"),
    "itertools._groupby": ("a group of itertools.groupby", _LIST),
    "itertools._grouper": ("a group of itertools.groupby", _LIST),
    "itertools._tee": ("an iterator of itertools.tee", _LIST),
    "itertools._tee_dataobject": ("an iterator of itertools.tee", _LIST),
    "itertools.batched": ("an itertools.batched", _LIST),
    "itertools.pairwise": ("an itertools.pairwise", _LIST),
    "itertools.tee": ("an iterator of itertools.tee", _LIST),
    "lzma.LZMAFile": (_FILE, _ADVICE),
    "mmap.mmap": ("a memory map", "send the name of its file, or its bytes"),
    "multiprocessing.connection._ConnectionBase": ("a connection", _HERE),
    "multiprocessing.pool.Pool": ("a pool of processes", _HERE),
    "multiprocessing.process.BaseProcess": (_PROCESS, _HERE),
    "multiprocessing.queues.Queue": (_QUEUE, "send what is in it, as a list"),
    "multiprocessing.queues.SimpleQueue": (_QUEUE, "send what is in it, as a list"),
    "multiprocessing.synchronize.SemLock": (_LOCK, _HERE),
    "posix.DirEntry": ("a directory entry", "send its path"),
    "posix.ScandirIterator": ("a directory that is being read", "send a list of paths"),
    "pyexpat.xmlparser": ("a parser", "parse in the task"),
    "queue.Queue": (_QUEUE, "send what is in it, as a list"),
    "pyexpat.XMLParserType": ("a parser", "parse in the task"),
    "queue._PySimpleQueue": (_QUEUE, "send what is in it, as a list"),
    "queue.SimpleQueue": (_QUEUE, "send what is in it, as a list"),
    "select.devpoll": ("a selector", _HERE),
    "select.epoll": ("a selector", _HERE),
    "select.kqueue": ("a selector", _HERE),
    "select.poll": ("a selector", _HERE),
    "selectors.BaseSelector": ("a selector", _HERE),
    "shelve.Shelf": ("an open shelf", "open it in the task"),
    "socket.socket": ("a socket", _HERE),
    "_socket.socket": ("a socket", _HERE),
    "socketserver.BaseServer": ("a server", _HERE),
    "sqlite3.Blob": ("an open blob", "send its bytes"),
    "sqlite3.Connection": ("a database connection", "connect in the task"),
    "sqlite3.Cursor": ("a database cursor", "connect in the task"),
    "sqlite3.Row": ("a database row", "send tuple(row) or dict(row)"),
    "ssl.SSLContext": ("a TLS context", _HERE),
    "ssl.SSLObject": ("a TLS connection", _HERE),
    "ssl.SSLSocket": ("a socket", _HERE),
    "subprocess.Popen": (_PROCESS, _HERE),
    "tarfile.TarFile": ("an open archive", "send its name"),
    "tempfile.SpooledTemporaryFile": (_FILE, _ADVICE),
    "tempfile.TemporaryDirectory": ("a temporary directory", "send its name"),
    "tempfile._TemporaryFileWrapper": (_FILE, _ADVICE),
    "threading.Barrier": (_LOCK, _HERE),
    "threading.Condition": (_LOCK, _HERE),
    "threading.Event": (_LOCK, _HERE),
    "threading.Semaphore": (_LOCK, _HERE),
    "symtable.Symbol": ("a symbol table", "send the source"),
    "symtable.SymbolTable": ("a symbol table", "send the source"),
    "unittest.mock.NonCallableMock": ("a mock", "define it in the task"),
    "unittest.mock._Call": ("the call of a mock", "send its arguments"),
    "weakref.finalize": ("a finalizer", "the object goes without it"),
    "xml.etree.ElementTree.TreeBuilder": ("a parser", "parse in the task"),
    "xml.etree.ElementTree.XMLParser": ("a parser", "parse in the task"),
    "zipfile.ZipFile": ("an open archive", "send its name"),
    "zlib.Compress": ("a compressor", _DATA),
    "zlib.Decompress": ("a compressor", _DATA),
    "zlib._ZlibDecompressor": ("a compressor", _DATA),
}

for _name in ("weakref.ProxyType", "weakref.CallableProxyType"):
    _WORDS[resolve(*_name.split("."))] = ("a weak proxy", "send the object itself")

#: The kinds of file that stand for something outside of memory.
_FILES = (
    *(io.FileIO, io.BufferedReader, io.BufferedWriter, io.BufferedRandom, io.BufferedRWPair),
    io.TextIOWrapper,
)


def refuse(value: Any) -> Any:
    """Say of a value that it cannot travel.

    Returns:
        NotImplemented where the user registered a way for its type with `copyreg`; what a module
            that is sent by value made for itself goes as its place there.

    Raises:
        Refusal: It cannot travel.
    """
    kind = type(value)
    if kind in copyreg.dispatch_table:
        return NotImplemented
    belonging = reduce_belonging(value)
    if belonging is not None:
        return belonging
    for base in kind.__mro__:
        words = _WORDS.get(base) or _WORDS.get(f"{base.__module__}.{base.__qualname__}")
        if words is not None:
            raise Refusal(f"{words[0]} cannot travel: {words[1]}", value)
    raise Refusal(f"a {kind.__module__}.{kind.__qualname__} cannot travel: {_HERE}", value)


def reduce_file(file: Any) -> Any:
    """Standard output and error go by name, and are what they are there; no file travels.

    Raises:
        Refusal: It is some other file.
    """
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        if file is getattr(sys, name, None):
            return resolve, ("sys", name)
    if type(file) in copyreg.dispatch_table or not isinstance(file, _FILES):
        return NotImplemented
    path = getattr(file, "name", None)
    named = f" ({path!r:.80})" if isinstance(path, (str, bytes)) else ""
    raise Refusal(f"{_FILE}{named} cannot travel: {_ADVICE}", file)


def is_customised(kind: type, base: type) -> bool:
    """Whether a subclass says itself how it is pickled."""
    for cls in kind.__mro__:
        if cls is base:
            return False
        if not _HOOKS.isdisjoint(cls.__dict__):
            return True
    return False


_HOOKS = frozenset({"__reduce__", "__reduce_ex__", "__getstate__"})

Reducer = Callable[[Any], Any]

#: Reducers that refuse, by type.
BY_TYPE: dict[type, Reducer] = {
    **{kind: refuse for kind in _WORDS if not isinstance(kind, str)},
    **dict.fromkeys(_FILES, reduce_file),
}

#: Reducers that refuse, by module and name.
BY_NAME: dict[str, Reducer] = {name: refuse for name in _WORDS if isinstance(name, str)}
