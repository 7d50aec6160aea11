"""What the surrounding code says about the tasks that it submits."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, Optional, Union

__all__ = [
    "ATTEMPTS",
    "Category",
    "Options",
    "checked_category",
    "current_options",
    "task_category",
    "task_options",
    "task_priority",
]

#: What a category may be: anything hashable but None.
Category = Hashable

#: How often a task may be started when workers die under it, unless its options say otherwise.
ATTEMPTS = 3

_PRIORITIES = ("default", "low")

#: How much of a category servers are told, in characters.
_LABEL_LIMIT = 200

#: How many different options are remembered.
_MOST = 256


class Options(NamedTuple):
    """Options of a task.

    Attributes:
        category: What `task_categories_running` shows while it runs, and `kill_tasks` asks for.
        low: Whether it waits until no other task does.
        timeout: How many seconds it may run; None: for ever.
        attempts: How often it may be started.
        tags: What the server of its worker must have been labelled with.
        label: What servers are told of the category.
    """

    category: Category = "default"
    low: bool = False
    timeout: Optional[float] = None
    attempts: int = ATTEMPTS
    tags: frozenset[str] = frozenset()
    label: Union[str, int, float, bool] = "default"


class _Unchanged:
    """Stands for what the surrounding block says."""

    def __repr__(self) -> str:
        return "UNCHANGED"


_UNCHANGED: Any = _Unchanged()

_current: ContextVar[Optional[Options]] = ContextVar("farm_options", default=None)

#: The options in force here; None stands for the defaults.
current_options = _current.get

# Tasks travel together if their options are the same object. So that they are when each task has a
# `with` of its own, options of plain values are made once.
_known: dict[tuple[Any, ...], Options] = {}


@contextmanager
def task_options(
    *,
    timeout: Optional[float] = _UNCHANGED,
    attempts: int = _UNCHANGED,
    category: Category = _UNCHANGED,
    priority: str = _UNCHANGED,
    tags: Iterable[str] = _UNCHANGED,
) -> Iterator[None]:
    """Set options of the tasks that are submitted inside the ``with``.

    Where blocks are nested, the innermost that names an option decides about it; what it does not
    name stays as it is around it. They hold in this thread or asyncio task only.

    Args:
        timeout: How many seconds a task may run on a server, from when it is started there; it
            then fails with `TaskTimeoutError`. In a cognate: how many each call of the task may
            take. None: for ever, the default.
        attempts: How often a task may be started when workers die under it. The default is 3; 1 is
            at most once.
        category: Any hashable value but None, as in `task_category`; the default is ``"default"``.
        priority: ``"default"`` or ``"low"``, as in `task_priority`.
        tags: Run only on workers whose servers were started with each of these tags. The default
            is none, which is any worker.

    Raises:
        TypeError, ValueError: A value is not one that it may be.
    """
    changes: dict[str, Any] = {}
    if timeout is not _UNCHANGED:
        changes["timeout"] = _checked_timeout(timeout)
    if attempts is not _UNCHANGED:
        if type(attempts) is not int or attempts < 1:
            raise ValueError(f"attempts is a whole number above 0, not {attempts!r:.100}")
        changes["attempts"] = attempts
    if category is not _UNCHANGED:
        changes["category"] = checked_category(category)
        changes["label"] = _label(category)
    if priority is not _UNCHANGED:
        changes["low"] = _is_low(priority)
    if tags is not _UNCHANGED:
        changes["tags"] = _checked_tags(tags)
    options = _once((_current.get() or Options())._replace(**changes))
    token = _current.set(options)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def task_category(category: Category) -> Iterator[None]:
    """Give the tasks that are submitted inside the ``with`` a category.

    Args:
        category: Any hashable value but None; `task_categories_running` shows it, and `kill_tasks`
            kills tasks by it.

    Raises:
        TypeError: It is something else.
    """
    with task_options(category=category):
        yield


@contextmanager
def task_priority(priority: str) -> Iterator[None]:
    """Give the tasks that are submitted inside the ``with`` a priority.

    Args:
        priority: ``"default"``, or ``"low"``: such tasks start when no other task waits.

    Raises:
        ValueError: It is neither.
    """
    with task_options(priority=priority):
        yield


def _label(category: Category) -> Union[str, int, float, bool]:
    """What servers are told of a category: itself if JSON can say it, or else as people see it."""
    kind = type(category)
    if kind is bool or (kind is float and math.isfinite(category)):  # type: ignore[arg-type]
        return category  # type: ignore[return-value]
    try:
        if kind is str:
            return category[:_LABEL_LIMIT]  # type: ignore[index,no-any-return]
        if kind is int and category.bit_length() <= 64:  # type: ignore[attr-defined]
            return category  # type: ignore[return-value]
        return repr(category)[:_LABEL_LIMIT]
    except Exception:  # noqa: BLE001 (the user's code; and some numbers are too large to be shown)
        return kind.__name__


def checked_category(category: Any) -> Category:
    """A category that a user gave, if it is one; raises `TypeError`."""
    text = "a task category is any hashable value but None, not"
    if category is None:
        raise TypeError(f"{text} None")
    try:
        hash(category)
    except TypeError:
        raise TypeError(f"{text} {category!r:.100}") from None
    return category  # type: ignore[no-any-return]


def _checked_timeout(timeout: Any) -> Optional[float]:
    if timeout is None:
        return None
    text = f"timeout is seconds above 0, or None for no limit, not {timeout!r:.100}"
    if isinstance(timeout, (str, bytes)) or not hasattr(timeout, "__float__"):
        raise TypeError(text)
    seconds = float(timeout)
    if not 0 < seconds < math.inf:
        raise ValueError(text)
    return seconds


def _is_low(priority: Any) -> bool:
    if priority not in _PRIORITIES:
        raise ValueError(f"a task priority is 'default' or 'low', not {priority!r:.100}")
    return bool(priority == "low")


def _checked_tags(tags: Any) -> frozenset[str]:
    text = f'tags is a set of strings, such as {{"gpu"}}, not {tags!r:.100}'
    if isinstance(tags, bytes) or not isinstance(tags, Iterable):
        raise TypeError(text)
    found = frozenset([tags] if isinstance(tags, str) else tags)
    if not all(isinstance(tag, str) for tag in found):
        raise TypeError(text)
    return found


def _once(options: Options) -> Options:
    """The same options, and the same object as before if they were made before."""
    category = options.category
    kind = type(category)
    if kind not in (str, int, bool):
        return options
    known = _known.get((kind, *options))
    if known is None:
        while len(_known) >= _MOST:
            try:
                _known.pop(next(iter(_known)), None)
            except (RuntimeError, StopIteration):  # another thread changed it just then
                pass
        known = _known[(kind, *options)] = options
    return known
