"""The corpus against servers of every interpreter, and the matrix of what came of it.

FARM_MATRIX=all takes all ordered pairs of the interpreters found, in both modes; otherwise there
are the pairs of a few interpreters, with source forced where one end is the first of FARM_PYTHONS,
or both are equal: between others functions go as source in any case. FARM_MATRIX_PAIRS takes those
of which one end, at least, is among the names in it. With FARM_MATRIX_WRITE, the page in that
folder of the docs gets the tables: what was run replaces what stands there of the same rows and
columns, and the rest stays.
"""

import collections
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from matrix_tables import markdown, order, write

FOLDER = Path(__file__).parent
PAGE = "shipping-matrix.md"
PYTHONS = json.loads(os.environ.get("FARM_PYTHONS", "{}")) or {"this": sys.executable}
EVERYTHING = os.environ.get("FARM_MATRIX") == "all"
ENDS = frozenset(os.environ.get("FARM_MATRIX_PAIRS", "").split())

#: How functions travel: as both ends allow, or as source even between equals.
MODES = {"chosen": {}, "source": {"FARM_SHIPPING": "source"}}

# The oldest, the newest, Debian's and PyPy: what the others do lies between.
FEW = ("3.9", "3.11", "3.13", "pypy3.9")

#: How long the whole corpus may take between two interpreters, in seconds.
BOUND = 300

#: Of each table the headings of the rows, and the columns: from their names to what stands there.
tables = collections.defaultdict(lambda: collections.defaultdict(dict))
HEADINGS = {"corpus": ("client", "server"), "contexts": ("where it is written",)}


def chosen():
    """The names of the interpreters whose pairs are tried."""
    names = sorted(PYTHONS, key=order)
    few = [name for name in names if name in FEW]
    return names if EVERYTHING or not few else few


def pytest_generate_tests(metafunc):
    """`client` and `server` are the names of interpreters, `mode` is how code travels."""
    names = metafunc.fixturenames
    if "mode" in names:
        runs = list(all_runs())
        ids = [f"{client}-to-{server}-{mode}" for client, server, mode in runs]
        metafunc.parametrize(("client", "server", "mode"), runs, ids=ids)
    elif "client" in names:
        metafunc.parametrize("client", chosen())


def all_runs():
    """Each client, server and mode of the corpus."""
    first = next(iter(PYTHONS))
    for client in chosen():
        for server in chosen():
            for mode in MODES:
                if ENDS and ENDS.isdisjoint((client, server)):
                    continue
                needless = client != server and first not in (client, server)
                if EVERYTHING or mode == "chosen" or not needless:
                    yield client, server, mode


@pytest.fixture
def addresses(client, server_of):
    """The addresses of servers by the names of their interpreters; the client's is among them."""
    others = [name for name in chosen() if name != client]
    if not EVERYTHING:  # what a place is like depends on the client: one other is enough
        others = others[:1]
    return {name: server_of(PYTHONS[name]) for name in [*others, client]}


@pytest.fixture
def python_of():
    """The path of an interpreter that goes by a name."""
    return PYTHONS.__getitem__


@pytest.fixture
def start():
    """Starts a program in the interpreter of this name, in a mode; gives the process."""

    def start_(python, mode, *arguments, **keywords):
        return subprocess.Popen(
            [PYTHONS[python], *map(str, arguments)],
            env={**os.environ, **MODES[mode], **keywords.pop("env", {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **{"text": True, "encoding": "utf-8", **keywords},
        )

    return start_


@pytest.fixture
def run_corpus(start, server_of):
    """Runs the corpus; gives what became of each case: a list of dictionaries."""

    def run_(client, server, mode):
        results, last = [], None
        while True:
            arguments = [FOLDER / "run.py", server_of(PYTHONS[server])]
            arguments += ["--forced"] if mode == "source" else []
            arguments += ["--after", f"{last['category']}.{last['name']}"] if last else []
            process = start(client, mode, *arguments)
            out, err = process.communicate(timeout=BOUND)
            lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
            results += [line for line in lines if line["status"] != "started"]
            if process.returncode == 0:
                assert err == "", "the client wrote to standard error"
                return results
            # The client died of a case: that is its result, and the others still have theirs.
            assert lines, err
            last = {**lines[-1], "status": "crashed", "detail": f"the client died:\n{err}"}
            results.append(last)

    return run_


@pytest.fixture
def tabulate():
    """Puts something into a table that is printed at the end."""

    def tabulate_(table, row, column, text):
        tables[table][row][column] = text

    return tabulate_


def place(column):
    """Where a column stands: interpreters by their versions, the rest by their names."""
    return (1, *order(column)) if any(part.isdigit() for part in column) else (0, column)


def columns_of(rows):
    """The columns of a table, in their order."""
    return sorted({column for row in rows.values() for column in row}, key=place)


def pytest_terminal_summary(terminalreporter):
    """Print the tables, and keep them where the docs have them."""
    for table, rows in tables.items():
        terminalreporter.section(table)
        for line in markdown(HEADINGS[table], columns_of(rows), rows):
            terminalreporter.write_line(line)
    where = os.environ.get("FARM_MATRIX_WRITE")
    for table, rows in tables.items() if where else ():
        write(Path(where) / PAGE, table, HEADINGS[table], columns_of, rows, sort=table == "corpus")
