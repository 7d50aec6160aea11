"""The source of functions is found, verified, and becomes the same functions again."""

import dis
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import types
import warnings
from pathlib import Path

import pytest

import farm_common
from farm_common.errors import SerializationError
from farm_common.shipping import index, source
from farm_common.shipping import lines as show_lines
from farm_common.shipping.codes import same_code
from farm_common.shipping.source import find_unit
from farm_common.shipping.unit import compile_unit

spec = importlib.util.spec_from_file_location(
    "functions_corpus", Path(__file__).with_name("functions_corpus.py")
)
corpus = importlib.util.module_from_spec(spec)
spec.loader.exec_module(corpus)
define, run, rebuild, outcome = corpus.define, corpus.run, corpus.rebuild, corpus.outcome

#: The functions that this Python reads.
BLOCKS = {
    name: block for name, block in corpus.read_corpus().items() if corpus.is_readable(block[-1])
}


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
        expected = define(text, path)
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
        namespace = define(text, tmp_path / "made.py")
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
        namespace = define(text, tmp_path / "made.py")
        unit = find_unit(eval(get, namespace))
        assert corpus.from_json(json.loads(json.dumps(unit))) == unit


class TestErrors:
    """Functions without source."""

    def test_exec(self):
        """The text names the function, where it is from, why, and three cures."""
        namespace = run("class A:\n  def f(self): return 1", "<string>")
        with pytest.raises(SerializationError) as caught:
            find_unit(namespace["A"].f)
        python = f"{sys.implementation.name} {sys.version_info[0]}.{sys.version_info[1]}"
        assert str(caught.value) == (
            "function A.f (<string>, line 2) has no source that another Python could compile: "
            "code that exec() or eval() made has none; define it in a file, or in a module, or "
            f"use {python} on both sides"
        )

    def test_lambda(self):
        """A lambda has no name to be called by; other names in brackets are quoted."""
        text = "\nlambda: {}".format(1)  # noqa: UP032 - as a literal it would be found
        function = eval(compile(text, "<the unknown>", "eval"))
        with pytest.raises(SerializationError) as caught:
            find_unit(function)
        assert str(caught.value).startswith(
            "the lambda (<the unknown>, line 2) has no source that another Python could compile: "
            "nothing keeps the text of <the unknown>; define it"
        )

    def test_no_file(self):
        """A file that was never there."""
        function = run("def f(): return 1", "/no/such/file.py")["f"]
        with pytest.raises(SerializationError) as caught:
            find_unit(function)
        assert (
            "there is no file /no/such/file.py, only what was compiled from it; install its "
            "source as well, or use"
        ) in str(caught.value)

    def test_edited(self, tmp_path):
        """The cure is to import it again, or to record the source."""
        path = tmp_path / "made.py"
        function = define("def f(): return 1", path)["f"]
        path.write_text("def f(): return 2")
        with pytest.raises(SerializationError) as caught:
            find_unit(function)
        assert (
            f"{path} differs from the code that runs: edited after it was imported, or changed "
            "by a tool?; import it again, or decorate functions with @deftask, which keeps their "
            "source as it is when they are defined, or use"
        ) in str(caught.value)

    @pytest.mark.parametrize("builtin", [len, dict.get, "".join, str, re.compile("").match, 3])
    def test_not_a_function(self, builtin):
        """What was not written in Python; on PyPy some of it is a function like others."""
        with pytest.raises(SerializationError, match="not written in Python, so it has no source"):
            find_unit(builtin)

    @pytest.mark.skipif(sys.implementation.name != "pypy", reason="PyPy's own")
    def test_builtin_of_pypy(self):
        """Its builtin modules are written in Python, too, but that is not there."""
        import gc

        with pytest.raises(SerializationError, match="no source that another Python"):
            find_unit(gc.dump_rpy_heap)


class TestVerification:
    """What is found is the function that runs."""

    def test_different_lambda(self, tmp_path):
        """Of lambdas that cannot be told apart by their place, the one that does the same."""
        text = "f = [lambda x: x + 1, lambda x: x * 1, lambda x: x + 1.0, lambda y: y + 1]"
        functions = define(text, tmp_path / "made.py")["f"]
        spans = [(unit.column, unit.end) for unit in map(find_unit, functions)]
        assert spans == [(5, 20), (22, 37), (39, 56), (58, 73)]

    @pytest.mark.skipif(not hasattr((lambda: 0).__code__, "co_positions"), reason="from 3.11 on")
    def test_equal_lambdas(self, tmp_path):
        """Of lambdas that do the same, the one at the same place."""
        text = "f = [lambda: x, lambda: x, (lambda: (lambda: x)), lambda: x]"
        functions = define(text, tmp_path / "made.py")["f"]
        functions.append(functions[2]())
        assert [find_unit(function).column for function in functions] == [5, 16, 28, 50, 37]

    def test_long_lines(self, tmp_path):
        """What is beside a lambda is left out when it is long; its place stays."""
        table = ", ".join(f"'é': lambda x: x + {number}" for number in range(1, 200))
        text = f"f = [lambda x: {{{table}}}, lambda: (\n'{'é' * 600}',\n1), {'1, ' * 300}]"
        f = define(text, tmp_path / "made.py")["f"]
        unit = find_unit(f[1])
        assert len(unit.text.split("\n")[0].encode()) < 12_000
        assert unit.text.split("\n")[0].strip() == "lambda: ("
        assert unit.text.split("\n")[2] == "1)"
        assert rebuild(f[1], unit)() == f[1]()
        unit = find_unit(f[0])
        assert "lambda x: {'é'" in unit.text
        assert not unit.text.endswith("(")
        assert rebuild(f[0], unit)(1)["é"](1) == 200

    def test_renamed_code(self, tmp_path):
        """A tool may have given the code another name."""
        function = define("def g(): pass\ndef f(): return 1", tmp_path / "made.py")["f"]
        function.__code__ = function.__code__.replace(co_name="other")
        assert find_unit(function).text == "def f(): return 1"

    def test_changed_code(self, tmp_path):
        """A tool that changed what it does is told from one that did not."""
        function = define("def f(): return 123456", tmp_path / "made.py")["f"]
        constants = tuple(7 if value == 123456 else value for value in function.__code__.co_consts)
        function.__code__ = function.__code__.replace(co_consts=constants)
        with pytest.raises(SerializationError, match="differs"):
            find_unit(function)

    @pytest.mark.parametrize(
        "module",
        [
            "import math\n{}",
            "{}\nimport math",
            "if True:\n    import math\n{}",
            "try:\n    from os import path as math\nexcept ImportError:\n    math = None\n{}",
            "import math as other\n{}",
            "def g():\n    import math\n{}",
            "class A:\n    import math\n{}",
            "_super = super\n{}",
            "import math\nsuper = super\n{}",
            "import os.path as super\n{}",
        ],
    )
    def test_surroundings(self, tmp_path, module):
        """What the module imports makes a difference to how a call is compiled."""
        text = (
            "def make(math):\n"
            "    class B:\n"
            "        def f(self):\n"
            "            math.sqrt(1)\n"
            "            math.pi.x()\n"
            "            return super().f(math.sqrt(2))\n"
            "    return B.f\n"
        )
        namespace = define(module.format(text), tmp_path / "made.py")
        assert find_unit(namespace["make"](None)).qualname == "make.<locals>.B.f"

    def test_rewritten_by_pytest(self):
        """Its asserts do not compile to what runs; the name and the place are believed."""

        def f(x):
            assert x == 1
            return lambda: [x]

        def g(x):
            return x + 1

        unit = find_unit(f)
        assert (unit.name, unit.line) == ("f", f.__code__.co_firstlineno)
        assert rebuild(f, unit)(1)() == [1]
        with pytest.raises(AssertionError):
            rebuild(f, unit)(2)
        assert find_unit(f(1)).text.strip() == "return lambda: [x]"
        assert rebuild(g, find_unit(g))(2) == 3

    def test_candidates_have_limits(self, tmp_path):
        """In a file full of functions of that name, the search for one that moved ends."""
        path = tmp_path / "made.py"
        function = define("def f(): return 'not here'", path)["f"]
        text = "\n".join(f"def f(): return {number}" for number in range(300))
        path.write_text("\n\n" + text)
        built = []

        with pytest.MonkeyPatch.context() as patch:
            original = source.build
            patch.setattr(source, "build", lambda *args: built.append(1) or original(*args))
            with pytest.raises(SerializationError):
                find_unit(function)
        assert len(built) == 50


class TestMade:
    """Functions that were made from units, which travel on or back."""

    @pytest.mark.parametrize("name", BLOCKS)
    def test_again(self, name, tmp_path):
        """The unit of a rebuilt function is the one that it was made from."""
        get, _, text = BLOCKS[name]
        namespace = define(text, tmp_path / "made.py")
        function = eval(get, namespace)
        unit = find_unit(function)
        (tmp_path / "made.py").unlink()
        assert find_unit(rebuild(function, unit)) == unit

    def test_functions_inside(self, tmp_path):
        """They have source, though there is no file."""
        text = (
            "import math\n"
            "class A:\n"
            "    __x = 1\n"
            "    def f(self):\n"
            "        @staticmethod\n"
            "        def g(y, key=lambda z: z + 1):\n"
            "            class B:\n"
            "                def m(self):\n"
            "                    return math.sqrt(4), A.__x, y\n"
            "            return B.m, key\n"
            "        return g.__func__, ["
            "lambda: (self.__x, math.sqrt(9)), *(lambda: i for i in 'x')]"
        )
        path = tmp_path / "made.py"
        namespace = define(text, path)
        f = namespace["A"].f
        again = rebuild(f, find_unit(f))
        path.unlink()
        g, (first, second) = again(namespace["A"]())
        unit = find_unit(g)
        assert (unit.line, unit.column, unit.owner) == (6, 8, "A")
        assert unit.qualname == "A.f.<locals>.g"
        m, key = rebuild(g, unit)(5)
        assert (find_unit(m).line, find_unit(m).owner) == (8, "B")
        assert find_unit(m).filename == str(path)
        assert rebuild(key, find_unit(key))(1) == 2
        assert rebuild(first, find_unit(first))() == (1, 3.0)
        assert rebuild(second, find_unit(second))() == "x"
        assert find_unit(second).qualname.startswith("A.f.<locals>.")
        assert rebuild(m, find_unit(m)._replace(owner="A"))(None) == (2.0, 1, 5)

    def test_of_a_lambda(self, tmp_path):
        """Lambdas in lambdas, over lines, and in an f-string."""
        text = "x = f'{(y := [lambda a: lambda b: a + b])}'\nf = lambda c: [\nlambda d: c + d]"
        namespace = define(text, tmp_path / "made.py")
        for function in (namespace["y"][0], namespace["f"]):
            again = rebuild(function, find_unit(function))
            inner = again(3)
            inner = inner[0] if isinstance(inner, list) else inner
            assert rebuild(inner, find_unit(inner))(4) == 7

    def test_other_optimization(self, tmp_path):
        """What was compiled without asserts stays so."""
        function = define(
            "def f():\n    assert 0\n    return lambda: __debug__", tmp_path / "m.py"
        )["f"]
        unit = find_unit(function)._replace(optimize=1)
        inner = rebuild(function, unit)()
        assert find_unit(inner).optimize == 1
        assert rebuild(inner, find_unit(inner))() is False


def _interpreters():
    """The Pythons on the PATH that run, by their commands."""
    found = {}
    for version in range(9, 16):
        for command in (f"python3.{version}", f"pypy3.{version}"):
            path = shutil.which(command)
            # pyenv has a command for every version, most of which only print an error.
            if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
                found[command] = path
    return found


@pytest.mark.slow
def test_travels(tmp_path):
    """What each Python writes, each of the others rebuilds and runs, or refuses as foreseen."""
    commands = _interpreters()
    if len(commands) < 2:
        pytest.skip("there is only one Python")

    def do(*arguments, **options):
        done = subprocess.run(
            arguments,
            env={**os.environ, "PYTHONPATH": str(Path(farm_common.__file__).parents[1])},
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            timeout=100,
            **options,
        )
        assert done.stderr == ""
        return json.loads(done.stdout)

    program = Path(__file__).with_name("functions_corpus.py")
    written = {name: do(path, program, "write") for name, path in commands.items()}
    assert all(len(units) > 100 for units in written.values())
    for name, path in commands.items():
        troubles = do(path, program, "read", input=json.dumps(written))
        assert troubles == {writer: {} for writer in written}, name


class TestCosts:
    """What is done once."""

    def test_found_once(self, tmp_path, monkeypatch):
        """A code object's unit is remembered; a file is parsed once."""
        parsed = []
        original = index.parse
        monkeypatch.setattr(index, "parse", lambda text: parsed.append(1) or original(text))
        namespace = define(
            "\n".join(f"def f{i}(): return {i}" for i in range(9)), tmp_path / "m.py"
        )
        units = [find_unit(namespace[f"f{i}"]) for i in range(9)]
        again = [find_unit(types.FunctionType(namespace[f"f{i}"].__code__, {})) for i in range(9)]
        assert all(one is other for one, other in zip(units, again))
        assert len(parsed) == 1

    def test_threads(self, tmp_path):
        """Many threads that look for functions of one file at the same time all find them."""
        count = 40
        lines = "\n".join(
            f"f{i} = lambda x: x + {i}; g{i} = lambda x: x - {i}" for i in range(count)
        )
        namespace = define(lines, tmp_path / "made.py")
        found = []
        barrier = threading.Barrier(4)

        def run_thread():
            barrier.wait()
            for i in range(count):
                for name in (f"f{i}", f"g{i}"):
                    unit = find_unit(namespace[name])
                    found.append((rebuild(namespace[name], unit)(1), name))

        threads = [threading.Thread(target=run_thread) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        right = [(1 + i, f"f{i}") for i in range(count)] + [(1 - i, f"g{i}") for i in range(count)]
        assert sorted(found) == sorted(right * 4)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    def test_fork(self, tmp_path):
        """A child that is forked while another thread is at it finds functions, too."""
        function = define("def f(): return 1", tmp_path / "made.py")["f"]
        taken, free = threading.Event(), threading.Event()

        def hold():
            with index._lock, show_lines._lock:
                taken.set()
                free.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        taken.wait()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that threads and fork do not go together
            child = os.fork()
        if not child:
            status = 1
            try:
                status = 0 if compile_unit(find_unit(function)).co_name == "f" else 2
            finally:
                os._exit(status)
        free.set()
        thread.join()
        assert os.waitpid(child, 0)[1] == 0
