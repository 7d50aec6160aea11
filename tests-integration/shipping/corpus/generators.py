"""Generator functions, and the iterators of the standard library."""

import collections
import itertools

from harness import case


def count_to(n):
    for i in range(n):
        yield i


def chained(*iterables):
    for iterable in iterables:
        yield from iterable


def accumulate():
    total = 0
    while True:
        value = yield total
        if value is None:
            return total
        total += value


def walk(tree):
    if isinstance(tree, list):
        for child in tree:
            yield from walk(child)
    else:
        yield tree


@case
def a_generator_function(call):
    assert call(lambda: list(count_to(4))) == [0, 1, 2, 3]


@case
def as_an_argument(call):
    assert call(lambda f: list(f(3)), count_to) == [0, 1, 2]


@case
def yield_from(call):
    assert call(lambda: list(chained("ab", count_to(2)))) == ["a", "b", 0, 1]


@case
def send_and_return(call):
    def task():
        generator = accumulate()
        next(generator)
        generator.send(5)
        generator.send(7)
        try:
            generator.send(None)
        except StopIteration as stop:
            return stop.value

    assert call(task) == 12


@case
def throw_and_close(call):
    def task():
        log = []

        def generator():
            try:
                yield 1
            except KeyError as error:
                log.append(repr(error))
                yield 2
            finally:
                log.append("closed")

        g = generator()
        next(g)
        g.throw(KeyError("k"))
        g.close()
        return log

    assert call(task) == ["KeyError('k')", "closed"]


@case
def recursive(call):
    assert call(lambda t: list(walk(t)), [1, [2, [3, []]]]) == [1, 2, 3]


@case
def a_generator_expression(call):
    factor = 3
    assert call(lambda: sum(x * factor for x in range(4))) == 18


@case
def nested_generator_expressions(call):
    assert call(lambda n: sum(sum(j for j in range(i)) for i in range(n)), 4) == 4


@case
def an_endless_one(call):
    def naturals():
        n = 0
        while True:
            yield n
            n += 1

    assert call(lambda: list(itertools.islice(naturals(), 5))) == [0, 1, 2, 3, 4]


@case
def a_pipeline(call):
    def task(lines):
        stripped = (line.strip() for line in lines)
        words = (word for line in stripped for word in line.split())
        return collections.Counter(words).most_common(1)

    assert call(task, [" a b ", "b c"]) == [("b", 2)]


@case
def a_closure(call):
    step = 2

    def evens(n):
        for i in range(0, n, step):
            yield i

    assert call(lambda: list(evens(7))) == [0, 2, 4, 6]


@case
def an_iterator_class(call):
    class Countdown:
        def __init__(self, n):
            self.n = n

        def __iter__(self):
            return self

        def __next__(self):
            if self.n == 0:
                raise StopIteration
            self.n -= 1
            return self.n

    assert call(list, Countdown(3)) == [2, 1, 0]


@case
def a_class_with_a_generator_as_iter(call):
    class Tree:
        def __init__(self, *children):
            self.children = children

        def __iter__(self):
            yield self
            for child in self.children:
                yield from child

    assert call(lambda tree: len(list(tree)), Tree(Tree(), Tree(Tree()))) == 4


@case
def the_iterator_of_a_list(call):
    iterator = iter([1, 2, 3])
    next(iterator)
    assert call(list, iterator) == [2, 3]


@case
def a_range_and_its_iterator(call):
    iterator = iter(range(5))
    next(iterator)
    assert call(lambda r, i: (list(r), list(i)), range(2, 9, 3), iterator) == (
        [2, 5, 8],
        [1, 2, 3, 4],
    )


@case
def enumerate_zip_and_map(call):
    value = list(zip(range(2), "ab")), list(map(str, [1])), list(enumerate("x"))
    assert call(lambda v: v, value) == value


@case
def a_generator_cannot_be_a_result(call):
    if call.remote:
        failure = call.failure(count_to, 3)
        assert "generator" in str(failure)
