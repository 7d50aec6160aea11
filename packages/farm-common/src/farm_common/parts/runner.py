"""What all runners have in common: a task that travels, and that is called for each element."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Callable, Optional

from ..shipping.tasks import BY_NAME, Task, load_function, task_function, task_name, travels_by_name

__all__ = ["Runner", "call_of", "object_to_stop", "portable", "time_calls_by"]

#: Gives what restarts the clock of the task that runs, None where its time is not limited.
Timekeeper = Callable[[], Optional[Callable[[], None]]]


def _no_timekeeper() -> None:
    """No task's time is limited."""


_timekeeper: Timekeeper = _no_timekeeper


def time_calls_by(timekeeper: Optional[Timekeeper]) -> None:
    """Have the time limit of a part be that of each call in it, as if each were a task.

    Args:
        timekeeper: Gives what is to be called before each call, None where no time is limited. None
            in its place: nobody limits any.
    """
    global _timekeeper
    _timekeeper = timekeeper or _no_timekeeper


class Runner(ABC):
    """A task, and how to apply it to a part.

    Args:
        task: A callable or the name of one.

    Raises:
        InvalidTaskError: It is neither.
    """

    def __init__(self, task: Task) -> None:
        self.task = portable(task)
        self.__qualname__ = task_name(task)  # what messages call it

    @abstractmethod
    def __call__(self, *parts: Any) -> Any:
        """Apply the task to a part of each sequence."""


def portable(task: Task) -> Task:
    """A task as it may be in a pickle: what is only a task stands for another function."""
    function: Task = task_function(task)
    if function is task:
        task_name(task)  # raises if it is no task
    elif travels_by_name(task) and not isinstance(task, str):
        return f"{task.__module__}:{task.__qualname__}"
    return function


def call_of(task: Task) -> Callable[..., Any]:
    """The callable, which a name has to be looked up for; each call has its own time."""
    function = load_function(BY_NAME + task.encode()) if isinstance(task, str) else task
    restart = _timekeeper()
    if restart is None:
        return function

    def timed(*args: Any) -> Any:
        restart()
        return function(*args)

    return timed


def object_to_stop() -> None:
    """Object to an error of a task that would else pass for the end of its sequence."""
    raise RuntimeError("the task raised StopIteration")
