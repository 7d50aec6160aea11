"""Methods and callable objects."""

import operator

from harness import case


class Account:
    bank = "farm"

    def __init__(self, balance=0):
        self.balance = balance
        self.__secret = "mangled"

    def deposit(self, amount):
        self.balance += amount
        return self.balance

    def secret(self):
        return self.__secret

    def __private(self, x):
        return x + self.balance

    def public(self, x):
        return self.__private(x)

    @classmethod
    def open(cls, balance):
        return cls(balance)

    @staticmethod
    def fee(amount):
        return amount // 10

    def kind(self):
        return __class__.__name__

    def __call__(self, amount):
        return self.deposit(-amount)


class Savings(Account):
    def __init__(self, balance, rate):
        super().__init__(balance)
        self.rate = rate

    def deposit(self, amount):
        return super().deposit(amount) * self.rate

    def old_style(self, amount):
        return super(Savings, self).deposit(amount)

    @classmethod
    def open(cls, balance):
        made = super().open
        return (made.__func__.__name__, cls(balance, 2).balance)


class Vector:
    def __init__(self, *values):
        self.values = values

    def __add__(self, other):
        return Vector(*(a + b for a, b in zip(self.values, other.values)))

    def __mul__(self, k):
        return Vector(*(k * a for a in self.values))

    __rmul__ = __mul__

    def __eq__(self, other):
        return isinstance(other, Vector) and self.values == other.values

    def __hash__(self):
        return hash(self.values)

    def __len__(self):
        return len(self.values)

    def __getitem__(self, index):
        return self.values[index]

    def __iter__(self):
        return iter(self.values)

    def __contains__(self, value):
        return value in self.values

    def __bool__(self):
        return any(self.values)

    def __repr__(self):
        return f"Vector{self.values}"

    def __matmul__(self, other):
        return sum(a * b for a, b in zip(self.values, other.values))

    def __neg__(self):
        return self * -1

    def __lt__(self, other):
        return self.values < other.values

    def __format__(self, spec):
        return ",".join(format(v, spec) for v in self.values)


@case
def bound(call):
    account = Account(10)
    assert call(account.deposit, 5) == 15


@case
def bound_does_not_change_the_client(call):
    account = Account(10)
    call(account.deposit, 5)
    assert account.balance == (10 if call.remote else 15)


@case
def bound_sees_the_latest_state(call):
    account = Account(10)
    got = []
    for balance in (1, 2, 3):
        account.balance = balance
        got.append(call(account.deposit, 0))
    assert got == [1, 2, 3]


@case
def unbound(call):
    assert call(Account.deposit, Account(1), 2) == 3


@case
def static(call):
    assert call(Account.fee, 100) == 10
    assert call(Account().fee, 50) == 5


@case
def of_the_class(call):
    made = call(Account.open, 7)
    assert type(made) is Account
    assert made.balance == 7


@case
def name_mangling(call):
    assert call(Account(5).secret) == "mangled"
    assert call(Account(5).public, 1) == 6


@case
def zero_argument_super(call):
    assert call(Savings(10, 3).deposit, 5) == 45


@case
def super_with_arguments(call):
    assert call(Savings(10, 3).old_style, 5) == 15


@case
def super_in_a_classmethod(call):
    assert call(Savings.open, 4) == ("open", 4)


@case
def the_class_cell(call):
    assert call(Account().kind) == "Account"


@case
def callable_instance(call):
    assert call(Account(10), 3) == 7


@case
def operators(call):
    a, b = Vector(1, 2), Vector(3, 4)
    assert call(operator.add, a, b) == Vector(4, 6)
    assert call(operator.mul, a, 3) == Vector(3, 6)
    assert call(operator.mul, 3, a) == Vector(3, 6)
    assert call(operator.matmul, a, b) == 11
    assert call(operator.neg, a) == Vector(-1, -2)


@case
def containers_protocol(call):
    vector = Vector(5, 6, 7)
    assert call(lambda v: (len(v), v[1], v[-1], 6 in v, list(v), bool(v)), vector) == (
        *(3, 6, 7, True),
        *([5, 6, 7], True),
    )


@case
def comparisons_and_hashing(call):
    vectors = [Vector(3), Vector(1), Vector(3)]
    assert call(lambda vs: (len(set(vs)), sorted(vs)), vectors) == (
        2,
        [Vector(1), Vector(3), Vector(3)],
    )


@case
def formatting(call):
    assert call(lambda v: f"{v:03d} {v!r}", Vector(1, 2)) == "001,002 Vector(1, 2)"


@case
def attribute_protocol(call):
    class Record:
        def __init__(self, **fields):
            object.__setattr__(self, "fields", fields)

        def __getattr__(self, name):
            try:
                return self.__dict__["fields"][name]
            except KeyError:
                raise AttributeError(name) from None

        def __setattr__(self, name, value):
            self.fields[name] = value

        def __delattr__(self, name):
            del self.fields[name]

    def task(record):
        record.b = record.a + 1
        del record.a
        return record.fields

    assert call(task, Record(a=1)) == {"b": 2}


@case
def that_capture(call):
    factor = 4

    class Scaler:
        def scale(self, x):
            return x * factor

    assert call(Scaler().scale, 2) == 8


@case
def of_an_instance_with_a_function_attribute(call):
    class Button:
        pass

    button = Button()
    button.on_click = lambda name: f"clicked {name}"
    assert call(lambda b: b.on_click("ok"), button) == "clicked ok"


@case
def assigned_after_the_class(call):
    class Plain:
        pass

    def hello(self):
        return f"hello from {type(self).__name__}"

    Plain.hello = hello
    assert call(Plain().hello) == "hello from Plain"


@case
def aliased(call):
    class Alias:
        def original(self):
            return "original"

        other = original

    assert call(Alias().other) == "original"


@case
def of_builtin_types(call):
    assert call("a,b".split, ",") == ["a", "b"]
    assert call([3, 1, 2].index, 1) == 1
    assert call({"k": 5}.get, "k") == 5
    assert call((7).bit_length) == 3


@case
def unbound_of_builtin_types(call):
    assert call(str.upper, "a") == "A"
    assert call(list.__len__, [1, 2]) == 2
    assert call(dict.get, {"a": 1}, "a") == 1
    assert call(lambda f, v: [f(x) for x in v], str.strip, [" a ", "b "]) == ["a", "b"]


@case
def class_methods_of_builtin_types(call):
    assert call(dict.fromkeys, "ab", 0) == {"a": 0, "b": 0}
    assert call(bytes.fromhex, "ff00") == b"\xff\x00"
    assert call(int.from_bytes, b"\x01\x00", "big") == 256


@case
def double_mangled_in_a_subclass(call):
    class Base:
        def __init__(self):
            self.__x = "base"

        def base(self):
            return self.__x

    class _Derived(Base):
        def __init__(self):
            super().__init__()
            self.__x = "derived"

        def derived(self):
            return self.__x

    assert call(lambda d: (d.base(), d.derived(), sorted(vars(d))), _Derived()) == (
        *("base", "derived"),
        ["_Base__x", "_Derived__x"],
    )


@case
def mangled_names_in_nested_functions_and_lambdas(call):
    class Holder:
        __hidden = 3

        def get(self):
            return [(lambda: self.__hidden * n)() for n in (1, 2)]

        def outer(self):
            def inner(other):
                return other.__hidden

            return inner(self)

    assert call(Holder().get) == [3, 6]
    assert call(Holder().outer) == 3


@case
def super_in_a_nested_function(call):
    class Base:
        def value(self):
            return 1

    class Derived(Base):
        def value(self):
            def inner():
                return super(Derived, self).value() + 1

            return inner()

    assert call(Derived().value) == 2


@case
def super_in_a_method_replaced_by_a_wrapper(call):
    def shouted(f):
        return lambda self: f(self).upper()

    class Base:
        def name(self):
            return "base"

    class Derived(Base):
        @shouted
        def name(self):
            return super().name() + " derived"

    assert call(Derived().name) == "BASE DERIVED"


@case
def generators_as_methods(call):
    class Range:
        def __init__(self, n):
            self.n = n

        def items(self):
            yield from range(self.n)

    assert call(lambda r: list(r.items()), Range(3)) == [0, 1, 2]


@case
def getters_on_own_objects(call):
    assert call(operator.attrgetter("balance"), Account(9)) == 9
    assert call(operator.methodcaller("deposit", 1), Account(9)) == 10
    assert call(operator.itemgetter(1), Vector(4, 5)) == 5


@case
def sort_by_a_bound_method(call):
    class Ranking:
        def __init__(self, order):
            self.order = order

        def rank(self, item):
            return self.order.index(item)

    assert call(sorted, ["a", "b", "c"], key=Ranking(["c", "a", "b"]).rank) == ["c", "a", "b"]


@case
def of_a_private_class_in_a_function(call):
    def make():
        class _Hidden:
            def run(self, x):
                return x + 1

        return _Hidden()

    assert call(make().run, 1) == 2


@case
def with_the_name_of_a_builtin(call):
    class Stack:
        def __init__(self):
            self.items = [1, 2]

        def list(self):
            return list(self.items)

        def len(self) -> int:
            return len(self.items)

    assert call(lambda s: (s.list(), s.len()), Stack()) == ([1, 2], 2)
