"""How functions and values become bytes and come back.

`pickling` packs values, `functions` tasks, `exceptions` errors, and `shared` large values that
many tasks use; `diagnosis` finds out what in a value cannot travel.
"""

from .exceptions import pack_exception, unpack_exception
from .functions import Capture, ShippedFunction, load_function, ship_function
from .pickling import SCALARS, Parcel, pack, pack_arguments, unpack
from .shared import Shared, SharedStore

__all__ = [
    "SCALARS",
    "Capture",
    "Parcel",
    "Shared",
    "SharedStore",
    "ShippedFunction",
    "load_function",
    "pack",
    "pack_arguments",
    "pack_exception",
    "ship_function",
    "unpack",
    "unpack_exception",
]
