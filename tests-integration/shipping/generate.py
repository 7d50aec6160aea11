"""Makes up programs: nests of functions that share variables, and graphs of classes.

Whoever wants one brings the choices: `choose(n)` gives a number below n. So the same generator
serves hypothesis, which shrinks what fails, and a fixed seed, for which any Python will do.
"""

__all__ = ["CALLS", "class_program", "closure_program", "play"]

#: How often the functions of a program are called.
CALLS = 12

_HEAD = '''"""A made-up program."""

SCALE = 3
LIMIT = 9973


def bounded(value):
    return value % LIMIT


'''


class _Scope:
    """A function that is being written.

    Attributes:
        variables: What it can read, and where each is from: names to the depth they belong to.
        functions: What it can call.
    """

    def __init__(self, outer=None):
        self.depth = 0 if outer is None else outer.depth + 1
        self.variables = {} if outer is None else dict(outer.variables)
        self.functions = [] if outer is None else list(outer.functions)
        self.lines = []
        self.nonlocals = set()


class _Writer:
    """Writes nests of functions.

    Args:
        choose: Gives a number below another.
    """

    def __init__(self, choose):
        self.choose = choose
        self.count = 0

    def pick(self, options):
        return options[self.choose(len(options))]

    def name(self, kind):
        self.count += 1
        return f"{kind}{self.count}"

    def expression(self, scope):
        """A number, from what can be read."""
        names = [*scope.variables, "SCALE", str(self.choose(7))]
        one, two = self.pick(names), self.pick(names)
        forms = [
            f"{one}",
            f"{one} + {two}",
            f"bounded({one} * {two})",
            f"({one} if {two} > 3 else {two})",
            f"sum({one} + i for i in range(3))",
            f"[{one} - j for j in range(2)][-1]",
            f"(lambda q={one}: q + {two})()",
            f"max({{i: {one} for i in range(2)}}.values())",
        ]
        return self.pick(forms)

    def statement(self, scope, budget):
        """One or more lines; the budget is how many functions may still be defined in it."""
        own = [name for name, depth in scope.variables.items() if depth == scope.depth]
        outer = [name for name, depth in scope.variables.items() if 0 < depth < scope.depth]
        kind = self.choose(8)
        if kind == 0 or not scope.variables:
            name = self.name("v")
            scope.lines.append(f"{name} = {self.expression(scope)}")
            scope.variables[name] = scope.depth
        elif kind == 1 and outer:
            name = self.pick(outer)
            scope.nonlocals.add(name)
            scope.lines.append(f"{name} = bounded({name} + {self.expression(scope)})")
        elif kind == 2 and own:
            name = self.pick(own)
            scope.lines += [f"for i in range({1 + self.choose(3)}):", f"    {name} += i"]
        elif kind == 3 and scope.functions:
            name, called = self.name("v"), self.pick(scope.functions)
            scope.lines += [
                f"{name} = 0",
                "try:",
                f"    {name} = {called}(fuel - 1) if fuel else 1",
            ]
            scope.lines += ["except NameError:", f"    {name} = -1"]  # not defined yet
            scope.variables[name] = scope.depth
        elif kind == 4:
            scope.lines.append(f"log.append(bounded({self.expression(scope)}))")
        elif kind == 5:
            name = self.name("g")
            scope.lines.append(f"{name} = lambda fuel: bounded({self.expression(scope)})")
            scope.functions.append(name)
        elif budget > 0:
            self.function(scope, budget - 1)
        else:
            scope.lines.append(f"log.append({self.choose(5)})")

    def function(self, outer, budget):
        """A function inside another."""
        name = self.name("f")
        # Its siblings and itself may call it; and it may call what is only defined later.
        outer.functions.append(name)
        scope = _Scope(outer)
        if outer.depth and self.choose(4) == 0:
            later = self.name("v")
            scope.variables[later] = outer.depth
            self.body(scope, budget)
            assigned = self.choose(2)
            if assigned:
                outer.variables[later] = outer.depth
        else:
            later, assigned = None, False
            self.body(scope, budget)
        default = f", extra={self.choose(9)}" if self.choose(3) == 0 else ""
        outer.lines.append(f"def {name}(fuel{default}):")
        if scope.nonlocals:
            outer.lines.append(f"    nonlocal {', '.join(sorted(scope.nonlocals))}")
        outer.lines += [f"    {line}" for line in scope.lines]
        if later is not None:
            # A cell that is empty until now, or for ever.
            outer.lines.append(f"{'if fuel >= 0' if assigned else 'if fuel < 0'}: {later} = 5")

    def body(self, scope, budget):
        for _ in range(1 + self.choose(4)):
            self.statement(scope, budget)
        scope.lines.append(f"return bounded({self.expression(scope)} + fuel)")


def closure_program(choose):
    """The text of a module with a function ``make(fuel)``.

    It returns a list of functions of one argument that share variables, and the log of them all.
    """
    writer = _Writer(choose)
    scope = _Scope()
    scope.depth = 1
    scope.lines.append("log = []")
    for _ in range(2 + choose(3)):
        writer.statement(scope, 3)
    for _ in range(1 + choose(3)):
        writer.function(scope, 2)
    lines = ["def make(fuel):", *(f"    {line}" for line in scope.lines)]
    lines.append(f"    return [{', '.join(scope.functions)}], log")
    return _HEAD + "\n".join(lines) + "\n"


def play(functions, log, calls):
    """Call the functions of a program in some order; returns what came of it, errors included."""
    out = []
    for index, argument in calls:
        try:
            out.append(functions[index % len(functions)](argument))
        except Exception as error:
            out.append(type(error).__name__)
    return out, list(log)


_CLASS_HEAD = '''"""Made-up classes."""

import functools

UNIT = 1


def tagged(method):
    @functools.wraps(method)
    def wrapper(self, *args):
        return ["tagged", *method(self, *args)]

    return wrapper


class Positive:
    """A descriptor."""

    def __init__(self, default):
        self.default = default

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, instance, owner=None):
        return self.default if instance is None else -self.default


'''

_MEMBERS = (
    "def {m}(self, x):\n    return [{c!r}, x * UNIT, *self.more('{m}', __class__, x)]",
    "def {m}(self, x):\n    return [{c!r}, *(super().{m}(x) if hasattr(super(), '{m}') else ())]",
    "@tagged\ndef {m}(self, x):\n    return [{c!r}, *getattr(super(), '{m}', lambda x: ())(x + 1)]",
    "@classmethod\ndef {m}(cls, x):\n    return [cls.__name__, {c!r}, x]",
    "@staticmethod\ndef {m}(x):\n    return [{c!r}, x, UNIT]",
    "{m} = lambda self, x: [{c!r}, 'lambda', x]",
    "@property\ndef {m}(self):\n    return lambda x: [{c!r}, 'property', x]",
    "__{m} = {n}\ndef {m}(self, x):\n    return [self.__{m}, x]",
    "{m} = Positive({n})",
)


def class_program(choose):
    """The text of a module with ``CLASSES``, a list, and ``objects()``: instances that refer to
    one another, and ``describe(classes, instances)``: all that can be seen of both.
    """
    count = 2 + choose(5)
    names = [f"K{i}" for i in range(count)]
    text = _CLASS_HEAD
    root = (
        "    def more(self, name, owner, x):\n"
        "        rest = type(self).__mro__[type(self).__mro__.index(owner) + 1:]\n"
        "        for cls in rest:\n"
        "            found = cls.__dict__.get(name)\n"
        "            if callable(found):\n"
        "                return [cls.__name__]\n"
        "        return []\n"
    )
    for index, name in enumerate(names):
        bases = []
        for base in names[:index]:
            if choose(3) == 0:
                bases.insert(0, base)
        keywords = ""
        if choose(5) == 0:
            text += f"class M{index}(type):\n    level = {index}\n\n\n"
            keywords = f"metaclass=M{index}" if not bases else ""
        text += f"class {name}({', '.join([*bases, *([keywords] if keywords else [])])}):\n"
        if choose(3) == 0:
            text += f'    """Class {index}."""\n\n'
        if choose(4) == 0:
            extra = "'__dict__', " if not bases and choose(2) else ""
            text += f"    __slots__ = ({extra}'s{index}',)\n\n"
        text += f"    order = {index}\n"
        text += root if not bases else ""
        for m in ("a", "b", "c"):
            if choose(2):
                member = _MEMBERS[choose(len(_MEMBERS))].format(m=m, c=name, n=choose(9))
                text += "".join(f"    {line}\n" for line in member.splitlines())
        text += "\n\n"
    for name in names:
        if choose(2):
            text += f"{name}.friend = {names[choose(count)]}\n"
    pairs = [(choose(count), choose(count)) for _ in range(count)]
    text += f"""
CLASSES = [{", ".join(names)}]


def objects():
    made = [cls() for cls in CLASSES]
    for one, two in {pairs!r}:
        for name in ("other", *(f"s{{i}}" for i in range(len(made)))):
            try:
                setattr(made[one], name, made[two])
            except AttributeError:
                pass
    return made


def show(value, classes, instances):
    for kind, known in (("class", classes), ("object", instances)):
        for index, one in enumerate(known):
            if one is value:
                return [kind, index]
    return value if isinstance(value, (int, str, list, tuple)) else type(value).__name__


def attempt(f, *args):
    try:
        return f(*args)
    except Exception as error:
        return type(error).__name__


def describe(classes, instances):
    out = []
    for cls in classes:
        out.append([cls.__name__, cls.__doc__, cls.order, [k.__name__ for k in cls.__mro__]])
        out.append([type(cls).__name__, sorted(name for name in vars(cls) if name[0] != "_")])
        out.append(show(getattr(cls, "friend", None), classes, instances))
    for one in instances:
        for name in "abc":
            found = attempt(getattr, one, name)
            out.append(attempt(found, 2) if callable(found) else found)
        for name in ("other", *(f"s{{i}}" for i in range(len(classes)))):
            out.append(show(getattr(one, name, None), classes, instances))
        out.append([isinstance(one, cls) for cls in classes])
        out.append(classes.index(type(one)))
    return out
"""
    return text
