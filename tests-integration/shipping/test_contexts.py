"""One program, in all the places where people write code."""

import importlib.util
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

BOUND = 40


def load():
    """The contexts, from the file beside this one."""
    spec = importlib.util.spec_from_file_location(
        "shipping_contexts", Path(__file__).with_name("contexts.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


contexts = load()


@pytest.fixture(scope="module")
def facts():
    """What an interpreter is: its version, whether it is PyPy, and whether it has a module."""
    known = {}

    def facts_(python, module):
        if (python, module) not in known:
            program = (
                "import json, sys, importlib.util\n"
                "print(json.dumps([sys.version_info[:2], sys.implementation.name == 'pypy',\n"
                f"    importlib.util.find_spec({module!r}) is not None]))"
            )
            done = subprocess.run([python, "-c", program], capture_output=True, check=True)
            version, pypy, has = json.loads(done.stdout)
            known[python, module] = tuple(version), pypy, has
        return known[python, module]

    return facts_


@pytest.mark.parametrize("context", contexts.CONTEXTS, ids=lambda context: context.make.__name__)
def test_context(context, client, addresses, python_of, facts, tmp_path, tabulate):
    """Functions and classes travel to every interpreter, or say to which they cannot and why."""
    python = python_of(client)
    version, pypy, has = facts(python, context.needs or "sys")
    if not has:
        pytest.skip(f"{client} has no {context.needs}")
    environment = {**os.environ, "ADDRESSES": json.dumps(addresses), "NO_COLOR": "1"}
    out, err = context.run(tmp_path, python, environment, BOUND)
    found = re.findall(r"^[>.\s]*(\{\".*\})\s*$", out, flags=re.MULTILINE)
    assert found, f"{out}\n{err}"
    results = json.loads(found[-1].strip())
    assert list(results) == list(addresses)
    known = context.known(version, pypy)
    for server, result in results.items():
        if known and server == client and context.stale:
            # As Python itself has it, tracebacks show the file as it is now.
            assert result[:-1] == context.expected[:-1]
        elif known:
            assert result == context.expected, server
        elif server == client:  # as bytecode; nobody can show the line of the traceback
            assert result[:-1] == context.expected[:-1]
        else:
            assert "scaled" in result, server
            assert "has no source" in result
    tabulate("contexts", (context.name,), client, "all" if known else "its own kind")
