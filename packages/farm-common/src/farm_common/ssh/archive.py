"""What a machine without farm-server is sent: its modules, farm-common's, and cloudpickle's."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import os
from collections.abc import Iterator
from typing import NamedTuple, Optional

from ..errors import KernelCreationError

__all__ = ["Archive", "find_archive", "series"]

#: In the order in which they are named where one is missing.
PACKAGES = ("farm_server", "farm_common", "cloudpickle")

#: The oldest time that a zip archive can tell. The files have no times that mean anything: the
#: same modules are the same archive.
_TIME = (1980, 1, 1, 0, 0, 0)


class Archive(NamedTuple):
    """The modules of some packages.

    Attributes:
        digest: Identifies the contents; what `farm_common.ssh.there` computes of the files.
        files: The contents of each file, by its path.
    """

    digest: str
    files: dict[str, bytes]

    def pack(self) -> bytes:
        """The files as a zip archive."""
        import zipfile  # seldom needed

        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in self.files.items():
                info = zipfile.ZipInfo(name, _TIME)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = 0o644 << 16
                archive.writestr(info, data)
        return buffer.getvalue()


@functools.lru_cache(maxsize=1)
def find_archive() -> Archive:
    """The packages that are installed here, without importing them.

    Raises:
        KernelCreationError: One is not installed here.
    """
    files: dict[str, bytes] = {}
    for package in PACKAGES:
        folder = package_folder(package)
        if folder is None:
            raise KernelCreationError(
                f"{package} is not installed here, so it cannot be sent: install farm-server, "
                "here or there (pip install farm-server)"
            )
        for path in sorted(_modules(folder)):
            name = os.path.join(package, os.path.relpath(path, folder)).replace(os.sep, "/")
            with open(path, "rb") as file:
                files[name] = file.read()
    whole = hashlib.sha256()
    for name in sorted(files):
        whole.update(f"{name} {len(files[name])}\n".encode())
        whole.update(files[name])
    return Archive(whole.hexdigest(), files)


def series(package: str) -> Optional[str]:
    """Which releases of a package go together with the one that is installed here: ``"0.1"``.

    Returns:
        The first two numbers of its version, or None where it is not installed.
    """
    folder = package_folder(package)
    if folder is None:
        return None
    try:
        with open(os.path.join(folder, "__about__.py"), encoding="utf-8") as file:
            version = file.read().partition('__version__ = "')[2].partition('"')[0]
    except OSError:
        return None
    return ".".join(version.split(".")[:2])


def package_folder(package: str) -> Optional[str]:
    """Where the modules of an installed package are; None where it is not a folder of files."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not os.path.isfile(spec.origin):
        return None
    return os.path.dirname(spec.origin)


def _modules(folder: str) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        yield from (os.path.join(place, name) for name in names if name.endswith(".py"))
