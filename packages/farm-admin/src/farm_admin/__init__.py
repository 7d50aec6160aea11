"""Looks after farm servers: ping, status, end, and the tasks that run there."""

from .__about__ import __version__
from .end import end_server
from .kill import kill_tasks
from .ping import ping
from .status import ServerStatus, SessionStatus, status

__all__ = [
    "ServerStatus",
    "SessionStatus",
    "__version__",
    "end_server",
    "kill_tasks",
    "ping",
    "status",
]
