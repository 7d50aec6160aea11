"""What `farm-admin top` shows."""

import io
from dataclasses import replace

import pytest

from farm_admin import ServerStatus
from farm_admin.top import Watcher, loads, show_top

rich_console = pytest.importorskip("rich.console")


@pytest.fixture
def seen(status):
    """A status with one busy session."""
    return ServerStatus.from_json(status)


def after(seen, seconds, busy, tasks, **changes):
    """The same server some seconds later."""
    (session,) = seen.sessions
    later = replace(
        session,
        age=session.age + seconds,
        busy=session.busy + busy,
        tasks_done=session.tasks_done + tasks,
    )
    return replace(seen, sessions=(later,), **changes)


def test_loads(seen):
    """Shares and rates of the time between the two looks."""
    (load,) = loads(seen, after(seen, 2.0, 0.5, 30))
    assert (load.busy, load.rate) == (0.25, 15.0)


@pytest.mark.parametrize(
    "before",
    [lambda seen: None, lambda seen: replace(seen, sessions=()), lambda seen: seen],
    ids=["the first look", "a new session", "no time between"],
)
def test_loads_that_are_not_known(seen, before):
    """There is nothing to compare with."""
    (load,) = loads(before(seen), seen)
    assert (load.busy, load.rate) == (None, None)


def test_loads_of_another_server(seen):
    """A pid may come again once the server has been started anew."""
    (load,) = loads(seen, after(seen, 2.0, 0.5, 30, server="other"))
    assert load.busy is None


def test_the_busiest_come_first(seen):
    """Whoever looks, looks for these."""
    (session,) = seen.sessions
    three = [replace(session, pid=pid, busy=0.0, age=0.0) for pid in (1, 2, 3)]
    busy = {1: 0.1, 2: 0.9, 3: 0.5}
    later = [replace(each, busy=busy[each.pid], age=1.0) for each in three]
    found = loads(replace(seen, sessions=tuple(three)), replace(seen, sessions=tuple(later)))
    assert [load.session.pid for load in found] == [2, 3, 1]


def test_a_lost_server(server, nobody):
    """The reason is kept until it answers again."""
    watcher = Watcher(nobody, None, 1.0)
    watcher.look()
    assert "no server listens" in watcher.problem
    watcher.address = server.address
    watcher.look()
    assert watcher.problem is None
    assert watcher.status.name == "n"
    server.mode = "confused"
    watcher.look()
    assert "answered with RESULT" in watcher.problem
    server.mode = "farm"
    watcher.look()
    assert watcher.problem is None
    watcher.close()


def shown(server, width=200, **how):
    """The text of two looks."""
    out = io.StringIO()
    console = rich_console.Console(file=out, width=width, **how)
    assert show_top([server.address], count=2, console=console, sleep=lambda _: None)
    return out.getvalue()


def test_one_connection(server, status):
    """It is kept for all looks: a server makes a process for each."""
    server.status = status
    shown(server)
    assert server.roles == ["control"]


def test_names_of_others(server, status):
    """What a client calls itself neither moves the cursor nor is taken for markup."""
    status["sessions"][0].update(kernel="[bold]k\x1b[2J", category="[red]")
    server.status = status
    text = shown(server)
    assert "[bold]k?[2J" in text
    assert "[red]" in text
    assert "\x1b" not in text


def test_a_narrow_terminal(server, status):
    """Names are shortened, and numbers are whole."""
    name = "a kernel with a long name on a machine with another"
    status["sessions"][0].update(kernel=name, pid=4194304, tasks_done=123456789)
    server.status = status
    text = shown(server, width=80)
    assert "4194304" in text
    assert "123456789" in text
    assert name not in text


def test_on_a_terminal(server, status):
    """The view is redrawn in place, and the cursor is there again in the end."""
    server.status = status
    text = shown(server, force_terminal=True)
    assert text.rstrip("\n").endswith("\x1b[?25h")
    assert "127.0.0.1:5" in text
