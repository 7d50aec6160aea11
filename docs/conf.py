"""How the documentation is built. `nox -s docs` builds it with every warning an error."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

project = "farm"
author = "the farm developers"
copyright = "the farm developers"  # noqa: A001 (Sphinx's name)

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))
extensions = [
    "diagrams",
    "tables",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "_generated"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["farm.css"]
html_title = "farm"

# In docstrings `name` is a link where the name is documented, and code where it is not.
default_role = "py:obj"
add_module_names = False
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Type variables have nothing to link to.
nitpick_ignore_regex = [("py:class", r"(.*\.)?[A-Z]")]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Signatures name them, and nobody but farm makes them; a Buffer is any object with bytes.
INTERNAL = {"Background", "Buffer", "Engine", "Job", "Sites", "_Assembly"}

# Every example in the documentation runs; a traceback's body may change, its last line may not.
doctest_global_setup = "import farm_client as farm"

WHEELS = ("farm_client", "farm_server", "farm_admin", "farm_common")
logger = logging.getLogger(__name__)

SECTION = re.compile(r"\w+:$")
attributes: dict[str, list[str]] = {}

COMMANDS = {
    "farm-server": ["farm_server"],
    "farm-admin": ["farm_admin"],
    "farm-admin-ping": ["farm_admin", "ping"],
    "farm-admin-status": ["farm_admin", "status"],
    "farm-admin-top": ["farm_admin", "top"],
    "farm-admin-kill": ["farm_admin", "kill"],
    "farm-admin-end": ["farm_admin", "end"],
    "farm-admin-certs": ["farm_admin", "certs"],
    "farm-admin-certs-init": ["farm_admin", "certs", "init"],
    "farm-admin-certs-server": ["farm_admin", "certs", "server"],
    "farm-admin-certs-client": ["farm_admin", "certs", "client"],
}


def write_help(app: Sphinx) -> None:
    """Ask each command for its help, so that the reference cannot say anything else."""
    folder = Path(app.srcdir, "_generated")
    folder.mkdir(exist_ok=True)
    for name, (module, *arguments) in COMMANDS.items():
        text = subprocess.run(
            [sys.executable, "-m", module, *arguments, "--help"],
            env={**os.environ, "COLUMNS": "90"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement
) -> nodes.Node | None:
    """Link a name that was written shorter than, or is defined elsewhere than, it is documented.

    ``farm_client.kernel.Kernel`` in a signature is the ``Kernel`` documented as
    ``farm_client.Kernel``. The standard library's names, and names in backticks that are not
    documented (arguments, say), stay plain, as do the few in `INTERNAL`; whatever else is unknown
    is a warning.
    """
    if node.get("refdomain") != "py":
        return None
    domain = env.domains["py"]
    target = str(node["reftarget"])
    parts = target.split(".")
    if parts[0].startswith("farm_"):
        parts = [part for part in parts[1:] if not part.islower()] or parts[-1:]
    suffix = "." + ".".join(parts)
    known = sorted((name for name in domain.objects if name.endswith(suffix)), key=len)
    if known:
        document, anchor = domain.objects[known[0]][:2]
        reference = nodes.reference("", "", contnode, internal=True)
        uri = app.builder.get_relative_uri(node["refdoc"], document)
        reference["refuri"] = f"{uri}#{anchor}"
        return reference
    if node["reftype"] == "obj" or target.partition(".")[0] in sys.stdlib_module_names:
        return contnode
    if target.rpartition(".")[2] in INTERNAL:
        return contnode
    return None


def check_names(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of what a wheel exports and no page documents."""
    known = {name.rpartition(".")[2] for name in env.domains["py"].objects}
    for wheel in WHEELS:
        for name in importlib.import_module(wheel).__all__:
            if name not in known and not name.startswith("__"):
                logger.warning("%s exports %s, which no page documents", wheel, name)


def skip_internal(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    """Leave out methods that a program has no argument for: the kernel calls them with a job."""
    annotations = getattr(obj, "__annotations__", {}) if inspect.isfunction(obj) else {}
    said = " ".join(map(str, annotations.values()))
    return True if re.search(r"\bJob\b", said) else None


def keep_attribute(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Remember the text of an attribute: napoleon takes what stands before a colon for a type."""
    if what in ("attribute", "data", "property") and not any(map(SECTION.match, lines)):
        attributes[name] = list(lines)


def restore_attribute(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Put the text back after napoleon."""
    lines[:] = attributes.pop(name, lines)


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("autodoc-process-docstring", keep_attribute, priority=400)
    app.connect("autodoc-process-docstring", restore_attribute, priority=600)
    app.connect("builder-inited", write_help)
    app.connect("autodoc-skip-member", skip_internal)
    app.connect("missing-reference", resolve)
    app.connect("env-check-consistency", check_names)
