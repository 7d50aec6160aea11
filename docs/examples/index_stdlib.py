"""Index the standard library on two servers with two workers each.

    python index_stdlib.py                             starts two servers here, on ports of its own
    python index_stdlib.py 10.0.0.7:11111 [...]        uses servers that run already
    python index_stdlib.py --folder PATH               indexes something else

Needs farm-client, which brings farm-server along. Each Python file is one task: a worker parses
it, measures it and lists the names in it; this program merges the lists into an inverted index,
name -> modules. A second round of tasks finds each module's nearest relative. The same work is
then done in this process alone, to compare the results and the time.

The files are read here and their text is sent. The servers may be on other machines, with another
Python or none of these files; and reading 10 MB takes a tenth of a second, parsing them seconds.
"""

import argparse
import ast
import os
import sys
import sysconfig
import time
import warnings
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import farm_client as farm
from farm_server import start_server

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BLOCKS = (
    *(*DEFINITIONS, ast.ClassDef),
    *(ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try),
)


# What runs on the workers. These functions are defined in this script and nowhere else: farm
# sends each of them, and what it refers to, once to each worker.


def measure(source):
    """Parse one file; return its measures and the names in it.

    Takes bytes, not text: the parser knows how a file says in which encoding it is. Returns plain
    values, which are the cheapest to send.
    """
    found = {"lines": source.count(b"\n"), "functions": 0, "classes": 0, "nesting": 0}
    longest, imports, names = (0, ""), set(), set()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        # Some files are there to be wrong. Whatever else happens is an error of this program.
        return {**found, "problem": f"{type(error).__name__}: {error}"}
    remaining = [(tree, 0)]  # no recursion: some files are nested deeper than Python's stack
    while remaining:
        node, depth = remaining.pop()
        found["nesting"] = max(found["nesting"], depth)
        if isinstance(node, DEFINITIONS):
            found["functions"] += 1
            longest = max(longest, (node.end_lineno - node.lineno + 1, node.name))
        elif isinstance(node, ast.ClassDef):
            found["classes"] += 1
        elif isinstance(node, ast.Import):
            imports.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imports.add(node.module.partition(".")[0])
        names.update(names_of(node))
        chain = isinstance(node, ast.If) and len(node.orelse) == 1
        for child in ast.iter_child_nodes(node):
            # An elif is an If inside the last one's else, but nobody reads it as nested.
            deeper = isinstance(child, BLOCKS) and not (
                chain and child is node.orelse[0] and isinstance(child, ast.If)
            )
            remaining.append((child, depth + deeper))
    return {**found, "longest": longest, "imports": sorted(imports), "names": sorted(names)}


def measure_named(module, source):
    """Measure a file and say which: results arrive in the order in which the tasks end."""
    return module, measure(source)


def names_of(node):
    """The identifiers that one node of a syntax tree has."""
    for field in ("id", "attr", "name", "arg", "asname"):
        value = getattr(node, field, None)
        if isinstance(value, str):
            # "import os.path as p" has the names os, path and p.
            yield from value.split(".")


def nearest(module, names, index):
    """The module that shares most with this one: names count the more, the rarer they are.

    The index is large and the same for all tasks, so it comes as a handle: see `farm.shared`.
    """
    scores = Counter()
    for name in names:
        users = index.value[name]
        if len(users) <= 20:
            for user in users:
                scores[user] += 1 / len(users)
    scores.pop(module, None)
    return module, max(scores.items(), key=lambda item: (item[1], item[0]), default=("", 0.0))


# What runs here.


def python_files(folder, limit=None):
    """Each module's name and path; what pip installed is not the standard library."""
    paths = [
        path
        for path in sorted(folder.rglob("*.py"))
        if not {"site-packages", "dist-packages"} & set(path.relative_to(folder).parts)
    ]
    return {
        ".".join(path.relative_to(folder).with_suffix("").parts): path for path in paths[:limit]
    }


def merge(index, module, found):
    """Add what was found in one module to the inverted index."""
    for name in found.get("names", ()):
        index.setdefault(name, []).append(module)


def tidy(index):
    """Put the index into an order that does not depend on which task ended first."""
    return {name: sorted(index[name]) for name in sorted(index)}


def analyse(sources):
    """Do all the work in this process."""
    modules, index = {}, {}
    for module, source in sources.items():
        modules[module] = measure(source)
        merge(index, module, modules[module])
    index = tidy(index)
    handle = farm.shared(index)
    relatives = dict(
        nearest(module, found.get("names", ()), handle) for module, found in modules.items()
    )
    return modules, index, relatives


def analyse_on(kernel, sources, progress):
    """Do the same work on the workers of a kernel."""
    # Once on every worker, and on each that replaces one: old code has warnings that are not ours.
    kernel.setup(warnings.simplefilter, "ignore")

    modules, index = {}, {}
    channel = farm.make_channel()
    with farm.task_category("measure"):
        # Large files first: the last task to start should not be the longest.
        for module in sorted(sources, key=lambda module: len(sources[module]), reverse=True):
            farm.submit_task(channel, measure_named, module, sources[module])
    for module, found in farm.do_fast_receives(channel, len(sources)):
        modules[module] = found
        merge(index, module, found)  # while the workers go on
        progress("measured", len(modules), len(sources))
    index = tidy(index)

    relatives = {}
    handle = farm.shared(index)  # goes to each worker once, when its first task needs it
    with farm.task_category("relate"):
        for module in sources:
            farm.submit_task(channel, nearest, module, modules[module].get("names", ()), handle)
    for module, relative in channel:  # a channel iterates over all results outstanding
        relatives[module] = relative
        progress("related", len(relatives), len(sources))
    handle.release()
    return modules, index, relatives


def show_progress(what, done, total):
    """One line that is written over; only where somebody looks at it."""
    if sys.stdout.isatty() and (done % 20 == 0 or done == total):
        end = "\n" if done == total else ""
        print(f"\r  {what} {done} of {total}", end=end, flush=True)


def shorten(names, most=4):
    """The first few names as text."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def report(modules, index, relatives, look_up):
    """Print what was found."""
    good = {name: found for name, found in modules.items() if "problem" not in found}
    total = Counter()
    for found in modules.values():
        total.update({key: found[key] for key in ("lines", "functions", "classes")})
    print(
        f"\n{len(modules)} modules: {total['lines']:,} lines, {total['functions']:,} functions, "
        f"{total['classes']:,} classes, {len(index):,} different names"
    )
    bad = sorted(set(modules) - set(good))
    print(f"{len(bad)} do not parse" + (": " if bad else "") + shorten(bad))

    columns = "lines  functions  classes  nesting  imports  nearest relative"
    print(f"\nlargest modules                   {columns}")
    for name in sorted(good, key=lambda name: (-good[name]["lines"], name))[:8]:
        found = good[name]
        print(
            f"  {name:<30} {found['lines']:>7,} {found['functions']:>10} {found['classes']:>8} "
            f"{found['nesting']:>8} {len(found['imports']):>8}  {relatives[name][0]}"
        )
    print("\nlongest functions                 lines")
    for name in sorted(good, key=lambda name: (-good[name]["longest"][0], name))[:5]:
        size, function = good[name]["longest"]
        print(f"  {name + '.' + function:<30} {size:>7,}")
    imported = Counter(name for found in good.values() for name in found["imports"])
    print("\nmost imported: " + ", ".join(f"{n} ({c})" for n, c in imported.most_common(8)))
    print("\nlooked up in the index")
    for name in look_up:
        users = index.get(name, [])
        print(f"  {name:<16} in {len(users):>3} modules  {shorten(users)}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("servers", nargs="*", metavar="ADDRESS", help="servers that run already")
    parser.add_argument(
        "--folder", type=Path, default=sysconfig.get_path("stdlib"), help="what to index"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="the first N files only")
    parser.add_argument(
        "--look-up",
        nargs="+",
        metavar="NAME",
        default=["heappush", "monotonic", "lru_cache", "sendmsg"],
    )
    options = parser.parse_args()

    began = time.perf_counter()
    files = python_files(options.folder, options.limit)
    sources = {module: path.read_bytes() for module, path in files.items()}
    print(
        f"read {len(sources)} files, {sum(map(len, sources.values())) / 1e6:.1f} MB, from "
        f"{options.folder} in {time.perf_counter() - began:.2f} s"
    )

    with ExitStack() as stack:
        addresses = options.servers
        if not addresses:
            servers = [
                stack.enter_context(start_server("127.0.0.1:0", workers=2, background=True))
                for _ in range(2)
            ]
            addresses = [server.address for server in servers]
            for server in servers:
                print(f"started farm-server {server.address} --workers 2 (process {server.pid})")
        kernel = stack.enter_context(farm.make_kernel(addresses, name="index_stdlib", timeout=30))
        print(f"made a kernel of {kernel.worker_count} workers")

        began, busy = time.perf_counter(), time.process_time()
        modules, index, relatives = analyse_on(kernel, sources, show_progress)
        together, here = time.perf_counter() - began, time.process_time() - busy
        report(modules, index, relatives, options.look_up)

        print("\nwho did how much             tasks  CPU seconds")
        used = farm.broadcast_task(time.process_time)  # once on every worker, in their order
        for worker, seconds in zip(kernel.workers(), used):
            print(
                f"  worker {worker.index} at {worker.address:<16} {worker.tasks_done:>6} "
                f"{seconds:>9.2f}      (process {worker.pid} on {worker.host})"
            )

    print("\nthe same work in this process alone ...", flush=True)
    warnings.simplefilter("ignore")
    began, busy = time.perf_counter(), time.process_time()
    expected = analyse(sources)
    alone, used_alone = time.perf_counter() - began, time.process_time() - busy
    print(f"  this process alone {alone:6.2f} s    ({used_alone:.2f} s of CPU)")
    print(
        f"  {f'on {len(used)} workers':<18} {together:6.2f} s    "
        f"({sum(used):.2f} s of CPU there, {here:.2f} s here): {alone / together:.2f} times as fast"
    )
    if not options.servers:  # of other machines' processors we know nothing
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        print(
            f"  {len(used)} workers on {cores} processors can be {min(cores, len(used))} times as "
            "fast where nothing else runs. On a busy\n  machine the ratio says little: there, "
            f"{len(used)} processes get a larger share than one."
        )
    if (modules, index, relatives) != expected:
        sys.exit("the results DIFFER from those of this process alone")
    print("the measures, the index and the relatives are equal to those of this process alone")


if __name__ == "__main__":
    main()
