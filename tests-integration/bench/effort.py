"""How long to measure, and in which order."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Callable, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Effort:
    """How much to do: all, or as little as shows that it works.

    Attributes:
        quick: The little.
    """

    quick: bool

    def of(self, full: int, quick: int) -> int:
        """One number or the other."""
        return quick if self.quick else full

    def interleave(
        self, contestants: Mapping[str, Callable[[], T]], rounds: int, warmups: int = 1
    ) -> dict[str, list[T]]:
        """Let contestants take turns, so that noise hits all alike.

        The first of each round moves on: A B C, B C A, C A B. Warm-ups are not counted, and there
        are more of them for a just-in-time compiler. Garbage is collected before each turn, so
        that none pays for what another left behind.
        """
        if sys.implementation.name == "pypy":
            warmups *= 4
        names = list(contestants)
        samples: dict[str, list[T]] = {name: [] for name in names}
        for number in range(-warmups, rounds):
            start = number % len(names)
            for name in names[start:] + names[:start]:
                gc.collect()
                sample = contestants[name]()
                if number >= 0:
                    samples[name].append(sample)
        return samples
