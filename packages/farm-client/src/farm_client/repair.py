"""A lost worker's way back: its session goes on, or another takes its place.

::

    lost -> its connection only -> asked to go on -> it goes on
      |                                |
      |                                +-- the server keeps it no more
      v                                v
    another worker of the same server, for as long as it takes to reach that
"""

from __future__ import annotations

import logging
import threading
from typing import Optional

from farm_common.deadline import Deadline
from farm_common.errors import AuthError, FarmError
from farm_common.greeting import Greeting
from farm_common.handshake import NEW_SESSION

from .backoff import backoff
from .engine import Engine
from .link import Link
from .loss import account, lost_for, reason_of, verdict
from .patience import Patience
from .site import Site

__all__ = ["repair"]

_log = logging.getLogger("farm.client")

#: For how many seconds a host may say that nobody listens until what ran there is believed to be
#: gone: a proxy or a tunnel in between, which may be started anew, says the same.
_REFUSED_SECONDS = 5.0


def repair(site: Site, link: Link, error: BaseException, engine: Engine) -> None:
    """Replace a lost worker, in a thread of its own, for as long as it takes.

    Args:
        site: Where it is.
        link: The link to it.
        error: How the connection was lost.
        engine: The kernel's.
    """
    thread = threading.Thread(
        target=_Repair(site, link, error, engine).run, name="farm-repair", daemon=True
    )
    site.repairs.add(thread)
    thread.start()


class _Repair:
    """The repair of one link; arguments as of `repair`."""

    def __init__(self, site: Site, link: Link, error: BaseException, engine: Engine) -> None:
        self._site = site
        self._link = link
        self._error = error
        self._engine = engine
        self._patience = Patience()
        self._stillborn = False

    def run(self) -> None:
        """Do it, and return when it is done or nobody wants it any more."""
        site, link, error, engine = self._site, self._link, self._error, self._engine
        self._stillborn = _is_stillborn(link)
        if not self._stillborn:
            site.stillbirths.pop(link.index, None)
        elif link.index in site.stillbirths:
            # Twice in a row a worker died that had not done anything: it is not replaced at once.
            site.stopped.wait(next(site.stillbirths[link.index]))
        reason = f"the connection was lost: {reason_of(error)}"
        recovered = False
        greeting: Optional[Greeting] = None
        try:
            if link.away:
                recovered, greeting = self._regain()
                if recovered:
                    return
                if greeting is None:
                    waited = None if site.has_ended(link) else self._patience.seconds()
                    reason = lost_for(error, waited)
            if greeting is None:
                greeting, recovered = self._replace(reason)
            if greeting is not None and not site.over(link):
                self._succeed(greeting, recovered)
                greeting, recovered = None, True
        finally:
            if greeting is not None:
                greeting.stream.close()
            if not recovered:
                engine.recover(link, None, reason)
            site.repairs.discard(threading.current_thread())

    def _regain(self) -> tuple[bool, Optional[Greeting]]:
        """Have a session go on whose connection was lost, for as long as the server keeps it.

        Returns:
            Whether it does, or nobody wants that any more; and otherwise the connection to another
            worker that the server gave instead, if it did.
        """
        site, link, patience = self._site, self._link, self._patience
        refused: Optional[float] = None  # since when
        for pause in backoff():
            if site.stopped.is_set() or link.lost or site.links.get(link.index) is not link:
                break
            if site.has_ended(link):
                break  # without waiting for the next one, which may never start
            returns = site.returns
            try:
                greeting = site.call(link)
                if greeting.preamble.session == NEW_SESSION:
                    return False, greeting
                if not self._go_on(greeting):
                    break
            except (AuthError, OSError, EOFError) as failure:
                # Also a refusal: tickets expire and are renewed, and who is on the line interferes.
                self._tell(failure, link.grace)
                if isinstance(failure, (ConnectionRefusedError, FileNotFoundError)):
                    if not failure.errno:
                        break  # in the server's own words: it has no such session
                    refused = patience.seconds() if refused is None else refused
                else:
                    refused = None
                since = patience.seconds()
                if since >= link.grace or (
                    refused is not None and since >= refused + _REFUSED_SECONDS
                ):
                    break
                site.rest(min(pause, link.grace - since), returns)
            except FarmError as failure:
                self._tell(failure)
                break
            else:
                site.tell_others()
                level = logging.WARNING if patience.failures else logging.INFO
                _log.log(level, "%s goes on after %.1f s", link.label, patience.seconds())
                return True, None
        return False, None

    def _go_on(self, greeting: Greeting) -> bool:
        """Have a session go on over a connection; return whether it does."""
        went_on = False
        try:
            went_on = self._engine.resume(self._link, greeting)
        finally:
            if not went_on:
                greeting.stream.close()
        return went_on

    def _replace(self, reason: str) -> tuple[Optional[Greeting], bool]:
        """Connect to another worker in place of a lost one, for as long as it takes.

        Returns:
            What came of it, None when nobody wants one any more; and whether the tasks of the
            lost worker were sent elsewhere meanwhile, for this reason.
        """
        site, link, engine = self._site, self._link, self._engine
        recovered = False
        if link.away:  # nothing will become of its session
            recovered = True
            engine.recover(link, None, reason)
        session = bytes.fromhex(link.hello.session)
        for pause in backoff():
            if site.over(link):
                break
            returns = site.returns
            try:
                return site.greet(link.index, "work", Deadline(None), session), recovered
            except (FarmError, OSError, EOFError) as failure:
                if not recovered:
                    recovered = True
                    engine.recover(link, None, reason)
                self._tell(failure)
                site.rest(pause, returns)
        return None, recovered

    def _succeed(self, greeting: Greeting, recovered: bool) -> None:
        """Have another worker take the place of a lost one, whose server tells how it ended."""
        site, link, engine, patience = self._site, self._link, self._engine, self._patience
        lost = greeting.hello.lost
        why, seconds = verdict(lost)
        if not recovered:
            engine.recover(link, *account(lost, self._error), why, seconds)
        if self._stillborn and why is None:
            site.stillbirths.setdefault(link.index, backoff())
        if patience.failures:
            _log.warning("%s is back after %.0f s", link.label, patience.seconds())
        site.tell_others()
        successor = site.link_to(greeting, link.index)
        site.links[link.index] = successor
        try:
            engine.add(successor, site.replay(link.index))
        except FarmError:  # the kernel ended meanwhile
            greeting.stream.close()

    def _tell(self, failure: BaseException, grace: float = 0.0) -> None:
        """Log that a lost worker cannot be replaced: each time, but loudly only once.

        Args:
            failure: Why not.
            grace: How many seconds its server may keep it, if it may be there yet.
        """
        link, patience = self._link, self._patience
        final = isinstance(failure, FarmError)
        reason = reason_of(failure) if final else self._site.unreachable(failure)
        worn = patience.worn()
        if worn:
            _log.error(
                "%s has been lost for %.0f s: %s; %s",
                link.label,
                patience.seconds(),
                reason,
                f"what it was sent waits for it, {grace:.0f} s at most"
                if patience.seconds() < grace
                else "its tasks run on other workers, or wait",
            )
        else:
            level = logging.WARNING if patience.failures == 1 else logging.INFO
            _log.log(level, "cannot reconnect %s: %s", link.label, reason)


def _is_stillborn(link: Link) -> bool:
    """Whether a lost worker has done nothing, and nothing of the user's is to blame for its end.

    What the user submitted is started a few times at most; what sets a worker up, each time anew.
    """
    waiting = [job.sink for job in list(link.inflight.values())]
    return not link.done and not any(sink is not None and sink.lasting for sink in waiting)
