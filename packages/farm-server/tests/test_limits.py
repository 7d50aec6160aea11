"""What a server may use."""

import errno
import os
import resource
import sys

import pytest

from farm_server import limits


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2G", 2 << 30),
        ("2g", 2 << 30),
        ("2GB", 2 << 30),
        ("2GiB", 2 << 30),
        (" 512M ", 512 << 20),
        ("1.5G", 3 << 29),
        ("1T", 1 << 40),
        ("40000K", 40000 << 10),
        ("1000000000", 1000000000),
        ("1000000000B", 1000000000),
    ],
)
def test_sizes(text, size):
    """Bytes, or a number and a unit of 1,024s."""
    assert limits.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "2X", "-2G", "nan", "inf", "1e999G", "two", "2 0G"])
def test_what_is_no_size(text):
    """The error quotes it."""
    with pytest.raises(ValueError, match="(?s)" + repr(text)[1:-1]):
        limits.parse_size(text)


def test_too_little_for_an_interpreter():
    """A unit that was forgotten shows at the start, not in every task."""
    with pytest.raises(ValueError, match="'2' is too little for a worker: give 32M or more"):
        limits.parse_size("2")


def test_a_frame_is_never_larger_than_the_memory():
    """The smaller of the machine's memory and the limit."""
    assert limits.frame_limit(1000) == 1000
    assert limits.frame_limit(1 << 60) == limits.frame_limit() < 1 << 60


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA sees mmap on Linux")
def test_over_the_memory_limit_is_a_memory_error():
    """The process survives, and can allocate what the limit leaves."""
    with open("/proc/self/status", encoding="ascii") as status:
        used = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmData:"))
    pid = os.fork()
    if not pid:
        limits.limit_memory(used + (400 << 20))  # the tests before this one left much
        try:
            bytearray(500 << 20)
        except MemoryError:
            bytearray(10 << 20)
            os._exit(7)
        os._exit(1)
    assert os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == 7


def test_descriptors_are_raised_and_restored():
    """Sessions get the limits that the server was started with."""
    original = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = (min(original[0], 256), original[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, low)
    try:
        before = limits.raise_descriptors()
        assert before == low
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= low[0]
        limits.restore_descriptors(before)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == low
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, original)


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "9900000 100000\n"}, 8),
        ({"cpu.max": "nonsense"}, 8),
        ({"cpu.cfs_quota_us": "300000\n", "cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, 8),
    ],
)
def test_processors(monkeypatch, files, count):
    """The affinity, cut to the quota of the control group and rounded up."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(limits, "cgroup_file", lambda controller, name: files.get(name))
    assert limits.usable_processors() == count


def test_processors_without_affinity(monkeypatch):
    """macOS has none."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    monkeypatch.setattr(limits, "cgroup_file", lambda controller, name: None)
    assert limits.usable_processors() == 1


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EMFILE, "a connection takes two: raise the hard limit of open files (ulimit -Hn)"),
        (errno.EAGAIN, "raise the limit of processes"),
        (errno.ENOMEM, "no memory left"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_advice(number, text):
    """What the system says, and what to do about it."""
    said = limits.advice(OSError(number, os.strerror(number)))
    assert os.strerror(number) in said
    assert said.endswith(text) or text in said
