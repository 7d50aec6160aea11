"""What the surrounding code says about the tasks that it submits: category and priority."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, Optional, Union

__all__ = ["Category", "Options", "current_options", "task_category", "task_priority"]

#: What a category may be.
Category = Union[str, int, float, bool]

_PRIORITIES = ("default", "low")


class Options(NamedTuple):
    """Options of a task.

    Attributes:
        category: What `task_categories_running` shows while it runs.
        low: Whether it waits until no other task does.
    """

    category: Category = "default"
    low: bool = False


_current: ContextVar[Optional[Options]] = ContextVar("farm_options", default=None)

#: The options in force here; None stands for the defaults.
current_options = _current.get


@contextmanager
def task_category(category: Category) -> Iterator[None]:
    """Give the tasks that are submitted inside the ``with`` a category.

    Args:
        category: A string or a finite number; `task_categories_running` shows it.

    Raises:
        TypeError: It is something else.
        ValueError: It is not finite: such numbers cannot travel.
    """
    if not isinstance(category, (str, int, float)):
        raise TypeError(f"a task category is a string or a number, not {category!r:.100}")
    if isinstance(category, float) and not math.isfinite(category):
        raise ValueError(f"a task category is a finite number, not {category!r}")
    with _changed((_current.get() or Options())._replace(category=category)):
        yield


@contextmanager
def task_priority(priority: str) -> Iterator[None]:
    """Give the tasks that are submitted inside the ``with`` a priority.

    Args:
        priority: ``"default"``, or ``"low"``: such tasks start when no other task waits.

    Raises:
        ValueError: It is neither.
    """
    if priority not in _PRIORITIES:
        raise ValueError(f"a task priority is 'default' or 'low', not {priority!r:.100}")
    with _changed((_current.get() or Options())._replace(low=priority == "low")):
        yield


@contextmanager
def _changed(options: Options) -> Iterator[None]:
    token = _current.set(options)
    try:
        yield
    finally:
        _current.reset(token)
