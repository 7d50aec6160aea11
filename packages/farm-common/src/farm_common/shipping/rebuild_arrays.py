"""What the pickles of NumPy's objects name: the receiving side of `arrays`.

All functions here are part of the wire format: they stay, and take what they took. They use what
NumPy documents since 1.22, so any NumPy will do.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Optional

__all__ = [
    "array",
    "bit_generator",
    "element",
    "empty_array",
    "generator",
    "masked_array",
    "plain_dtype",
    "random_state",
    "scalar",
    "seed_sequence",
    "structured_dtype",
    "subarray_dtype",
    "subclass_array",
]


def _numpy() -> Any:
    return importlib.import_module("numpy")


def array(buffer: Any, dtype: Any, shape: Sequence[int], order: str) -> Any:
    """An array over the memory of a buffer; writable if that is."""
    return _numpy().frombuffer(buffer, dtype=dtype).reshape(shape, order=order)


def empty_array() -> Any:
    """An array that `numpy.ndarray.__setstate__` fills."""
    return _numpy().empty(0)


def subclass_array(cls: Any, plain: Any) -> Any:
    """An array of a subclass over the memory of a plain one."""
    return plain.view(cls)


def masked_array(data: Any, mask: Any, fill: Any, hard: bool) -> Any:
    """A `numpy.ma.MaskedArray`; a mask of None is none."""
    masked = _numpy().ma
    made = masked.MaskedArray(
        data, mask=masked.nomask if mask is None else mask, hard_mask=hard, copy=False
    )
    if fill is not None:
        made.fill_value = fill
    return made


def plain_dtype(text: str) -> Any:
    """A type of NumPy by its array protocol string, ``"<f8"``."""
    return _numpy().dtype(text)


def structured_dtype(layout: dict[str, Any], align: bool, kind: Optional[type]) -> Any:
    """A type with fields.

    Args:
        layout: Names, formats, offsets, the size of it all, and titles if there are any.
        align: Whether it is laid out as C would.
        kind: The type of its scalars, where that is not `numpy.void`.
    """
    made = _numpy().dtype(layout, align=align)
    return made if kind is None else _numpy().dtype((kind, made))


def subarray_dtype(base: Any, shape: Sequence[int]) -> Any:
    """A type whose elements are arrays."""
    return _numpy().dtype((base, tuple(shape)))


def scalar(dtype: Any, data: bytes) -> Any:
    """A scalar."""
    return _numpy().frombuffer(data, dtype=dtype)[0] if dtype.itemsize else dtype.type()


def element(array: Any) -> Any:
    """The element of an array without dimensions."""
    return array[()]


def bit_generator(name: str, state: dict[str, Any], seeds: Any) -> Any:
    """A bit generator, by the name that it has in `numpy.random`."""
    kind = getattr(_numpy().random, name)
    made = kind() if seeds is None else kind(seeds)
    made.state = state
    return made


def generator(bits: Any) -> Any:
    """A `numpy.random.Generator`."""
    return _numpy().random.Generator(bits)


def random_state(bits: Any, state: dict[str, Any]) -> Any:
    """A `numpy.random.RandomState`."""
    made = _numpy().random.RandomState(bits)
    made.set_state(state)
    return made


def seed_sequence(entropy: Any, spawn_key: Sequence[int], pool_size: int, children: int) -> Any:
    """A `numpy.random.SeedSequence` that had so many children."""
    return _numpy().random.SeedSequence(
        entropy, spawn_key=tuple(spawn_key), pool_size=pool_size, n_children_spawned=children
    )
