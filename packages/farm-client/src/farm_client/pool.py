"""Several things that are done at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Callable

from farm_common.errors import KernelCreationError

__all__ = ["at_once"]

#: How many at most; most of them wait for a server.
_MOST = 32


def at_once(actions: Sequence[Callable[[], Any]], give_up: Callable[[], None]) -> list[Any]:
    """Do several things at the same time; if some fail, raise one error that tells all.

    Args:
        actions: What to do.
        give_up: Makes those that still try fail soon; called when one has failed for good.
    """
    if len(actions) == 1:
        return [actions[0]()]
    pool = ThreadPoolExecutor(min(len(actions), _MOST), "farm-connect")
    futures = [pool.submit(action) for action in actions]
    try:
        for future in as_completed(futures):
            error = future.exception()
            if error is not None and type(error) is not KernelCreationError:
                raise error  # it will not become better by waiting for the others
        failed = [error for future in futures if (error := future.exception()) is not None]
        if len(failed) == 1:
            raise failed[0]
        if failed:
            raise KernelCreationError("\n".join(str(error) for error in failed))
        return [future.result() for future in futures]
    except BaseException:  # Ctrl-C, too
        give_up()
        for future in futures:
            future.cancel()
        raise
    finally:
        pool.shutdown(wait=False)
