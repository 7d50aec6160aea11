"""Starts servers for kernels that want one of their own."""

from .local import LocalServer

__all__ = ["LocalServer"]
