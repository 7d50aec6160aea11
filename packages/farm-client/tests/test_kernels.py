"""Making kernels, and which is the current one."""

import threading

import pytest

import farm_client as farm


@pytest.mark.parametrize("bad", [3, None, 1.5, "nonsense", ("host", "port"), [""]])
def test_bad_addresses(bad):
    """Quoted, with the forms that are accepted."""
    with pytest.raises(farm.AddressError, match=r"(?s)bad address .*accepted forms"):
        farm.make_kernel(bad)


@pytest.mark.parametrize("bad", ["x", "", None, "Forward"])
def test_bad_outputs(bad):
    """Named, with what it may be."""
    with pytest.raises(ValueError, match="output is one of 'forward', 'server', 'discard', not"):
        farm.make_kernel("local", output=bad)


def test_other_bad_arguments():
    """Likewise."""
    with pytest.raises(TypeError, match="auth is an Authenticator, not 'x'"):
        farm.make_kernel("local", auth="x")
    with pytest.raises(ValueError, match="at least one address"):
        farm.make_kernel([])


@pytest.mark.parametrize(
    ("timeout", "kind"),
    [
        (-1, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        ("x", TypeError),
        ("5", TypeError),
        ([], TypeError),
    ],
)
def test_bad_time_outs(kernel, timeout, kind):
    """What is accepted is said."""
    text = "^timeout is seconds from 0 on, or None to wait for ever, not "
    with pytest.raises(kind, match=text):
        farm.make_kernel("local", timeout=timeout)
    with pytest.raises(kind, match=text):
        kernel.add("local", timeout=timeout)


@pytest.mark.parametrize(
    "call",
    [
        farm.check_kernel,
        farm.make_channel,
        farm.kernel_name,
        farm.kernel_worker_count,
        farm.task_categories_running,
        lambda: farm.future(abs, 1),
        lambda: farm.broadcast_task(abs, 1),
    ],
)
def test_without_a_kernel(call):
    """The error says how to make one, and how to start a server."""
    assert farm.current_kernel() is None
    with pytest.raises(farm.NoKernelError) as caught:
        call()
    assert str(caught.value) == (
        "there is no current kernel. Make one by farm.make_kernel(), which uses this machine, or "
        "start servers (farm-server 127.0.0.1:11111) and name them: "
        'farm.make_kernel(["127.0.0.1:11111"])'
    )
    farm.end_kernel()


def test_the_current_kernel(connect):
    """The first one is the process's; ``with`` is the context's; a thread sees the process's."""
    first, second = connect(name="first"), connect(name="second")
    assert farm.current_kernel() is first
    with second as entered:
        assert entered is second
        assert farm.kernel_name() == "second"
        seen = []
        thread = threading.Thread(target=lambda: seen.append(farm.kernel_name()))
        thread.start()
        thread.join()
        assert seen == ["first"]
        with first:
            assert farm.current_kernel() is first
        assert farm.current_kernel() is second
    assert first.ended
    assert second.ended
    assert farm.current_kernel() is None
    third = connect()
    assert farm.current_kernel() is third
    assert farm.set_kernel(None) is third
    assert farm.current_kernel() is None
    assert farm.set_kernel(third) is None
