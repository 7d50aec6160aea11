"""Reduces what is NumPy's, so that NumPy 2 and NumPy 1 read each other's.

Pickles of the one name private modules that the other has not. Here nothing is named but what
both document; and the memory of a contiguous array goes out of band, as it is, in either order.
NumPy is not imported for this: its types are known by their names when they are met.
"""

from __future__ import annotations

import pickle
import sys
from typing import Any, Callable

from . import rebuild_arrays as rebuild
from .aliases import public_name, resolve
from .rebuild_values import set_attributes
from .refusals import Refusal

__all__ = ["BY_NAME"]


def _numpy() -> Any:
    return sys.modules["numpy"]


def _array(array: Any) -> Any:
    """An array; of a subclass that says nothing else, with its attributes."""
    numpy = _numpy()
    kind = type(array)
    if kind is numpy.ndarray:
        return _plain_array(array)
    plain = array.view(numpy.ndarray)
    if kind is numpy.memmap:  # its file is not there
        return _plain_array(plain)
    state = getattr(array, "__dict__", None)
    if not state or kind is numpy.matrix or kind is numpy.recarray:
        return rebuild.subclass_array, (kind, plain)
    return rebuild.subclass_array, (kind, plain), dict(state), None, None, set_attributes


def _plain_array(array: Any) -> Any:
    dtype = array.dtype
    if dtype.hasobject or not array.size or not dtype.itemsize or dtype.kind == "T":
        return rebuild.empty_array, (), array.__reduce__()[2]
    order = "C"
    if not array.flags.c_contiguous:
        if array.flags.f_contiguous:
            order = "F"
        else:
            array = _numpy().ascontiguousarray(array)
    # As bytes: not all types can say what they are in a buffer.
    raw = (array.T if order == "F" else array).reshape(-1).view("u1")
    return rebuild.array, (pickle.PickleBuffer(raw), dtype, array.shape, order)


def _masked_array(array: Any) -> Any:
    numpy = _numpy()
    if type(array) is not numpy.ma.MaskedArray:
        return NotImplemented
    mask = array.mask if array.mask is not numpy.ma.nomask else None
    fill = getattr(array, "_fill_value", None)
    return rebuild.masked_array, (array.data, mask, fill, bool(array.hardmask))


def _dtype(dtype: Any) -> Any:
    numpy = _numpy()
    if dtype.names is not None:
        fields = [dtype.fields[name] for name in dtype.names]
        layout: dict[str, Any] = {
            "names": list(dtype.names),
            "formats": [field[0] for field in fields],
            "offsets": [field[1] for field in fields],
            "itemsize": dtype.itemsize,
        }
        if any(len(field) > 2 for field in fields):
            layout["titles"] = [field[2] if len(field) > 2 else None for field in fields]
        kind = None if dtype.type is numpy.void else dtype.type
        return rebuild.structured_dtype, (layout, dtype.isalignedstruct, kind)
    if dtype.subdtype is not None:
        return rebuild.subarray_dtype, dtype.subdtype
    if dtype.isbuiltin == 2 or dtype.kind == "T":  # another package's, or newer than NumPy 1
        return NotImplemented
    return rebuild.plain_dtype, (dtype.str,)


def _scalar(scalar: Any) -> Any:
    if not type(scalar).__module__.startswith("numpy"):
        return NotImplemented  # the user's own
    dtype = scalar.dtype
    if dtype.hasobject:
        return rebuild.element, (_numpy().asarray(scalar),)
    return rebuild.scalar, (dtype, scalar.tobytes())


def _function(function: Any) -> Any:
    name = public_name(function)
    return NotImplemented if name is None else (resolve, name)


def _ufunc(ufunc: Any) -> Any:
    name: str = ufunc.__name__
    for module in ("numpy", "scipy.special", "numpy.strings"):
        if getattr(sys.modules.get(module), name, None) is ufunc:
            return resolve, (module, name)
    if "vectorized" in name:
        raise Refusal("a ufunc of numpy.frompyfunc cannot travel: send the function", ufunc)
    return NotImplemented


# Random numbers


def _generator(generator: Any) -> Any:
    return rebuild.generator, (generator.bit_generator,)


def _bit_generator(bits: Any) -> Any:
    name = type(bits).__name__
    if getattr(_numpy().random, name, None) is not type(bits):
        return NotImplemented  # the user's own
    seeds = getattr(bits, "seed_seq", None) or getattr(bits, "_seed_seq", None)
    return rebuild.bit_generator, (name, bits.state, seeds)


def _random_state(random: Any) -> Any:
    if getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None) is random:
        return resolve, ("numpy.random.mtrand", "_rand")
    return rebuild.random_state, (random._bit_generator, random.get_state(legacy=False))


def _seed_sequence(seeds: Any) -> Any:
    state = seeds.state
    names = ("entropy", "spawn_key", "pool_size", "n_children_spawned")
    return rebuild.seed_sequence, tuple(state[name] for name in names)


#: By module and name, for subclasses as well.
BY_NAME: dict[str, Callable[[Any], Any]] = {
    "numpy._ArrayFunctionDispatcher": _function,
    "numpy.dtype": _dtype,
    "numpy.generic": _scalar,
    "numpy.ma.MaskedArray": _masked_array,
    "numpy.ma.core.MaskedArray": _masked_array,
    "numpy.ndarray": _array,
    "numpy.random._generator.Generator": _generator,
    "numpy.random.bit_generator.BitGenerator": _bit_generator,
    "numpy.random.bit_generator.SeedSequence": _seed_sequence,
    "numpy.random.mtrand.RandomState": _random_state,
    "numpy.ufunc": _ufunc,
}
