"""Directives that draw what the code says, so that no drawing can say anything else.

``states`` takes a role and draws its part of `farm_common.states.TRANSITIONS`. ``journey`` runs a
task (`journey.py`) and draws the frames that went over its connection, the states that these lead
to, and the modules in which the task was at either end. Both make SVG inside the page, whose
colours are those of the text around it: dark pages, light ones and paper need no care.
"""

from __future__ import annotations

import html
import json
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from farm_common.frames import NAMES, Kind
from farm_common.states import TRANSITIONS, Event, Role, State, next_state

BOUND = 120.0  # seconds for the task whose journey is drawn
WIDTH = 480  # what a phone shows without making the text too small to read
LAYER = "the layer is established"
KINDS = {name: kind for kind, name in NAMES.items()}

# A line's height, and a character's width.
LINE, CHARACTER = 16, 7.0


class Drawing:
    """SVG that grows downwards."""

    def __init__(self, spoken: str) -> None:
        self.y = 0.0
        self._spoken = spoken
        self._parts: list[str] = []

    def text(self, x: float, y: float, text: str, anchor: str = "middle", kind: str = "") -> None:
        """One line of it."""
        say = html.escape(text, quote=False)
        kind = f' class="{kind}"' if kind else ""
        self._parts.append(f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{kind}>{say}</text>')

    def box(self, x: float, y: float, width: float, height: float, kind: str = "state") -> None:
        """A rectangle with round corners."""
        self._parts.append(
            f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
            ' rx="6"/>'
        )

    def under(self, *points: tuple[float, float], kind: str) -> None:
        """A line below everything that was drawn so far."""
        self._parts.insert(0, self._polyline(points, kind))

    def line(self, *points: tuple[float, float], kind: str = "") -> None:
        """A line, which has a head at its end unless it is of a kind."""
        self._parts.append(self._polyline(points, kind or "arrow"))
        if not kind:
            (x0, y0), (x, y) = points[-2:]
            if x == x0:
                step = 7 if y > y0 else -7
                corners = [(x, y), (x - 4, y - step), (x + 4, y - step)]
            else:
                step = 7 if x > x0 else -7
                corners = [(x, y), (x - step, y - 4), (x - step, y + 4)]
            head = " ".join(f"{a:g},{b:g}" for a, b in corners)
            self._parts.append(f'<polygon class="head" points="{head}"/>')

    def _polyline(self, points: tuple[tuple[float, float], ...], kind: str) -> str:
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        return f'<polyline class="{kind}" points="{path}"/>'

    def node(self) -> nodes.Node:
        """For a page in HTML; elsewhere there is nothing to see but what it is."""
        svg = (
            f'<div class="drawing"><svg viewBox="0 0 {WIDTH} {self.y:g}" role="img"'
            f' xmlns="http://www.w3.org/2000/svg"><title>{html.escape(self._spoken)}</title>'
            + "".join(self._parts)
            + "</svg></div>"
        )
        return nodes.raw("", svg, format="html")


def named(what: str | int) -> str:
    """An event as the tables call it."""
    if what == "layer":
        return LAYER
    return what if isinstance(what, str) else NAMES[what]


def draw_states(role: Role) -> Drawing:
    """The states one below the other, in the table's order; what leads further down goes around."""
    drawing = Drawing(f"The states of the {role.name.lower()}, and what leads from one to the next")
    table = TRANSITIONS[role]
    order = list(table)
    tops: dict[State, float] = {}
    around: list[tuple[State, State, str]] = []
    left, width, height, gap = 12, 132, 28, 34
    middle = left + width / 2
    y = 4.0
    for number, state in enumerate(order):
        tops[state] = y
        events: dict[tuple[State, str], list[str | int]] = {}
        for (verb, what), following in table[state].items():
            events.setdefault((following, verb), []).append(what)
        notes: list[str] = []
        below: list[str] = []
        for (following, verb), whats in events.items():
            said = ", ".join(map(named, whats))
            if said != LAYER:
                said = f"{verb}s {said}"
            if following is state:
                notes += textwrap.wrap(said, int((WIDTH - left - width - 22) / CHARACTER))
            elif following is order[min(number + 1, len(order) - 1)]:
                below.append(said)
            else:
                around.append((state, following, said))
        tall = max(height, len(notes) * LINE + 8)
        drawing.box(left, y, width, tall)
        drawing.text(middle, y + tall / 2 + 4, state.name, kind="name")
        for index, note in enumerate(notes):
            drawing.text(left + width + 12, y + 17 + index * LINE, note, "start", "note")
        y += tall
        if below:
            start, y = y, y + max(gap, len(below) * LINE + 14)
            drawing.line((middle, start), (middle, y))
            for index, said in enumerate(below):
                at = (start + y) / 2 + 1 + (index - (len(below) - 1) / 2) * LINE
                drawing.text(middle + 10, at, said, "start")
    for number, (state, following, said) in enumerate(around):
        lane = WIDTH - 14 - 14 * (len(around) - 1 - number)
        start, end = tops[state] + height / 2, tops[following] + height / 2 + 4 * number
        drawing.line((left + width, start), (lane, start), (lane, end), (left + width, end))
        drawing.text(left + width + 10, start - 5, said, "start")
    drawing.y = y + 4
    return drawing


def run_journey() -> dict:
    """What `journey.py` noted of its task."""
    script = Path(__file__).with_name("journey.py")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journey.json")
        subprocess.run(
            [sys.executable, str(script), str(path)],
            check=True,
            timeout=BOUND,
            stdout=subprocess.DEVNULL,
        )
        return json.loads(path.read_text("utf-8"))


def draw_journey() -> Drawing:
    """Two lines for the two ends, the frames between them, and where the task was."""
    noted = run_journey()
    stacks = noted["stacks"]
    drawing = Drawing("The frames of a connection that carried one task, and where the task was")
    client, server = 92, WIDTH - 92
    drawing.text(client, 16, "client", kind="name")
    drawing.text(server, 16, "farm-server", kind="name")
    drawing.y = 34
    begin = drawing.y - 8

    def stack(title: str, modules: list[str], role: Role) -> None:
        lines = textwrap.wrap(" → ".join(modules), 36, break_long_words=False)
        tall = (len(lines) + 1) * LINE + 10
        x = 6 if role is Role.CLIENT else WIDTH - 6 - 300
        drawing.box(x, drawing.y, 300, tall, "place")
        drawing.text(x + 10, drawing.y + 17, title, "start", "name")
        for number, line in enumerate(lines, 2):
            drawing.text(x + 10, drawing.y + 1 + number * LINE, line, "start", "note")
        drawing.y += tall + 8

    def short(modules: list[str]) -> list[str]:
        return [name.partition("_")[2] for name in modules]

    # A worker's stack begins with the listener's, from which it was forked.
    forked = stacks["execute"].index("farm_server.session")
    states = {Role.CLIENT: State.START, Role.SERVER: State.START}

    def enter(role: Role, event: Event) -> None:
        state = next_state(role, states[role], event)
        if state is not states[role]:
            x, anchor = (client - 8, "end") if role is Role.CLIENT else (server + 8, "start")
            drawing.text(x, drawing.y + 4, state.name, anchor, "note")
        states[role] = state

    for who, name in noted["conversation"]:
        what = KINDS.get(name, name)
        if what == Kind.FUNCTION:
            stack("submit_task packs the argument", short(stacks["submit"]), Role.CLIENT)
        drawing.y += 14
        sender, receiver = Role.CLIENT, Role.SERVER
        ends = (client, server)
        if who == "server":
            sender, receiver, ends = receiver, sender, ends[::-1]
        enter(sender, ("send", what))
        enter(receiver, ("receive", what))
        drawing.text(WIDTH / 2, drawing.y - 5, name)
        drawing.line((ends[0], drawing.y), (ends[1], drawing.y))
        drawing.y += 12
        if what == "preamble" and who == "client":
            stack("a worker is forked", short(stacks["execute"][:forked]), Role.SERVER)
        elif states == dict.fromkeys(Role, State.SECURING):
            drawing.y += 14
            for role in Role:
                enter(role, ("receive", "layer"))
            drawing.text(WIDTH / 2, drawing.y - 5, "the security layer's own handshake")
            drawing.line((client, drawing.y), (server, drawing.y), kind="layer")
            drawing.y += 12
        elif what == Kind.TASK:
            stack("the function is called", short(stacks["execute"][forked:]), Role.SERVER)
            stack("its result is packed", short(stacks["give"][forked:]), Role.SERVER)
        elif what == Kind.RESULT:
            stack("receive_result unpacks it", short(stacks["receive"]), Role.CLIENT)
    for x in (client, server):
        drawing.under((x, begin), (x, drawing.y), kind="life")
    return drawing


class States(Directive):
    """``{states} client``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return [draw_states(Role[self.arguments[0].upper()]).node()]


class Journey(Directive):
    """``{journey}``."""

    def run(self) -> list[nodes.Node]:
        return [draw_journey().node()]


def setup(app: Sphinx) -> dict:
    """Make the directives known."""
    app.add_directive("states", States)
    app.add_directive("journey", Journey)
    return {"parallel_read_safe": True}
