"""What workers run for the cognates: one part of a sequence at a time.

A cognate (`pmap`, `preduce`, ...) cuts its input into parts and sends each to a worker. What the
worker calls is one of the runners below. A runner holds the user's task and travels as the
function of all parts, so once over each connection; the parts travel as arguments.

An error of the user's task at one element is returned as a `Failure`, with what the elements
before it gave: raised, it could not say which element it was. Only what is not about an element
is raised.
"""

from .failure import Failure, pack_failures_by
from .keyed import MISSING, CountPart, FindPart, MarkPart, ReducePart, SomePart
from .mapping import CallPart, ChainPart, EachPart, MapPart, make_array, make_ndarray
from .runner import Runner, time_calls_by
from .sorting import SortPart
from .tails import ChainTails, EachTail, MapTails

__all__ = [
    "MISSING",
    "CallPart",
    "ChainPart",
    "ChainTails",
    "CountPart",
    "EachPart",
    "EachTail",
    "Failure",
    "FindPart",
    "MapPart",
    "MapTails",
    "MarkPart",
    "ReducePart",
    "Runner",
    "SomePart",
    "SortPart",
    "make_array",
    "make_ndarray",
    "pack_failures_by",
    "time_calls_by",
]

# They travel by name, also from and to other versions of farm: always as what is in this module.
for _name in __all__:
    globals()[_name].__module__ = __name__
