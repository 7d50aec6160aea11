"""Ships errors: what happened as text always, and the exception itself where it can be rebuilt.

The body of an ERROR frame has two parts. One is text, JSON: what a person or a program of any
language wants to know about the exception, its causes, contexts and members. The other is a pickle
of what they held, so that the client can rebuild them. Each value in that is either a scalar, which
stands for itself, or a tuple: `_VALUE`, a pickle of its own, the buffers of that, and a text that
takes its place if it cannot be loaded; or `_OTHER` and the position of another of the exceptions.
So what cannot travel, or means nothing at the client, costs that value only.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

from ..errors import ProtocolError, SerializationError, TaskExecutionError
from ..frames import Buffer
from ..handshake import encode_json
from .chain import ChainEntry, chain_of
from .exception_names import LookupUnpickler, find_class, name_of
from .exception_state import ExceptionState, fresh, reduce_exception, reduce_traceback, short_repr
from .pickling import SCALARS, dump
from .rebuild_classes import table
from .rebuild_exceptions import fill_exception, is_group, make_exception, make_group
from .tracebacks import Stack, frames_of

__all__ = [
    "PackedException",
    "fresh",
    "pack_exception",
    "reduce_exception",
    "reduce_traceback",
    "unpack_exception",
]

_LENGTH = struct.Struct("!I")

#: The longest traceback that is sent, in characters: a recursion's has a thousand entries.
_DESCRIPTION_LIMIT = 20_000
_GAP = "\n  ...\n"

#: The longest report that is sent, in characters: it is to be one line.
_REPORT_LIMIT = 500

#: How much of a message is looked at for that.
_MESSAGE_LIMIT = 10_000

#: How many different frames the exceptions of an error have together.
_MOST_FRAMES = 400

#: How many notes of an exception are sent, and how many characters of each.
_MOST_NOTES = 100
_NOTE_LIMIT = 2_000

#: The largest body of an ERROR frame, in bytes, unless the client takes less.
_SIZE_LIMIT = 16 << 20

# What a tuple in the pickle is.
_VALUE, _OTHER = 0, 1


class PackedException(NamedTuple):
    """An error as it travels.

    Attributes:
        body: The body of an ERROR frame.
        bytecode: Whether only an interpreter with the same magic number may load the exception.
    """

    body: bytes
    bytecode: bool


# Packing


def pack_exception(
    error: BaseException,
    protocol: int,
    skip: int = 0,
    *,
    bytecode: bool = True,
    limit: int = _SIZE_LIMIT,
) -> PackedException:
    """Turn an error into the body of an ERROR frame; never raises.

    Args:
        error: What was raised.
        protocol: The pickle protocol that both sides read.
        skip: How many frames at the start of the traceback are not the user's.
        bytecode: Whether the other side can load this interpreter's bytecode.
        limit: How many bytes the body may have; 64 KiB are always enough.
    """
    limit = min(limit, _SIZE_LIMIT) - _LENGTH.size
    report = _report(error)
    chain: list[ChainEntry] = []
    stacks: list[Stack] = []
    try:
        chain = chain_of(error)
        records, stacks = _records(chain, skip)
        description = _shorten(_describe(chain, stacks), _DESCRIPTION_LIMIT, _GAP)
        text = encode_json({"report": report, "description": description, "chain": records})
    except BaseException:  # the user's code, which may raise SystemExit
        frames = "".join(stacks[0].format()) if stacks else ""
        description = f"Traceback (most recent call last):\n{frames}{report}\n"
        description = _shorten(description, _DESCRIPTION_LIMIT, _GAP)
        chain, text = [], b""
    if not text or len(text) > limit:
        if len(text) > limit:  # each character may have taken four bytes, or six if it is escaped
            description = _shorten(description, _DESCRIPTION_LIMIT // 3, _GAP)
        chain, text = [], encode_json({"report": report, "description": description})
    pickled, used = b"", False
    if chain:
        try:
            pickled, used = _Packer(chain, protocol, bytecode, limit - len(text)).pack()
        except BaseException:
            pass  # the text remains
    return PackedException(_LENGTH.pack(len(text)) + text + pickled, used)


def _records(chain: Sequence[ChainEntry], skip: int) -> tuple[list[dict[str, Any]], list[Stack]]:
    """What the text says of each exception, and their frames as they are printed."""
    records, stacks = [], []
    room = _MOST_FRAMES
    for entry in chain:
        error = entry.error
        frames = frames_of(error.__traceback__, _own_frames(error, skip), max(4, room // 2))
        room -= len(frames)
        skip = 0  # the tracebacks of the others begin where these were caught
        kind = type(error)
        record: dict[str, Any] = {"class": name_of(kind), "text": _report(error), "frames": frames}
        if table.at_worker and table.is_foreign(kind):
            record["id"] = table.ident(kind)
        notes = vars(error).get("__notes__")
        if notes and isinstance(notes, list):
            record["notes"] = [
                note[:_NOTE_LIMIT] if isinstance(note, str) else short_repr(note)
                for note in notes[:_MOST_NOTES]
            ]
        if entry.cause is not None:
            record["cause"] = entry.cause
        if entry.context is not None:
            record["context"] = entry.context
        if error.__suppress_context__:
            record["suppress"] = True
        if entry.members:
            record["members"] = entry.members
        if entry.omitted:
            record["omitted"] = entry.omitted
        records.append(record)
        stacks.append(Stack(frames))
    return records, stacks


def _own_frames(error: BaseException, skip: int) -> int:
    """How many frames at the start of an exception's traceback say nothing to the user.

    Those are farm's own. Of an exception that is not farm's the last frame says something in any
    case.
    """
    entry = error.__traceback__
    count = 0
    while entry is not None:
        name = entry.tb_frame.f_globals.get("__name__")
        if count >= skip and not _is_own(name):
            return count
        entry = entry.tb_next
        count += 1
    ours = count <= skip or _is_own(type(error).__module__)
    return count if ours else count - 1


def _is_own(module: object) -> bool:
    return isinstance(module, str) and module.startswith(("farm_common.", "farm_server."))


def _describe(chain: Sequence[ChainEntry], stacks: Sequence[Stack]) -> str:
    """What Python would print."""
    texts = [_text(entry.error, stack) for entry, stack in zip(chain, stacks)]
    shown = {0}

    def take(position: int) -> Any:
        """The text of an exception, if it is to be printed here: each is, once."""
        if position in shown:
            return None
        shown.add(position)
        return texts[position]

    for entry, text in zip(chain, texts):
        text.__cause__ = text.__context__ = None
        if entry.cause is not None:
            text.__cause__ = take(entry.cause)
        if entry.members:
            text.exceptions = list(filter(None, map(take, entry.members)))
        if entry.context is not None and text.__cause__ is None and not text.__suppress_context__:
            text.__context__ = take(entry.context)
    return "".join(texts[0].format())


def _text(error: BaseException, stack: Stack) -> Any:
    """An exception as `traceback` prints it, without those that it came from."""
    # It would go through all of them, however many; those that it has seen it leaves alone.
    seen = {id(error.__cause__), id(error.__context__)}
    text: Any = traceback.TracebackException(
        type(error), error, error.__traceback__, limit=0, lookup_lines=False, _seen=seen
    )
    text.stack = stack
    text.exceptions = None
    return text


class _Packer:
    """Pickles what the exceptions of an error held.

    Args:
        chain: The exceptions.
        protocol: The pickle protocol that both sides read.
        bytecode: Whether the other side can load this interpreter's bytecode.
        room: How many bytes the pickle may have.
    """

    def __init__(
        self, chain: Sequence[ChainEntry], protocol: int, bytecode: bool, room: int
    ) -> None:
        self._chain = chain
        self._positions = {id(entry.error): position for position, entry in enumerate(chain)}
        self._protocol = protocol
        self._bytecode = bytecode
        self._room = room
        self._used = False

    def pack(self) -> tuple[bytes, bool]:
        """The pickle, or nothing if it is too large, and whether it holds bytecode."""
        entries = [self._held(entry) for entry in self._chain]
        pickled = pickle.dumps(entries, self._protocol)
        return (pickled, self._used) if len(pickled) <= self._room else (b"", False)

    def _held(self, entry: ChainEntry) -> dict[str, Any]:
        args, fields, attributes = ExceptionState.of(entry.error)
        if isinstance(attributes.get("__notes__"), list):
            del attributes["__notes__"]  # they are in the text
        held: dict[str, Any] = {"args": tuple(map(self._value, args))}
        if fields:
            held["fields"] = {name: self._value(value) for name, value in fields.items()}
        if attributes:
            held["attributes"] = {name: self._value(value) for name, value in attributes.items()}
        if is_group(entry.error):
            held["message"] = entry.error.message  # type: ignore[attr-defined]
            held["args"] = ()  # the message and the members
        return held

    def _value(self, value: Any) -> Any:
        kind = type(value)
        if kind in SCALARS:
            if kind is str or kind is bytes:
                size = len(value) if kind is bytes or value.isascii() else 4 * len(value)
                if size > self._room // 2:
                    return short_repr(value)
                self._room -= size
            return value
        position = self._positions.get(id(value))
        if position is not None:
            return (_OTHER, position)
        text = short_repr(value)
        try:
            parcel = dump(value, self._protocol, self._bytecode)
            size = len(parcel.body) + sum(map(len, parcel.buffers))
            if parcel.shared or size > self._room // 2:
                return text
            buffers = [bytearray(buffer) for buffer in parcel.buffers]
        except BaseException:  # the user's code
            return text
        self._room -= size
        self._used = self._used or parcel.bytecode
        return (_VALUE, parcel.body, buffers, text)


def _report(error: BaseException) -> str:
    """The error in one line: its type, and the first line of what it says.

    Not the last line of what traceback makes: that is a note, or the end of a longer message.
    """
    try:
        kind = type(error)
        message = _shorten(str(error), _MESSAGE_LIMIT, " ... ")
        lines = message.strip().splitlines() or [""]
        if isinstance(error, SerializationError):
            name, text = kind.__name__, " ".join(lines)  # the reason, which counts, is at its end
        else:
            name, text = kind.__qualname__, lines[0].rstrip()
            if kind.__module__ not in ("builtins", "__main__"):
                name = f"{kind.__module__}.{name}"
        return _shorten(f"{name}: {text}" if text else name, _REPORT_LIMIT, " ... ")
    except BaseException as failure:  # the user's code
        return f"{type(error).__name__} (its text could not be made: {type(failure).__name__})"


def _shorten(text: str, limit: int, gap: str) -> str:
    """The text, or its beginning and its end."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}{gap}{text[-half:]}"


# Unpacking


def unpack_exception(body: Buffer, load: bool) -> tuple[str, str, Optional[BaseException]]:
    """The report, the description, and the exception where it can be rebuilt.

    Args:
        body: The body of an ERROR frame.
        load: Whether the exception may be loaded; False when it holds foreign bytecode.

    Raises:
        ProtocolError: The body is malformed.
    """
    view = memoryview(body)
    try:
        (length,) = _LENGTH.unpack_from(view)
        text = json.loads(bytes(view[_LENGTH.size : _LENGTH.size + length]))
        report, description = str(text["report"]), str(text["description"])
    except (struct.error, ValueError, KeyError, TypeError):
        raise ProtocolError("an ERROR frame with a malformed body") from None
    pickled = view[_LENGTH.size + length :]
    if not load or not len(pickled):
        return report, description, None
    try:
        error = _Rebuilder(text["chain"], pickled).rebuild()
    except BaseException:  # odd classes, and whatever a peer may send: the text remains
        error = None
    return report, description, error


class _Rebuilder:
    """Makes the exceptions of an error anew.

    Args:
        records: What the text says of them.
        pickled: What they held.
    """

    def __init__(self, records: Sequence[dict[str, Any]], pickled: Buffer) -> None:
        self._records = records
        self._entries: Sequence[dict[str, Any]] = _ScalarUnpickler(io.BytesIO(pickled)).load()
        self._classes = [find_class(*_name(record)) for record in self._records]
        self._made: dict[int, Any] = {}

    def rebuild(self) -> Optional[BaseException]:
        """The error, None if its class is not here."""
        if self._classes[0] is None or len(self._records) != len(self._entries):
            return None
        for position in range(len(self._records)):
            self._make(position)
        for position in range(len(self._records)):
            fill_exception(self._made[position], self._state(position))
        return self._made[0]  # type: ignore[no-any-return]

    def _make(self, position: int) -> Any:
        """The bare exception at a position; a group needs its members first."""
        made = self._made.get(position)
        if made is None:
            made = self._made[position] = self._bare(position)
        return made

    def _bare(self, position: int) -> Any:
        cls = self._classes[position]
        record, message = self._records[position], self._entries[position].get("message")
        if cls is None:
            # What the user gets is his own exception, or none. But behind that, it is better to
            # see what happened than to miss it.
            return TaskExecutionError(record["text"])
        if message is None:
            return make_exception(cls)
        members = [self._make(member) for member in record.get("members", ())]
        if record.get("omitted"):
            members.append(TaskExecutionError(f"{record['omitted']} more exceptions"))
        return make_group(cls, message, members)

    def _state(self, position: int) -> dict[str, Any]:
        """What `fill_exception` is to give the exception at a position."""
        record, entry = self._records[position], self._entries[position]
        state: dict[str, Any] = {
            "frames": record.get("frames", ()),
            "suppress": bool(record.get("suppress")),
            "args": self._made[position].args,
        }
        for role in ("cause", "context"):
            if role in record:
                state[role] = self._made[record[role]]
        if self._classes[position] is None:
            return state
        if "message" not in entry:
            state["args"] = tuple(map(self._value, entry["args"]))
        for part in ("fields", "attributes"):
            values = entry.get(part, _NOTHING)
            state[part] = {name: self._value(value) for name, value in values.items()}
        if "notes" in record:
            state["attributes"]["__notes__"] = record["notes"]
        return state

    def _value(self, value: Any) -> Any:
        if type(value) is not tuple:
            return value
        if value[0] == _OTHER:
            return self._made[value[1]]
        _, body, buffers, text = value
        try:
            return LookupUnpickler(io.BytesIO(body), buffers=buffers).load()
        except BaseException:  # a class that is not here, or whatever loading it raises
            return text


def _name(record: dict[str, Any]) -> tuple[str, str, Optional[str]]:
    module, qualname = record["class"]
    return module, qualname, record.get("id")


_NOTHING: dict[str, Any] = {}


class _ScalarUnpickler(pickle.Unpickler):
    """Loads what consists of scalars and containers."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse."""
        raise pickle.UnpicklingError(f"{module}.{name} in an ERROR frame")
