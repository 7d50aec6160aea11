"""Reduces functions, closures and what they capture, for the pickler.

A function goes as a skeleton (code, globals, cells), and its state follows. A cell is memoized
before its content is written, so that closures that share a cell still share it, and functions
may refer to one another in circles. All functions of one module share one dict of globals, as
they do here; of these go only the names that the code uses, nested code included, and what those
refer to in turn. Code goes as source, or as bytecode where the other side can load it.

The receiving side is `rebuild`, which the pickles name.
"""

from __future__ import annotations

import collections
import dis
import linecache
import marshal
import sys
import types
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Optional

from ..errors import SerializationError
from . import rebuild
from .by_value import goes_by_value, is_used
from .codes import CodeTable, operands
from .hints import annotations_of
from .importable import is_imported
from .imports import imported_modules
from .rebuild_belongings import absent_function, sent_module

__all__ = [
    "WithOffers",
    "Wrapping",
    "global_names",
    "reduce_cell",
    "reduce_function",
    "reduce_module",
]

_GLOBAL_OPS = frozenset(
    {
        *("LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME"),
        *("LOAD_FROM_DICT_OR_GLOBALS", "LOAD_GLOBAL_BUILTIN"),
    }
)

#: The attributes of a function that are part of its state.
_ATTRIBUTES = (
    *("__defaults__", "__kwdefaults__", "__name__", "__qualname__", "__module__", "__doc__"),
    *("__annotations__", "__type_params__"),
)


class _Namespace:
    """The globals of one module, of which only what is used travels."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self.sent: set[str] = set()

    def __reduce__(self) -> Any:
        values = self.values
        module, package = values.get("__name__"), values.get("__package__")
        return rebuild.make_namespace, (
            module if isinstance(module, str) else None,
            package if isinstance(package, str) else None,
        )


class _Code:
    """Code that is to be loaded on the other side; how is decided once a pickle."""

    def __init__(self, reduced: Any) -> None:
        self._reduced = reduced

    def __reduce__(self) -> Any:
        return self._reduced


class _End:
    """The last thing in a state: it is written when all else is."""

    def __init__(self, wrapping: Wrapping) -> None:
        self._wrapping = wrapping

    def __reduce__(self) -> Any:
        self._wrapping.open.pop()
        return tuple, ()


class _Offer:
    """What functions import of a module that goes by value."""

    def __init__(self, module: types.ModuleType, members: list[Any]) -> None:
        self._reduced = rebuild.offer_module, (module, members)

    def __reduce__(self) -> Any:
        return self._reduced


class WithOffers:
    """A value, and after it what its functions import.

    Deep in a pickle the imports of functions that are imported themselves would be deeper than
    any pickler goes.

    Args:
        value: The value.
        offers: Gives, when what is before is written, what is to follow; more may come of that.
    """

    def __init__(self, value: Any, offers: Callable[[], list[Any]]) -> None:
        self._value = value
        self._offers = offers

    def __reduce__(self) -> Any:
        return rebuild.with_offers, (self._value, _Later(self._offers))


class _Later:
    """What is found out when it is written."""

    def __init__(self, offers: Callable[[], list[Any]]) -> None:
        self._offers = offers

    def __reduce__(self) -> Any:
        found = self._offers()
        return (rebuild.with_offers, (found, _Later(self._offers))) if found else (tuple, ())


class Wrapping:
    """What one pickle has written of functions so far.

    Args:
        bytecode: Whether bytecode may be written; else source is.
    """

    def __init__(self, bytecode: bool) -> None:
        self.bytecode = bytecode
        self.used = False  # whether bytecode was written
        #: The oldest Python that can read the source that was written.
        self.minimum = (0, 0)
        self.newest = ""  # what needs that
        # By id; the objects are kept alive by the pickler's memo and by the values here.
        self._namespaces: dict[int, _Namespace] = {}
        self._codes: dict[int, tuple[types.CodeType, _Code]] = {}
        self._cells: dict[int, types.CellType] = {}
        self._members: dict[int, set[str]] = {}  # of modules that go by value, what was written
        self._offers: collections.deque[tuple[types.ModuleType, types.CodeType]] = (
            collections.deque()
        )
        self._offered: set[int] = set()
        #: The modules of functions and classes that are begun, whose state is not written yet.
        self.open: list[str] = []

    def namespace(self, values: dict[str, Any]) -> _Namespace:
        """What stands for a dict of globals."""
        found = self._namespaces.get(id(values))
        if found is None:
            found = self._namespaces[id(values)] = _Namespace(values)
        return found

    def code(self, function: types.FunctionType) -> _Code:
        """What stands for a function's code."""
        code = function.__code__
        known = self._codes.get(id(code))
        if known is None:
            known = self._codes[id(code)] = code, _Code(self._reduce_code(function))
        return known[1]

    def take_cell(self, cell: types.CellType) -> bool:
        """Whether the content of a cell is still to be written; then it is from now on."""
        if id(cell) in self._cells:
            return False
        self._cells[id(cell)] = cell
        return True

    def take_members(
        self, module: Any, code: types.CodeType
    ) -> Iterator[tuple[types.ModuleType, dict[str, Any]]]:
        """What code may use of a module that goes by value, and of those in it, if not yet sent."""
        names = sorted(_all_names(code))  # the content id must not depend on the order
        waiting: list[Any] = [module]
        seen: set[int] = set()
        while waiting:
            owner = waiting.pop()
            if type(owner) is not types.ModuleType or id(owner) in seen:
                continue
            if not goes_by_value(owner.__name__):
                continue
            seen.add(id(owner))
            content = vars(owner)
            sent = self._members.setdefault(id(owner), set())
            found = {name: content[name] for name in names if name in content}
            fresh = {name: value for name, value in found.items() if name not in sent}
            if fresh:
                sent.update(fresh)
                yield owner, fresh
            waiting += found.values()

    def begin(self, module: Optional[str], state: dict[str, Any]) -> None:
        """A function or class of a module is begun, and finished when its state is written."""
        if is_used():
            self.open.append(module or "")
            state["end"] = _End(self)

    def offer(self, module: types.ModuleType, code: types.CodeType) -> None:
        """Write later what code imports of a module when it runs: it is seldom needed before."""
        self._offers.append((module, code))

    def offers(self) -> list[_Offer]:
        """What was offered since the last call."""
        found = []
        while self._offers:
            module, code = self._offers.popleft()
            members = list(self.take_members(module, code))
            if members or id(module) not in self._offered:
                self._offered.add(id(module))
                found.append(_Offer(module, members))
        return found

    def home(self, function: types.FunctionType) -> str:
        """The module that a function is from; "" where that does not go by value."""
        own: Any = function.__module__
        if not isinstance(own, str) or own == "builtins":
            # Generated, among globals of its own, for what it is found in.
            own = self.open[-1] if self.open else ""
        return own if goes_by_value(own) else ""

    def reduce_code(self, code: types.CodeType) -> Any:
        """A code object that is a value: as bytecode, or not at all."""
        if not self.bytecode:
            raise SerializationError(
                f"a code object ({code.co_name}) travels only between interpreters of the same "
                f"version: send the function"
            )
        return self._as_bytecode(code, *_lines(code, {}))

    def _as_bytecode(self, code: types.CodeType, line: int, text: str) -> Any:
        self.used = True
        return rebuild.code_from_bytecode, (marshal.dumps(code), code.co_filename, line, text)

    def _reduce_code(self, function: types.FunctionType) -> Any:
        code = function.__code__
        if self.bytecode and (code.co_filename, function.__module__) not in _TYPED:
            return self._as_bytecode(code, *_lines(code, function.__globals__))
        from . import source  # reads syntax trees, which few programs need

        if self.bytecode:
            try:
                typed = source.find_unit(function)
            except SerializationError:
                return self._as_bytecode(code, *_lines(code, function.__globals__))
            return self._as_bytecode(code, typed.line, typed.text)
        unit = source.find_unit(function, self.home(function))
        minimum = source.minimum_version(unit)
        if minimum > self.minimum:
            self.minimum = minimum
            self.newest = unit.place
        return rebuild.code_from_source, tuple(unit)


def reduce_function(function: types.FunctionType, wrapping: Wrapping) -> Any:
    """Reduce a function that travels by value.

    One of a module sent by value that others may never call need not keep these from travelling:
    where it has no source, something takes its place that says so when it is called.

    Raises:
        SerializationError: Source is needed, and there is none.
    """
    _resolve_imports(function)
    try:
        reduced = wrapping.code(function)
    except SerializationError as error:
        home = wrapping.home(function)
        if not wrapping.open or not home:
            raise
        return absent_function, (function.__name__, function.__qualname__, home, str(error))
    return _reduce_written(function, reduced, wrapping)


#: What a ``lazy import`` leaves among the globals until somebody reads it, from Python 3.15 on.
_LAZY_IMPORT: Any = getattr(types, "LazyImportType", None)


def _resolve_imports(function: types.FunctionType) -> None:
    """Do what reading the globals that a function uses would do: import what is imported lazily.

    Raises:
        ImportError: It is not here.
    """
    if _LAZY_IMPORT is None:
        return
    namespace = function.__globals__
    for name in global_names(function.__code__):
        if type(namespace.get(name)) is _LAZY_IMPORT:
            namespace[name] = namespace[name].resolve()


def _reduce_written(function: types.FunctionType, reduced: _Code, wrapping: Wrapping) -> Any:
    """Reduce a function whose code travels."""
    code = function.__code__
    namespace = wrapping.namespace(function.__globals__)
    cells = function.__closure__ or ()
    skeleton = (reduced, namespace, code.co_freevars, cells)

    attributes = {}
    for name in _ATTRIBUTES:
        value = _attribute(function, name)
        if value:
            attributes[name] = value
    if attributes.get("__name__") == code.co_name:
        del attributes["__name__"]
    if "__doc__" in attributes and code.co_consts[:1] == (attributes["__doc__"],):
        del attributes["__doc__"]
    state: dict[str, Any] = {"attributes": attributes}
    if function.__dict__:
        state["dict"] = function.__dict__
    contents = list(_contents(cell for cell in cells if wrapping.take_cell(cell)))
    if contents:
        state["cells"] = contents
    values = {}
    names = global_names(code)
    for name in names:
        if name in namespace.values and name not in namespace.sent:
            values[name] = namespace.values[name]
    if values:
        namespace.sent.update(values)
        state["globals"] = values
    packages = [value for value in values.values() if type(value) is types.ModuleType]
    if packages:
        imports = _submodules(packages, code)
        if imports:
            state["imports"] = imports
    used = [namespace.values[name] for name in names if name in namespace.values]
    used += [content for _, content in _contents(cells)]
    for module in imported_modules(code, namespace.values):
        wrapping.offer(module, code)
    members = [part for value in used for part in wrapping.take_members(value, code)]
    if members:
        state["members"] = members
    wrapping.begin(wrapping.home(function), state)
    return rebuild.make_function, skeleton, state, None, None, rebuild.fill_function


def _attribute(function: types.FunctionType, name: str) -> Any:
    if name == "__annotations__":
        return annotations_of(function)
    return getattr(function, name, None)


def _contents(cells: Iterable[types.CellType]) -> Iterator[tuple[types.CellType, Any]]:
    for cell in cells:
        try:
            yield cell, cell.cell_contents
        except ValueError:
            pass  # not assigned yet


def reduce_cell(cell: types.CellType, wrapping: Wrapping) -> Any:
    """Reduce a cell; its content comes here, unless it comes with a function that has it."""
    if wrapping.take_cell(cell):
        for _, content in _contents([cell]):
            return rebuild.make_cell, (), content, None, None, rebuild.fill_cell
    return rebuild.make_cell, ()


def reduce_module(module: types.ModuleType) -> Any:
    """Reduce a module: as its name, or, if it was made by hand, with all that is in it.

    Raises:
        SerializationError: It is the script itself.
    """
    name = module.__name__
    if goes_by_value(name):
        return sent_module, (name, module.__doc__)  # functions bring what they use of it
    if is_imported(module):
        return rebuild.import_module, (name,)
    if sys.modules.get(name) is module:
        raise SerializationError(f"the module {name} cannot travel: refer to what you need of it")
    content = {key: item for key, item in vars(module).items() if key != "__builtins__"}
    return rebuild.make_module, (name, module.__doc__), content


def _submodules(packages: list[types.ModuleType], code: types.CodeType) -> list[str]:
    """The submodules that code reaches as attributes of their packages: ``import a.b; a.b.f()``.

    Nobody imports them on the other side, where the package comes by its name alone.
    """
    found = []
    names = _all_names(code)
    for package in packages:
        if not hasattr(package, "__path__") or goes_by_value(package.__name__):
            continue
        prefix = f"{package.__name__}."
        found += [
            name
            for name in list(sys.modules)
            if name.startswith(prefix) and names.issuperset(name[len(prefix) :].split("."))
        ]
    return found


def global_names(code: types.CodeType) -> tuple[str, ...]:
    """The names that a function's code, and the functions inside it, look up as globals."""
    found = _names.get(code)
    if found is None:
        found = tuple(dict.fromkeys(_global_names(code)))
        _names.put(code, found)
    return found


_names: CodeTable[tuple[str, ...]] = CodeTable()


def _global_names(code: types.CodeType) -> Iterator[str]:
    if code.co_names:
        for name, operand in operands(code):
            if name in _GLOBAL_OPS:
                yield operand
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


def _all_names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _all_names(constant)
    return names


#: Files and modules of what was given to -c, piped or typed: nothing keeps its lines for tracebacks
#: before Python 3.13.
_TYPED = frozenset({("<string>", "__main__"), ("<stdin>", "__main__")})


def _lines(code: types.CodeType, namespace: dict[str, Any]) -> tuple[int, str]:
    """The first line of code, and the source lines from there on, where they are known.

    Args:
        code: The code.
        namespace: The globals of its function, which tell what loaded its module.
    """
    first = code.co_firstlineno
    try:
        lines = linecache.getlines(code.co_filename, namespace)
    except Exception:  # a loader's
        lines = []
    if not lines or code.co_filename.startswith("<frozen "):
        return first, ""
    return first, "".join(lines[first - 1 : _last_line(code)])


def _last_line(code: types.CodeType) -> int:
    last = max((line or 0 for _, line in dis.findlinestarts(code)), default=0)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            last = max(last, _last_line(constant))
    return last
