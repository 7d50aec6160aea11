"""Clients and servers of different Pythons and of different farms, both ways round.

With only one interpreter there are no peers, and without the history of the repository no earlier
farms; these tests are skipped then.
"""

import json
import os
import platform
import shutil
from pathlib import Path

import pytest

import farm_client as farm
import farm_common

BOUND = 30.0

# What a client of any version runs against a server of any other; prints one JSON object.
PROGRAM = """
import collections, functools, json, operator, sys, time
import farm_client as farm

out = {}
kernel = farm.make_kernel(sys.argv[1], timeout=30)
channel = kernel.make_channel()

def call(task, *args, **kwargs):
    channel.submit(task, *args, **kwargs)
    return channel.receive()

def local(x):
    return x + 1

class Local:
    pass

out["builtin"] = call(abs, -3)
out["string"] = call("math:hypot", 3, 4)
out["method"] = call("a,b".split, ",")
out["importable"] = call(operator.mul, 6, 7)
out["partial"] = call(functools.partial(pow, 2), 5)
out["type"] = str(call(collections.OrderedDict, a=1)["a"])
out["values"] = call(list, [1, 2.5, "x", None, True])
out["shared"] = call(len, [farm.shared([1, 2, 3])])
for i in range(500):
    channel.submit(abs, -i)
out["many"] = sum(farm.do_fast_receives(channel, 500))
out["bytes"] = len(call("builtins:bytes", 3_000_000))
try:
    call("operator:truediv", 1, 0)
except farm.TaskExecutionError as error:
    out["error"] = [error.report, type(error.__cause__).__name__]
for name, submit in (
    ("lambda", lambda: call(lambda: 1)),
    ("function", lambda: call(local, 0)),
    ("argument", lambda: len(call(list, [Local]))),
    ("broadcast", lambda: kernel.broadcast_task(lambda: 1)[0]),
):
    try:
        out[name] = submit()
    except farm.FarmError as error:
        out[name] = str(error)
out["after"] = call(abs, -1)
out["left"] = len(channel)
kernel.end()
print(json.dumps(out))
"""


def check(done):
    """What came of PROGRAM."""
    assert done.stderr == ""
    assert json.loads(done.stdout) == {
        "lambda": 1,
        "function": 1,
        "argument": 1,
        "broadcast": 1,
        "builtin": 3,
        "string": 5.0,
        "method": ["a", "b"],
        "importable": 42,
        "partial": 32,
        "type": "1",
        "values": [1, 2.5, "x", None, True],
        "shared": 1,
        "many": sum(range(500)),
        "bytes": 3_000_000,
        "error": ["ZeroDivisionError: division by zero", "ZeroDivisionError"],
        "after": 1,
        "left": 0,
    }


def test_a_pair_of_equals(run, launch):
    """With this interpreter at both ends, functions travel."""
    server = launch("127.0.0.1:0", "--workers", "1")
    check(run(PROGRAM, server.address))


def test_this_client_and_another_server(run, launch, peer):
    """Names, builtins, values and functions travel, as between equals."""
    server = launch("127.0.0.1:0", "--workers", "1", python=peer)
    check(run(PROGRAM, server.address))


def test_another_client_and_this_server(run, launch, peer):
    """The reverse."""
    server = launch("127.0.0.1:0", "--workers", "1")
    check(run(PROGRAM, server.address, python=peer))


def test_another_client_and_its_own_kind(run, launch, peer):
    """Two ends of another interpreter are equals, too."""
    server = launch("127.0.0.1:0", "--workers", "1", python=peer)
    check(run(PROGRAM, server.address, python=peer))


def test_a_mixed_kernel(launch, make, peer):
    """Each worker gets functions in the form that it can run, and after one left, the others do."""
    mine = launch("127.0.0.1:0", "--workers", "1")
    theirs = launch("127.0.0.1:0", "--workers", "1", python=peer)
    kernel = make([mine.address, theirs.address])
    channel = kernel.make_channel()
    for value in range(200):
        channel.submit("builtins:abs", -value)
    assert sorted(channel) == list(range(200))
    for value in range(200):
        channel.submit(lambda x: x + 1, value)
    assert sorted(channel) == list(range(1, 201))
    space = {}
    exec("def made():\n    import platform\n    return platform.python_version()\n", space)
    for _ in range(4):  # has no source, so it runs where this interpreter's bytecode does
        channel.submit(space["made"])
    assert set(channel) == {platform.python_version()}
    versions = kernel.broadcast_task("platform:python_version")
    assert versions == [worker.python_version for worker in kernel.workers()]
    kernel.remove(theirs.address)
    channel.submit(lambda: 1)
    assert channel.receive() == 1


def test_a_local_server_of_another_interpreter(make, peer):
    """local?python= runs the server with it."""
    kernel = make(f"local?workers=1&python={peer}")
    (there,) = kernel.broadcast_task("sys:version_info.__getitem__", slice(0, 3))
    assert ".".join(map(str, there)) == kernel.workers()[0].python_version


def test_this_client_and_an_earlier_server(run, launch, earlier):
    """All that was there then works."""
    server = launch("127.0.0.1:0", "--workers", "1", python=earlier)
    check(run(PROGRAM, server.address))


def test_an_earlier_client_and_this_server(run, launch, earlier):
    """The reverse."""
    server = launch("127.0.0.1:0", "--workers", "1")
    check(run(PROGRAM, server.address, python=earlier))


def test_what_an_earlier_server_cannot_do_is_said(launch, make, earlier):
    """A time limit that the server knows nothing of is refused, rather than ignored."""
    server = launch("127.0.0.1:0", "--workers", "1", python=earlier)
    with make(server.address):
        with farm.task_options(timeout=1), pytest.raises(farm.UnsupportedError, match="upgrade"):
            farm.future(abs, -1)
        assert farm.force(farm.future(abs, -1)) == 1


@pytest.fixture
def later(tmp_path):
    """Makes an environment in which farm speaks other versions of the protocol."""

    def later_(low, high):
        source = Path(farm_common.__file__).parent
        copy = tmp_path / f"{low}-{high}" / "farm_common"
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        handshake = copy / "handshake.py"
        text = handshake.read_text()
        changed = text.replace("PROTOCOL_VERSIONS = (1, 1)", f"PROTOCOL_VERSIONS = ({low}, {high})")
        assert changed != text
        handshake.write_text(changed)
        path = [str(copy.parent), os.environ.get("PYTHONPATH", "")]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}

    return later_


def test_a_later_farm_that_still_speaks_ours(run, launch, later):
    """Of versions 1 and 1 to 2, the two ends choose 1, whichever is the later."""
    server = launch("127.0.0.1:0", "--workers", "1", env=later(1, 2))
    check(run(PROGRAM, server.address))
    server = launch("127.0.0.1:0", "--workers", "1")
    check(run(PROGRAM, server.address, env=later(1, 3)))


def test_a_later_farm_that_does_not(run, launch, later, make):
    """Versions 1 and 2 refuse each other at once; the error has both, and says what to upgrade."""
    server = launch("127.0.0.1:0", "--workers", "1", env=later(2, 3))
    with pytest.raises(farm.IncompatibleVersionError, match=r"2.*upgrade farm on this side"):
        make(server.address, timeout=BOUND)
    server = launch("127.0.0.1:0", "--workers", "1")
    program = """
        import sys
        import farm_client as farm
        try:
            farm.make_kernel(sys.argv[1], timeout=30)
        except farm.IncompatibleVersionError as error:
            print(error)
    """
    said = run(program, server.address, env=later(2, 4)).stdout
    assert "upgrade" in said
    assert "on this side" not in said
