"""What the workers execute, besides builtins: imported there by name."""

from __future__ import annotations

from time import perf_counter, sleep
from typing import Any


def echo(value: Any) -> Any:
    """Return the argument."""
    return value


def measure(values: list[int]) -> int:
    """The length of a list."""
    return len(values)


def keywords(**named: int) -> int:
    """How many keyword arguments there are."""
    return len(named)


def nap(ident: int, seconds: float) -> int:
    """Sleep, and return which one it was."""
    sleep(seconds)
    return ident


def doze(ident: int, seconds: float) -> int:
    """Do as `nap`; another function, so its time is learned separately."""
    sleep(seconds)
    return ident


def increment(number: float) -> float:
    """One more."""
    return number + 1


def nap_for(seconds: float) -> float:
    """Sleep, and return for how long it really was."""
    started = perf_counter()
    sleep(seconds)
    return perf_counter() - started


def spin(seconds: float) -> float:
    """Keep a processor busy, and return for how long it really was."""
    started = perf_counter()
    while perf_counter() - started < seconds:
        pass
    return perf_counter() - started
