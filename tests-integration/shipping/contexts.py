"""The places where people write code, and how a program comes to run in each.

`PROGRAM` is the same everywhere. It prints one line of JSON: for each server, what its tasks gave
there, or the error that refused the first function.
"""

import contextlib
import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
import zipfile

__all__ = ["CONTEXTS", "Context"]

#: What is run. No block has an empty line in it, so that a REPL can be told it.
PROGRAM = """
import json, os, sys, traceback
import farm_client as farm

rate = 3

def scaled(x):
    return x * rate

class Box:
    def __init__(self, x):
        self.x = x
    def get(self):
        return scaled(self.x)
    def next(self):
        return Box(self.x + 1)

def adder(n):
    total = n
    def add(x):
        nonlocal total
        total += x
        return total
    return add

def broken(x):
    y = x
    return y / 0

def call(channel, task, *args):
    channel.submit(task, *args)
    return channel.receive()

def trace(channel):
    try:
        call(channel, broken, 1)
    except farm.TaskExecutionError as error:
        frame = traceback.extract_tb(error.__cause__.__traceback__)[-1]
        return [frame.name, frame.line]

def run(channel):
    global rate
    rate = 3
    out = [call(channel, scaled, 2)]
    rate = 4
    out.append(call(channel, scaled, 2))
    out.append([call(channel, f, 1) for f in (lambda x: x + 1, lambda x: x - 1)])
    out.append(call(channel, adder(10), 5))
    out.append(call(channel, Box(5).get))
    out.append(type(call(channel, Box(1).next)) is Box)
    out.append(trace(channel))
    return out

def ask(address):
    kernel = farm.make_kernel(address + "?workers=1", timeout=30)
    try:
        return run(kernel.make_channel())
    except farm.SerializationError as error:
        return str(error)
    finally:
        kernel.end()

def main():
    return {name: ask(address) for name, address in json.loads(os.environ["ADDRESSES"]).items()}

"""

EXPECTED = [6, 8, [2, 0], 15, 20, True, ["broken", "return y / 0"]]
#: Of a module: there it has the values that importing it gives, not those that were set here.
EXPECTED_OF_MODULE = [6, 6, [2, 0], 15, 15, True, ["broken", "return y / 0"]]

#: The call of it; on its own, for the contexts in which that is an input of its own.
CALL = "print(json.dumps(main()), flush=True)\n"


class Context:
    """A place where code is written.

    Attributes:
        name: Of it, as the table has it.
        make: Given a folder and an interpreter's path, gives the command, and keywords for
            `subprocess.run`; or, on a terminal, the command and what is typed.
        known: Whether the source can be found, given the version of the client and whether it is
            PyPy.
        needs: A module that the client must have.
        terminal: Whether it runs on a terminal.
        stale: Whether the file is not what it was.
        expected: What the tasks give.
    """

    def __init__(
        self, name, make, known=None, needs=None, terminal=False, module=False, stale=False
    ):
        self.name = name
        self.make = make
        self.known = known or always
        self.stale = stale
        self.needs = needs
        self.terminal = terminal
        self.expected = EXPECTED_OF_MODULE if module else EXPECTED

    def run(self, folder, python, environment, seconds):
        """Run it; gives what it wrote, and its errors."""
        command, keywords = self.make(folder, python)
        if self.terminal:
            environment = {**environment, "HOME": str(folder), "TERM": keywords["kind"]}
            return on_terminal(command, keywords["typed"], folder, environment, seconds), ""
        done = subprocess.run(
            command,
            env={**environment, **keywords.pop("env", {})},
            **{"cwd": folder, "capture_output": True, "text": True, **keywords},
            timeout=seconds,
            check=False,
        )
        return done.stdout, done.stderr


CONTEXTS = []


def always(version, pypy):
    """Whatever the client is, the source is found."""
    return True


def never(version, pypy):
    """Nothing keeps the source."""
    return False


def context(function=None, **keywords):
    """Collect a function as the ``make`` of a `Context`; see there for the keywords."""

    def collect(function):
        name = (function.__doc__ or "").strip().rstrip(".")
        CONTEXTS.append(Context(name, function, **keywords))
        return function

    return collect if function is None else collect(function)


def write(folder, name, text):
    """A file with this text; gives its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


@context
def script(folder, python):
    """a script."""
    return [python, write(folder, "program.py", PROGRAM + CALL)], {}


@context
def relative_script(folder, python):
    """a script, by a relative path, that changes the directory."""
    write(folder, "sub/program.py", PROGRAM + "os.chdir('/')\n" + CALL)
    return [python, "sub/program.py"], {}


@context
def optimised_script(folder, python):
    """a script run with -O."""
    return [python, "-O", write(folder, "program.py", PROGRAM + CALL)], {}


@context
def script_without_docstrings(folder, python):
    """a script run with -OO."""
    text = PROGRAM.replace("def scaled(x):\n", 'def scaled(x):\n    """Documented."""\n')
    return [python, "-OO", write(folder, "program.py", text + CALL)], {}


@context
def symbolic_link(folder, python):
    """a script by a symbolic link."""
    write(folder, "real/program.py", PROGRAM + CALL)
    (folder / "link.py").symlink_to(folder / "real" / "program.py")
    return [python, str(folder / "link.py")], {}


@context
def module(folder, python):
    """-m module."""
    write(folder, "program.py", PROGRAM + CALL)
    return [python, "-m", "program"], {}


@context(module=True)
def imported_module(folder, python):
    """a module that exists only here."""
    write(folder, "own_program.py", PROGRAM)
    start = write(folder, "start.py", f"from own_program import json, main\n{CALL}")
    return [python, start], {}


@context(module=True)
def package(folder, python):
    """-m package."""
    write(folder, "own_package/__init__.py", "")
    write(folder, "own_package/work.py", PROGRAM)
    write(folder, "own_package/__main__.py", f"from .work import *\n{CALL}")
    return [python, "-m", "own_package"], {}


@context
def main_of_a_package(folder, python):
    """the __main__ of a package."""
    write(folder, "own_package/__init__.py", "")
    write(folder, "own_package/__main__.py", PROGRAM + CALL)
    return [python, "-m", "own_package"], {}


@context
def folder_as_program(folder, python):
    """a directory."""
    write(folder, "app/__main__.py", PROGRAM + CALL)
    return [python, str(folder / "app")], {}


@context
def archive(folder, python):
    """a zip archive."""
    with zipfile.ZipFile(folder / "app.pyz", "w") as file:
        file.writestr("__main__.py", PROGRAM + CALL)
    return [python, str(folder / "app.pyz")], {}


@context(module=True)
def module_in_an_archive(folder, python):
    """a module in a zip archive."""
    with zipfile.ZipFile(folder / "app.pyz", "w") as file:
        file.writestr("zipped_program.py", PROGRAM)
        file.writestr("__main__.py", f"from zipped_program import json, main\n{CALL}")
    return [python, str(folder / "app.pyz")], {}


@context
def run_path(folder, python):
    """runpy.run_path."""
    path = write(folder, "program.py", PROGRAM + CALL)
    return [python, "-c", f"import runpy; runpy.run_path({path!r}, run_name='__main__')"], {}


@context
def executed_file(folder, python):
    """exec(compile(...)) of a file."""
    path = write(folder, "program.py", PROGRAM + CALL)
    start = f"path = {path!r}\nexec(compile(open(path).read(), path, 'exec'), globals())\n"
    return [python, write(folder, "start.py", start)], {}


@context
def command(folder, python):
    """-c."""
    return [python, "-c", PROGRAM + CALL], {}


@context
def indented_command(folder, python):
    """-c, after other options."""
    return [python, "-W", "ignore", "-u", "-c", PROGRAM + CALL, "-c", "argument"], {}


@context
def redirected(folder, python):
    """standard input, from a file."""
    path = write(folder, "program.txt", PROGRAM + CALL)
    return ["sh", "-c", f"exec {python} - < {path}"], {}


@context(known=never)
def piped(folder, python):
    """standard input, from a pipe."""
    return [python], {"input": PROGRAM + CALL}


def typed(text):
    """What somebody types into a REPL: after each block an empty line."""
    out = []
    for line in text.strip("\n").splitlines():
        if out and line and not line[0].isspace() and out[-1][:1].isspace():
            out.append("")
        if line:
            out.append(line)
    return out


@context(terminal=True)
def terminal(folder, python):
    """the REPL, on a terminal."""
    return [python, "-i", "-q"], {"kind": "xterm", "typed": [*typed(PROGRAM), "", CALL.strip()]}


@context(terminal=True, known=lambda version, pypy: not pypy)
def plain_terminal(folder, python):
    """the plain REPL, on a terminal."""
    command = ["env", "PYTHON_BASIC_REPL=1", python, "-i", "-q"]
    return command, {"kind": "dumb", "typed": [*typed(PROGRAM), "", CALL.strip()]}


@context(known=lambda version, pypy: version >= (3, 13))
def piped_terminal(folder, python):
    """the REPL, from a pipe."""
    return [python, "-i", "-q"], {"input": "\n".join([*typed(PROGRAM), "", CALL])}


NOTEBOOK = """
import ast, linecache, sys, types

# As ipykernel does it: a name for each cell, its text in linecache without a time.
main = types.ModuleType("__main__")
sys.modules["__main__"] = main

def run_cell(text, number):
    name = NAME % (number, hash(text) & 0xFFFFFFFF)
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    tree = ast.parse(text, name)
    for statement in tree.body:
        code = compile(ast.Module([statement], []), name, "exec", dont_inherit=True)
        exec(code, main.__dict__)

for number, cell in enumerate(PROGRAM.split("\\n\\n")):
    run_cell(cell.strip() + "\\n", number)
run_cell(CALL, 99)
"""


def notebook_with(name):
    """The program that stands for a notebook whose cells have such names."""
    return f"PROGRAM, CALL, NAME = {PROGRAM!r}, {CALL!r}, {name!r}\n{NOTEBOOK}"


@context
def notebook(folder, python):
    """a notebook (ipykernel)."""
    return [python, write(folder, "kernel.py", notebook_with("/tmp/ipykernel_%s/%s.py"))], {}


@context
def old_notebook(folder, python):
    """a notebook (IPython)."""
    return [python, write(folder, "kernel.py", notebook_with("<ipython-input-%s-%x>"))], {}


@context
def doctest(folder, python):
    """doctest."""
    lines = [*typed(PROGRAM), ""]
    block, examples = [], []
    for line in lines:
        if block and not line[:1].isspace():
            examples += [f">>> {block[0]}", *(f"... {more}" for more in block[1:])]
            block = []
        block += [line] if line else []
    text = "\n".join(examples)
    ending = "\n>>> done.append(main())\n"
    start = f"""
import doctest, json
done = []
EXAMPLES = {text + ending!r}
def example():
    pass
example.__doc__ = EXAMPLES
finder = doctest.DocTestFinder().find(example, "example", globs=dict(globals()))
runner = doctest.DocTestRunner()
for test in finder:
    runner.run(test)
print(json.dumps(done[0]))
"""
    return [python, write(folder, "start.py", start)], {}


@context(module=True)
def test(folder, python):
    """unittest."""
    body = "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        " + CALL
    return [python, "-m", "unittest", "-q", "program"], (
        write(folder, "program.py", PROGRAM + body) and {}
    )


@context(module=True, needs="pytest")
def pytest_test(folder, python):
    """pytest."""
    body = "def test_it():\n    assert rate == 3\n    " + CALL
    text = PROGRAM.replace("    y = x\n", "    y = x\n    assert y == x\n")
    path = write(folder, "test_program.py", text + body)
    options = ["-q", "-s", "-p", "no:cacheprovider", "--rootdir", str(folder), path]
    return [python, "-m", "pytest", *options], {}


@context
def child_of_multiprocessing(folder, python):
    """a child of multiprocessing (spawn)."""
    text = f"""{PROGRAM}
def child():
    {CALL}
if __name__ == "__main__":
    import multiprocessing
    process = multiprocessing.get_context("spawn").Process(target=child)
    process.start()
    process.join()
"""
    return [python, write(folder, "program.py", text)], {}


@context
def thread(folder, python):
    """a thread, traced."""
    text = f"""{PROGRAM}
import threading
def job():
    sys.settrace(lambda *args: None)
    {CALL}
thread = threading.Thread(target=job)
thread.start()
thread.join()
"""
    return [python, write(folder, "program.py", text)], {}


@context(stale=True)
def executed(folder, python):
    """exec of a string in the file."""
    start = f"exec({PROGRAM + CALL!r})\n"
    return [python, write(folder, "start.py", start)], {}


@context(known=never)
def executed_and_made(folder, python):
    """exec of a string that is made."""
    start = f"exec({(PROGRAM + CALL)[::-1]!r}[::-1])\n"
    return [python, write(folder, "start.py", start)], {}


@context
def executed_with_linecache(folder, python):
    """exec of a string that linecache knows."""
    start = f"""
import linecache
text = {PROGRAM + CALL!r}
linecache.cache["<generated 1>"] = (len(text), None, text.splitlines(True), "<generated 1>")
exec(compile(text, "<generated 1>", "exec"))
"""
    return [python, write(folder, "start.py", start)], {}


@context(known=never)
def console(folder, python):
    """code.InteractiveConsole."""
    start = f"""
import code
console = code.InteractiveConsole()
for line in {[*typed(PROGRAM), "", CALL.strip()]!r}:
    console.push(line)
"""
    return [python, write(folder, "start.py", start)], {}


@context(known=never)
def compiled_only(folder, python):
    """a .pyc without its source."""
    path = write(folder, "program.py", PROGRAM + CALL)
    start = (
        "import os, py_compile, runpy\n"
        f"made = py_compile.compile({path!r}, cfile={path!r} + 'c', dfile='nowhere/program.py')\n"
        f"os.remove({path!r})\n"
        "runpy.run_path(made, run_name='__main__')\n"
    )
    return [python, write(folder, "start.py", start)], {}


@context(known=never)
def edited(folder, python):
    """a script that was edited since."""
    text = PROGRAM + "open(__file__, 'w').write('# another text\\n' * 99)\n" + CALL
    return [python, write(folder, "program.py", text)], {}


@context(stale=True)
def edited_with_deftask(folder, python):
    """a script with deftask that was edited since."""
    text = PROGRAM.replace("def scaled", "@farm.deftask\ndef scaled")
    text = text + "open(__file__, 'w').write('# another text\\n' * 99)\n" + CALL
    return [python, write(folder, "program.py", text)], {}


@context
def removed(folder, python):
    """a script that was removed after its first task."""
    text = PROGRAM.replace(
        "    rate = 4\n", "    rate = 4\n    os.path.exists(__file__) and os.remove(__file__)\n"
    )
    return [python, write(folder, "program.py", text + CALL)], {}


def on_terminal(command, lines, folder, environment, seconds):
    """Run a command on a terminal of its own, and type lines when it asks for them."""
    import pty

    pid, master = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execvpe(command[0], command, environment)
    # So wide that no line is broken.
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", 50, 2000, 0, 0))
    deadline = time.monotonic() + seconds
    # Control-U takes back what the REPL has indented of itself.
    clear = b"" if environment["TERM"] == "dumb" else b"\x15"
    try:
        out = read_until(master, deadline, asks)
        for line in lines:
            os.write(master, clear + line.encode() + b"\r")
            out += read_until(master, deadline, lambda text: b"\n" in text and asks(text))
        os.write(master, clear + b"exit()\r")
        out += read_until(master, deadline, lambda text: False)
    finally:
        os.close(master)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
        os.waitpid(pid, 0)
    return _CONTROL.sub(b"", out).decode()


#: What tells a terminal where to write, and in which colour.
_CONTROL = re.compile(rb"\x1b(\[[0-9;?]*[A-Za-z]|[=>])")


def asks(text):
    """Whether what stands on a terminal ends with the prompt of Python, or of PyPy."""
    return _CONTROL.sub(b"", text).rstrip(b" ")[-3:] in (b">>>", b"...")


def read_until(master, deadline, enough):
    """Read from a terminal until there is enough, it is closed, or time is up."""
    out = b""
    while not enough(out):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([master], [], [], left)[0]:
            raise TimeoutError(f"the terminal says no more than {out!r}")
        try:
            data = os.read(master, 65536)
        except OSError:  # it was closed
            return out
        if not data:
            return out
        out += data
    return out
