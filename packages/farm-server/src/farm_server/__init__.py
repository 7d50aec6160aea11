"""The server of farm: listens, and executes tasks in one worker process a connection."""

from .__about__ import __version__
from .server import Server, start_server

__all__ = ["Server", "__version__", "start_server"]
