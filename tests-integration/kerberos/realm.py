"""A Kerberos realm of its own: a real MIT KDC on a loopback port, and its principals.

It needs Debian's krb5-kdc, krb5-admin-server and krb5-user. Everything it makes is in one
directory, and nothing of the machine's own Kerberos configuration is read or changed: whoever
takes part has `Realm.environment` in its own.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

NAME = "FARM.TEST"

#: The host part of the services' principals; nobody looks it up.
HOST = "server.farm.test"

_BOUND = 30.0
_PASSWORD = "a password of the tests"

_CONF = """\
[libdefaults]
    default_realm = {name}
    rdns = false
    dns_canonicalize_hostname = false
    qualify_shortname = ""
    dns_lookup_realm = false
    dns_lookup_kdc = false
    default_ccache_name = FILE:{folder}/nobody
    ticket_lifetime = 10h
    udp_preference_limit = 1
[realms]
    {name} = {{
        kdc = {host}:{port}
    }}
[domain_realm]
    .farm.test = {name}
"""

_KDC = """\
[kdcdefaults]
    kdc_listen = {host}:{port}
    kdc_tcp_listen = {host}:{port}
[realms]
    {name} = {{
        database_name = {folder}/principal
        key_stash_file = {folder}/stash
        acl_file = {folder}/acl
        max_life = 10h
        supported_enctypes = aes256-cts-hmac-sha1-96:normal aes256-cts-hmac-sha384-192:normal
    }}
[logging]
    kdc = FILE:{folder}/kdc.log
"""

#: Debian has the daemons in sbin, which is not on everybody's PATH.
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


def missing() -> list[str]:
    """The programs of MIT Kerberos that are not installed here."""
    programs = ("krb5kdc", "kdb5_util", "kadmin.local", "kinit")
    return [name for name in programs if shutil.which(name, path=_PATH) is None]


class Realm:
    """A realm and its KDC.

    Args:
        folder: An empty directory for everything it needs.
        host: The address of the KDC.
        wrapper: A command that runs the KDC, as in another network namespace.

    Attributes:
        environment: What processes that take part have in their environment.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", wrapper: Sequence[str] = ()) -> None:
        self._folder = folder
        self._host = host
        self._wrapper = wrapper
        self._daemon: Optional[subprocess.Popen[bytes]] = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        fields = {"name": NAME, "folder": folder, "host": host, "port": self.port}
        for file, text in (("krb5.conf", _CONF), ("kdc.conf", _KDC)):
            (folder / file).write_text(text.format(**fields), encoding="utf-8")
        self.environment = {
            "KRB5_CONFIG": str(folder / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
            "KRB5CCNAME": f"FILE:{folder}/nobody",
            "KRB5_KTNAME": f"FILE:{folder}/none.keytab",
            "KRB5RCACHEDIR": str(folder),
        }
        self.run("kdb5_util", "create", "-s", "-r", NAME, "-P", _PASSWORD)
        self.start()

    def run(self, *command: str, words: str = "") -> str:
        """Run one of Kerberos's programs, and return what it printed."""
        done = subprocess.run(
            command,
            input=words,
            env={**os.environ, **self.environment, "PATH": _PATH},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_BOUND,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}")
        return done.stdout

    def admin(self, query: str) -> str:
        """Change the database."""
        return self.run("kadmin.local", "-r", NAME, "-q", query)

    def user(self, name: str) -> str:
        """Make a user's principal, and return its full name."""
        self.admin(f'addprinc -pw "{_PASSWORD}" {name}@{NAME}')
        return f"{name}@{NAME}"

    def service(self, principal: str) -> str:
        """Make a service's principal, and return its full name."""
        self.admin(f"addprinc -randkey {principal}@{NAME}")
        return f"{principal}@{NAME}"

    def keytab(self, file: str, *principals: str) -> str:
        """Make new keys for principals, put them into a new file, and return what names it."""
        path = self._folder / file
        path.unlink(missing_ok=True)
        self.admin(f"ktadd -k {path} {' '.join(principals)}")
        return f"FILE:{path}"

    def ticket(self, principal: str, *options: str) -> str:
        """Get a ticket into a new cache, and return what names the cache."""
        name = f"FILE:{self._folder}/ticket-{len(list(self._folder.glob('ticket-*')))}"
        self.renew(principal, name, *options)
        return name

    def renew(self, principal: str, cache: str, *options: str) -> None:
        """Get a new ticket into a cache."""
        self.run("kinit", "-c", cache, *options, principal, words=f"{_PASSWORD}\n")

    def start(self) -> None:
        """Start the KDC, and return when it listens."""
        self._daemon = subprocess.Popen(
            [*self._wrapper, shutil.which("krb5kdc", path=_PATH) or "krb5kdc", "-n", "-r", NAME],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _BOUND
        while True:
            try:
                socket.create_connection((self._host, self.port), 1).close()
                return
            except OSError:
                if self._daemon.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    log = self._folder / "kdc.log"
                    raise RuntimeError(
                        f"the KDC does not start:\n{log.read_text() if log.exists() else ''}"
                    ) from None
                time.sleep(0.01)  # nobody tells when it listens

    def stop(self) -> None:
        """Stop the KDC; twice is no error."""
        if self._daemon is not None:
            self._daemon.terminate()
            self._daemon.wait(_BOUND)
            self._daemon = None
