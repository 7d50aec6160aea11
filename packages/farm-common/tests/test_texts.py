"""The text of functions is found wherever Python, or a tool, got it from."""

import compileall
import doctest
import importlib
import linecache
import os
import re
import subprocess
import sys
import textwrap
import types
import warnings
import zipfile
from pathlib import Path

import pytest

import farm_common
from farm_common.errors import SerializationError
from farm_common.shipping import texts
from farm_common.shipping.source import find_unit, remember
from farm_common.shipping.unit import compile_unit

PYPY = sys.implementation.name == "pypy"

#: The end of a program that tells the text of its function.
TELL = "from farm_common.shipping.source import find_unit\nprint(ascii(find_unit(f).text))\n"

FUNCTION = "def f(x):\n    return x + 1"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    """What one test reads is not kept for the next."""
    monkeypatch.setattr(texts, "_kept", {})
    monkeypatch.setattr(texts, "_files", {})


def python(*arguments, **options):
    """What a new Python prints; the last line, evaluated."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(farm_common.__file__).parents[1]),
        "PYTHONIOENCODING": "utf-8",
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        **options,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return eval(done.stdout.splitlines()[-1])


def run(text, filename, mode="exec"):
    """The namespace of a text that says it is from a file."""
    namespace = {"__name__": "made", "__file__": filename}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(text, filename, mode, dont_inherit=True), namespace)
    return namespace


def load(path):
    """The function f of a module that is imported from a file."""
    spec = importlib.util.spec_from_file_location("loaded_for_texts", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.f


class TestFiles:
    """Modules and scripts."""

    @pytest.mark.parametrize(
        ("data", "value"),
        [
            (b"def f():\n    return 'a\xc3\xa9'", "aé"),
            (b"# coding: latin-1\ndef f():\n    return 'a\xe9'", "aé"),
            (b"#!/usr/bin/python\n# -*- coding: cp1252 -*-\ndef f(): return '\x80'", "€"),
            (b"\xef\xbb\xbfdef f(): return '\xc3\xa9'", "é"),
            (b"def f():\r\n    return '''a\r\nb''' \\\r\n   'c'\r\n", "a\nbc"),
            (b"def f():\r    return '''a\rb'''\r", "a\nb"),
            (b"x = 1\n\x0c\ndef f():\n\x0c\n    return '\x0c\x1c'\n\x0c", "\x0c\x1c"),
            (b"\x0cdef f():\n\treturn 1\n", 1),
            (b"x = '\xe2\x80\xa8\xc2\x85\x0b'; f = lambda: '\xe2\x80\xa8\xc2\x85'", "\u2028\x85"),
        ],
        ids=range(9),
    )
    def test_encodings_and_newlines(self, tmp_path, data, value):
        """Whatever Python reads; what several lines are to others is one line."""
        path = tmp_path / "module.py"
        path.write_bytes(data)
        function = load(path)
        unit = find_unit(function)
        assert function() == value
        assert types.FunctionType(compile_unit(unit), {})() == value
        assert unit.line == function.__code__.co_firstlineno

    def test_script(self, tmp_path):
        """Under a relative name, from another folder, after a change of folders."""
        path = tmp_path / "script.py"
        path.write_text(f"import os\nos.chdir('/')\n{FUNCTION}\n{TELL}")
        assert python("script.py", cwd=tmp_path) == FUNCTION

    def test_relative_name(self, tmp_path, monkeypatch):
        """The name may be relative to where the program was started, or to its folder."""
        (tmp_path / "relative.py").write_text(FUNCTION)
        function = run(FUNCTION, "relative.py")["f"]
        with pytest.raises(SerializationError):
            find_unit(function)
        with monkeypatch.context() as patch:
            patch.setattr(texts, "_folder", str(tmp_path))
            assert find_unit(function).text == FUNCTION
        for filename, file in (
            ("./relative.py", str(tmp_path / "relative.py")),
            ("relative.py", str(tmp_path / "relative.py")),
        ):
            function = run(FUNCTION, filename)["f"]
            function.__globals__["__file__"] = file
            assert find_unit(function).text == FUNCTION
        monkeypatch.chdir(tmp_path)
        assert find_unit(run(FUNCTION, "relative.py")["f"]).text == FUNCTION

    def test_removed_folder(self, monkeypatch):
        """The folder that the program runs in may be gone."""

        def getcwd():
            raise FileNotFoundError

        monkeypatch.setattr(os, "getcwd", getcwd)
        with pytest.raises(SerializationError):
            find_unit(run(FUNCTION, "relative.py")["f"])

    def test_package_run_as_a_program(self, tmp_path):
        """``python -m``."""
        package = tmp_path / "package"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "__main__.py").write_text(f"{FUNCTION}\n{TELL}")
        program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import runpy; "
        program += "runpy.run_module('package', run_name='__main__')"
        assert python("-c", program) == FUNCTION

    def test_zip_file(self, tmp_path):
        """A module in a zip file, and a program that is one."""
        path = tmp_path / "app.pyz"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inside.py", "def f(x):\n    return x * 2")
            archive.writestr("__main__.py", f"import inside\n{FUNCTION}\n{TELL}")
        assert python(str(path)) == FUNCTION
        program = f"import sys; sys.path.insert(0, {str(path)!r}); from inside import f\n{TELL}"
        assert python("-c", program) == "def f(x):\n    return x * 2"

    def test_optimized(self, tmp_path):
        """With -O and -OO asserts and docstrings are not in the code, but in the source."""
        text = "def f(x):\n    'doc'\n    assert x\n    return x, __debug__"
        path = tmp_path / "script.py"
        path.write_text(f"{text}\n{TELL}")
        assert python("-O", str(path)) == text
        assert python("-OO", str(path)) == text

    @pytest.mark.skipif(PYPY or sys.version_info < (3, 11), reason="no such modules")
    def test_frozen_module(self):
        """Modules that Python has in itself, from 3.11 on, and that tell their file."""
        import posixpath

        assert "def join(" in find_unit(posixpath.join).text

    def test_not_a_regular_file(self):
        """What is read again and again must not be a device or a pipe."""
        with pytest.raises(SerializationError):
            find_unit(run(FUNCTION, "/dev/zero")["f"])


class TestEdits:
    """Files that change after they were imported."""

    def test_moved(self, tmp_path):
        """Edits elsewhere in the file do no harm; its lines are those that it was imported with."""
        path = tmp_path / "module.py"
        path.write_text("def f(): return 1\n\n\ndef g(): pass\n")
        function = load(path)
        path.write_text("import os\n\ndef e(f): pass\n\ndef f(): return 1  # one\n")
        unit = find_unit(function)
        assert (unit.text, unit.line) == ("def f(): return 1  # one", 1)

    def test_edited(self, tmp_path):
        """An edit of the function itself shows."""
        path = tmp_path / "module.py"
        path.write_text("def f(): return 1")
        function = load(path)
        path.write_text("def f(): return 2")
        with pytest.raises(SerializationError, match="differs from the code that runs"):
            find_unit(function)
        path.write_text("def f(): return 1")
        assert find_unit(function).text == "def f(): return 1"

    def test_removed_from_it(self, tmp_path):
        """So does that it is not there any more, or something else is in its place."""
        path = tmp_path / "module.py"
        path.write_text("def f(): return 1")
        function = load(path)
        for text in ("", "x = 1", "f = 1\ndef g(): return 2", "f = lambda: 1 + x"):
            path.write_text(text)
            with pytest.raises(SerializationError, match="differs from the code that runs"):
                find_unit(function)

    def test_cannot_be_parsed(self, tmp_path):
        """An editor may be at work."""
        path = tmp_path / "module.py"
        path.write_text("def f(): return 1")
        function = load(path)
        path.write_text("def f(: return 2")
        with pytest.raises(SerializationError, match=r"cannot be parsed any more \("):
            find_unit(function)

    def test_remembered(self, tmp_path):
        """What was remembered stays, of all versions that were."""
        path = tmp_path / "module.py"
        functions = []
        for number in range(3):
            path.write_text(f"def f(): return {number}{number * ' '}")
            functions.append(load(path))
            remember(str(path))
            remember(str(path))
        path.write_text("def f(): return 'edited'")
        remember(str(path))
        path.unlink()
        remember(str(path))
        for number, function in enumerate(functions):
            assert find_unit(function).text == f"def f(): return {number}{number * ' '}"
        assert len(texts._kept[str(path)]) == 4

    def test_reloaded(self, tmp_path):
        """What was imported again is looked for where it is now, not where it once was."""
        path = tmp_path / "module.py"
        path.write_text("def f(): return 1  # old\n")
        find_unit(load(path))
        path.write_text("\ndef f(): return 1  # new\n")
        assert find_unit(load(path)).text == "def f(): return 1  # new"

    def test_found_once(self, tmp_path):
        """What was found for one function serves the others, even if the file is gone."""
        path = tmp_path / "module.py"
        path.write_text("def f(): return 1\ndef g(): return 2")
        function = load(path)
        assert find_unit(function).line == 1
        path.unlink()
        assert find_unit(function.__globals__["g"]).line == 2

    def test_equal_texts(self, tmp_path):
        """They are kept once, under whatever name, and read once."""
        for name in ("one.py", "other.py"):
            (tmp_path / name).write_text(FUNCTION)
            remember(str(tmp_path / name))
        one, other = (texts._kept[str(tmp_path / name)] for name in ("one.py", "other.py"))
        assert one[0] is other[0]

    def test_linecache_has_the_older_one(self, tmp_path):
        """A traceback may have been shown before the edit."""
        path = tmp_path / "module.py"
        path.write_text("def f(): return 1")
        function = load(path)
        linecache.getlines(str(path))
        path.write_text("def f(): return 'edited'")
        assert find_unit(function).text == "def f(): return 1"


class TestElsewhere:
    """Text that is in no file."""

    @pytest.mark.parametrize("filename", ["<ipython-input-3-abc>", "/tmp/ipykernel_12/345.py"])
    def test_cell(self, filename):
        """Notebooks put their cells into linecache."""
        text = "import math\ndef f(x):\n    return math.sqrt(x)"
        lines = text.splitlines(keepends=True)
        linecache.cache[filename] = (len(text), None, lines, filename)
        # IPython compiles the statements of a cell one by one.
        namespace = {}
        exec(compile("import math", filename, "exec"), namespace)
        exec(compile("\ndef f(x):\n    return math.sqrt(x)", filename, "exec"), namespace)
        try:
            assert find_unit(namespace["f"]).text == "def f(x):\n    return math.sqrt(x)"
            remember(filename)
        finally:
            del linecache.cache[filename]
        again = types.FunctionType(namespace["f"].__code__.replace(), namespace)
        assert find_unit(again).line == 2

    def test_generated(self):
        """Tools such as attrs put what they generate and execute there, too."""
        filename = "<generated for texts 1>"
        linecache.cache[filename] = (len(FUNCTION), None, FUNCTION.splitlines(True), filename)
        assert find_unit(run(FUNCTION, filename)["f"]).text == FUNCTION

    def test_loader_that_fails(self):
        """A loader may raise anything."""

        class Loader:
            def get_source(self, name):
                raise RuntimeError(name)

        function = run(FUNCTION, "/nowhere/module.py")["f"]
        for loader in (Loader(), types.SimpleNamespace(get_source=lambda name: None)):
            function.__globals__["__loader__"] = loader
            with pytest.raises(SerializationError):
                find_unit(function)
        function.__globals__["__name__"] = None
        with pytest.raises(SerializationError):
            find_unit(function)

    def test_doctest(self):
        """doctest has its examples while it runs them."""
        examples = ">>> def f(x):\n...     return x + 1\n>>> find_unit(f).text\n"
        examples += "'def f(x):\\n    return x + 1'\n"
        parsed = doctest.DocTestParser().get_doctest(
            examples, {"find_unit": find_unit}, "name", None, None
        )
        runner = doctest.DocTestRunner()
        assert runner.run(parsed) == (0, 2)

    @pytest.mark.parametrize("options", [["-c"], ["-W", "ignore", "-c"], ["-Bc"], ["-Xutf8", "-c"]])
    def test_command(self, options):
        """``python -c``, after other options."""
        program = "def f(x): return 'é\\\\', x  # é\n" + TELL
        assert python(*options, program, "-c", "pass") == "def f(x): return 'é\\\\', x  # é"

    def test_command_in_one_word(self):
        """``-c`` and what belongs to it need no space between them."""
        assert python(f"-c{FUNCTION}\n{TELL}") == FUNCTION

    def test_not_a_command(self):
        """What exec makes of a string is called as the command is."""
        program = f"exec('def f(): return 1')\ntry:\n{textwrap.indent(TELL, '  ')}"
        program += "except Exception as error: print(repr(str(error)))"
        assert "exec() or eval() made" in python("-c", program)

    def test_standard_input(self, tmp_path):
        """A script that comes from a file; Python goes on reading it where it was."""
        path = tmp_path / "script.py"
        path.write_text(f"{FUNCTION}\n{TELL}{'# much more' * 10_000}\nprint(ascii('end'))")
        with open(path) as file:
            assert python(stdin=file) == "end"
        path.write_text(f"{FUNCTION}\n{TELL}")
        with open(path) as file:
            assert python("-", stdin=file) == FUNCTION

    def test_pipe(self):
        """A script from a pipe is not kept by anybody."""
        program = f"{FUNCTION}\ntry:\n{textwrap.indent(TELL, '  ')}"
        program += "except Exception as error: print(repr(str(error)))"
        text = python(input=program)
        assert "function f (<stdin>, line 1)" in text
        assert "came in by a pipe" in text


class FakeReadline:
    """The history of a REPL."""

    def __init__(self, *items):
        self.items = items

    def get_current_history_length(self):
        return len(self.items)

    def get_history_item(self, index):
        return self.items[index - 1]


class TestRepl:
    """What is typed."""

    def typed(self, monkeypatch, *statements, whole=False):
        """The namespace of statements that are typed into a REPL, and their history."""
        namespace = {"__name__": "__main__"}
        items = []
        for statement in statements:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exec(compile(statement + "\n", "<stdin>", "single"), namespace)
            items += [statement] if whole else [line for line in statement.split("\n") if line]
        monkeypatch.setitem(sys.modules, "readline", FakeReadline("help", *items, None, "f("))
        return namespace

    @pytest.mark.parametrize("whole", [False, True])
    def test_history(self, monkeypatch, whole):
        """The lines of a statement are found again, whatever is around them."""
        namespace = self.typed(
            monkeypatch,
            "x = 1",
            "def f(x):\n    if x:\n        return 1\n    else:\n        pass",
            "g = f",
            "@(lambda function: function)\n@staticmethod\ndef f(x):\n    return 2",
            "f = f.__func__",
            "class A:\n    y = 1\n    def f(self):\n        return (3,\n        )",
            "h, i = lambda: 4, lambda: 5",
            "for x in range(3):\n    j = [\n       lambda: x]",
            whole=whole,
        )
        assert find_unit(namespace["g"]).text.startswith("def f(x):\n    if x:")
        assert find_unit(namespace["f"]).text == "def f(x):\n    return 2"
        assert find_unit(namespace["f"]).line == 3
        assert find_unit(namespace["A"].f).text == "    def f(self):\n        return (3,\n        )"
        assert find_unit(namespace["i"]).text == "h, i = lambda: 4, lambda: 5"
        assert find_unit(namespace["j"][0]).line == 3

    def test_not_in_history(self, monkeypatch):
        """What is not there, or was typed in another way, is not made up."""
        namespace = self.typed(monkeypatch, "def f():\n    return 1")
        history = FakeReadline("def f():", "    return 2", "def f(", "def f():")
        monkeypatch.setitem(sys.modules, "readline", history)
        with pytest.raises(SerializationError, match="typed, is not kept"):
            find_unit(namespace["f"])

    def test_bounded(self, monkeypatch):
        """A long history with nothing that can be parsed does not take for ever."""
        namespace = self.typed(monkeypatch, "def f():\n    return 1")
        history = FakeReadline(*(["def f(:"] * 5000))
        monkeypatch.setitem(sys.modules, "readline", history)
        made = []
        original = texts.Text
        monkeypatch.setattr(texts, "Text", lambda *args: made.append(1) or original(*args))
        with pytest.raises(SerializationError):
            find_unit(namespace["f"])
        assert len(made) == 500

    def test_broken_readline(self, monkeypatch):
        """PyPy's raises where there is no terminal."""
        namespace = self.typed(monkeypatch, "def f():\n    return 1")
        monkeypatch.setitem(sys.modules, "readline", types.SimpleNamespace())
        with pytest.raises(SerializationError):
            find_unit(namespace["f"])

    def test_code_in_linecache(self, monkeypatch):
        """Later Pythons keep what was typed by the code object."""
        namespace = run(FUNCTION, "<stdin>", "single")
        kept = {namespace["f"].__code__: FUNCTION.splitlines(True)}
        monkeypatch.setattr(linecache, "_getlines_from_code", kept.get, raising=False)
        assert find_unit(namespace["f"]).text == FUNCTION

    @pytest.mark.slow
    def test_real_one(self, tmp_path):
        """A Python at a terminal."""
        pty = pytest.importorskip("pty")
        pytest.importorskip("readline")
        # PyPy's has a history only where it edits lines, which takes a terminal that is able to.
        terminal, end = ("xterm", b"\r") if PYPY else ("dumb", b"\n")
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(farm_common.__file__).parents[1]),
            "TERM": terminal,
            "HOME": str(tmp_path),
            "PYTHON_HISTORY": str(tmp_path / "history"),
        }
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-q"],
            env=environment,
            stdin=follower,
            stdout=follower,
            stderr=follower,
        )
        os.close(follower)
        said = b""
        try:
            for line in ("def f(x):", "    return x + 1", "", *TELL.split("\n"), "exit()"):
                os.write(leader, line.encode() + end)
            while True:
                try:
                    data = os.read(leader, 1000)
                except OSError:  # as it ends on Linux
                    break
                if not data:
                    break
                said += data
        finally:
            os.close(leader)
            process.wait(30)
        # Some indent the second line themselves, and it comes with four spaces more.
        assert re.search(rb"'def f\(x\):\\n +return x \+ 1'", said), said


class TestNotebook:
    """IPython, where it does not keep the text itself."""

    def test_timed_cell(self, monkeypatch):
        """What follows ``%%time`` is compiled without being kept."""
        cell = "%%time\ndef f(x):\n    return x + 1"
        manager = types.SimpleNamespace(input_hist_raw=["", "x", cell, "%%time\nother", "f"])
        shell = types.SimpleNamespace(history_manager=manager, transform_cell=lambda text: text)
        ipython = types.SimpleNamespace(get_ipython=lambda: shell)
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        assert find_unit(run(FUNCTION, "<timed exec>")["f"]).text == FUNCTION
        for broken in (types.SimpleNamespace(), types.SimpleNamespace(get_ipython=lambda: None)):
            monkeypatch.setitem(sys.modules, "IPython", broken)
            with pytest.raises(SerializationError):
                find_unit(run(FUNCTION, "<timed exec>")["f"])

    def test_real_one(self, tmp_path):
        """Cells with and without magic, as IPython itself runs them."""
        pytest.importorskip("IPython")
        program = f"""if True:
            import os
            os.environ["IPYTHONDIR"] = {str(tmp_path)!r}
            from IPython.core.interactiveshell import InteractiveShell
            shell = InteractiveShell.instance()
            cells = [
                "import math\\ndef f(x):\\n    %time y = math.sqrt(x)\\n    return y",
                "%%time\\nimport os\\ndef g(x):\\n    return os.path.join(x)",
                "h = [lambda: x, lambda: y]",
            ]
            for cell in cells:
                shell.run_cell(cell, store_history=True)
            from farm_common.shipping.source import find_unit
            functions = [shell.user_ns[name] for name in "fg"] + shell.user_ns["h"]
            units = [find_unit(function) for function in functions]
            print(ascii([(unit.text.split("\\n")[0], unit.line, unit.column) for unit in units]))
        """
        assert python("-c", program) == [
            ("def f(x):", 2, 0),
            ("def g(x):", 2, 0),
            ("h = [lambda: x, lambda: y]", 1, 5),
            ("h = [lambda: x, lambda: y]", 1, 16),
        ]


def test_only_compiled(tmp_path):
    """Without the source of a module, there is none; the error says so."""
    (tmp_path / "compiled.py").write_text(FUNCTION)
    compileall.compile_dir(str(tmp_path), quiet=2, legacy=True)
    (tmp_path / "compiled.py").unlink()
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from compiled import f\n"
    program += f"try:\n{textwrap.indent(TELL, '  ')}"
    program += "except Exception as error: print(repr(str(error)))"
    assert "only what was compiled from it; install its source as well" in python("-c", program)
