"""Servers that are started over ssh, reached through that same connection, and end with it.

::

    this machine                                  the other one
    ------------                                  -------------
    SshServer -- stdin, stdout, stderr -- ssh === sshd -- sh -- python: there.py, then farm-server
                                           |        |                              |
    clients --> /tmp/farm-x/socket --------+        +-------> /tmp/farm-y/socket --+

One process ``ssh`` for each host, no TCP port on either side. What ssh is to do, and how it proves
who the user is, is the user's own configuration; `command` says what is added to that. The server
ends when its standard input does, which is ssh's, which is a pipe of this process: so it ends
however this process does.
"""

from .server import SshServer

__all__ = ["SshServer"]
