"""A module with a relative import, a class, a dataclass and a global that functions share."""

import enum
from dataclasses import dataclass

from . import units
from .units import GRAM

SOLD = []


class Kind(enum.Enum):
    SWEET = 1
    SOUR = 2


class Fruit:
    def __init__(self, grams):
        self.grams = grams

    def weight(self):
        return units.text(self.grams * GRAM)


class Apple(Fruit):
    def __init__(self, grams, kind=Kind.SWEET):
        super().__init__(grams)
        self.kind = kind

    def __eq__(self, other):
        return type(other) is Apple and vars(self) == vars(other)

    __hash__ = None


@dataclass
class Basket:
    fruits: list

    def total(self):
        return sum(fruit.grams for fruit in self.fruits)


class RottenError(Exception):
    def __init__(self, fruit, days):
        super().__init__(f"rotten for {days} days")
        self.fruit = fruit
        self.days = days


def weigh(fruits):
    return Basket(fruits).total()


def sell(fruit):
    SOLD.append(fruit)
    return len(SOLD)


def inspect(fruit):
    raise RottenError(fruit, 3)


def grown(factory):
    return factory(100)


double = lambda grams: grams * 2
