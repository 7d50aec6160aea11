"""Cognates: parallel counterparts of functions and expressions of the language."""

from ..ptree import Ptree
from .control import pand, pfuncall, plet, plet_if, por
from .map import pdotimes, pmap, pmap_into, pmapc, pmapcan, pmapcar
from .reduce import pmap_reduce, preduce, preduce_partial
from .remove import pcount, pcount_if, pcount_if_not, premove, premove_if, premove_if_not
from .search import pevery, pfind, pfind_if, pfind_if_not, pnotany, pnotevery, psome
from .sort import psort
from .stream import Stream, pmap_iter
from .tails import pmapcon, pmapl, pmaplist, pmaplist_into

__all__ = [
    "Ptree",
    "Stream",
    "pand",
    "pcount",
    "pcount_if",
    "pcount_if_not",
    "pdotimes",
    "pevery",
    "pfind",
    "pfind_if",
    "pfind_if_not",
    "pfuncall",
    "plet",
    "plet_if",
    "pmap",
    "pmap_into",
    "pmap_iter",
    "pmap_reduce",
    "pmapc",
    "pmapcan",
    "pmapcar",
    "pmapcon",
    "pmapl",
    "pmaplist",
    "pmaplist_into",
    "pnotany",
    "pnotevery",
    "por",
    "preduce",
    "preduce_partial",
    "premove",
    "premove_if",
    "premove_if_not",
    "psome",
    "psort",
]
