"""What the tests of the whole share: servers as processes, kernels, and other interpreters.

FARM_PYTHONS is a JSON object from the name of each interpreter to a Python that has the wheels;
without it there is this one. FARM_EARLIER is the same for earlier states of farm.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

import farm_client as farm

# What the sessions for chaos use, too, and what several folders of tests share.
sys.path += [str(Path(__file__).parent / name) for name in ("faults", "shared")]
import census as census_
import deaths as deaths_
import fault_proxy
from wire import Wire

BOUND = 30.0

PYTHONS = json.loads(os.environ.get("FARM_PYTHONS", "{}")) or {"this": sys.executable}
EARLIER = json.loads(os.environ.get("FARM_EARLIER", "{}"))


class Launched:
    """A farm-server, with the addresses that it said it listens on."""

    def __init__(self, python, arguments, keywords):
        self.process = subprocess.Popen(
            [python, "-m", "farm_server", "--log-level", "error", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **keywords,
        )
        line = self.process.stdout.readline()
        assert line.startswith("farm-server ready "), self.process.stderr.read()
        self.addresses = line.split()[2:]
        self.address = self.addresses[0]
        self.pid = self.process.pid

    def kill(self):
        """End it at once, as a crash would."""
        self.process.kill()
        self.process.communicate(timeout=BOUND)

    def end(self):
        """End it, and return what it wrote to standard error."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.communicate(timeout=BOUND)[1]
        except subprocess.TimeoutExpired:
            self.kill()
            raise


@pytest.fixture
def launch():
    """Starts servers with any interpreter; none is left behind."""
    started = []

    def start(*arguments, python=sys.executable, **keywords):
        started.append(Launched(python, arguments or ("127.0.0.1:0",), keywords))
        return started[-1]

    yield start
    for launched in started:
        if launched.process.poll() is None:
            launched.kill()


@pytest.fixture(scope="module")
def address():
    """The address of a server with two workers that the tests of a module share."""
    launched = Launched(sys.executable, ("127.0.0.1:0", "--workers", "2"), {})
    yield launched.address
    assert launched.process.poll() is None, "a test ended the server"
    launched.end()


@pytest.fixture(scope="session")
def server_of():
    """The address of a server of an interpreter, which is given by its path, for all tests."""
    started = {}

    def server_of_(python):
        if python not in started:
            started[python] = Launched(python, ("127.0.0.1:0", "--workers", "2"), {})
        return started[python].address

    yield server_of_
    for launched in started.values():
        assert launched.process.poll() is None, "a test ended the server"
        launched.end()


@pytest.fixture
def make():
    """Makes kernels, and ends them; there is no current kernel before and after."""
    made = []
    farm.set_kernel(None)

    def make_(addresses, **keywords):
        made.append(farm.make_kernel(addresses, **{"timeout": BOUND, **keywords}))
        return made[-1]

    yield make_
    for kernel in made:
        kernel.end()
    farm.set_kernel(None)


@pytest.fixture
def kernel(make, address):
    """A kernel of two workers on a server that other tests use, too."""
    return make(address)


@pytest.fixture
def channel(kernel):
    """A channel of `kernel`."""
    return kernel.make_channel()


@pytest.fixture
def folder():
    """A directory whose name is short enough for sockets."""
    path = tempfile.mkdtemp(prefix="farm-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def run(tmp_path):
    """Runs a program in a process of its own; returns what came of it."""

    def run_(program, *arguments, python=sys.executable, **keywords):
        script = tmp_path / "program.py"
        script.write_text(textwrap.dedent(program), encoding="utf-8")
        return subprocess.run(
            [python, str(script), *arguments],
            capture_output=True,
            text=True,
            timeout=BOUND,
            check=False,
            **keywords,
        )

    return run_


@pytest.fixture
def fails_with():
    """Asserts that a block raises an error of the type, with all the texts in it, and soon."""

    @contextlib.contextmanager
    def fails(kind, *texts, within=BOUND):
        start = time.monotonic()
        with pytest.raises(kind) as caught:
            yield caught
        assert time.monotonic() - start < within
        for text in texts:
            assert text in str(caught.value)

    return fails


@pytest.fixture
def until():
    """Waits until a condition holds; for what nobody tells."""

    def until_(condition, seconds=BOUND):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it never came to be"
            time.sleep(0.005)

    return until_


@pytest.fixture
def wire():
    """Puts a `Wire` in front of a server."""
    made = []

    def make(server):
        made.append(Wire(server))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def faulty():
    """Makes proxies in front of servers that harm connections as they are told to."""
    made = []

    def make_(server, **keywords):
        made.append(fault_proxy.FaultProxy(server, **keywords))
        return made[-1]

    yield make_
    for one in made:
        one.close()


@pytest.fixture
def census():
    """What processes have: memory, descriptors, children."""
    return census_


@pytest.fixture
def deaths():
    """Clients that die, and connections that come and go."""
    return deaths_


def pytest_generate_tests(metafunc):
    """`peer` is each of the other interpreters, `earlier` one with each of the earlier farms."""
    if "earlier" in metafunc.fixturenames:
        metafunc.parametrize("earlier", EARLIER.values(), ids=EARLIER.keys())
    if "peer" in metafunc.fixturenames:
        others = {name: path for name, path in PYTHONS.items() if path != sys.executable}
        metafunc.parametrize("peer", others.values(), ids=others.keys())
