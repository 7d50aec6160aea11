"""A package that exists only at the client."""

from .fruit import Apple, weigh

VERSION = "1.2"

__all__ = ["VERSION", "Apple", "weigh"]
