"""Ships what nobody here wrote: functions of popular packages that only the client has.

Without arguments it runs the trial, and prints its tables: there is a server of each of
FARM_PYTHONS, and FARM_TRIAL_CLIENT is an interpreter that has the packages. They travel in two
ways: *by value*, each function and class with the tasks that use it, as what is in a script does;
and *as modules*, by `make_kernel(modules=[...])`.
"""

import argparse
import collections
import faulthandler
import importlib.util
import json
import os
import subprocess
import sys
import traceback
import types
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
WAYS = ("by value", "as modules")

#: What the packages have at the top, with what they need themselves.
MODULES = (
    *("attr", "attrs", "boltons", "dateutil", "importlib_metadata", "jinja2", "markdown"),
    *("markupsafe", "more_itertools", "mpmath", "networkx", "pyparsing", "six"),
    *("sortedcontainers", "sympy", "tabulate", "toolz", "zipp"),
)

#: How long a task may take, and the trial of one server.
TASK_SECONDS, SERVER_SECONDS = 180.0, 2400.0


def load():
    """Execute the callers as a script; gives them, by the name of their package."""
    path = FOLDER / "trial_callers.py"
    main = types.ModuleType("__main__")
    main.__file__ = str(path)
    sys.modules["__main__"] = main
    exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), main.__dict__)
    return main.CALLERS


def client(address, way):
    """Run each caller here and there; print a line of JSON for each."""
    import farm_client as farm
    from farm_common.shipping.importable import ship_by_value

    callers = load()
    present = [name for name in MODULES if importlib.util.find_spec(name)]
    if way == "by value":
        for name in present:
            ship_by_value(name)
    kernel = None
    for package, functions in callers.items():
        for function in functions:
            if kernel is None:
                modules = present if way == "as modules" else "auto"
                kernel = farm.make_kernel(f"{address}?workers=1", timeout=60, modules=modules)
                channel = kernel.make_channel()
                pid = kernel.workers()[0].pid
            faulthandler.dump_traceback_later(2 * TASK_SECONDS, exit=True)
            cause = attempt(farm, channel, function)
            faulthandler.cancel_dump_traceback_later()
            if cause is None and kernel.workers()[0].pid != pid:
                cause = "the worker died"
            if cause is not None:
                kernel.end()
                kernel = None
            print(json.dumps([package, function.__name__, cause]), flush=True)
    if kernel is not None:
        kernel.end()


def attempt(farm, channel, function):
    """None, or why a caller does not give there what it gives here."""
    expected = repr(function())
    try:
        channel.submit(function)
        value, present = farm.try_receive_result(channel, TASK_SECONDS)
    except farm.FarmError as error:
        return cause_of(error)
    except BaseException:
        return "at the client: " + traceback.format_exc(limit=-3)
    if not present:
        return "no answer in time"
    return None if repr(value) == expected else f"it gave {value!r:.200} instead of {expected:.200}"


def cause_of(error):
    """An error, in a line."""
    text = getattr(error, "report", None) or str(error)
    return f"{type(error).__name__}: {text}"[:2000]


#: What a cause has in it, and what kind of cause that is.
KINDS = {
    "cannot travel": "it has something that cannot travel",
    "has no source": "it generates code when it is imported, and does not keep its text",
    "No module named": "it imports itself, or looks for metadata, by a name made at run time",
    "cannot import name": "code that it makes at run time imports what no other code names",
    "exists only at the client": "it chose what to use by the client's version",
    "module 'abc' has no attribute": "it chose what to use by the client's version",
    "nested too deeply": "what its functions refer to goes deeper than a pickler does",
    "no answer in time": "it takes too long",
}


def kind_of(cause):
    """The kind of a cause."""
    return next((kind for text, kind in KINDS.items() if text in cause), "something else")


def serve(python):
    """Start a server; gives the process and its address."""
    command = [python, "-m", "farm_server", "--log-level", "error", "127.0.0.1:0", "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().split()[2]


def run(python, server, way):
    """What came of each caller: package, name, and the cause or None."""
    process, address = serve(server)
    command = [python, str(FOLDER / "trial.py"), "--client", address, "--way", way]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SERVER_SECONDS, check=False
        )
    finally:
        process.kill()
        process.communicate()
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert done.returncode == 0, f"{results[-1:]}\n{done.stderr}"
    return results


def trial(client, pythons):
    """The rates by (package, way) and server; and the causes of what failed, with where."""
    rates = collections.defaultdict(dict)
    failures = []
    for name, server in pythons.items():
        for way in WAYS:
            counts = collections.defaultdict(lambda: [0, 0])
            for package, function, cause in run(client, server, way):
                for row in (package, "all"):
                    counts[row][0] += cause is None
                    counts[row][1] += 1
                if cause is not None:
                    failures.append((cause, (package, function, way, name)))
            for package, (good, of) in counts.items():
                rates[package, way][name] = f"{good} of {of}"
    return rates, failures


def markdown(rates, failures, pythons):
    """The tables of the docs."""
    names = list(pythons)
    yield f"| package | way | {' | '.join(names)} |"
    yield "| --- " * (len(names) + 2) + "|"
    for (package, way), row in sorted(rates.items(), key=lambda item: item[0][0] == "all"):
        yield f"| {package} | {way} | {' | '.join(row[name] for name in names)} |"
    yield ""
    yield f"| what fails | {' | '.join(WAYS)} | packages |"
    yield "| --- " * (len(WAYS) + 2) + "|"
    for kind in dict.fromkeys([*KINDS.values(), "something else"]):
        found = [where for cause, where in failures if kind_of(cause) == kind]
        counts = [sum(way == where[2] for where in found) for way in WAYS]
        packages = ", ".join(sorted({where[0] for where in found}))
        if found:
            yield f"| {kind} | {' | '.join(map(str, counts))} | {packages} |"


def write(lines):
    """Keep the table in the docs."""
    path = FOLDER.parent.parent / "docs" / "reference" / "shipping-matrix.md"
    begin, end = "<!-- trial: written by nox -s trial -->\n", "<!-- end of trial -->"
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    text = before + begin + "\n" + "\n".join(lines) + "\n\n" + end + after
    path.write_text(text, encoding="utf-8")


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="keep the table in the docs")
    parser.add_argument("--client", metavar="ADDRESS", help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, default=WAYS[0], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        client(options.client, options.way)
        return
    pythons = json.loads(os.environ.get("FARM_PYTHONS", "{}")) or {"this": sys.executable}
    rates, failures = trial(os.environ.get("FARM_TRIAL_CLIENT", sys.executable), pythons)
    lines = list(markdown(rates, failures, pythons))
    print("\n".join(lines))
    for cause, (package, function, way, name) in failures:
        print(f"\n{package}, {function}, {way} on {name}:\n    {cause}")
    if options.write:
        write(lines)


if __name__ == "__main__":
    main()
