"""What the tests of connections share."""

import socket
import threading

import pytest

from farm_common.testing import stream_pair


@pytest.fixture
def sockets():
    """The two ends of a socket pair."""
    left, right = socket.socketpair()
    with left, right:
        yield left, right


@pytest.fixture
def streams(sockets):
    """A client's and a server's stream that trust each other."""
    greeting, served = stream_pair(*sockets)
    return greeting.stream, served


@pytest.fixture
def in_thread():
    """Runs a function in a thread, and returns a function that waits for its end and its error."""

    def start(function, *args):
        failed = []

        def run():
            try:
                function(*args)
            except BaseException as error:  # raised again below
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()

        def wait():
            thread.join()
            if failed:
                raise failed[0]

        return wait

    return start
