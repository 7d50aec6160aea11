"""Run one task over a connection that is listened in on; write what went over it into a file.

The documentation's build runs this and draws the answer, so that the drawing is of what the code
does. A proxy between kernel and server notes the frames; an argument and a result that note the
stack when they are packed and unpacked tell which modules the task passed through. The file is
JSON.
"""

from __future__ import annotations

import json
import socket
import sys
import threading

import farm_client as farm
from farm_common.frames import NAMES, Frame, FrameReader
from farm_common.handshake import PREAMBLE_SIZE
from farm_server import start_server

BOUND = 60.0


def modules() -> list[str]:
    """Farm's modules on this thread's stack, outermost first."""
    found = []
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("farm_") and name not in found[-1:]:
            found.append(name)
        frame = frame.f_back
    return found[::-1]


class Argument:
    """Notes where it is packed."""

    def __reduce__(self):
        packed.append(modules())
        return int, ()


class Result:
    """Notes where it is made, packed, and unpacked."""

    def __init__(self):
        self.executed = modules()

    def __getstate__(self):
        return self.executed, modules()

    def __setstate__(self, state):
        self.stacks = [*state, modules()]


def task(argument):
    """What travels; its output does, too."""
    print("a line of output")
    return Result()


packed: list[list[str]] = []


class Proxy:
    """Passes bytes on, and keeps them in the order in which they came."""

    def __init__(self, server: str) -> None:
        host, _, port = server.rpartition(":")
        self._server = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.heard: list[list[tuple[str, bytes]]] = []
        self._threads: list[threading.Thread] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(self._server, BOUND)
            heard: list[tuple[str, bytes]] = []
            self.heard.append(heard)
            for pair in ((client, server, "client"), (server, client, "server")):
                thread = threading.Thread(target=self._pass, args=(*pair, heard), daemon=True)
                thread.start()
                self._threads.append(thread)

    def _pass(self, source, target, who, heard) -> None:
        while data := source.recv(1 << 16):
            heard.append((who, data))
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

    def join(self) -> None:
        """Wait until all connections have ended."""
        for thread in self._threads:
            thread.join(BOUND)


def read(heard: list[tuple[str, bytes]]) -> list[tuple[str, str]]:
    """Who sent what."""
    readers = {who: FrameReader(1 << 20) for who in ("client", "server")}
    missing = dict.fromkeys(readers, PREAMBLE_SIZE)
    said = []
    for who, data in heard:
        if missing[who]:
            rest = data[missing[who] :]
            missing[who] -= len(data) - len(rest)
            if not missing[who]:
                said.append((who, "preamble"))
            data = rest
        for frame in readers[who].feed(data):
            assert isinstance(frame, Frame)
            said.append((who, NAMES[frame.kind]))
    return said


def main() -> None:
    """One server with one worker, one task, and the connection that carried it."""
    with start_server("127.0.0.1:0", workers=1, background=True) as server:
        proxy = Proxy(server.address)
        with farm.make_kernel(proxy.address, timeout=BOUND):
            channel = farm.make_channel()
            farm.submit_task(channel, task, Argument())
            result = farm.receive_result(channel)
        proxy.join()
    said = [read(heard) for heard in proxy.heard]
    (conversation,) = [one for one in said if ("client", "TASK") in one]
    executed, given, received = result.stacks
    stacks = {"submit": packed[0], "execute": executed, "give": given, "receive": received}
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        json.dump({"conversation": conversation, "stacks": stacks}, file, indent=1)


if __name__ == "__main__":
    main()
