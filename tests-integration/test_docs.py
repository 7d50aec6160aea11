"""What the documentation shows and Sphinx's doctest cannot run: commands, and programs in files."""

import configparser
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import farm_admin
import farm_client as farm
from farm_server import start_server

DOCS = Path(__file__).parents[1] / "docs"

BOUND = 60.0


def python(*arguments, **keywords):
    """Run this Python."""
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=BOUND, **keywords
    )


def programs(page):
    """The Python programs of a page that are not doctests."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


SCRIPT = """
if __name__ == "__main__":
    import farm_client as farm
    from farm_server import start_server

    with start_server("127.0.0.1:0", background=True, auth=PasswordAuth("open")) as server:
        with farm.make_kernel(server.address, auth=PasswordAuth("open")):
            print(farm.pmap(abs, [-1]))
        try:
            farm.make_kernel(server.address, auth=PasswordAuth("guess"))
        except farm.AuthError as error:
            print(type(error).__name__)
"""


class TestPassword:
    """The mechanism of the page on security, with its server and its client."""

    @pytest.fixture
    def folder(self, tmp_path):
        """Both programs beside password.py, with a password and an address of the test's."""
        serve, client = programs("topics/security.md")
        (tmp_path / "password.py").write_bytes((DOCS / "examples" / "password.py").read_bytes())
        (tmp_path / "getpass.py").write_text("import os\ngetpass = lambda: os.environ['WORD']\n")
        # In the background, so that the test learns the port.
        serve = serve.replace("0.0.0.0:11111", "127.0.0.1:0").replace(
            'start_server("127.0.0.1:0", ', 'server = start_server("127.0.0.1:0", background=True, '
        )
        serve += "print(server.address, flush=True)\ninput()\nserver.end(wait=False)\n"
        (tmp_path / "serve.py").write_text(serve)
        (tmp_path / "client.py").write_text(client)
        return tmp_path

    def test_passwords(self, folder, monkeypatch):
        """The right one computes, another is refused at once, and so is none."""
        monkeypatch.setenv("WORD", "open sesame")
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
        command = [sys.executable, "serve.py"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=folder, text=True, **pipes) as server:
            try:
                address = server.stdout.readline().strip()
                client = folder / "client.py"
                client.write_text(client.read_text().replace("10.0.0.7:11111", address))
                done = python("client.py", cwd=folder)
                assert (done.stdout, done.stderr) == ("1024\n", "")

                monkeypatch.setenv("WORD", "guess")
                done = python("client.py", cwd=folder)
                assert "AuthError" in done.stderr
                assert "password" in done.stderr

                with pytest.raises(farm.AuthError, match="asks for authentication"):
                    farm.make_kernel(address, timeout=BOUND)
                assert not farm_admin.ping(address)
            finally:
                server.communicate("\n", timeout=BOUND)
        assert server.returncode == 0

    def test_of_a_script(self, tmp_path):
        """It may be defined in the very script that starts the server in the background."""
        source = (DOCS / "examples" / "password.py").read_text()
        (tmp_path / "all.py").write_text(source + SCRIPT)
        done = python("all.py", cwd=tmp_path)
        assert (done.stdout, done.stderr) == ("[1]\nAuthError\n", "")

    def test_is_the_tested_one(self):
        """The mechanism in the documentation refuses its own bytes, sent back."""
        spec = importlib.util.spec_from_file_location("password", DOCS / "examples/password.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        layer = module.PasswordAuth("open sesame").server_layer()
        _, proof = layer.feed(layer.start())
        with pytest.raises(farm.AuthError, match="does not know the password"):
            layer.feed(proof)


def test_addresses_that_others_reach_are_refused():
    """As the page on security says: an open address needs insecure=True or auth=."""
    with pytest.raises(farm.UnsupportedError, match="--insecure"):
        start_server("0.0.0.0:0", background=True)


def commands(folder):
    """A PATH on which farm-server and python are this interpreter's, before everything else."""
    for name, module in (("farm-server", "-m farm_server"), ("python", "")):
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module} "$@"\n')
        command.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_numpy():
    """The programs of the page on NumPy run as they stand, one after the other."""
    pytest.importorskip("numpy")
    source = "\n".join(programs("how-to/numpy.md"))
    source += "print(total, len(roots), bool((ordered[1:] >= ordered[:-1]).all()))\n"
    source += "print(len(smoothed), set(map(float, sums)))\n"
    done = python("-", input=source)
    assert done.stderr == ""
    assert done.stdout == "499999500000.0 1000000 True\n1000000 {10000.0}\n"


def test_notebook(tmp_path):
    """The cells of the page on notebooks run in their order; only the addresses are others."""
    cells = programs("how-to/jupyter.md")
    with start_server(f"unix://{tmp_path}/a/socket", workers=1, background=True) as server:
        source = "\n".join(cells).replace(
            '["10.0.0.7:11111", "10.0.0.8:11111"]', repr(server.address)
        )
        source = source.replace("score(seed): ...", "score(seed): return seed")
        source += "print(kernel is farm.current_kernel(), sum(results))\n"
        script = tmp_path / "cells.py"
        script.write_text(source)
        done = python(str(script))
    assert (done.stdout, done.stderr) == ("True 499500\n", "")


def test_pypy_workers(tmp_path, peer):
    """The program of the page on PyPy runs with any interpreter there, and says which it is."""
    (source,) = programs("how-to/pypy-workers.md")
    assert "python=pypy3" in source
    script = tmp_path / "program.py"
    script.write_text(source.replace("python=pypy3", f"python={peer}").replace("10_000", "1_000"))
    done = python(str(script))
    assert done.stderr == ""
    assert re.fullmatch(r"(PyPy|CPython) \[178, 178, 178, 178\]\n", done.stdout, re.IGNORECASE)


def test_systemd(tmp_path):
    """The unit is well-formed, and its command starts a server that SIGTERM ends."""
    text = (DOCS / "how-to/systemd.md").read_text(encoding="utf-8")
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read_string(re.search(r"```ini\n(.*?)```", text, re.DOTALL)[1])
    assert set(unit) == {"DEFAULT", "Unit", "Service", "Install"}
    program, *options = shlex.split(unit["Service"]["ExecStart"].replace("%t", str(tmp_path)))
    assert program == "%h/farm-venv/bin/farm-server"
    command = [sys.executable, "-m", "farm_server", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().split()[-1]
            assert address == f"unix://{tmp_path}/farm/farm.sock"
            assert farm_admin.status(address).workers == 8
            process.terminate()
            assert process.wait(BOUND) == 0
        finally:
            process.kill()


def test_slurm(tmp_path):
    """The job starts a server a node, the program finds all, and at its end nothing is left."""
    text = (DOCS / "how-to/slurm.md").read_text(encoding="utf-8")
    (tmp_path / "job.sh").write_text(re.search(r"```bash\n(.*?)```", text, re.DOTALL)[1])
    (program,) = programs("how-to/slurm.md")
    (tmp_path / "program.py").write_text(program)
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    path = commands(bin_)
    # What Slurm does: the command on each node, and all are ended when it is told to end.
    (bin_ / "srun").write_text(
        '#!/bin/bash\ntrap "kill \\$(jobs -p)" TERM\n'
        'for node in 0 1; do SLURM_PROCID=$node "$@" & done\nwait\nwait\n'
    )
    (bin_ / "srun").chmod(0o755)
    (bin_ / "hostname").write_text("#!/bin/sh\necho 127.0.0.1\n")
    (bin_ / "hostname").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": path,
        "SLURM_JOB_ID": "7",
        "SLURM_NNODES": "2",
        "SLURM_CPUS_PER_TASK": "2",
    }
    done = subprocess.run(
        ["bash", "job.sh"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=BOUND,
    )
    assert done.stdout.replace("farm-server ready", "\nfarm-server ready").count("ready") == 2
    assert "4 workers\n999999\n" in done.stdout
    assert not (tmp_path / "farm-7").exists()


def test_stuck(capfd):
    """What the page on debugging has a stuck task print comes here, with its line."""
    (source,) = programs("how-to/debug-a-task.md")
    source = source.replace("later(10)", "later(0.1)").replace("1e6", "0.5")
    source += "import farm_client as farm\n"
    source += "with farm.make_kernel('local?workers=1'): farm.force(farm.future(stuck))\n"
    done = python("-c", source)
    assert "in stuck" in done.stderr + done.stdout


class TestTls:
    """The how-to on TLS, with its commands and its program."""

    PAGE = "how-to/tls.md"

    def test_all_of_it(self, tmp_path):
        """What is made by its commands is what its server and its program need."""
        pytest.importorskip("cryptography")
        text = (DOCS / self.PAGE).read_text(encoding="utf-8")
        commands = [
            shlex.split(line)
            for line in re.findall(r"^    (farm-admin certs .*)$", text, re.MULTILINE)
        ]
        assert [words[2] for words in commands] == ["init", "server", "client"]
        for words in commands:
            # On this machine the server goes by another name.
            words = [word.replace("node1.example.com", "127.0.0.1") for word in words]
            done = python("-m", "farm_admin", *words[1:], cwd=tmp_path)
            assert (done.returncode, done.stderr) == (0, "")
        (serve,) = re.findall(r"^    ssh \S+ (farm-server .*)$", text, re.MULTILINE)
        _, address, *options = shlex.split(serve)
        place, port = "node1.example.com:11111", address.rsplit(":", 1)[1]
        assert place.endswith(port)
        command = [sys.executable, "-m", "farm_server", "127.0.0.1:0", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        try:
            found = process.stdout.readline().split()[-1]
            (program,) = programs(self.PAGE)
            (tmp_path / "program.py").write_text(program.replace(place, found), encoding="utf-8")
            done = python("program.py", cwd=tmp_path)
            assert (done.stdout, done.stderr) == ("1024\n", "")
            (status,) = re.findall(r"^    farm-admin (status .*)$", text, re.MULTILINE)
            words = shlex.split(status.replace(place, found))
            done = python("-m", "farm_admin", *words, cwd=tmp_path)
            assert (done.returncode, done.stderr) == (0, "")
        finally:
            process.kill()
            process.communicate()


def test_every_claim_about_security_has_its_test():
    """The tests that the page names are there, by these names."""
    text = (DOCS / "topics" / "security.md").read_text(encoding="utf-8")
    table = text[text.index("## How it is tested") : text.index("## The interface for")]
    root = DOCS.parent
    named = set(re.findall(r"`([Tt]est\w+)`", table))
    assert len(named) > 20
    places = [*root.glob("packages/*/tests/*.py"), *root.glob("tests-integration/**/*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in places)
    defined = set(re.findall(r"(?:def|class) ([Tt]est\w+)", code))
    assert named <= defined, named - defined
    files = set(re.findall(r"`(test_\w+\.py)`", table))
    assert files <= {path.name for path in places}, files
    sessions = set(re.findall(r"`nox -s (\w+)`", table))
    noxfile = (root / "noxfile.py").read_text(encoding="utf-8")
    assert sessions == {"fuzz", "kerberos"}
    assert all(f"def {session}(" in noxfile for session in sessions)
    # Each row of the table names what tests its claim.
    for row in re.findall(r"^\| (?!claim|---)(.*) \|$", table, re.MULTILINE):
        claim, tests = row.split(" | ")
        assert re.search(r"`(?:[Tt]est\w+|test_\w+\.py|nox -s \w+)`", tests), claim


MPIRUN = [
    *("mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "3"),
    *(sys.executable, "-m", "mpi4py.futures"),
]


class TestForeignExecutors:
    """The programs of the page on executors, over a process pool, Dask and MPI."""

    @pytest.mark.parametrize(
        ("number", "needs", "command", "output"),
        [
            (0, "concurrent.futures", [sys.executable], "element 2 ZeroDivisionError('"),
            (1, "distributed", [sys.executable], "499500\n"),
            (
                2,
                "mpi4py",
                MPIRUN,
                "2 [1, 2, 3]\n",
            ),
        ],
    )
    def test_program(self, tmp_path, number, needs, command, output):
        """It prints what it should."""
        pytest.importorskip(needs)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        found = shutil.which(command[0], path=path)
        if found is None:
            pytest.skip(f"there is no {command[0]}")
        script = tmp_path / "program.py"
        script.write_text(programs("how-to/foreign-executors.md")[number], encoding="utf-8")
        done = subprocess.run(
            [found, *command[1:], str(script)], capture_output=True, text=True, timeout=BOUND
        )
        assert (done.stdout[: len(output)], done.returncode) == (output, 0), done.stderr
