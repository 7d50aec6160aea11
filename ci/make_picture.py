"""Draw `docs/pictures/run.svg`, the README's picture: two terminals of a real run.

farm-client and farm-admin must be installed for this Python; `nox -s picture` sees to that. The
server, the programs and the commands are those of the README and of the tutorial, each in a
terminal of its own; what they wrote there is drawn, and nothing else.
"""

from __future__ import annotations

import html
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "pictures" / "run.svg"
README = (ROOT / "README.md").read_text("utf-8")
TUTORIAL = (ROOT / "docs" / "tutorial" / "ten-minutes.md").read_text("utf-8")
SERVER = "farm-server 127.0.0.1:11111 --workers 2"
COMMANDS = (
    "python pi.py",
    "python count.py 127.0.0.1:11111 'local?workers=2'",
    "farm-admin status 127.0.0.1:11111",
    "farm-admin end 127.0.0.1:11111",
)

BOUND = 60.0  # seconds until something is taken to hang
COLUMNS = 80
COLUMN, LINE, MARGIN = 8.43, 19, 16  # pixels

STYLE = """
text { font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #24292f }
.pane { fill: #f6f8fa; stroke: #afb8c1 }
.title { font-size: 12px; fill: #57606a }
.typed { font-weight: 600; fill: #0550ae }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .pane { fill: #161b22; stroke: #484f58 }
  .title { fill: #9198a1 }
  .typed { fill: #79c0ff }
}
"""


class Terminal:
    """A command in a terminal; `text` is what it has written so far."""

    def __init__(self, command: str, folder: str) -> None:
        self.text = ""
        self._master, slave = pty.openpty()
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=folder,
            env={**os.environ, "PATH": path, "TERM": "dumb", "COLUMNS": str(COLUMNS)},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)

    def read(self, until: str | None = None) -> None:
        """Read until it has written something, or has ended."""
        while until is None or until not in self.text:
            if not select.select([self._master], [], [], BOUND)[0]:
                raise TimeoutError(f"{self.process.args} wrote nothing for {BOUND:.0f} s")
            try:
                data = os.read(self._master, 4096)
            except OSError:  # it has ended
                break
            self.text += data.decode("utf-8").replace("\r\n", "\n")

    def end(self) -> int:
        """Its exit status; it has to end by itself."""
        self.read()
        os.close(self._master)
        return self.process.wait(BOUND)


def run() -> list[tuple[str, list[tuple[str, str]]]]:
    """The panes: a title, and the commands with what they wrote."""
    python = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pi.py").write_text(python.findall(README)[1], "utf-8")
        Path(folder, "count.py").write_text(python.findall(TUTORIAL)[0], "utf-8")
        server = Terminal(SERVER, folder)
        try:
            server.read(" ready 127.0.0.1:11111\n")
            shown = []
            for command in COMMANDS:
                terminal = Terminal(command, folder)
                status = terminal.end()
                if status:
                    raise SystemExit(f"{command}: exit status {status}\n{terminal.text}")
                shown.append((command, terminal.text))
            if server.end() != 0:
                raise SystemExit(f"{SERVER}: failed\n{server.text}")
        finally:
            if server.process.poll() is None:
                server.process.send_signal(signal.SIGKILL)
                server.process.wait(BOUND)
    return [("one terminal", [(SERVER, server.text)]), ("another terminal", shown)]


def draw(panes: list[tuple[str, list[tuple[str, str]]]]) -> str:
    """Lines of text, and a frame around those of each terminal."""
    texts = ["\n".join(pair) for _title, shown in panes for pair in shown]
    longest = max(len(line) for text in texts for line in text.splitlines()) + len("$ ")
    width = round(longest * COLUMN + 4 * MARGIN)
    body, top = [], MARGIN // 2
    for title, commands in panes:
        lines = []
        for command, text in commands:
            lines.append(
                f'<tspan class="title">$</tspan> <tspan class="typed">{_(command)}</tspan>'
            )
            lines += map(_, text.splitlines())
        height = (len(lines) + 1) * LINE + MARGIN
        frame = f'x="{MARGIN}" y="{top}" width="{width - 2 * MARGIN}" height="{height}" rx="8"'
        body.append(f'<rect class="pane" {frame}/>')
        y = top + LINE
        body.append(f'<text class="title" x="{2 * MARGIN}" y="{y}">{title}</text>')
        for line in lines:
            y += LINE
            body.append(f'<text x="{2 * MARGIN}" y="{y}" xml:space="preserve">{line}</text>')
        top += height + MARGIN // 2
    spoken = "farm-server in one terminal; in another pi.py, count.py and farm-admin use it"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}"'
        f' height="{top}" role="img">\n<title>{spoken}</title>\n<style>{STYLE}</style>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _(text: str) -> str:
    return html.escape(text, quote=False)


def main() -> None:
    """Run everything, and write the picture."""
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(run()), "utf-8")
    print(PICTURE.relative_to(ROOT))


if __name__ == "__main__":
    main()
