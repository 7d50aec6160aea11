"""Which exceptions an exception came from, and how they hang together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from .rebuild_exceptions import is_group

__all__ = ["ChainEntry", "chain_of"]

#: How many exceptions are found for one.
_MOST_EXCEPTIONS = 100


class ChainEntry:
    """An exception, and where among the exceptions of an error those are that it came from.

    Attributes:
        error: The exception.
        cause: The position of its cause; None if there is none.
        context: The position of its context.
        members: The positions of its members, if it is a group.
        omitted: How many members are left out.
    """

    __slots__ = ("cause", "context", "error", "members", "omitted")

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.cause: Optional[int] = None
        self.context: Optional[int] = None
        self.members: list[int] = []
        self.omitted = 0

    def add(self, role: str, position: Optional[int]) -> None:
        """Take note of where an exception is; None: it is left out."""
        if role == "cause":
            self.cause = position
        elif role == "context":
            self.context = position
        elif position is None:
            self.omitted += 1
        else:
            self.members.append(position)


def chain_of(error: BaseException) -> list[ChainEntry]:
    """An exception and those that it came from, each once.

    A cause or context that would close a circle is cut.
    """
    found = [ChainEntry(error)]
    positions = {id(error): 0}
    # Depth first, and without recursion: there may be ten thousand of them.
    path = [(0, _behind(error))]
    on_path = {0}
    while path:
        position, behind = path[-1]
        for role, other in behind:
            target = positions.get(id(other))
            if target is None:
                if len(found) >= _MOST_EXCEPTIONS:
                    found[position].add(role, None)
                    continue
                target = positions[id(other)] = len(found)
                found.append(ChainEntry(other))
                found[position].add(role, target)
                path.append((target, _behind(other)))
                on_path.add(target)
                break
            if role == "member" or target not in on_path:  # a group without a member is another
                found[position].add(role, target)
        else:
            path.pop()
            on_path.discard(position)
    return found


def _behind(error: BaseException) -> Iterator[tuple[str, BaseException]]:
    if error.__cause__ is not None:
        yield "cause", error.__cause__
    if is_group(error):
        for member in error.exceptions:  # type: ignore[attr-defined]
            yield "member", member
    if error.__context__ is not None:
        yield "context", error.__context__
