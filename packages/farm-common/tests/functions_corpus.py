"""The functions of functions.txt: found, sent, rebuilt, and compared with what they were.

A program, too, which other interpreters run: ``write`` prints the units of all functions, and
``read`` rebuilds such functions of several interpreters and prints what went wrong.
"""

import json
import re
import sys
import tempfile
import types
import warnings
from pathlib import Path

from farm_common.errors import SerializationError
from farm_common.shipping.source import find_unit, minimum_version
from farm_common.shipping.unit import Unit, compile_unit


def read_corpus():
    """The blocks of functions.txt: their names, and what to find, to evaluate, and the text."""
    text = Path(__file__).with_name("functions.txt").read_text("utf-8")
    blocks = {}
    for block in re.split("^### ", text, flags=re.MULTILINE)[1:]:
        head, _, text = block.partition("\n")
        name, get, use = head.split(" | ")
        assert name not in blocks
        blocks[name] = get, use, text
    return blocks


def is_readable(text):
    """Whether this Python knows the syntax of a text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def define(text, path):
    """The namespace of a module that is made from a file, newly each time."""
    path.write_bytes(text.encode())
    return run(text, path)


def run(text, path):
    """The namespace of a text that is compiled as that of a file."""
    namespace = {"__name__": "made", "__file__": str(path)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(text, str(path), "exec", dont_inherit=True), namespace)
    return namespace


def rebuild(function, unit):
    """The function that another interpreter would make of a unit and what is in the function."""
    code = compile_unit(unit)
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or ()))
    closure = tuple(cells[name] for name in code.co_freevars)
    again = types.FunctionType(code, function.__globals__, function.__name__, None, closure or None)
    again.__defaults__ = function.__defaults__
    again.__kwdefaults__ = function.__kwdefaults__
    again.__qualname__ = function.__qualname__
    if hasattr(function, "__type_params__"):
        again.__type_params__ = function.__type_params__
    again.__dict__.update(function.__dict__)
    again.__annotations__ = function.__annotations__
    return again


def outcome(use, namespace, function):
    """What an expression gives where f is a function; classes by their names."""
    value = eval(f"lambda f: ({use})", namespace)(function)
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def from_json(fields):
    """A unit that was written as JSON."""
    return Unit(*(tuple(field) if isinstance(field, list) else field for field in fields))


def write(path):
    """The units of all functions, and the oldest Pythons that read them."""
    written = {}
    for name, (get, _, text) in read_corpus().items():
        if is_readable(text):
            unit = find_unit(eval(get, define(text, path)))
            written[name] = unit, minimum_version(unit)
    return written


def read(path, written):
    """What goes wrong with the functions of several interpreters, by those."""
    troubles = {writer: {} for writer in written}
    for name, (get, use, text) in read_corpus().items():
        readable = is_readable(text)
        if readable:
            namespace = define(text, path)
            want = outcome(use, namespace, eval(get, namespace))
        for writer, units in written.items():
            if name in units:
                fields, minimum = units[name]
                unit = from_json(fields)
                trouble = refusal(unit, tuple(minimum))
                # Else only other parts of its file are too new.
                if trouble is None and readable and tuple(minimum) <= sys.version_info[:2]:
                    namespace = run(text, path)
                    got = outcome(use, namespace, rebuild(eval(get, namespace), unit))
                    trouble = None if got == want else f"{got}, not {want}"
                if trouble:
                    troubles[writer][name] = trouble
    return troubles


def refusal(unit, minimum):
    """What is wrong with how this Python compiles a unit, or refuses to; None where nothing is."""
    is_too_new = minimum > sys.version_info[:2]
    try:
        compile_unit(unit)
    except SerializationError as error:
        return None if is_too_new else str(error)
    return f"does not need {minimum}" if is_too_new else None


if __name__ == "__main__":
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "made.py")
        answer = write(made) if sys.argv[1] == "write" else read(made, json.load(sys.stdin))
    print(json.dumps(answer))
