"""A user's program: does a few things on each of the servers that it is told of.

Runs by itself, in any interpreter that has the wheels. It reads one JSON list of
``[server, transport, address]`` from its standard input; for each it writes one line of JSON: what
became of each case, "" or what was wrong, and what the server said of itself.
"""

import io
import json
import os
import re
import sys
import time
import traceback

import farm_client as farm

#: How long a kernel may take to come about, and each of its cases, in seconds.
BOUND = 60.0

LARGE = 5_000_000


class Account:
    """What only this script has: travels with its methods, and comes back."""

    def __init__(self, owner, *, balance=0):
        self.owner = owner
        self.balance = balance
        self.history = []

    def add(self, amount):
        self.history.append(amount)
        self.balance += amount
        return self

    def __eq__(self, other):
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None


class Overdrawn(ValueError):
    """An error of this script's."""

    def __init__(self, owner, missing):
        super().__init__(owner, missing)
        self.owner, self.missing = owner, missing

    def __str__(self):
        return f"{self.owner} lacks {self.missing}"


def a_lambda():
    factor = 7
    assert call(lambda x, *rest: x * factor + sum(rest), 6, 1, 2) == 45


def a_closure():
    count = 10

    def counter(step):
        def advance():
            nonlocal count
            count += step
            return count

        return advance

    def run(advance):
        return [advance(), advance()]

    assert call(run, counter(5)) == [15, 20]
    assert count == 10  # the cell there is a copy


def a_class():
    def deposit(account):
        return account.add(40).add(2)

    found = call(deposit, Account("ada", balance=100))
    assert found == Account("ada", balance=100).add(40).add(2), vars(found)
    assert isinstance(found, Account)


def five_megabytes():
    data = os.urandom(LARGE)

    def backwards(text):
        return text[::-1]

    assert call(backwards, data) == data[::-1]


def an_exception():
    def withdraw(amount):
        raise Overdrawn("ada", amount)

    def pay(bill):
        return withdraw(bill - 1)

    try:
        call(pay, 8)
    except farm.TaskExecutionError as error:
        cause = error.__cause__
        assert type(cause) is Overdrawn, cause
        assert (cause.owner, cause.missing) == ("ada", 7)
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        places = [text.find(what) for what in ("in pay", "in withdraw", "Overdrawn: ada lacks 7")]
        assert -1 not in places, text
        assert places == sorted(places), text
        assert 'raise Overdrawn("ada", amount)' in text, text
    else:
        raise AssertionError("it returned")


def a_pmap():
    offset = 1000
    found = farm.pmap(lambda x, y: x * x + y + offset, range(200), range(200, 400))
    assert found == [x * x + x + 1200 for x in range(200)]


def output():
    def speak(word):
        print(f"said {word}")
        print("and to standard error", file=sys.stderr)
        return len(word)

    shown = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    try:
        assert call(speak, "grüß Gott") == 9
        out, err = sys.stdout.getvalue(), sys.stderr.getvalue()
    finally:
        sys.stdout, sys.stderr = shown
    (worker,) = set(re.findall(r"^\[worker ([01])\] ", out + err, re.MULTILINE))
    assert out == f"[worker {worker}] said grüß Gott\n", out
    assert err == f"[worker {worker}] and to standard error\n", err


CASES = [a_lambda, a_closure, a_class, five_megabytes, an_exception, a_pmap, output]


def call(task, *args):
    return farm.future(task, *args).result(BOUND)


def place():
    """Where a worker found farm-server, and what it runs on."""
    import platform

    import farm_server

    names = platform.python_implementation().lower(), platform.python_version()
    return farm_server.__file__, names


def attempt(case):
    try:
        case()
    except Exception:
        return traceback.format_exc()
    return ""


def visit(address):
    """What a server did with the cases."""
    began = time.perf_counter()
    try:
        with farm.make_kernel(address, timeout=BOUND):
            results = {case.__name__: attempt(case) for case in CASES}
            where, python = call(place)
    except Exception:
        return {"results": {"kernel": traceback.format_exc()}}
    took = time.perf_counter() - began
    return {"results": results, "where": where, "python": python, "seconds": took}


def main():
    for server, transport, address in json.load(sys.stdin):
        found = {"server": server, "transport": transport, **visit(address)}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
