"""The logging tree ``farm.*``: silent below ERROR, unless the environment says otherwise."""

from __future__ import annotations

import logging
import os
from typing import Optional

__all__ = ["LEVELS", "environment_level", "log_to_stderr", "set_up_logging"]

#: What ``FARM_LOG`` may be.
LEVELS = ("debug", "info", "warning", "error", "critical")

_FORMAT = "%(asctime)s %(name)s[%(process)d] %(levelname)s %(message)s"


def environment_level() -> Optional[str]:
    """The level that ``FARM_LOG`` names, or None; one that does not exist is logged as an error."""
    given = os.environ.get("FARM_LOG", "")
    level = given.lower()
    if level in LEVELS:
        return level
    if level:
        logging.getLogger("farm").error("FARM_LOG=%s is ignored: give %s", given, ", ".join(LEVELS))
    return None


def log_to_stderr(level: str) -> None:
    """Show on standard error what farm logs, from a level on.

    Raises:
        ValueError: There is no such level.
    """
    tree = logging.getLogger("farm")
    tree.setLevel(level.upper())
    if not tree.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(_FORMAT))
        tree.addHandler(handler)
    tree.propagate = False


def set_up_logging() -> None:
    """Give the tree the level that a library should have: what ``FARM_LOG`` says, or ERROR.

    A program that configured the logger ``farm`` itself, before or after, has its way.
    """
    tree = logging.getLogger("farm")
    if tree.level != logging.NOTSET or tree.handlers:
        return
    level = environment_level()
    if level is None:
        tree.setLevel(logging.ERROR)
    else:
        log_to_stderr(level)
