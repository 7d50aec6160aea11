"""Make the certificates that the tests of TLS use, for a century: tests need no clock of their own.

They are kept, so that the tests run where the package cryptography does not (PyPy), and protect
nothing. Each is a directory of `farm_common.TLSAuth`. Run it when they are to be others::

    python ci/make_test_certs.py packages/farm-common/tests/certs
"""

from __future__ import annotations

import datetime as dt
import shutil
import sys
import tempfile
from pathlib import Path

from farm_admin import certs

CENTURY = 36500.0
LONG_AGO = -3650.0

# Valid since long ago: a machine whose clock is behind can test, too.
certs._LENIENCE = dt.timedelta(days=3650)

NAMES = ["localhost", "127.0.0.1", "::1", "farm.example"]


def main() -> None:
    """Make all of them anew."""
    target = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for authority in ("ca", "other-ca"):
            certs.make_authority(str(place / authority), f"farm tests: {authority}", CENTURY)
        ca, other = str(place / "ca"), str(place / "other-ca")
        made = place / "made"
        certs.make_server(NAMES, str(made / "server"), ca, CENTURY)
        certs.make_server(NAMES, str(made / "expired-server"), ca, LONG_AGO)
        certs.make_server(NAMES, str(made / "other-server"), other, CENTURY)
        certs.make_client("alice", str(made / "alice"), ca, CENTURY)
        certs.make_client("bob", str(made / "bob"), ca, CENTURY)
        certs.make_client("carol", str(made / "expired-client"), ca, LONG_AGO)
        certs.make_client("mallory", str(made / "other-client"), other, CENTURY)
        # They trust each other's authority, and are still not trusted by those of ours.
        for stranger in ("other-server", "other-client"):
            shutil.copy(place / "ca" / "ca.pem", made / stranger / "ca.pem")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(made, target)


if __name__ == "__main__":
    main()
