"""Whether a server answers."""

from __future__ import annotations

import logging
import time
from typing import Optional

from farm_common.address import AddressLike, parse_address
from farm_common.deadline import Deadline
from farm_common.errors import AddressError, FarmError
from farm_common.security import Authenticator

from .control import Control

__all__ = ["ping", "reach"]

log = logging.getLogger("farm.admin")

#: How long to wait before the next attempt, in seconds: at first, and at most.
_PAUSE = 0.02
_LONGEST_PAUSE = 0.5


def ping(
    address: AddressLike, timeout: Optional[float] = 3, auth: Optional[Authenticator] = None
) -> bool:
    """Find out whether a server answers, and wait for it to.

    A server that is not there may still be starting, so it is tried again until the time is over.
    What answers and is no farm server, or does not accept us, ends the wait at once.

    Args:
        address: Where it listens.
        timeout: How many seconds to try; None is for ever.
        auth: How to prove who we are; it must match the server's.

    Returns:
        Whether it answered. Why not is logged to ``farm.admin`` at level INFO.

    Raises:
        AddressError: The address cannot be understood.
    """
    try:
        reach(address, timeout, auth)
    except AddressError:
        raise
    except (FarmError, OSError) as error:
        log.info("%s", error)
        return False
    return True


def reach(address: AddressLike, timeout: Optional[float], auth: Optional[Authenticator]) -> float:
    """Do what `ping` does, and raise the last error if there is no answer.

    Returns:
        How long the successful attempt took, in seconds.
    """
    parsed = parse_address(address)
    deadline = Deadline(timeout)
    pause = _PAUSE
    while True:
        began = time.perf_counter()
        try:
            with Control(parsed, auth, deadline) as control:
                control.ping()
            return time.perf_counter() - began
        except TimeoutError:
            raise
        except OSError:
            if deadline.cap(pause) < pause:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
