"""The errors: their tree, their texts, and that they travel."""

import inspect
import pickle

import pytest

import farm_common
from farm_common import errors
from farm_common.errors import (
    AuthError,
    FarmError,
    IncompatibleVersionError,
    ProtocolError,
    PtreeCycleError,
    PtreeRedefinitionError,
    PtreeUndefinedFunctionError,
    TaskExecutionError,
    TaskKilledError,
    TaskTimeoutError,
    WorkerLostError,
)

TREE = {
    "AddressError": ("FarmError", "ValueError"),
    "AuthError": ("KernelCreationError",),
    "FarmError": ("Exception",),
    "IncompatibleVersionError": ("ProtocolError",),
    "InvalidTaskError": ("FarmError",),
    "KernelCreationError": ("FarmError",),
    "KernelEndedError": ("FarmError", "RuntimeError"),
    "NoKernelError": ("FarmError", "RuntimeError"),
    "ProtocolError": ("KernelCreationError",),
    "PtreeCycleError": ("PtreeError",),
    "PtreeError": ("FarmError",),
    "PtreeRedefinitionError": ("PtreeError",),
    "PtreeUndefinedFunctionError": ("PtreeError",),
    "SerializationError": ("FarmError",),
    "TaskExecutionError": ("FarmError",),
    "TaskKilledError": ("FarmError",),
    "TaskTimeoutError": ("FarmError",),
    "UnsupportedError": ("FarmError",),
    "WorkerLostError": ("FarmError",),
}

MADE = [
    (
        IncompatibleVersionError((1, 1), (2, 3)),
        "this side speaks protocol 1, the peer 2 to 3; upgrade farm on this side",
    ),
    (
        IncompatibleVersionError((2, 3), (1, 1)),
        "this side speaks protocol 2 to 3, the peer 1; upgrade farm on the peer",
    ),
    (TaskExecutionError("ZeroDivisionError: x"), "ZeroDivisionError: x"),
    (
        TaskExecutionError("E: x", "Traceback\n  line\n", "worker 1 at h:1"),
        "E: x (on worker 1 at h:1)\n\nTraceback\n  line",
    ),
    (TaskKilledError("f", "worker 1 at h:1"), "task f was killed on worker 1 at h:1"),
    (
        TaskKilledError("f", "worker 1 at h:1", 2.25, "Traceback\n  line\n"),
        "task f was killed on worker 1 at h:1 after 2.25 s\n\nTraceback\n  line",
    ),
    (
        TaskTimeoutError("f", "worker 1 at h:1", 2.0),
        (
            "task f ran on worker 1 at h:1 for longer than the 2 s that it has: "
            "give it more by task_options(timeout=...)"
        ),
    ),
    (
        TaskTimeoutError("f", "worker 1 at h:1", 0.5, "Traceback\n  line\n"),
        (
            "task f ran on worker 1 at h:1 for longer than the 0.5 s that it has: "
            "give it more by task_options(timeout=...)\n\nTraceback\n  line"
        ),
    ),
    (
        WorkerLostError("f", "worker 1 at h:1", "killed by SIGKILL", 1),
        (
            "task f was started once, and each time its worker died; "
            "last worker 1 at h:1: killed by SIGKILL"
        ),
    ),
    (
        WorkerLostError("f", "worker 1 at h:1", "exit status 3", 3),
        (
            "task f was started 3 times, and each time its worker died; "
            "last worker 1 at h:1: exit status 3"
        ),
    ),
    (PtreeUndefinedFunctionError("x"), "there is no node 'x' in this tree: define() it"),
    (
        PtreeUndefinedFunctionError("x", ["a"]),
        "node 'x' has no function, and 'a' refers to it: define() it",
    ),
    (
        PtreeUndefinedFunctionError("x", ["a", (1, 2), 3]),
        "node 'x' has no function, and 'a', (1, 2) and 3 refer to it: define() it",
    ),
    (
        PtreeUndefinedFunctionError("x", range(20)),
        (
            "node 'x' has no function, and 0, 1, 2, 3, 4, 5, (8 more), 14, 15, 16, 17, 18 and 19 "
            "refer to it: define() it"
        ),
    ),
    (
        PtreeRedefinitionError(("x", 1)),
        ("node ('x', 1) is defined already: define it under another name, or make another Ptree"),
    ),
    (
        PtreeCycleError(["x"]),
        "these nodes need one another, so none can be computed: 'x' -> 'x'",
    ),
    (
        PtreeCycleError(["x", "y"]),
        "these nodes need one another, so none can be computed: 'x' -> 'y' -> 'x'",
    ),
    (AuthError("no"), "no"),
]


def test_tree():
    """The errors are these, with these bases, and all of them are exported."""
    found = {
        name: tuple(base.__name__ for base in value.__bases__)
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, BaseException)
    }
    assert found == TREE
    assert sorted(errors.__all__) == sorted(TREE)
    assert all(getattr(farm_common, name) is getattr(errors, name) for name in TREE)


def test_tree_is_documented():
    """The module's docstring draws the same tree."""
    for name, bases in TREE.items():
        second = f" ({bases[1]})" if len(bases) > 1 else ""
        assert f"{name}{second}" in errors.__doc__
    assert errors.__doc__.count("──") == len(TREE) - 1


@pytest.mark.parametrize(("error", "text"), MADE, ids=lambda value: type(value).__name__)
def test_text(error, text):
    """Each error says exactly this."""
    assert str(error) == text


@pytest.mark.parametrize(("error", "text"), MADE, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_travels(error, text, protocol):
    """A pickled error comes back with its text and its fields."""
    back = pickle.loads(pickle.dumps(error, protocol))
    assert (type(back), str(back), vars(back)) == (type(error), text, vars(error))


def test_caught_together():
    """One clause catches whatever farm raises, one whatever keeps a kernel from being made."""
    assert all(issubclass(getattr(errors, name), FarmError) for name in TREE)
    assert issubclass(ProtocolError, errors.KernelCreationError)
