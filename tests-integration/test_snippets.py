"""Nothing in the documentation is shown that is not tried.

Sphinx's doctest runs what is marked as `testcode`. Programs marked as `python` are run by the tests
that `TRIED` names, one for each; commands are read by the parsers of the programs that they
are for, and other people's programs are named in `FOREIGN`. So a snippet that is added fails here
until somebody says what tries it.
"""

import ast
import importlib
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import farm_common.errors
from farm_common.address import parse_address

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
READMES = sorted([ROOT / "README.md", *ROOT.glob("packages/*/README.md")])
PAGES = sorted([*DOCS.rglob("*.md"), *READMES])
TEXTS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in PAGES
    if "_build" not in path.parts
}

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

BOUND = 100.0
FLAGS = (re.MULTILINE | re.DOTALL,)

#: For each program of a page the test that runs it.
TRIED = {
    "README.md": ["test_the_first_lines", "test_the_client_computes_pi_on_the_server"],
    "docs/how-to/debug-a-task.md": ["test_stuck"],
    "docs/how-to/executors.md": ["test_dask_on_a_kernel"],
    "docs/how-to/foreign-executors.md": 3 * ["test_program"],
    "docs/how-to/joblib.md": ["test_grid_search"],
    "docs/how-to/jupyter.md": 3 * ["test_notebook"],
    "docs/how-to/kerberos.md": ["test_connect", "test_rules", "test_rules"],
    "docs/how-to/modules.md": ["test_shapes"],
    "docs/how-to/numpy.md": 3 * ["test_numpy"],
    "docs/how-to/pypy-workers.md": ["test_pypy_workers"],
    "docs/how-to/slurm.md": ["test_slurm"],
    "docs/how-to/tls.md": ["test_all_of_it"],
    "docs/how-to/worker-dies.md": ["test_at_most_once"],
    "docs/index.md": ["test_index"],
    "docs/topics/errors.md": ["test_what_an_error_looks_like"],
    "docs/topics/security.md": 2 * ["test_passwords"],
    "docs/topics/shipping.md": ["test_unit"],
    "docs/tutorial/ten-minutes.md": ["test_two_servers"],
}

#: What lines begin with that are not for farm's programs. No test changes its machine for them.
FOREIGN = {
    *("adcli", "apt", "chmod", "chown", "export", "kadmin", "klist", "loginctl", "net", "scp"),
    *("systemctl", "New-ADUser", "ktpass", "/crypto"),
    # test_tutorial, test_readme and the demo session type these.
    *("ci/demo", "ci/test", "python", "python3", "."),
}

#: What is shown and is neither a command nor a program, by its first words.
SHOWN = {
    *("$ python long_job.py", "[libdefaults]", '"farm-gss " who', '"tls-server-end-point:"'),
    *("1000 connections to workers", "cannot start a session:"),
}


def fenced(name):
    """The programs of a page."""
    return re.findall(r"^```python\n(.*?)^```", TEXTS[name], re.MULTILINE | re.DOTALL)


def indented(name):
    """The blocks of a page that are indented: its commands, and programs of READMEs."""
    prose = re.sub(r"^```.*?^```", "", TEXTS[name], flags=re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"(?<=\n\n)((?:    .*\n)+(?:\n(?:    .*\n)+)*)", prose)
    return [re.sub(r"\\\n\s*", "", textwrap.dedent(block)) for block in blocks]


def lines():
    """Each line that is indented, with its page."""
    return [
        (name, line) for name in TEXTS for block in indented(name) for line in block.splitlines()
    ]


def commands(program):
    """The arguments of each command for a program."""
    found = []
    for name, line in lines():
        match = re.match(rf"(?:ssh \S+ |\w+=\S+ )?{program} (.*)", line)
        if match:
            words = shlex.split(match[1], comments=True)
            found.append(pytest.param(words, id=f"{name}: {match[1][:40]}"))
    assert len(found) > 10
    return found


def run(program, cwd=None):
    """Run a program; what it printed, without an error."""
    done = subprocess.run(
        [sys.executable, "-"],
        input=program,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=BOUND,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_every_program_is_tried():
    """Each has a test of the name that is given here, and there is no other."""
    counts = {name: len(fenced(name)) for name in TEXTS}
    assert {name: count for name, count in counts.items() if count} == {
        name: len(tests) for name, tests in TRIED.items()
    }
    code = "\n".join(
        path.read_text(encoding="utf-8") for path in ROOT.glob("tests-integration/**/test_*.py")
    )
    for tests in TRIED.values():
        for test in tests:
            assert f"def {test}(" in code


def test_what_is_indented_is_known():
    """It is a command of farm's, of a program that is named here, a program, or listed as shown."""
    unknown = []
    for name in TEXTS:
        for block in indented(name):
            if any(block.startswith(words) for words in SHOWN):
                continue
            rest = [
                line
                for line in block.splitlines()
                if line.strip()
                and line.split()[0] not in {*FOREIGN, "nox", "pip", "ssh"}
                and not re.match(r"(\w+=\S+ )?farm-(server|admin) ", line)
            ]
            try:
                ast.parse("\n".join(rest))
            except SyntaxError:
                unknown.append((name, rest))
    assert unknown == []


@pytest.mark.parametrize("words", commands("farm-server"))
def test_server_commands(words):
    """farm-server understands the command, and its addresses."""
    options = importlib.import_module("farm_server.cli")._parser().parse_args(words)
    for address in options.addresses:
        parse_address(address)


@pytest.mark.parametrize("words", commands("farm-admin"))
def test_admin_commands(words):
    """farm-admin understands the command."""
    importlib.import_module("farm_admin.cli")._parser().parse_args(words)


def test_nox_sessions():
    """Those that pages and CONTRIBUTING tell to run are there."""
    found = re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    said = re.findall(r"nox (?:-R )?-s ([a-z]+)", CONTRIBUTING + "\n".join(TEXTS.values()))
    assert len(said) > 10
    assert set(said) <= set(found)


def test_extras():
    """What pages tell to install has the extras that they name."""
    projects = {
        path.parent.name: path.read_text() for path in ROOT.glob("packages/*/pyproject.toml")
    }
    said = re.findall(r"pip install '?(farm-\w+)(?:\[(\w+)\])?", "\n".join(TEXTS.values()))
    assert len(said) > 10
    for project, extra in said:
        assert not extra or re.search(rf"^{extra} = \[", projects[project], re.MULTILINE)


def test_addresses_of_pages():
    """What a line gives to make_kernel are addresses."""
    said = re.findall(r'make_kernel\(\[?((?:"[^"]*"[, ]*)+)', "\n".join(TEXTS.values()))
    assert len(said) > 30
    for text in said:
        for address in re.findall(r'"([^"]*)"', text):
            if address != "localhost":  # the example of a malformed one
                parse_address(address)


@pytest.mark.parametrize(
    ("package", "output"),
    [("farm-client", r"\[0, 1, 4, 9, 16, 25, 36, 49, 64, 81\]\n"), ("farm-server", r"127.*:\d+\n")],
)
def test_package_readme(package, output):
    """The program of a package's README runs as it stands."""
    (block,) = [block for block in indented(f"packages/{package}/README.md") if "import" in block]
    block = block.partition("\n\n")[2] if block.startswith("pip") else block
    assert re.fullmatch(output, run(block))


def test_gss_readme():
    """Its program is the one of the page on Kerberos, which a test runs."""
    blocks = indented("packages/farm-gss/README.md")
    assert fenced("docs/how-to/kerberos.md")[0] in blocks


LOCAL = '"local?workers=2"'
TWO = '["10.0.0.7:11111", "10.0.0.8:11111"]'


def test_index():
    """The first program of the documentation receives as many results as it submits."""
    (program,) = fenced("docs/index.md")
    assert TWO in program
    program = "paths, parse = ['b', 'a'], str.upper\n" + program.replace(TWO, LOCAL)
    assert sorted(run(program).split()) == ["A", "B"]


def test_dask_on_a_kernel(tmp_path):
    """A bag of words is counted on the kernel."""
    pytest.importorskip("dask.bag")
    (program,) = fenced("docs/how-to/executors.md")
    assert TWO in program
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.txt").write_text("spam egg spam\nspam egg ham\n")
    program = "import farm_client as farm\n" + program.replace(TWO, LOCAL)
    assert run(program, cwd=tmp_path) == "[('spam', 3), ('egg', 2), ('ham', 1)]\n"


def test_grid_search():
    """The search finds parameters that it was given."""
    pytest.importorskip("sklearn")
    (program,) = fenced("docs/how-to/joblib.md")
    assert TWO in program
    # Two digits instead of ten, so that it takes seconds.
    program = program.replace(TWO, LOCAL).replace("load_digits(", "load_digits(n_class=2, ")
    best = ast.literal_eval(run(program))
    assert best["C"] in (0.1, 1, 10, 100)
    assert best["gamma"] in (1e-4, 1e-3, 1e-2)


def test_shapes():
    """The module that is shown is the one that the page's programs use."""
    (program,) = fenced("docs/how-to/modules.md")
    (written,) = re.findall(r'write_text\("(import math.*?)"\)', TEXTS["docs/how-to/modules.md"])
    written = ast.literal_eval(f'"{written}"')
    assert ast.dump(ast.parse(program)) == ast.dump(ast.parse(written))


def test_at_most_once():
    """The block submits one task."""
    (program,) = fenced("docs/how-to/worker-dies.md")
    before = f"import farm_client as farm\nkernel = farm.make_kernel({LOCAL})\n"
    before += "channel, charge, customer = farm.make_channel(), str.upper, 'ann'\n"
    assert run(before + program + "print(channel.receive())\n") == "ANN\n"


def test_what_an_error_looks_like(tmp_path):
    """An error shows itself as the page says, and the handler that it shows catches it."""
    (handler,) = fenced("docs/topics/errors.md")
    (shown,) = re.findall(r"^```text\n(Traceback.*?)```", TEXTS["docs/topics/errors.md"], *FLAGS)
    before = (
        "import farm_client as farm\n"
        "def height_of(row):\n    return row\n"
        "def ratio(row, width=1):\n    return width / height_of(row)\n"
        f"row, kernel = 0, farm.make_kernel({LOCAL})\n"
    )
    script = tmp_path / "sizes.py"
    script.write_text(before + handler + "print(farm.force(farm.future(ratio, row)))\n")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=BOUND
    )
    for line in shown.splitlines():
        line = re.sub(r"/home/ann/|line \d+|worker \d+ at \S+\)|[~^]+", "", line).strip()
        for part in line.split('"'):
            assert part in re.sub(r"line \d+", "", done.stderr), part


def test_unit():
    """What the page says that the server compiles is Python, and its names are as it says."""
    (program,) = fenced("docs/topics/shipping.md")
    namespace = {}
    exec(compile(program, "unit", "exec"), namespace)
    check = namespace["Account"]._farm_scope_.__code__.co_consts[1]
    assert check.co_freevars == ("limit",)
    assert "_Account__secret" in check.co_names


class TestContributing:
    """What CONTRIBUTING says of the house."""

    def test_files_are_there(self):
        """Each file and folder that it names; modules go by the name of their package."""
        named = set(re.findall(r"`([\w.*-]+/[\w./*{},-]*)`", CONTRIBUTING))
        named -= {name for name in named if "<" in name or "farm-x" in name}
        assert len(named) > 40
        places = [ROOT, *ROOT.glob("packages/*/src")]
        missing = {name for name in named if not any(any(p.glob(name)) for p in places)}
        assert missing == set()

    def test_files_of_a_family(self):
        """Those that are named without a folder are in the one that the recipe begins with."""
        (recipe,) = re.findall(r"\*\*A cognate\.\*\*(.*?)^2\.", CONTRIBUTING, *FLAGS)
        folder = ROOT / "packages/farm-client/src/farm_client/cognate"
        named = re.findall(r"`(\w+\.py)`", recipe)
        assert len(named) > 10
        assert all((folder / name).is_file() for name in named)


def test_modules_of_pages():
    """Each module of farm's that a page names is there, and so is what it names in it."""
    named = set(re.findall(r"`(farm_\w+(?:\.\w+)+)(?:\(\))?`", "\n".join(TEXTS.values())))
    assert len(named) > 20
    for name in sorted(named):
        if name.startswith("farm_gss"):
            continue  # needs gssapi
        module, *rest = name.split(".")
        found = importlib.import_module(module)
        for part in rest:
            module = f"{module}.{part}"
            if not hasattr(found, part):
                found = importlib.import_module(module)
            else:
                found = getattr(found, part)


class TestErrors:
    """The page on errors, by when they are raised."""

    def test_each_is_there(self):
        """Every class of errors is named by an occasion, but for those that are only bases."""
        text = TEXTS["docs/reference/errors.md"]
        occasions = text[text.index("## By when") : text.index("## The classes")]
        named = set(re.findall(r"\{py:obj\}`(\w+)`", occasions))
        assert named | {"PtreeError"} == set(farm_common.errors.__all__)
