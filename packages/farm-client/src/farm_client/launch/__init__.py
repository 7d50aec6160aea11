"""Starts servers for kernels that want one of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from farm_common.address import Address

from .. import ssh
from .local import LocalServer

if TYPE_CHECKING:
    from farm_common.ssh import SshServer

__all__ = ["LocalServer", "launcher"]


def launcher(address: Address) -> Union[LocalServer, SshServer, None]:
    """What starts the server of an address, or None where a server is there already."""
    if address.kind == "local":
        return LocalServer(address)
    if address.kind == "ssh":
        from farm_common.ssh import SshServer  # most programs have no use for it

        return SshServer(address, ssh.options)
    return None
