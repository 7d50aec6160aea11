"""The README's server and client, as a reader would copy them."""

import html
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ADDRESS = "127.0.0.1:11111"  # the README's; the test takes any free port
PROGRAMS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_what_it_installs_is_here():
    """Each wheel that it names is a package of this tree, and so is each folder."""
    packages = ROOT / "packages"
    named = re.findall(r"^    pip install (\S+)", README, re.MULTILINE)
    assert {*named, "farm-common"} == {path.name for path in packages.iterdir()}
    (names,) = re.findall(r"`pip install packages/farm-\{(.*?)\}`", README)
    assert all(
        (packages / f"farm-{name}" / "pyproject.toml").is_file() for name in names.split(",")
    )


def test_the_picture_shows_this():
    """The picture was drawn from what its script runs, and that is what README and tutorial say."""
    (shown,) = re.findall(r"!\[.*?\]\((docs/\S+\.svg)\)", README)
    picture = html.unescape((ROOT / shown).read_text(encoding="utf-8"))
    script = runpy.run_path(str(ROOT / "ci" / "make_picture.py"))
    assert script["PICTURE"] == ROOT / shown
    commands = [script["SERVER"], *script["COMMANDS"]]
    assert re.findall(r'class="typed">(.*?)</tspan>', picture) == commands
    said = README + (ROOT / "docs" / "tutorial" / "ten-minutes.md").read_text(encoding="utf-8")
    for command in commands:
        assert " ".join(command.split()[:2]) in said


def test_programs_at_the_prompt():
    """Typed at Python's prompt, the programs are understood: no empty line ends a block early."""
    for program in PROGRAMS:
        block = []
        for line in [*program.splitlines(), ""]:
            if block and (not line or not line[0].isspace()):
                compile("\n".join(block) + "\n", "<stdin>", "single")
                block = []
            assert block or not line.startswith(" "), line
            if line:
                block.append(line)


def test_the_first_lines():
    """Squares, whatever the addresses are; those of ssh are tried in test_ssh."""
    program = PROGRAMS[0].replace('["ssh://node1", "ssh://node2"]', '"local?workers=2"')
    assert "local" in program
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout == f"{[n * n for n in range(1000)]}\n"


def test_the_client_computes_pi_on_the_server(tmp_path):
    """The command starts a server, and the program prints something near pi."""
    command = re.search(r"^    (farm-server 127.*)$", README, re.MULTILINE).group(1)
    _, program = PROGRAMS
    assert ADDRESS in command
    assert ADDRESS in program

    arguments = shlex.split(command.replace(ADDRESS, "127.0.0.1:0"))[1:]
    server = [sys.executable, "-m", "farm_server", *arguments]
    script = tmp_path / "client.py"
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().split()[-1]
            script.write_text(program.replace(ADDRESS, address), encoding="utf-8")
            done = subprocess.run(
                [sys.executable, str(script)], capture_output=True, text=True, check=False
            )
        finally:
            process.terminate()
    assert done.stderr == ""
    assert 3.1 < float(done.stdout) < 3.2
    assert process.returncode == 0
