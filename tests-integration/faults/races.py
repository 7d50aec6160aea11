"""Races: threads use a kernel in all ways, while one module after the other is preempted.

Each thing that a thread does has one right outcome, whatever others do meanwhile. See `preemption`
for what is done to the modules; whatever they are, it is done at the servers and the workers, too.
"""

from __future__ import annotations

import asyncio
import faulthandler
import functools
import itertools
import logging
import operator
import os
import random
import threading
import time
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, Callable, Optional

import preemption
import pytest

import farm_client
import farm_common
import farm_server
from farm_client import TaskExecutionError, TaskKilledError, TaskTimeoutError, WorkerLostError

__all__ = ["modules", "run"]

farm = farm_client

#: How long each module is preempted, in seconds, and by how many threads the kernel is used.
_ROUND = 5.0
_THREADS = 3

#: At which part of the steps.
_SHARE = 0.03

#: How long any one thing may take, in seconds.
_BOUND = 60.0


# What threads do; each returns when all was right.


def _maps(chance: random.Random) -> None:
    length, parts = chance.choice((1, 2, 5, 16, 50)), chance.choice((None, 1, 2, 3, 10))
    numbers = range(length)
    negated = [-x for x in numbers]
    text = "abcdefghijklmnopqrstuvwxyz"[-length:]
    assert farm.pmap(operator.neg, iter(numbers), parts=parts) == negated
    assert farm.pmap_into([0] * length, operator.neg, numbers, parts=parts) == negated
    assert list(farm.pmap_iter(operator.neg, iter(numbers))) == negated
    assert sorted(farm.pmap_iter(operator.neg, numbers, ordered=False)) == negated[::-1]
    assert farm.preduce(operator.add, iter(text), parts=parts) == text


def _searches(chance: random.Random) -> None:
    zeros = [0] * chance.randrange(40)
    assert farm.pfind_if(bool, itertools.chain(zeros, (5, 6), itertools.repeat(0))) == 5
    assert farm.pcount_if(bool, [*zeros, 1, 1]) == 2
    assert farm.premove_if(bool, [*zeros, 1]) == zeros
    assert farm.pevery(bool, zeros) is not bool(zeros)
    numbers = chance.sample(range(100), 50)
    assert farm.psort(numbers) == sorted(numbers)


def _streams(chance: random.Random) -> None:
    with farm.pmap_iter(operator.neg, itertools.count(), ordered=chance.random() < 0.5) as stream:
        got = list(itertools.islice(stream, chance.choice((1, 3, 50))))
    assert len(set(got)) == len(got) > 0


def _channels(chance: random.Random) -> None:
    numbers = range(20)
    channel = farm.make_channel(capacity=chance.choice((1, 2, 5)))

    def feed() -> None:
        for x in numbers:
            farm.submit_task(channel, operator.neg, x)

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    assert sorted(farm.receive_result(channel) for _ in numbers) == [-x for x in reversed(numbers)]
    thread.join(_BOUND)
    channel = farm.make_channel()
    for x in numbers:
        farm.submit_task(channel, operator.neg, x)
    assert sorted(channel) == [-x for x in reversed(numbers)]


def _cancels(chance: random.Random) -> None:
    futures = [farm.future(time.sleep, chance.random() / 100) for _ in range(10)]
    for future in futures[::2]:
        future.cancel()
    for future in futures:
        try:
            assert future.result(_BOUND) is None
            assert not future.cancelled()
        except CancelledError:
            assert future.cancelled()


def _kills(chance: random.Random) -> None:
    category = f"of {threading.get_ident()}"
    with farm.task_options(category=category):
        futures = [farm.future(time.sleep, chance.choice((0.001, 1000.0))) for _ in range(3)]
    until = time.monotonic() + _BOUND
    while not all(future.done() for future in futures):
        farm.kill_tasks(category)
        assert time.monotonic() < until
    assert all(future.exception() is None or _is(future, TaskKilledError) for future in futures)


def _deaths(chance: random.Random) -> None:
    with farm.task_options(attempts=1):
        future = farm.future(os._exit, 3)
        beside = [farm.future(operator.neg, x) for x in range(4)]
    assert _is(future, WorkerLostError)
    assert [each.result(_BOUND) for each in beside] == [0, -1, -2, -3]


def _limits(chance: random.Random) -> None:
    with farm.task_options(timeout=0.05):
        assert _is(farm.future(time.sleep, 1000.0), TaskTimeoutError)
    elements = [1, 1, 0, 1, 1, 1]
    with pytest.raises(TaskExecutionError) as caught:
        farm.pmap(functools.partial(operator.floordiv, 1), elements, parts=chance.choice((None, 2)))
    assert caught.value.index == elements.index(0)


def _choices(chance: random.Random) -> None:
    assert farm.por(functools.partial(operator.neg, 0), functools.partial(operator.neg, -7)) == 7
    assert farm.pand(functools.partial(operator.neg, -7), functools.partial(operator.neg, -7)) == 7
    assert farm.force(farm.chain(farm.future(operator.neg, -7))) == 7
    tree = farm.Ptree()
    tree.define(0, [], functools.partial(operator.neg, -1))
    for node in range(1, 4):
        tree.define(node, [node - 1], operator.neg)
    assert tree.call(3) == -1


def _faces(chance: random.Random) -> None:
    async def main() -> list[int]:
        awaited = [await farm.future(operator.neg, x) for x in range(3)]
        return awaited + [x async for x in farm.pmap_iter(operator.neg, range(3))]

    assert asyncio.run(main()) == [0, -1, -2, 0, -1, -2]
    with farm.check_kernel().executor() as executor:
        assert list(executor.map(operator.neg, range(9))) == [-x for x in range(9)]


_DEEDS: tuple[Callable[[random.Random], None], ...] = (
    _maps,
    _searches,
    _streams,
    _channels,
    _cancels,
    _kills,
    _deaths,
    _limits,
    _choices,
    _faces,
)


def _is(future: Any, kind: type[BaseException]) -> bool:
    return isinstance(future.exception(_BOUND), kind)


class _User(threading.Thread):
    """A thread that does one thing after the other.

    Args:
        seed: What chooses among them.

    Attributes:
        done: How many it has done.
        over: Whether it is to stop.
        error: What went wrong, and with what.
    """

    def __init__(self, seed: str) -> None:
        super().__init__(daemon=True)
        self._chance = random.Random(seed)
        self.done = 0
        self.over = False
        self.error: Optional[tuple[str, BaseException]] = None

    def run(self) -> None:
        while not self.over:
            deed = self._chance.choice(_DEEDS)
            try:
                deed(self._chance)
            except BaseException as error:  # told by the main thread
                self.error = deed.__name__.strip("_"), error
                return
            self.done += 1


def modules(chance: random.Random) -> list[str]:
    """The modules of client, server and what both share, with their packages, in any order."""
    names = []
    for package in (farm_client, farm_common, farm_server):
        assert package.__file__ is not None
        top = Path(package.__file__).parent
        names += [path.relative_to(top.parent).as_posix() for path in top.rglob("*.py")]
    chance.shuffle(names)
    return [name for name in names if not name.endswith(("__init__.py", "__main__.py"))]


def run(
    minutes: float, seed: int, only: Optional[list[str]], say: Callable[[str], object] = print
) -> None:
    """Look for races.

    Args:
        minutes: For how long; all modules take about ten.
        seed: What chooses what threads do, and the order of the modules.
        only: Parts of the paths of modules: these, all the time; None: all, one after the other.
        say: Told what was done.

    Raises:
        AssertionError: Something was not as it should have been, or took too long.
    """
    say(f"races for {minutes:g} minutes with seed {seed}")
    logging.getLogger("farm").setLevel(logging.CRITICAL)
    until = time.monotonic() + 60 * minutes
    todo = itertools.cycle([only] if only else [[name] for name in modules(random.Random(seed))])
    for number in itertools.count():
        if time.monotonic() >= until:
            break
        paths = next(todo)
        done = _round(paths, f"{seed} {number}", min(_ROUND, until - time.monotonic()))
        say(f"{' '.join(paths)}: {done} right")
    say("all was right")


def _round(paths: list[str], seed: str, seconds: float) -> int:
    preemption.tell(paths, _SHARE)
    preemption.start(paths, _SHARE)
    try:
        with farm.make_kernel("local?workers=2", timeout=_BOUND, output="discard") as kernel:
            del kernel
            users = [_User(f"{seed} {number}") for number in range(_THREADS)]
            for user in users:
                user.start()
            time.sleep(max(0.0, seconds))
            for user in users:
                user.over = True
            for user in users:
                user.join(2 * _BOUND)
            if any(user.is_alive() for user in users):
                faulthandler.dump_traceback(all_threads=True)
                raise AssertionError(f"{paths}: hangs")
    finally:
        preemption.stop()
    for user in users:
        if user.error is not None:
            raise AssertionError(f"{paths}: wrong: {user.error[0]}") from user.error[1]
    return sum(user.done for user in users)
