"""Containers: recursive, shared, deep, large."""

import collections

from harness import case


class Node:
    def __init__(self, **fields):
        self.__dict__.update(fields)


class Keyed:
    def __init__(self, key):
        self.key = key

    def __hash__(self):
        return hash(self.key)

    def __eq__(self, other):
        return isinstance(other, Keyed) and self.key == other.key


class Tagged(dict):
    pass


class Row(list):
    pass


def nest(depth, wrap):
    value = 0
    for _ in range(depth):
        value = wrap(value)
    return value


@case
def a_list_in_itself(call):
    loop = []
    loop.append(loop)
    assert call(lambda v: v[0] is v, loop) is True
    back = call(lambda v: v, loop)
    assert back[0] is back


@case
def a_dict_in_itself(call):
    loop = {}
    loop["me"] = loop
    assert call(lambda v: v["me"] is v, loop) is True


@case
def a_tuple_through_a_list(call):
    inner = []
    loop = (inner,)
    inner.append(loop)
    assert call(lambda v: v[0][0] is v, loop) is True


@case
def shared_references(call):
    one = [1]
    assert call(lambda v: v[0] is v[1] is v[2]["k"], [one, one, {"k": one}]) is True


@case
def shared_between_arguments(call):
    one = [1]
    assert call(lambda a, b, *, c: a is b is c, one, one, c=one) is True


@case
def equal_but_not_shared(call):
    assert call(lambda a, b: a is b, [1], [1]) is False


@case
def arguments_are_the_tasks_own(call):
    if not call.remote:
        return
    mine = [1]
    assert call(lambda v: (v.append(2), v)[1], mine) == [1, 2]
    assert mine == [1]


@case
def own_instances_as_keys(call):
    table = {Keyed("a"): 1}
    assert call(lambda t: t[Keyed("a")], table) == 1
    back = call(lambda t: t, table)
    assert back == table


@case
def own_instances_in_a_set(call):
    assert call(lambda s: len(s | {Keyed(1)}), {Keyed(1), Keyed(2)}) == 2


@case
def an_instance_that_holds_itself_in_a_set(call):
    node = Node(name="n")
    node.all = {node}
    assert call(lambda n: n in n.all, node) is True


@case
def tuples_as_keys(call):
    value = {(1, "a", (2.5, None)): frozenset({(1, 2)})}
    assert call(lambda v: v, value) == value


@case
def order_is_kept(call):
    value = {k: None for k in "zyxabc"}
    assert list(call(lambda v: v, value)) == list("zyxabc")


@case
def subclasses_with_attributes(call):
    tagged, row = Tagged(a=1), Row([1, 2])
    tagged.label, row.name = "t", "r"
    back = call(lambda *v: v, tagged, row)
    assert [type(v) for v in back] == [Tagged, Row]
    assert (back[0].label, back[1].name, back[0], back[1]) == ("t", "r", {"a": 1}, [1, 2])


@case
def a_doubly_linked_list(call):
    head = previous = Node(value=0, previous=None)
    for i in range(1, 30):
        previous.next = Node(value=i, previous=previous)
        previous = previous.next

    def task(node):
        total = 0
        while hasattr(node, "next"):
            node = node.next
            assert node.previous.next is node
            total += node.value
        return total

    assert call(task, head) == sum(range(30))


@case
def a_graph_with_cycles(call):
    graph = {i: Node(id=i, neighbours=[]) for i in range(10)}
    for i, node in graph.items():
        node.neighbours = [graph[(i + 1) % 10], graph[(i * 3) % 10]]

    def task(start):
        seen, queue = set(), collections.deque([start])
        while queue:
            node = queue.popleft()
            if node.id not in seen:
                seen.add(node.id)
                queue.extend(node.neighbours)
        return sorted(seen)

    assert call(task, graph[0]) == list(range(10))


@case
def nested_fifty_deep(call):
    for wrap in (lambda v: [v], lambda v: (v,), lambda v: {"k": v}, lambda v: Node(v=v)):
        back = call(lambda v: v, nest(50, wrap))
        depth = 0
        while back != 0:
            back = (
                back.v
                if isinstance(back, Node)
                else back["k"]
                if isinstance(back, dict)
                else back[0]
            )
            depth += 1
        assert depth == 50


@case
def nested_a_hundred_thousand_deep(call):
    if call.remote:
        error = call.refused(len, nest(100_000, lambda v: [v]))
        assert "nested too deeply" in str(error)


@case
def a_result_nested_a_hundred_thousand_deep(call):
    if call.remote:
        failure = call.failure(nest, 100_000, lambda v: [v])
        assert "nested too deeply" in str(failure)


@case
def a_chain_of_a_thousand_closures(call):
    f = lambda: 0
    for _ in range(1000):
        f = (lambda g: lambda: g)(f)
    if call.remote:
        # It works, or is refused: the worker is the same afterwards.
        try:
            call(lambda f: None, f)
        except Exception as error:
            assert "nested too deeply" in str(error), error


@case
def many_functions(call):
    functions = [lambda i=i: i for i in range(300)]
    assert call(lambda fs: sum(f() for f in fs), functions) == sum(range(300))


@case
def many_instances_of_many_classes(call):
    kinds = [type(f"Kind{i}", (), {"index": i}) for i in range(40)]
    made = [kind() for kind in kinds]
    back = call(lambda vs: vs[::-1], made)
    assert [type(v) for v in back] == kinds[::-1]


@case
def wide(call):
    value = {str(i): [i] for i in range(20_000)}
    assert call(lambda v: v, value) == value


@case
def mixed_with_functions_and_classes(call):
    value = {"f": len, "g": lambda x: -x, "k": Node, "n": Node(a=1), "l": [sorted, int]}

    def task(v):
        return v["f"]("ab"), v["g"](1), type(v["n"]) is v["k"], v["l"][0]([2, 1])

    assert call(task, value) == (2, -1, True, [1, 2])


@case
def defaultdicts_in_defaultdicts(call):
    def tree():
        return collections.defaultdict(tree)

    def task(t):
        t["a"]["b"]["c"] = 1
        return list(t["a"]["b"])

    assert call(task, tree()) == ["c"]


@case
def no_arguments_and_many(call):
    assert call(
        lambda *a, **k: (len(a), len(k)), *range(300), **{f"k{i}": i for i in range(300)}
    ) == (300, 300)
