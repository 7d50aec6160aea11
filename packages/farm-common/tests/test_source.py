"""The source of functions is found, verified, and becomes the same functions again."""

import dis
import json
import re
import types
import warnings
from pathlib import Path

import pytest

from farm_common.shipping.codes import same_code
from farm_common.shipping.source import find_unit
from farm_common.shipping.unit import Unit, compile_unit

CORPUS = Path(__file__).with_name("functions.txt")


def read_corpus():
    """The blocks of functions.txt: their names, and what to find, to evaluate, and the text."""
    blocks = {}
    for block in re.split("^### ", CORPUS.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        head, _, text = block.partition("\n")
        name, get, use = head.split(" | ")
        assert name not in blocks
        blocks[name] = get, use, text
    return blocks


BLOCKS = read_corpus()


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
    cells = dict(zip(unit.freevars, function.__closure__ or ()))
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


def lines_of(code):
    """The numbers of all lines that code is on, and of code inside of it."""
    found = {line for _, line in dis.findlinestarts(code) if line is not None}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= lines_of(constant)
    return found


def qualnames(code):
    """The qualified names of all code inside of some, as far as this Python has them there."""
    found = [getattr(code, "co_qualname", "")]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found += qualnames(constant)
        elif isinstance(constant, str) and "<locals>" in constant:
            found.append(constant)
    return found


class TestCorpus:
    """Each function of functions.txt."""

    @pytest.mark.parametrize("name", BLOCKS)
    def test_same_function(self, name, tmp_path):
        """What is compiled from the unit does what the function does."""
        get, use, text = BLOCKS[name]
        path = tmp_path / "made.py"
        try:
            expected = define(text, path)
        except SyntaxError:
            pytest.skip("this Python is too old for it")
        want = outcome(use, expected, eval(get, expected))
        namespace = define(text, path)
        function = eval(get, namespace)
        unit = find_unit(function)
        assert unit.filename == str(path)
        assert unit.name in (function.__code__.co_name, "f")
        again = rebuild(function, unit)
        assert outcome(use, namespace, again) == want

    @pytest.mark.parametrize("name", BLOCKS)
    def test_same_place(self, name, tmp_path):
        """Lines, columns and qualified names are those of the file."""
        get, _, text = BLOCKS[name]
        try:
            namespace = define(text, tmp_path / "made.py")
        except SyntaxError:
            pytest.skip("this Python is too old for it")
        function = eval(get, namespace)
        theirs = function.__code__
        unit = find_unit(function)
        ours = compile_unit(unit)
        # From 3.11 on a function's first instruction is on the line of its first decorator.
        heads = set(range(theirs.co_firstlineno, unit.line + 1))
        assert lines_of(ours) - heads == lines_of(theirs) - heads
        if hasattr(ours, "co_positions") and same_code(ours, theirs) and unit.column >= 0:
            positions = zip(ours.co_positions(), theirs.co_positions())
            differing = [
                (mine, yours)
                for mine, yours in positions
                if mine != yours and yours[0] not in heads
            ]
            assert differing == []
        if "declared global" not in name:
            assert sorted(qualnames(ours)) == sorted(qualnames(theirs))

    @pytest.mark.parametrize("name", BLOCKS)
    def test_only_strings_and_numbers(self, name, tmp_path):
        """A unit survives JSON, but for tuples that become lists."""
        get, _, text = BLOCKS[name]
        try:
            namespace = define(text, tmp_path / "made.py")
        except SyntaxError:
            pytest.skip("this Python is too old for it")
        unit = find_unit(eval(get, namespace))
        assert from_json(json.loads(json.dumps(unit))) == unit


def from_json(fields):
    """A unit that was written as JSON."""
    return Unit(*(tuple(field) if isinstance(field, list) else field for field in fields))
