"""Looks after farm servers: ping, status, end."""

from .__about__ import __version__
from .end import end_server
from .ping import ping
from .status import ServerStatus, SessionStatus, status

__all__ = ["ServerStatus", "SessionStatus", "__version__", "end_server", "ping", "status"]
