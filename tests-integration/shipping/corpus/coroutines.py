"""Coroutines and asynchronous generators, run inside a task."""

import asyncio
import contextlib

from harness import case


async def double(x):
    await asyncio.sleep(0)
    return x * 2


async def ticks(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield i


class Resource:
    def __init__(self):
        self.log = []

    async def __aenter__(self):
        self.log.append("enter")
        return self

    async def __aexit__(self, *error):
        self.log.append("exit")


@case
def run_in_a_task(call):
    def task(x):
        return asyncio.run(double(x))

    assert call(task, 21) == 42


@case
def as_an_argument(call):
    assert call(lambda f: asyncio.run(f(4)), double) == 8


@case
def gathered(call):
    def task():
        async def main():
            return await asyncio.gather(*(double(i) for i in range(4)))

        return asyncio.run(main())

    assert call(task) == [0, 2, 4, 6]


@case
def asynchronous_generators(call):
    def task():
        async def main():
            return [i async for i in ticks(3)]

        return asyncio.run(main())

    assert call(task) == [0, 1, 2]


@case
def asynchronous_comprehensions(call):
    def task():
        async def main():
            return {i: await double(i) async for i in ticks(3) if i}

        return asyncio.run(main())

    assert call(task) == {1: 2, 2: 4}


@case
def asynchronous_context_managers(call):
    def task():
        async def main():
            resource = Resource()
            async with resource as inside:
                inside.log.append("body")
            return resource.log

        return asyncio.run(main())

    assert call(task) == ["enter", "body", "exit"]


@case
def asynccontextmanager(call):
    @contextlib.asynccontextmanager
    async def opened(name):
        yield name.upper()

    def task():
        async def main():
            async with opened("file") as name:
                return name

        return asyncio.run(main())

    assert call(task) == "FILE"


@case
def closures(call):
    factor = 3

    async def scaled(x):
        return factor * await double(x)

    assert call(lambda: asyncio.run(scaled(5))) == 30


@case
def methods(call):
    class Service:
        def __init__(self, base):
            self.base = base

        async def get(self, x):
            return self.base + await double(x)

    assert call(lambda s: asyncio.run(s.get(1)), Service(100)) == 102


@case
def decorated(call):
    def traced(f):
        async def wrapper(*args):
            return ["traced", await f(*args)]

        return wrapper

    @traced
    async def f(x):
        return x

    assert call(lambda: asyncio.run(f(1))) == ["traced", 1]


@case
def queues_and_tasks(call):
    def task(n):
        async def main():
            queue, out = asyncio.Queue(), []

            async def worker():
                while True:
                    item = await queue.get()
                    if item is None:
                        return
                    out.append(item * item)

            running = asyncio.ensure_future(worker())
            for i in range(n):
                await queue.put(i)
            await queue.put(None)
            await running
            return out

        return asyncio.run(main())

    assert call(task, 4) == [0, 1, 4, 9]


@case
def errors(call):
    async def failing():
        await asyncio.sleep(0)
        raise KeyError("inside")

    error = call.error(lambda: asyncio.run(failing()))
    assert type(error) is KeyError
    assert error.args == ("inside",)


@case
def time_outs(call):
    def task():
        async def main():
            try:
                await asyncio.wait_for(asyncio.sleep(30), 0.001)
            except asyncio.TimeoutError:
                return "timed out"

        return asyncio.run(main())

    assert call(task) == "timed out"


@case
def an_await_class(call):
    class Later:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return "later"

    def task():
        async def main():
            return await Later()

        return asyncio.run(main())

    assert call(task) == "later"
