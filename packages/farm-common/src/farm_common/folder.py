"""A new folder that only this user can enter, with a name short enough for sockets in it."""

from __future__ import annotations

import os
import re
import tempfile

from .address import UNIX_PATH_LIMIT
from .errors import KernelCreationError

__all__ = ["private_folder"]

#: What any program takes for part of a file's name, and nothing else.
_PLAIN = re.compile(r"[A-Za-z0-9_./+@=,-]+")


def private_folder() -> str:
    """Make such a folder (mode 0700) and return its path.

    It is where temporary files are (``TMPDIR``), or in ``/tmp`` where that has a long name, or
    one that ssh would not take literally.

    Raises:
        KernelCreationError: It cannot be made, and trying again would not help.
    """
    try:
        place = os.path.abspath(tempfile.gettempdir())
        if len(os.fsencode(place)) > UNIX_PATH_LIMIT // 2 or not _PLAIN.fullmatch(place):
            place = os.path.join(os.sep, "tmp")
        folder = tempfile.mkdtemp(prefix="farm-", dir=place)
        os.chmod(folder, 0o700)  # the umask may have taken even this user's rights away
    except OSError as error:
        raise KernelCreationError(
            f"cannot make a folder for a private server's socket ({error.strerror or error}): "
            "make room, or have TMPDIR name another place"
        ) from error
    return folder
