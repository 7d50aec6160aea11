"""The functions that tasks call."""

from __future__ import annotations

from typing import Any, Callable, Optional

from farm_common.errors import SerializationError
from farm_common.frames import Frame
from farm_common.shipping import load_function
from farm_common.shipping.rebuild_classes import Classes
from farm_common.shipping.tasks import ID_SIZE

__all__ = ["Function"]


class Function:
    """A function as the worker has it: bytes until it is first called.

    Args:
        frame: The FUNCTION frame.
        rejection: Why it must not be loaded, if so.

    Attributes:
        mean: How long a call took on average, in ns; None before the first.
    """

    __slots__ = ("_classes", "_frame", "_loaded", "_rejection", "mean")

    def __init__(self, frame: Frame, rejection: Optional[str]) -> None:
        self._frame: Optional[Frame] = frame
        self._loaded: Optional[Callable[..., Any]] = None
        self._rejection = rejection
        self._classes = Classes()
        self.mean: Optional[float] = None

    def load(self) -> Callable[..., Any]:
        """The callable; raises whatever loading it raises."""
        if self._loaded is None:
            if self._rejection is not None:
                raise SerializationError(self._rejection)
            frame = self._frame
            assert frame is not None
            with self._classes:
                self._loaded = load_function(memoryview(frame.body)[ID_SIZE:])
            self._frame = None
        else:
            self._classes.restore()
        return self._loaded

    def took(self, nanoseconds: float) -> None:
        """Take note of how long a call took."""
        mean = self.mean
        self.mean = nanoseconds if mean is None else mean + (nanoseconds - mean) / 8
