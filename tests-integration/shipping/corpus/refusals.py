"""What cannot travel is one clear error, at submit wherever that is possible."""

import _thread
import asyncio
import functools
import io
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import types

import farm_client as farm
from harness import case, matches, script

CONNECTION = sqlite3.connect(":memory:")
LOCK = threading.Lock()


class Service:
    def __init__(self, connection):
        self.conn = connection

    def ask(self):
        return self.conn

    def idle(self):
        return "idle"


def uses_connection():
    return CONNECTION


def uses_lock():
    with LOCK:
        return uses_connection


def a_generator():
    yield 1


async def a_coroutine():
    return 1


@case(remote=True)
def a_connection_in_a_closure(call):
    db = sqlite3.connect(":memory:")

    def f():
        return db.execute("select 1")

    matches(call.refused(f), "cell 'db'", "sqlite3.Connection")


@case(remote=True)
def a_connection_in_an_attribute_in_a_closure(call):
    service = Service(CONNECTION)
    error = call.refused(lambda: service.ask())
    matches(error, "cell 'service'", "attribute .conn", "sqlite3.Connection")


@case(remote=True)
def a_connection_in_a_global(call):
    matches(call.refused(uses_connection), "global 'CONNECTION'", "sqlite3.Connection")


@case(remote=True)
def a_connection_in_a_global_of_a_function_further_down(call):
    error = call.refused(lambda: uses_connection())
    matches(error, "uses_connection", "global 'CONNECTION'", "sqlite3.Connection")


@case(remote=True)
def a_connection_as_an_argument(call):
    matches(call.refused(repr, CONNECTION), "argument 1 of repr", "sqlite3.Connection")


@case(remote=True)
def a_connection_deep_in_an_argument(call):
    value = {"a": [1, {"b": (2, Service(CONNECTION))}]}
    error = call.refused(len, value)
    matches(error, "['a']", "['b']", "attribute .conn", "sqlite3.Connection")


@case(remote=True)
def a_connection_as_a_keyword_argument(call):
    matches(call.refused(dict, db=CONNECTION), "argument 'db' of dict", "sqlite3.Connection")


@case(remote=True)
def a_connection_in_the_object_of_a_method(call):
    matches(call.refused(Service(CONNECTION).idle), "attribute .conn", "sqlite3.Connection")


@case(remote=True)
def a_connection_in_a_partial(call):
    error = call.refused(functools.partial(repr, CONNECTION))
    matches(error, "arguments", "sqlite3.Connection")


@case(remote=True)
def a_connection_in_a_default(call):
    def f(db=CONNECTION):
        return db

    matches(call.refused(f), "default", "sqlite3.Connection")


@case(remote=True)
def a_connection_in_a_class_attribute(call):
    class Holder:
        db = CONNECTION

    matches(call.refused(lambda: Holder().db), "cell 'Holder'", "attribute", "db", "connection")


@case(remote=True)
def a_lock(call):
    matches(call.refused(uses_lock), "global 'LOCK'", "lock")
    matches(call.refused(repr, threading.RLock()), "argument 1 of repr", "RLock")


@case(remote=True)
def other_objects_of_threads(call):
    for value in (threading.Thread(), _thread.allocate_lock(), threading.local()):
        call.refused(repr, value)


@case(remote=True)
def conditions_and_events(call):
    for value in (threading.Event(), threading.Condition(), threading.Semaphore()):
        call.refused(repr, value)


@case(remote=True)
def an_open_file(call):
    with open(__file__) as file:
        matches(call.refused(lambda: file.read()), "cell 'file'")
        matches(call.refused(repr, file), "argument 1 of repr")


@case(remote=True)
def a_binary_file(call):
    with open(__file__, "rb") as file:
        matches(call.refused(len, [file]), "argument 1 of len", "[0]")


@case(remote=True)
def a_generator_as_an_argument(call):
    matches(call.refused(sum, (i for i in range(3))), "argument 1 of sum", "generator")


@case(remote=True)
def a_generator_in_a_closure(call):
    generator = a_generator()
    matches(call.refused(lambda: next(generator)), "cell 'generator'", "generator")


@case(remote=True)
def a_coroutine_as_an_argument(call):
    coroutine = a_coroutine()
    matches(call.refused(repr, coroutine), "argument 1 of repr", "coroutine")
    coroutine.close()


@case(remote=True)
def a_socket(call):
    one, two = socket.socketpair()
    with one, two:
        matches(call.refused(lambda: one.recv(1)), "cell 'one'", "socket")


@case(remote=True)
def a_process(call):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    matches(call.refused(repr, [process]), "argument 1 of repr", "[0]")


@case(remote=True)
def an_enumerate_of_pypy(call):
    if call.here.pypy:
        matches(call.refused(list, enumerate("ab")), "argument 1 of list", "enumerate")


@case(remote=True)
def a_frame_and_a_traceback(call):
    matches(call.refused(repr, sys._getframe()), "argument 1 of repr", "frame")


@case(remote=True)
def a_cursor_and_a_view_of_it(call):
    matches(call.refused(repr, {"c": CONNECTION.cursor()}), "['c']", "sqlite3.Cursor")


@case(remote=True)
def an_event_loop(call):
    loop = asyncio.new_event_loop()
    try:
        call.refused(repr, loop)
    finally:
        loop.close()


@case(remote=True)
def a_kernel_and_a_channel(call):
    matches(call.refused(repr, call._channel), "argument 1 of repr")


@case(remote=True)
def a_scandir_iterator(call):
    with os.scandir() as entries:
        call.refused(repr, entries)


@case(remote=True)
def a_class_whose_reduce_raises(call):
    class Stubborn:
        def __reduce__(self):
            raise RuntimeError("I stay here")

    matches(call.refused(repr, Stubborn()), "argument 1 of repr", "Stubborn", "I stay here")


@case(remote=True)
def a_class_whose_reduce_is_nonsense(call):
    class Odd:
        def __reduce__(self):
            return 5

    call.refused(repr, Odd())


@case(remote=True)
def a_class_whose_getstate_raises(call):
    class Stubborn:
        def __getstate__(self):
            raise ValueError("no state today")

    matches(call.refused(lambda value: value, Stubborn()), "no state today")


@case(remote=True)
def nested_too_deeply(call):
    value = []
    for _ in range(50_000):
        value = [value]
    matches(call.refused(len, value), "nested too deeply")


@case(remote=True)
def nested_too_deeply_in_instances(call):
    service = None
    for _ in range(50_000):
        service = Service(service)
    matches(call.refused(repr, service), "nested too deeply")


@case(remote=True)
def nested_too_deeply_in_a_closure(call):
    value = ()
    for _ in range(500_000):  # how deep one may go is a matter of the stack from Python 3.14 on
        value = (value,)
    matches(call.refused(lambda: value), "nested too deeply")


@case(remote=True)
def made_by_exec(call):
    namespace = {}
    exec("def made(x):\n    return x + 1\n", namespace)
    if not call.sourced:
        assert call(namespace["made"], 1) == 2
        return
    error = call.refused(namespace["made"], 1)
    matches(error, "made", "source")


@case(remote=True)
def made_by_eval(call):
    f = eval("lambda x: x * " + str(2))
    if not call.sourced:
        assert call(f, 2) == 4
        return
    matches(call.refused(f, 2), "<lambda>", "source")


@case(remote=True)
def made_by_eval_of_a_literal(call):
    f = eval("lambda x: x * 3")
    assert call(f, 2) == 6


@case(remote=True)
def made_by_exec_and_captured(call):
    namespace = {}
    exec("def made(x):\n    return x + 1\n", namespace)
    made = namespace["made"]
    if not call.sourced:
        assert call(lambda: made(2)) == 3
        return
    matches(call.refused(lambda: made(2)), "cell 'made'", "source")


@case(remote=True)
def whose_file_was_edited(call):
    with script("def f(x):\n    return x + 1\n") as main:
        with open(main.__file__, "w") as file:
            file.write("def f(x):\n    return x + 2\n")
        if not call.sourced:
            assert call(main.f, 1) == 2
            return
        matches(call.refused(main.f, 1), "f", main.__file__, "deftask")


@case(remote=True)
def whose_file_is_gone(call):
    with script("def f(x):\n    return x + 1\n") as main:
        os.remove(main.__file__)
        if not call.sourced:
            assert call(main.f, 1) == 2
            return
        matches(call.refused(main.f, 1), "f", "source")


@case(remote=True)
def with_code_made_by_hand(call):
    def f():
        return 1

    g = types.FunctionType(f.__code__.replace(co_consts=(None, 2)), {})
    if call.sourced:
        call.refused(g)
    else:
        assert call(g) in (1, 2)


@case(remote=True)
def no_task_at_all(call):
    for value in (5, None, [len], "no colon"):
        try:
            call(value)
        except farm.InvalidTaskError:
            continue
        raise AssertionError(value)


@case(remote=True)
def a_result_that_is_a_file(call):
    failure = call.failure(lambda: open(os.devnull))
    matches(failure, "result")


@case(remote=True)
def a_result_with_a_lock_in_it(call):
    def task():
        import threading

        return {"a": [Service(threading.Lock())]}

    matches(call.failure(task), "['a']", "attribute .conn")


@case(remote=True)
def the_worker_is_well_afterwards(call):
    error = call.refused(repr, io.BufferedReader(io.FileIO(os.open(os.devnull, os.O_RDONLY))))
    assert error
    assert call(lambda: "well") == "well"
