"""Check that the arrows between the wheels, and inside farm_common, point one way only.

1. client, server, admin and gss import farm_common, never each other; and besides the standard
   library only the packages that MAY_IMPORT grants them.
2. In farm_common the sans-I/O core imports neither sockets nor threads, clocks or logging, nor
   any part of farm_common that does; only ``sockets``, ``stream``, ``greeting`` and ``peer``
   import ``socket``.
3. What one wheel imports from another is in the ``__all__`` of the module it comes from, and that
   module is in the reference (``automodule`` in docs/reference).

Read from the syntax trees, so nothing is imported, and an import that runs only sometimes (in a
function, or for type checkers) counts like any other.

Usage: ``python ci/check_layering.py [ROOT]``; exits 1 and names file and line of what it finds.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# Rule 1. Optional packages stand here too: being optional is tested with them uninstalled.
MAY_IMPORT = {
    "farm_common": {"cloudpickle", "numpy"},
    "farm_server": {"farm_common"},
    "farm_client": {"farm_common", "joblib", "numpy", "tqdm"},
    "farm_admin": {"farm_common", "cryptography", "rich"},
    "farm_gss": {"farm_common", "gssapi"},
}

# Rule 2. The core, and what would make it need more than bytes to be tested.
PURE = {"address", "errors", "frames", "states", "handshake", "connection", "kills"}
IMPURE = {
    *("_thread", "asyncio", "concurrent", "datetime", "logging", "multiprocessing", "queue"),
    *("select", "selectors", "signal", "socket", "ssl", "subprocess", "threading", "time"),
}
MAY_IMPORT_SOCKET = {
    *("farm_common.sockets", "farm_common.stream", "farm_common.greeting", "farm_common.peer"),
}

#: With what later versions than the one that runs this may add, and farm uses there.
STDLIB = sys.stdlib_module_names | {"annotationlib"}


class Import(NamedTuple):
    """One name imported from one module; ``name`` is None where the module itself is."""

    line: int
    module: str
    name: str | None


class Module:
    """A module of a wheel: its dotted name, its imports and its ``__all__``."""

    def __init__(self, path: Path, source_root: Path) -> None:
        self.path = path
        parts = path.relative_to(source_root).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        self.name = ".".join(parts[:-1] if is_package else parts)
        self.wheel = parts[0]
        self.tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        self._package = parts[:-1]

    def imports(self) -> Iterator[Import]:
        """Every import statement, and every ``import_module`` of a literal name."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(node.lineno, alias.name, None)
            elif isinstance(node, ast.ImportFrom):
                # One dot is the package itself, each further dot one package up.
                up = self._package[: len(self._package) - node.level + 1] if node.level else ()
                module = ".".join([*up, *([node.module] if node.module else [])])
                for alias in node.names:
                    yield Import(node.lineno, module, alias.name)
            elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
                for argument in node.args[:1]:
                    if isinstance(argument, ast.Constant):
                        yield Import(node.lineno, str(argument.value), None)

    def exports(self) -> set[str] | None:
        """What ``__all__`` lists; None where there is none that can be read off."""
        for node in self.tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
                try:
                    return set(ast.literal_eval(node.value))
                except ValueError:
                    return None
        return None

    def uses(self, name: str) -> Iterator[tuple[int, str]]:
        """Every attribute that is taken from the variable ``name``, with its line."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute):
                owner = node.value.id if isinstance(node.value, ast.Name) else None
                if owner == name:
                    yield node.lineno, node.attr


class House(NamedTuple):
    """All modules by name, and the names of those that the reference documents."""

    modules: dict[str, Module]
    documented: set[str]

    @classmethod
    def read(cls, root: Path) -> House:
        """Read ``root/packages/*/src`` and ``root/docs/reference``."""
        modules = {}
        for source in sorted(root.glob("packages/*/src")):
            for path in sorted(source.rglob("*.py")):
                module = Module(path, source)
                modules[module.name] = module
        pages = "".join(page.read_text("utf-8") for page in root.glob("docs/reference/*.md"))
        return cls(modules, set(re.findall(r"automodule:: ([\w.]+)", pages)))


def check(root: Path) -> list[str]:
    """Return one line for each violation in ``root/packages/*/src``."""
    house = House.read(root)
    found = []
    for module in house.modules.values():
        where = module.path.relative_to(root)
        for item in sorted(set(module.imports()), key=lambda item: (item.line, str(item))):
            for line, text in _violations(module, item, house):
                found.append(f"{where}:{line}: {text}")
    return list(dict.fromkeys(found))


def _violations(module: Module, item: Import, house: House) -> Iterator[tuple[int, str]]:
    top = item.module.partition(".")[0]
    if top == module.wheel:
        if _is_pure(module) and not _is_pure_target(item, house.modules):
            yield item.line, f"{module.name} is sans-I/O and imports {_dotted(item)} (rule 2)"
        return
    if module.wheel == "farm_common":
        if _is_pure(module) and top in IMPURE:
            yield item.line, f"{module.name} is sans-I/O and imports {top} (rule 2)"
        elif top == "socket" and module.name not in MAY_IMPORT_SOCKET:
            yield item.line, f"{module.name} imports socket, which few may (rule 2)"
    if top not in STDLIB and top not in MAY_IMPORT.get(module.wheel, ()):
        yield item.line, f"{module.wheel} imports {top} (rule 1)"
    elif top.startswith("farm_"):
        yield from _unexported(module, item, house)


def _unexported(module: Module, item: Import, house: House) -> Iterator[tuple[int, str]]:
    if item.name is None or item.name == "*":
        yield item.line, f"import the names you use from {item.module}, one by one (rule 3)"
        return
    exporter = house.modules.get(_dotted(item))
    if exporter is not None:
        used = list(module.uses(item.name))
    else:
        used = [(item.line, item.name)]
        exporter = house.modules.get(item.module)
    exports = exporter.exports() if exporter else None
    if exporter and exporter.name not in house.documented:
        yield item.line, f"{exporter.name} is not in docs/reference (rule 3)"
    for line, name in used:
        if exporter is None or exports is None:
            yield line, f"{item.module} has no literal __all__ that lists {name} (rule 3)"
        elif name not in exports:
            yield line, f"{name} is not in __all__ of {exporter.name} (rule 3)"


def _is_pure(module: Module) -> bool:
    wheel, _, rest = module.name.partition(".")
    return wheel == "farm_common" and rest in PURE


def _is_pure_target(item: Import, modules: dict[str, Module]) -> bool:
    target = modules.get(_dotted(item)) or modules.get(item.module)
    return target is not None and _is_pure(target)


def _dotted(item: Import) -> str:
    return f"{item.module}.{item.name}" if item.name else item.module


def _called(node: ast.Call) -> str:
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def main() -> int:
    """Print what was found under the root given, or under the one this file is in."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent
    found = check(root.resolve())
    for line in found:
        print(line)
    print(f"layering: {len(found)} violations" if found else "layering: sound")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
