"""A bar that shows how far a cognate is."""

from __future__ import annotations

import sys
import warnings
from typing import Any, Optional

__all__ = ["Bar", "make_bar"]


class Bar:
    """A progress bar of tqdm's.

    Args:
        bar: What tqdm made.
    """

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def advance(self, count: int) -> None:
        """So many elements more are done."""
        self._bar.update(count)

    def tell(self, away: int) -> None:
        """Say beside the bar for how many workers a connection is being looked for."""
        text = f"reconnecting to {away} worker{'s' * (away > 1)}" if away else ""
        self._bar.set_postfix_str(text)

    def finish(self) -> None:
        """All is done that had to be: the bar is full."""
        bar = self._bar
        if bar.total is None or bar.total < bar.n:
            bar.total = bar.n
        bar.update(bar.total - bar.n)
        bar.refresh()
        self.close()

    def close(self) -> None:
        """Leave the bar as it is; twice is no error."""
        self._bar.close()


def make_bar(total: Optional[int]) -> Optional[Bar]:
    """A bar on a terminal and in a notebook, None elsewhere.

    Args:
        total: How many elements there are; None: nobody knows.
    """
    notebook = _in_notebook()
    if not notebook and not _is_terminal(sys.stderr):
        return None
    try:
        import tqdm
    except ImportError:
        warnings.warn(
            "progress=True shows nothing, because tqdm is not installed: "
            "pip install 'farm-client[progress]'",
            stacklevel=5,
        )
        return None
    if notebook:
        from tqdm.auto import tqdm as kind
    else:
        kind = tqdm.tqdm

    class Quiet(kind):  # type: ignore[misc]
        monitor_interval = 0  # no thread of its own

    return Bar(Quiet(total=total, unit=" elements", unit_scale=True, file=sys.stderr))


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


def _in_notebook() -> bool:
    """Whether a notebook's kernel runs this; IPython is not imported for that."""
    ipython = sys.modules.get("IPython")
    shell = getattr(ipython, "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"
