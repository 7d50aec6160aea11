"""Classes."""

import abc
import collections.abc
import weakref

from harness import case

CALLS = []


class Simple:
    """A simple class."""

    count = 0
    tags = ["a"]

    def __init__(self, x=1):
        self.x = x

    def double(self):
        return self.x * 2


class Base:
    def who(self):
        return ["Base"]


class Left(Base):
    def who(self):
        return ["Left", *super().who()]


class Right(Base):
    def who(self):
        return ["Right", *super().who()]


class Bottom(Left, Right):
    def who(self):
        return ["Bottom", *super().who()]


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a, b):
        self.a, self.b = a, b


class SlottedChild(Slotted):
    __slots__ = ("c",)


class Meta(type):
    def __new__(meta, name, bases, namespace, **keywords):
        CALLS.append(name)
        namespace["made_by"] = meta.__name__
        return super().__new__(meta, name, bases, namespace)

    def __init__(cls, name, bases, namespace, **keywords):
        super().__init__(name, bases, namespace)

    def __call__(cls, *args):
        made = super().__call__(*args)
        made.called = True
        return made

    def __len__(cls):
        return 7

    @property
    def title(cls):
        return cls.__name__.title()


class WithMeta(metaclass=Meta, option=1):
    pass


class Registered:
    known = []

    def __init_subclass__(cls, tag=None, **keywords):
        super().__init_subclass__(**keywords)
        cls.tag = tag
        Registered.known.append(cls.__name__)


class First(Registered, tag="one"):
    pass


class Node:
    def __init__(self, value, *children):
        self.value = value
        self.children = children
        for child in children:
            child.parent = self
        self.parent = None

    @classmethod
    def leaf(cls, value):
        return Node(value)

    def sum(self):
        return self.value + sum(child.sum() for child in self.children)


class Outer:
    class Inner:
        level = "inner"

        class Innermost:
            def get(self):
                return Outer.Inner.level, Outer.Inner.Innermost.__qualname__


class Typed:
    """A descriptor."""

    def __init__(self, kind):
        self.kind = kind

    def __set_name__(self, owner, name):
        self.name = "_" + name

    def __get__(self, instance, owner=None):
        return self if instance is None else getattr(instance, self.name)

    def __set__(self, instance, value):
        if not isinstance(value, self.kind):
            raise TypeError(f"{self.name[1:]} must be {self.kind.__name__}")
        setattr(instance, self.name, value)


class Order:
    quantity = Typed(int)
    name = Typed(str)

    def __init__(self, quantity, name):
        self.quantity, self.name = quantity, name


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...

    @property
    @abc.abstractmethod
    def name(self): ...

    def text(self):
        return f"{self.name} {self.area()}"


class Square(Shape):
    name = "square"

    def __init__(self, side):
        self.side = side

    def area(self):
        return self.side**2


@case
def as_the_task(call):
    made = call(Simple, 5)
    assert type(made) is Simple
    assert made.x == 5


@case
def used_in_a_task(call):
    assert call(lambda: Simple(4).double()) == 8


@case
def as_an_argument(call):
    assert call(lambda cls: cls(3).double(), Simple) == 6


@case
def an_instance_as_an_argument(call):
    assert call(lambda s: s.double(), Simple(7)) == 14


@case
def attributes_of_the_class(call):
    assert call(lambda c: (c.__name__, c.__qualname__, c.__doc__, c.tags), Simple) == (
        *("Simple", "Simple"),
        *("A simple class.", ["a"]),
    )


@case
def module_of_the_class(call):
    assert call(lambda c: c.__module__, Simple) == "__main__"


@case
def class_attributes_written_there(call):
    def task(n):
        for _ in range(n):
            Simple.count += 1
        return Simple.count >= n

    assert call(task, 3) is True
    assert Simple.count == (0 if call.remote else 3)


@case
def inheritance(call):
    assert call(lambda: Left().who()) == ["Left", "Base"]


@case
def multiple_inheritance(call):
    assert call(lambda b: b.who(), Bottom()) == ["Bottom", "Left", "Right", "Base"]
    assert call(lambda c: [k.__name__ for k in c.__mro__], Bottom) == [
        *("Bottom", "Left", "Right"),
        *("Base", "object"),
    ]


@case
def issubclass_and_isinstance(call):
    assert call(lambda b: (isinstance(b, Left), issubclass(Bottom, Right)), Bottom()) == (
        True,
        True,
    )


@case
def bases_are_one_class(call):
    def task(left, right):
        return left.__bases__[0] is right.__bases__[0] is Base

    assert call(task, Left, Right) is True


@case
def the_class_of_two_instances_is_one(call):
    assert call(lambda a, b: type(a) is type(b) is Simple, Simple(), Simple()) is True


@case
def derived_from_a_builtin(call):
    class Squares(dict):
        def __missing__(self, key):
            return key * key

    class Stack(list):
        def peek(self):
            return self[-1]

    class Name(str):
        def initial(self):
            return self[0]

    class Celsius(float):
        pass

    def task(squares, stack, name, degrees):
        return squares[4], squares["a"], stack.peek(), name.initial(), degrees + 1

    arguments = Squares(a=1), Stack([1, 2]), Name("xyz"), Celsius(1.5)
    assert call(task, *arguments) == (16, 1, 2, "x", 2.5)
    back = call(lambda *args: args, *arguments)
    assert [type(v) for v in back] == [Squares, Stack, Name, Celsius]
    assert list(back) == list(arguments)


@case
def derived_from_a_library_class(call):
    class Ordered(collections.OrderedDict):
        def first(self):
            return next(iter(self))

    class Bag(collections.UserDict):
        def __getitem__(self, key):
            return self.data.get(key, 0)

    assert call(lambda o: o.first(), Ordered([("z", 1), ("a", 2)])) == "z"
    assert call(lambda b: (b["a"], b["b"]), Bag(a=1)) == (1, 0)


@case
def slots(call):
    def task(s):
        try:
            s.other = 1
        except AttributeError:
            return s.a, s.b, "no other"

    assert call(task, Slotted(1, 2)) == (1, 2, "no other")
    back = call(lambda: Slotted(3, [4]))
    assert type(back) is Slotted
    assert (back.a, back.b) == (3, [4])


@case
def slots_inherited_and_unset(call):
    child = SlottedChild(1, 2)
    back = call(lambda c: c, child)
    assert type(back) is SlottedChild
    assert (back.a, back.b, hasattr(back, "c")) == (1, 2, False)


@case
def slots_with_dict_and_weakref(call):
    class Both:
        __slots__ = ("__dict__", "__weakref__", "x")

    def task(both):
        both.y = both.x + 1
        return weakref.ref(both)().y

    both = Both()
    both.x = 1
    assert call(task, both) == 2


@case
def slots_with_mangled_names(call):
    class Hidden:
        __slots__ = ("__x",)

        def __init__(self):
            self.__x = 5

        def get(self):
            return self.__x

    assert call(Hidden().get) == 5


@case
def a_metaclass(call):
    def task(cls):
        return cls.made_by, len(cls), cls.title, cls().called, type(cls).__name__

    assert call(task, WithMeta) == ("Meta", 7, "Withmeta", True, "Meta")


@case
def a_metaclass_runs_there_for_new_classes(call):
    def task():
        class There(metaclass=Meta):
            pass

        return There.made_by, There().called

    assert call(task) == ("Meta", True)


@case
def a_metaclass_with_prepare(call):
    class Recording(type):
        @classmethod
        def __prepare__(meta, name, bases):
            return {"prepared": name}

    class Recorded(metaclass=Recording):
        pass

    assert call(lambda: Recorded.prepared) == "Recorded"


@case
def init_subclass_does_not_run_again(call):
    def task():
        return list(Registered.known), First.tag

    assert call(task) == (["First"], "one")


@case
def init_subclass_runs_for_new_classes(call):
    def task():
        class There(Registered, tag="there"):
            pass

        return There.tag, Registered.known[-1]

    assert call(task) == ("there", "There")
    if not call.remote:
        Registered.known.pop()


@case
def self_referencing(call):
    tree = Node(1, Node(2), Node(3, Node(4)))
    assert call(lambda t: t.sum(), tree) == 10
    assert call(lambda t: t.children[0].parent is t, tree) is True
    assert call(Node.leaf, 5).value == 5


@case
def nested(call):
    assert call(lambda: Outer.Inner.Innermost().get()) == ("inner", "Outer.Inner.Innermost")
    assert call(Outer.Inner.Innermost().get) == ("inner", "Outer.Inner.Innermost")


@case
def local_to_a_function(call):
    class Local:
        def __init__(self, n):
            self.n = n

        def more(self):
            return Local(self.n + 1)

    assert call(lambda: Local(1).more().n) == 2
    assert type(call(Local(1).more)) is Local


@case
def two_with_one_name(call):
    def make(value):
        class Same:
            def get(self):
                return value

        return Same

    one, two = make(1), make(2)
    assert call(lambda: (one().get(), two().get(), one is two)) == (1, 2, False)
    assert [type(v) for v in call(lambda: [one(), two(), one()])] == [one, two, one]


@case
def descriptors(call):
    def task(order):
        try:
            order.quantity = "many"
        except TypeError as error:
            return order.quantity, order.name, str(error)

    assert call(task, Order(3, "pears")) == (3, "pears", "quantity must be int")


@case
def abstract(call):
    assert call(lambda s: s.text(), Square(3)) == "square 9"
    error = call.error(lambda: Shape())
    assert type(error) is TypeError
    assert "abstract" in str(error)


@case
def abstract_registered(call):
    class Sized(abc.ABC):
        @classmethod
        def __subclasshook__(cls, other):
            return hasattr(other, "size") or NotImplemented

    class Thing:
        size = 1

    class Other:
        pass

    Sized.register(Other)
    assert call(lambda: (isinstance(Thing(), Sized), isinstance(1, Sized))) == (True, False)
    assert call(lambda: isinstance(Other(), Sized)) is True


@case
def from_collections_abc(call):
    class Bits(collections.abc.MutableSequence):
        def __init__(self, values=()):
            self.values = list(values)

        def __getitem__(self, index):
            return self.values[index]

        def __setitem__(self, index, value):
            self.values[index] = value

        def __delitem__(self, index):
            del self.values[index]

        def __len__(self):
            return len(self.values)

        def insert(self, index, value):
            self.values.insert(index, bool(value))

    def task(bits):
        bits.append(1)
        bits.reverse()
        return list(bits), bits.count(True), isinstance(bits, collections.abc.Sequence)

    assert call(task, Bits([False])) == ([True, False], 1, True)


@case
def class_getitem(call):
    class Tensor:
        def __class_getitem__(cls, shape):
            return f"Tensor of {shape}"

    assert call(lambda: Tensor[2, 3]) == "Tensor of (2, 3)"


@case
def new_and_singletons(call):
    class Single:
        instance = None

        def __new__(cls):
            if cls.instance is None:
                cls.instance = super().__new__(cls)
            return cls.instance

    assert call(lambda: Single() is Single()) is True


@case
def getstate_and_setstate(call):
    class Session:
        def __init__(self):
            self.token, self.file = "t", open(__file__)

        def __getstate__(self):
            return {"token": self.token}

        def __setstate__(self, state):
            self.token, self.file = state["token"], None

    session = Session()
    session.file.close()
    back = call(lambda s: (s.token, s), session)
    assert back[0] == "t"
    assert type(back[1]) is Session


@case
def reduce(call):
    class Ratio:
        def __init__(self, a, b):
            self.value = a / b
            self.made_of = a, b

        def __reduce__(self):
            return Ratio, self.made_of

    assert call(lambda r: r.value, Ratio(1, 4)) == 0.25
    assert call(lambda: Ratio(3, 4)).value == 0.75


@case
def reduce_to_a_function(call):
    def rebuild(text):
        return Money(int(text))

    class Money:
        def __init__(self, cents):
            self.cents = cents

        def __reduce_ex__(self, protocol):
            return rebuild, (str(self.cents),)

    assert call(lambda m: m.cents, Money(99)) == 99
    assert call(lambda: Money(5)).cents == 5


@case
def getnewargs(call):
    class Pair(tuple):
        def __new__(cls, a, b):
            return super().__new__(cls, (a, b))

        def __getnewargs__(self):
            return tuple(self)

    back = call(lambda p: p, Pair(1, 2))
    assert type(back) is Pair
    assert back == (1, 2)


@case
def immutable_ones_with_a_new_of_their_own(call):
    class Pair(tuple):
        def __new__(cls, a, b):
            return super().__new__(cls, (a, b))

    class Celsius(float):
        def __new__(cls, degrees, *, scale):
            made = super().__new__(cls, degrees)
            made.scale = scale
            return made

    class Tagged(str):
        __slots__ = ("tag",)

        def __new__(cls, text, tag):
            made = super().__new__(cls, text)
            made.tag = tag
            return made

    class Even(int):
        def __new__(cls, half, /):
            return super().__new__(cls, 2 * half)

    sent = Pair(1, 2), Celsius(3.5, scale="C"), Tagged("text", "t"), Even(4)
    back = call(lambda v: v, sent)
    assert back == sent
    assert [type(v) for v in back] == [Pair, Celsius, Tagged, Even]
    assert (back[1].scale, back[2].tag) == ("C", "t")
    assert call(lambda: Pair(3, 4)) == (3, 4)


@case
def annotations_of_a_class(call):
    class Annotated:
        x: int
        y: "str" = "z"

    assert call(lambda: sorted(Annotated.__annotations__)) == ["x", "y"]


@case
def made_by_type(call):
    Made = type("Made", (Simple,), {"extra": lambda self: self.x + 100})
    assert call(lambda: Made(1).extra()) == 101
    assert type(call(Made, 2)) is Made


@case
def that_keep_subclasses(call):
    def task():
        return sorted(c.__name__ for c in Base.__subclasses__() if c in (Left, Right))

    assert call(task) == ["Left", "Right"]


@case
def with_a_function_and_a_class_that_need_one_another(call):
    class Factory:
        def make(self):
            return build(self)

    def build(factory):
        return type(factory) is Factory

    assert call(Factory().make) is True


@case
def with_class_variables_of_their_own_type(call):
    class Colour:
        def __init__(self, name):
            self.name = name

    Colour.RED = Colour("red")
    assert call(lambda: Colour.RED.name) == "red"
    assert call(lambda c: c is type(c).RED, Colour.RED) is True


@case
def sentinels(call):
    class Missing:
        pass

    missing = Missing()

    def f(x=missing):
        return x is missing

    assert call(f) is True
    assert call(f, 1) is False


@case
def a_weak_reference_with_its_object(call):
    class Thing:
        pass

    thing = Thing()
    assert call(lambda pair: pair[0]() is pair[1], (weakref.ref(thing), thing)) is True


@case
def del_and_weakrefs(call):
    log = []

    class Dying:
        def __del__(self):
            log.append("died")

    def task():
        import gc

        dying = Dying()
        reference = weakref.ref(dying)
        del dying
        gc.collect()
        gc.collect()
        return reference() is None, log

    assert call(task) == (True, ["died"])


@case
def exec_of_a_class_body_there(call):
    def task():
        namespace = {}
        exec("class There:\n    x = 1\n", namespace)
        return namespace["There"].x

    assert call(task) == 1


@case
def with_init_subclass_and_set_name_in_one(call):
    class Field:
        def __set_name__(self, owner, name):
            owner.fields.append(name)

    class Model:
        fields = []

        def __init_subclass__(cls):
            cls.size = len(cls.fields)

    class Person(Model):
        name = Field()
        age = Field()

    assert call(lambda: (Person.fields, Person.size)) == (["name", "age"], 2)
