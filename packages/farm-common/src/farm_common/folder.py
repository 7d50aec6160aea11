"""A new folder that only this user can enter, with a name short enough for sockets in it."""

from __future__ import annotations

import os
import re
import tempfile

from .address import UNIX_PATH_LIMIT

__all__ = ["private_folder"]

#: What any program takes for part of a file's name, and nothing else.
_PLAIN = re.compile(r"[A-Za-z0-9_./+@=,-]+")


def private_folder() -> str:
    """Make such a folder (mode 0700) and return its path.

    It is where temporary files are (``TMPDIR``), or in ``/tmp`` where that has a long name, or
    one that ssh would not take literally.

    Raises:
        OSError: It cannot be made.
    """
    place = os.path.abspath(tempfile.gettempdir())
    if len(os.fsencode(place)) > UNIX_PATH_LIMIT // 2 or not _PLAIN.fullmatch(place):
        place = os.path.join(os.sep, "tmp")
    return tempfile.mkdtemp(prefix="farm-", dir=place)
