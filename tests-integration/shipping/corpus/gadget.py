"""A module that exists only at the client, beside the script."""

import orchard

COUNT = 4


def spin(n):
    return n * COUNT


def apples():
    return orchard.weigh([orchard.Apple(COUNT)])
