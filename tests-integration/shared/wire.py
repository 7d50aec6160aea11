"""A proxy for tests that look at what goes over a connection; `fault_proxy` is for harm."""

import contextlib
import socket
import threading

__all__ = ["Wire"]


class Wire:
    """A proxy that keeps what goes over it, and may change it.

    Attributes:
        address: For clients.
        sent: What each connection's client said, in order of arrival.
        got: What its server said.
        change: Called with each piece for the server; returns what to pass on.
    """

    def __init__(self, server):
        host, port = server.rsplit(":", 1)
        self._server = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent, self.got = [], []
        self.change = lambda data: data
        self._open = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._open += [client, server]
                for source, target, record in (
                    (client, server, self.sent),
                    (server, client, self.got),
                ):
                    record.append(bytearray())
                    arguments = source, target, record[-1], record is self.sent
                    threading.Thread(target=self._pass, args=arguments, daemon=True).start()

    def _pass(self, source, target, record, up):
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(1 << 16)
                if not data:
                    break
                record += data
                target.sendall(self.change(data) if up else data)
        for sock in (source, target):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    @property
    def sent_bytes(self):
        """How many bytes went to the server."""
        return sum(map(len, self.sent))

    def cut(self):
        """Break all connections; new ones get through."""
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self):
        """Break everything."""
        for sock in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
