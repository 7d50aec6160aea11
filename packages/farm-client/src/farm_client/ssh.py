"""What all ``ssh://`` addresses of this program have in common.

::

    import farm_client as farm

    farm.ssh.options += ["ProxyJump=gateway", "IdentityFile=~/.ssh/cluster"]
    kernel = farm.make_kernel(["ssh://node1", "ssh://me@node2:2222?workers=8"])

Options that are to hold for other programs too have their place in ``~/.ssh/config``, and those of
one address in that address: ``ssh://node1?option=ProxyJump=gateway``.
"""

from __future__ import annotations

__all__ = ["options"]

#: Options for every ssh that kernels start, each as ``ssh -o`` takes it: ``"Name=value"``. They go
#: before those of ssh's configuration, and after those of the address. What is here when a kernel
#: is made, or an address added, holds for it.
options: list[str] = []
