"""How functions and values become bytes and come back.

`pickling` packs values, `tasks` what is submitted, `exceptions` errors, and `shared` large values
that many tasks use; `diagnosis` finds out what in a value cannot travel, and `capture` what in a
function has changed since it was packed.
"""

from .capture import Capture
from .exceptions import pack_exception, unpack_exception
from .pickling import SCALARS, Blob, Parcel, pack, pack_arguments, unpack
from .shared import Shared, SharedStore
from .tasks import ShippedFunction, load_function, ship_function

__all__ = [
    "SCALARS",
    "Blob",
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
