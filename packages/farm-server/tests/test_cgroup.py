"""Control groups, in both versions and in containers."""

import pytest

from farm_server import cgroup

V2 = "0::/user.slice/farm.service\n"
V1 = "5:memory:/jobs/7\n4:cpu,cpuacct:/jobs/7\n1:name=systemd:/\n0::/\n"


@pytest.mark.parametrize(
    ("groups", "files", "controller", "expected"),
    [
        (V2, {"/sys/fs/cgroup/user.slice/farm.service/cpu.max": "a"}, "cpu", "a"),
        (V2, {"/sys/fs/cgroup/cpu.max": "inside a container"}, "cpu", "inside a container"),
        (V2, {}, "cpu", None),
        ("0::/\n", {"/sys/fs/cgroup/cpu.max": "a"}, "cpu", "a"),
        (V1, {"/sys/fs/cgroup/cpu/jobs/7/cpu.max": "b"}, "cpu", "b"),
        (V1, {"/sys/fs/cgroup/cpu/cpu.max": "c"}, "cpu", "c"),
        (V1, {"/sys/fs/cgroup/memory/jobs/7/cpu.max": "b"}, "cpu", None),
        (None, {}, "cpu", None),
        ("nonsense", {}, "cpu", None),
    ],
)
def test_where_a_file_is_looked_for(monkeypatch, groups, files, controller, expected):
    """In the own group of the right controller, then where a container shows it."""
    everything = {"/proc/self/cgroup": groups, **files}
    monkeypatch.setattr(cgroup, "read_text", everything.get)
    assert cgroup.cgroup_file(controller, "cpu.max") == expected


def test_a_file_that_is_not_there():
    """It is None, not an error."""
    assert cgroup.read_text("/nonexistent/file") is None
