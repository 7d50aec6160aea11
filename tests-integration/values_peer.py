"""What test_values.py runs with each interpreter: packs all values of a table, or unpacks them.

    values_peer.py pack TABLE FILE       writes name -> (pickle, buffers), or the error's text
    values_peer.py check TABLE FILE ...  prints JSON: for each file, name -> what was wrong

It is no test module; the tables are in packages/farm-common/tests, which is where it looks.
"""

import importlib
import json
import os
import pickle
import sys
import warnings
from pathlib import Path

from farm_common.shipping import pack, unpack

sys.path.insert(0, str(Path(__file__).parents[1] / "packages" / "farm-common" / "tests"))


def pack_all(table, path):
    """Pack the values that this interpreter can make, as for one of another version."""
    packed = {}
    for name, case in table.VALUES.items():
        if case.here:
            try:
                parcel = pack(case.make(), 5, "it", bytecode=False)
                packed[name] = parcel.body, [_copied(buffer) for buffer in parcel.buffers]
            except Exception as error:
                packed[name] = f"pack: {error}"
    Path(path).write_bytes(pickle.dumps(packed, 5))


def _copied(buffer):
    """As it arrives: what can be written to can be written to."""
    return bytes(buffer) if memoryview(buffer).readonly else bytearray(buffer)


def check_all(table, path):
    """Unpack what is in a file; what was wrong, by name."""
    wrong = {}
    for name, packed in pickle.loads(Path(path).read_bytes()).items():
        if isinstance(packed, str):
            wrong[name] = packed
            continue
        case = table.VALUES[name]
        try:
            come = unpack(*packed)
            if not case.check(case.make() if case.known else None, come):
                wrong[name] = f"came as {come!r:.200}"
        except Exception as error:
            wrong[name] = f"{type(error).__name__}: {error}"
    return wrong


def main():
    """Do what the arguments say."""
    what, name, *paths = sys.argv[1:]
    warnings.simplefilter("error")
    importlib.import_module("values_corpus")  # the other table uses it
    table = importlib.import_module(name)
    if what == "pack":
        pack_all(table, *paths)
    else:
        print(json.dumps({path: check_all(table, path) for path in paths}))
    sys.stdout.flush()
    # Some of what was made is still open, and would say so.
    os._exit(0)


if __name__ == "__main__":
    main()
