"""What servers do, again and again, on a terminal.

Needs the package rich: ``pip install 'farm-admin[top]'``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Literal, Optional

from farm_common.address import parse_address
from farm_common.deadline import Deadline
from farm_common.errors import FarmError, UnsupportedError
from farm_common.security import Authenticator

from .control import Control
from .status import ServerStatus, SessionStatus
from .table import cleaned, duration

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table

__all__ = ["Load", "Watcher", "loads", "show_top"]


#: The headings, and on which side of its column each thing stands.
_COLUMNS: dict[str, Literal["left", "right"]] = {
    "PID": "right",
    "KERNEL": "left",
    "INDEX": "right",
    "CLIENT": "left",
    "STATE": "left",
    "CATEGORY": "left",
    "BUSY%": "right",
    "TASKS/S": "right",
    "DONE": "right",
    "AGE": "right",
}


@dataclass(frozen=True)
class Load:
    """What a session did between two looks.

    Attributes:
        session: How it was at the second.
        busy: Which part of the time it spent in tasks, from 0 to 1; None if it is new.
        rate: How many tasks it executed per second; None if it is new.
    """

    session: SessionStatus
    busy: Optional[float]
    rate: Optional[float]


def loads(before: Optional[ServerStatus], after: ServerStatus) -> list[Load]:
    """What each session did between two looks at a server, the busiest first."""
    same = before is not None and before.server == after.server
    known = {session.pid: session for session in before.sessions} if before and same else {}
    found = []
    for session in after.sessions:
        earlier = known.get(session.pid)
        seconds = 0.0 if earlier is None else session.age - earlier.age
        if earlier is None or seconds <= 0:
            found.append(Load(session, None, None))
            continue
        share = (session.busy - earlier.busy) / seconds
        rate = (session.tasks_done - earlier.tasks_done) / seconds
        found.append(Load(session, min(1.0, max(0.0, share)), max(0.0, rate)))
    return sorted(found, key=lambda load: (-(load.busy or 0.0), -(load.rate or 0.0)))


class Watcher:
    """Looks at one server over one connection, and over another when that is lost.

    Args:
        address: Where it listens.
        auth: How to prove who we are.
        timeout: Seconds to wait for each answer; None is for ever.

    Attributes:
        address: As it was given.
        status: The last that the server said of itself, or None.
        loads: What its sessions did between the last two looks.
        problem: Why there is no newer status, or None.
    """

    def __init__(
        self, address: str, auth: Optional[Authenticator], timeout: Optional[float]
    ) -> None:
        self.address = address
        self.status: Optional[ServerStatus] = None
        self.loads: list[Load] = []
        self.problem: Optional[str] = None
        self._auth = auth
        self._timeout = timeout
        self._control: Optional[Control] = None

    def look(self) -> None:
        """Ask the server; never raises because of what is wrong with it."""
        deadline = Deadline(self._timeout)
        try:
            if self._control is None:
                self._control = Control(parse_address(self.address), self._auth, deadline)
            else:
                self._control.renew(deadline)
            found = ServerStatus.from_json(self._control.status())
        except (FarmError, OSError) as error:
            self.problem = str(error)
            self.close()
        else:
            self.loads, self.status, self.problem = loads(self.status, found), found, None

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._control is not None:
            self._control.close()
            self._control = None


def show_top(
    addresses: Sequence[str],
    auth: Optional[Authenticator] = None,
    timeout: Optional[float] = 10,
    interval: float = 2.0,
    count: Optional[int] = None,
    console: Optional[Console] = None,
    sleep: Callable[[float], object] = time.sleep,
) -> bool:
    """Show what servers do until Ctrl-C: on a terminal in place, elsewhere one after the other.

    Args:
        addresses: Where they listen.
        auth: How to prove who we are.
        timeout: Seconds to wait for each answer; None is for ever.
        interval: Seconds between two looks.
        count: How often to look; None is for ever.
        console: Where to show it; standard output unless given.
        sleep: Waits for some seconds.

    Returns:
        Whether all servers answered the last time.

    Raises:
        UnsupportedError: The package rich is missing.
    """
    try:
        from rich.console import Console
        from rich.live import Live
    except ImportError:
        raise UnsupportedError(
            "farm-admin top needs the package rich, which is not installed here: "
            "pip install 'farm-admin[top]'; farm-admin status shows the same once"
        ) from None
    console = Console() if console is None else console
    watchers = [Watcher(address, auth, timeout) for address in addresses]
    try:
        with ThreadPoolExecutor(min(32, len(watchers))) as executor:

            def views() -> Iterator[Group]:
                looks = 0
                while count is None or looks < count:
                    if looks:
                        sleep(interval)
                    looks += 1
                    list(executor.map(Watcher.look, watchers))
                    yield view(watchers)

            if console.is_terminal:
                with Live(console=console, screen=count is None, auto_refresh=False) as live:
                    for shown in views():
                        live.update(shown, refresh=True)
            else:
                for shown in views():
                    console.print(shown)
    finally:
        for watcher in watchers:
            watcher.close()
    return all(watcher.problem is None for watcher in watchers)


def view(watchers: Sequence[Watcher]) -> Group:
    """What to show of some servers; the busiest sessions come first."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = []
    for watcher in watchers:
        status = watcher.status
        parts.append(Text(_heading(watcher), style="bold"))
        if watcher.problem is not None:
            parts.append(Text(f"  {cleaned(watcher.problem)}", style="red"))
        elif status is not None and watcher.loads:
            parts.append(_table(watcher.loads))
        parts.append(Text())
    return Group(*parts[:-1])


def _heading(watcher: Watcher) -> str:
    status = watcher.status
    if status is None or watcher.problem is not None:
        return watcher.address
    busy = sum(load.busy or 0.0 for load in watcher.loads)
    rate = sum(load.rate or 0.0 for load in watcher.loads)
    what = "draining, " if status.draining else ""
    return (
        f"{watcher.address}  {cleaned(status.name)}  {what}up {duration(status.uptime)}, "
        f"{busy:.1f} of {len(watcher.loads)} workers busy, {rate:,.0f} tasks/s"
    )


def _table(found: Sequence[Load]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading, side in _COLUMNS.items():
        # Where there is no room, names are shortened, and never numbers.
        whole = heading not in ("KERNEL", "CLIENT", "CATEGORY")
        table.add_column(heading, justify=side, no_wrap=whole, overflow="ellipsis")
    for load in found:
        session = load.session
        cells = (
            str(session.pid),
            cleaned(session.kernel) or "-",
            str(session.index),
            cleaned(session.peer),
            session.state,
            cleaned(session.category or "-"),
            "-" if load.busy is None else f"{100 * load.busy:.0f}",
            "-" if load.rate is None else f"{load.rate:,.1f}",
            str(session.tasks_done),
            duration(session.age),
        )
        # Not as markup: brackets in a kernel's name are to be seen.
        table.add_row(*map(Text, cells), style=None if session.state != "idle" else "dim")
    return table
