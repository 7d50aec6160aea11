"""Imports from the package above."""

from .. import units
from ..fruit import Apple


def acorns(n):
    return units.text(n), Apple(n).weight()


def lazily():
    from ..fruit import weigh

    return weigh([Apple(4), Apple(5)])
