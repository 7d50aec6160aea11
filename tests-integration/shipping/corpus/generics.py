"""Generics, protocols and what typing has."""

import collections.abc
import typing
from typing import Generic, Protocol, TypeVar

from harness import case

T = TypeVar("T")
Number = TypeVar("Number", int, float)
Bounded = TypeVar("Bounded", bound="Stack")
UserId = typing.NewType("UserId", int)


class Stack(Generic[T]):
    def __init__(self):
        self.items: typing.List[T] = []

    def push(self, item: T) -> "Stack[T]":
        self.items.append(item)
        return self


class Named(Stack[str]):
    pass


class Sized(Protocol):
    def size(self) -> int: ...


@typing.runtime_checkable
class Closes(Protocol):
    def close(self) -> None: ...


class Door:
    def close(self):
        return "closed"


@case
def generic_classes(call):
    assert call(lambda: Stack().push(1).push(2).items) == [1, 2]
    back = call(lambda: Stack[int]().push(5))
    assert type(back) is Stack
    assert back.items == [5]


@case
def subclasses_of_a_generic(call):
    assert call(lambda: Named().push("a").items) == ["a"]
    assert type(call(Named)) is Named


@case
def parameters_of_a_generic(call):
    assert call(lambda: [p.__name__ for p in Stack.__parameters__]) == ["T"]


@case
def type_variables(call):
    def task(values):
        return [(v.__name__, v.__constraints__) for v in values]

    assert call(task, [T, Number]) == [("T", ()), ("Number", (int, float))]


@case
def a_type_variable_as_a_result(call):
    assert call(lambda: T).__name__ == "T"


@case
def protocols(call):
    class Box:
        def size(self):
            return 3

    def measure(thing: Sized) -> int:
        return thing.size()

    assert call(measure, Box()) == 3


@case
def runtime_protocols(call):
    assert call(lambda: (isinstance(Door(), Closes), isinstance(1, Closes))) == (True, False)


@case
def classes_that_declare_a_protocol(call):
    class Window(Closes):
        def close(self):
            return "shut"

    assert call(lambda: (Window().close(), isinstance(Window(), Closes))) == ("shut", True)


@case
def a_generic_protocol(call):
    class Source(Protocol[T]):
        def get(self) -> T: ...

    class Five(Source[int]):
        def get(self):
            return 5

    assert call(lambda: Five().get()) == 5


@case
def aliases(call):
    values = [
        typing.List[int],
        typing.Dict[str, typing.Optional[int]],
        typing.Union[int, str],
        typing.Callable[[int], str],
        typing.Tuple[int, ...],
    ]
    assert call(lambda v: v, values) == values


@case
def builtin_aliases(call):
    values = [list[int], dict[str, tuple[int, ...]], type[int], collections.abc.Iterable[str]]
    assert call(lambda v: v, values) == values


@case
def annotated_literal_and_final(call):
    values = [typing.Literal["a", 1], typing.Any, typing.Optional[int], typing.ClassVar[int]]
    assert call(lambda v: v, values) == values


@case
def aliases_of_own_classes(call):
    assert call(lambda v: typing.get_args(v)[0] is Door, typing.List[Door]) is True


@case
def a_new_type(call):
    assert call(lambda: UserId(5)) == 5


@case
def type_hints_can_be_resolved_there(call):
    def f(a: int, b: "typing.List[str]") -> None: ...

    hints = call(lambda: {k: str(v) for k, v in typing.get_type_hints(f).items()})
    assert hints["b"] == "typing.List[str]"


@case
def overloads(call):
    @typing.overload
    def f(x: int) -> int: ...
    @typing.overload
    def f(x: str) -> str: ...
    def f(x):
        return x

    assert call(f, "a") == "a"


@case
def cast_and_type_checking(call):
    def f(x):
        if typing.TYPE_CHECKING:
            import nothing_like_that
        return typing.cast(int, x)

    assert call(f, 3) == 3


@case
def own_abstract_generic_mapping(call):
    K = TypeVar("K")
    V = TypeVar("V")

    class Cache(collections.abc.MutableMapping, Generic[K, V]):
        def __init__(self):
            self.data = {}

        def __getitem__(self, key):
            return self.data[key]

        def __setitem__(self, key, value):
            self.data[key] = value

        def __delitem__(self, key):
            del self.data[key]

        def __iter__(self):
            return iter(self.data)

        def __len__(self):
            return len(self.data)

    def task():
        cache = Cache[str, int]()
        cache.update(a=1)
        return dict(cache), cache.pop("a"), len(cache)

    assert call(task) == ({"a": 1}, 1, 0)


@case(since=(3, 10))
def unions_by_bars(call):
    assert call(lambda v: v, int | str) == int | str
    assert call(lambda: int | None) == int | None


@case(since=(3, 10))
def parameter_specifications(call):
    P = typing.ParamSpec("P")
    assert call(lambda: P.__name__) == "P"


@case(since=(3, 11))
def self_and_never(call):
    assert call(lambda v: v, [typing.Self, typing.Never]) == [typing.Self, typing.Never]
