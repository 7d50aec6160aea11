"""The tutorial, walked from its first command to its last as a newcomer would.

What it tells to type is typed, in its order, in an environment that has nothing of farm at first.
Only what is the reader's own differs: ports, and where `node1`, `node2` and `node3` are, which here
are three sshd of the test's. A command that nothing here types is a failure.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "tutorial" / "ten-minutes.md"
SECTIONS = dict(
    re.findall(
        r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
)

BOUND = 100.0
SYSTEM_PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
SSHD = shutil.which("sshd", path=SYSTEM_PATH)
NODES = ("node1", "node2", "node3")

pytestmark = pytest.mark.timeout(400)


def commands(section):
    """What a section has the reader type, one terminal after the other."""
    prose = re.sub(r"^```.*?^```", "", SECTIONS[section], flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^    (\S.*)$", prose, re.MULTILINE)


def blocks(section, language):
    """The fenced blocks of a section in a language."""
    pattern = rf"^```{re.escape(language)}\n(.*?)^```"
    return re.findall(pattern, SECTIONS[section], re.MULTILINE | re.DOTALL)


class Reader:
    """Somebody with a home directory, and an environment activated in it.

    Attributes:
        home: Where everything is typed.
        programs: What is found there is found first, but for what was installed.
        environment: The variables of the terminals.
    """

    def __init__(self, home, bin_):
        self.home = home
        self.programs = bin_
        path = os.pathsep.join([str(bin_), os.environ["PATH"]])
        kept = ("LANG", "LC_ALL", "TMPDIR", "USER", "LOGNAME", "PIP_CERT", "PIP_CONFIG_FILE")
        self.environment = {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "PATH": path,
            "HOME": str(home),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        self.servers = {}

    def type(self, *lines, within=BOUND):
        """Type lines into a terminal; what came of it, without an error."""
        script = "set -e\n" + "\n".join(lines)
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=within,
        )
        assert done.returncode == 0, (lines, done.stdout, done.stderr)
        return done

    def serve(self, line):
        """Leave a server running in a terminal of its own; it is at any free port."""
        program, address, *options = shlex.split(line)
        process = subprocess.Popen(
            [shutil.which(program, path=self.environment["PATH"]), "127.0.0.1:0", *options],
            cwd=self.home,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.servers[address] = process, process.stdout.readline().split()[-1]

    def real(self, line):
        """A line with the ports that this test's servers have."""
        for address, (_, found) in self.servers.items():
            line = line.replace(address, found)
        return line

    def end(self):
        for process, _ in self.servers.values():
            process.kill()
            process.communicate(timeout=BOUND)


def wrapper(path, command):
    """A program that is another one with some arguments."""
    path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    path.chmod(0o755)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A reader who has python3, and did what the section on installing says."""
    folder = tmp_path_factory.mktemp("reader")
    home, bin_ = folder / "home", folder / "bin"
    home.mkdir()
    bin_.mkdir()
    bare = os.path.realpath(sys.executable)
    one = Reader(home, bin_)
    lines = commands("Install")
    assert lines[-1] == "pip install farm-client farm-admin"
    wheels = os.environ.get("FARM_WHEELS")
    if wheels:
        wrapper(bin_ / "python3", shlex.quote(bare))
        found = {path.name.partition("-")[0]: path for path in Path(wheels).glob("*.whl")}
        constraints = folder / "constraints.txt"
        # Whatever else an index has under these names.
        constraints.write_text(
            "".join(f"{name} @ {path.as_uri()}\n" for name, path in found.items())
        )
        one.environment["PIP_CONSTRAINT"] = str(constraints)
        one.type(*lines, within=300)
        # As activated: what that does to the variables.
        done = one.type(lines[1], 'printf "%s" "$PATH"')
        one.environment["PATH"] = done.stdout
    else:  # run from the tree, with what this Python has
        for name in ("farm-server", "farm-admin"):
            module = name.replace("-", "_")
            wrapper(bin_ / name, f"{shlex.quote(sys.executable)} -m {module}")
        for name in ("python", "python3"):
            wrapper(bin_ / name, shlex.quote(sys.executable))
        if "PYTHONPATH" in os.environ:
            one.environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
    yield one
    one.end()


@pytest.fixture(scope="module")
def nodes(reader, tmp_path_factory):
    """An ssh whose configuration knows three machines: each connection has an sshd of its own."""
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("needs the Debian packages openssh-server and openssh-client")
    folder = tmp_path_factory.mktemp("nodes")
    for name in ("user", *NODES):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(keygen, check=True, stdin=subprocess.DEVNULL, timeout=BOUND)
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    config, known = [], []
    for name in NODES:
        settings = folder / f"sshd-{name}"
        settings.write_text(
            f"HostKey {folder / name}\nAuthorizedKeysFile {folder / 'user.pub'}\n"
            "PidFile none\nUsePAM no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            # What pytest makes is below /tmp, where anybody may write.
            f"StrictModes no\nSetEnv XDG_CACHE_HOME={folder / name}-cache\n"
        )
        # It talks to ssh over pipes, so that there is no port that somebody else could have taken.
        config.append(f"Host {name}\n  ProxyCommand {SSHD} -i -f {settings} -E {settings}.log\n")
        known.append(f"{name} {(folder / f'{name}.pub').read_text()}")
    (folder / "known").write_text("".join(known))
    config.append(
        f"Host *\n  UserKnownHostsFile {folder / 'known'}\n  GlobalKnownHostsFile /dev/null\n"
        f"  IdentityFile {folder / 'user'}\n  IdentitiesOnly yes\n"
    )
    (folder / "config").write_text("".join(config))
    wrapper(reader.programs / "ssh", f"{shutil.which('ssh')} -F {folder / 'config'}")
    return folder


@pytest.fixture(scope="module")
def saved(reader):
    """The program that the reader is told to save."""
    (program,) = blocks("Two servers", "python")
    assert "save this as `count.py`" in SECTIONS["Two servers"]
    (reader.home / "count.py").write_text(program, encoding="utf-8")


class TestTutorial:
    """In the order of the page; each section is the reader's one after the other."""

    def test_sections(self):
        """Each section that has something to type or to run is walked below."""
        walked = {"Install", "Two servers", "Three machines"}
        first = {"A kernel on this machine", "Tasks and a channel", "A future"}
        first.add("When a task fails")
        assert walked == {title for title in SECTIONS if commands(title)}
        assert first == {title for title in SECTIONS if blocks(title, "{testcode}")}
        assert {title for title in SECTIONS if blocks(title, "python")} == {"Two servers"}

    def test_first_programs(self, reader):
        """In one file, as the page proposes, they print what it shows."""
        programs, outputs = [], []
        for title in SECTIONS:
            programs += blocks(title, "{testcode}")
            outputs += blocks(title, "{testoutput}")
        assert len(programs) == 4
        (reader.home / "first.py").write_text("\n".join(programs), encoding="utf-8")
        done = reader.type("python first.py")
        assert (done.stdout, done.stderr) == ("".join(outputs), "")

    def test_first_programs_at_the_prompt(self, reader):
        """Typed at Python's prompt they print the same."""
        typed = "\n".join(program for title in SECTIONS for program in blocks(title, "{testcode}"))
        expected = "".join(text for title in SECTIONS for text in blocks(title, "{testoutput}"))
        (reader.home / "typed").write_text(f"{typed}\n", encoding="utf-8")
        done = reader.type("python -i < typed")
        assert "Error" not in done.stderr, done.stderr
        # PyPy writes its prompts there, too, and nothing but a prompt for the end.
        lines = re.sub(r"^(?:(?:>{4}|\.{4}) )+", "", done.stdout, flags=re.MULTILINE)
        assert lines.strip() == expected.strip()

    def test_two_servers(self, reader, saved):
        """Its commands start, ask and end two servers, and count.py uses them."""
        first, second, ping, count, status, end = commands("Two servers")
        for line in (first, second):
            assert line.startswith("farm-server 127.0.0.1:1111")
            reader.serve(line)
        assert reader.type(reader.real(ping)).stdout.count(" answers (") == 2
        done = reader.type(reader.real(count))
        assert done.stderr == ""
        self.check_counts(done.stdout, 4)
        said = reader.type(reader.real(status)).stdout
        assert all(found in said for _, found in reader.servers.values())
        reader.type(reader.real(end))
        assert [process.wait(BOUND) for process, _ in reader.servers.values()] == [0, 0]

    def test_three_machines(self, reader, saved, nodes):
        """They are logged in to, asked, and work; each was sent what it did not have."""
        *logins, ping, count = commands("Three machines")
        assert [line.split()[1] for line in logins] == list(NODES)
        for line in logins:
            assert reader.type(line).stdout.startswith("Python 3.")
        assert reader.type(ping).stdout.count(" answers (") == 3
        done = reader.type(count)
        assert done.stderr == ""
        places = self.check_counts(done.stdout, None)
        assert set(places) == {f"ssh://{name}" for name in NODES}
        if "FARM_WHEELS" in os.environ:  # else the tree that is on the path is on theirs, too
            assert all(any((nodes / f"{name}-cache" / "farm").iterdir()) for name in NODES)

    def check_counts(self, output, workers):
        """Each file is some worker's; returns where the workers are."""
        counts = re.findall(r"^worker \d+ at (\S+): (\d+) tasks$", output, re.MULTILINE)
        files = re.search(r"^(\d+) files, \d+ words$", output, re.MULTILINE)[1]
        assert "most frequent: " in output
        assert workers in (None, len(counts))
        assert sum(int(count) for _, count in counts) == int(files)
        return [place for place, _ in counts]
