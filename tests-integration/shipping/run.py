"""Runs the corpus as a client does, in this interpreter, against one worker.

Each case gives a line of JSON: its category, name, status and what was wrong, if anything was.
A status is ``passed``, ``failed``, ``crashed`` (the worker is not the same any more), ``hung`` or
``skipped``. Whoever starts this sees from the lines where it died, if it did, and may go on after
that case.
"""

import argparse
import faulthandler
import json
import sys
import time
import traceback
import types
from pathlib import Path

import harness

CORPUS = Path(__file__).resolve().parent / "corpus"
#: How long a task may take, and how long a whole case.
TASK_SECONDS, CASE_SECONDS = 20.0, 45.0


def load(path):
    """Execute a file of the corpus as the script it is; returns its cases."""
    main = types.ModuleType("__main__")
    main.__file__ = str(path)
    sys.modules["__main__"] = main
    harness.collected.clear()
    source = path.read_bytes()
    exec(compile(source, str(path), "exec", dont_inherit=True), main.__dict__)
    return list(harness.collected)


class Far:
    """A kernel of one worker, made anew after the worker was lost."""

    def __init__(self, address, forced):
        import farm_client as farm

        self._farm = farm
        self._address = address
        self._forced = forced
        self._connect()

    def _connect(self):
        self._kernel = self._farm.make_kernel(f"{self._address}?workers=1", timeout=30)
        self.call = harness.Remotely(self._farm, self._kernel, self._forced, TASK_SECONDS)
        self._pid = self._kernel.workers()[0].pid

    def same(self):
        """Whether the worker is still the one of before; if not, there is another from now on."""
        try:
            pid = self.call(os_getpid)
        except BaseException:
            pid = None
        if pid == self._pid:
            return True
        self.renew()
        return False

    def renew(self):
        """Use another worker."""
        self._kernel.end()
        self._connect()

    def end(self):
        """End the kernel."""
        self._kernel.end()


class Near:
    """This process."""

    call = harness.Locally()

    def same(self):
        """It is."""
        return True

    def renew(self):
        """Nothing to do."""

    end = renew


os_getpid = "os:getpid"


def run(case, side):
    """The status of a case, and what was wrong."""
    status, detail = "passed", ""
    try:
        case.run(side.call)
    except harness.Skipped as reason:
        return "skipped", str(reason)
    except harness.Hung:
        side.renew()
        return "hung", f"no answer within {TASK_SECONDS:g} s"
    except BaseException as error:
        status = "failed"
        detail = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if not side.same():
        status = "crashed"
    return status, detail


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="of a farm-server, or 'here' for this process")
    parser.add_argument("--forced", action="store_true", help="FARM_SHIPPING=source is set")
    parser.add_argument("--only", default="", help="category, or category.name")
    parser.add_argument("--after", default="", help="category.name: go on after that case")
    parser.add_argument("--brief", action="store_true", help="print what did not pass, for people")
    return parser.parse_args()


def main():
    """Run the cases asked for."""
    options = arguments()
    wanted, _, wanted_name = options.only.partition(".")
    after, _, after_name = options.after.partition(".")
    sys.path.insert(0, str(CORPUS))
    side = Near() if options.address == "here" else Far(options.address, options.forced)
    counts = {}
    try:
        for path in sorted(CORPUS.glob("*.py")):
            category = path.stem
            if (wanted and category != wanted) or category < after:
                continue
            skipping = category == after
            for case in load(path):
                if skipping or (wanted_name and case.name != wanted_name):
                    skipping = skipping and case.name != after_name
                    continue
                start = time.perf_counter()
                faulthandler.dump_traceback_later(CASE_SECONDS, exit=True)
                tell(options, "started", category, case.name, "", 0)
                status, detail = run(case, side)
                faulthandler.cancel_dump_traceback_later()
                elapsed = time.perf_counter() - start
                counts[status] = counts.get(status, 0) + 1
                tell(options, status, category, case.name, detail, elapsed)
    finally:
        side.end()
    if options.brief:
        print(counts)


def tell(options, status, category, name, detail, elapsed):
    """Print what became of a case."""
    if options.brief:
        if status not in ("passed", "started", "skipped"):
            print(f"{status} {category}.{name}\n{detail}")
        return
    fields = {"status": status, "category": category, "name": name}
    if status != "started":
        fields.update(detail=detail, ms=round(elapsed * 1000, 1))
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    main()
