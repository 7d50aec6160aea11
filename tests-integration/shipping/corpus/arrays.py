"""NumPy, where both ends have it."""

import functools

try:
    import numpy as np
except ImportError:
    np = None

from harness import case

numpy_case = functools.partial(case, needs="numpy")


def same(a, b):
    return type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and (a == b).all()


@numpy_case()
def one_dimension(call):
    assert call(lambda a: a.sum(), np.arange(10)) == 45
    assert same(call(lambda a: a * 2, np.arange(5)), np.arange(5) * 2)


@numpy_case()
def every_kind_of_number(call):
    for code in "?bBhHiIlLqQefdFD":
        array = np.array([0, 1, 2]).astype(code)
        assert same(call(lambda a: a, array), array), code


@numpy_case()
def more_dimensions_and_orders(call):
    array = np.arange(24.0).reshape(2, 3, 4)
    for value in (array, np.asfortranarray(array), array[:, ::2, 1:], array.T, array[None]):
        assert same(call(lambda a: a, value), value)


@numpy_case()
def empty_and_scalars(call):
    for value in (np.zeros((0, 3)), np.array(5), np.empty(0, "S3")):
        assert same(call(lambda a: a, value), value)


@numpy_case()
def numpy_scalars(call):
    values = [np.float32(1.5), np.int64(-3), np.bool_(True), np.complex128(1j), np.str_("a")]
    back = call(lambda v: v, values)
    assert back == values
    assert [type(v) for v in back] == [type(v) for v in values]


@numpy_case()
def large(call):
    array = np.random.default_rng(0).random((500, 500))
    assert same(call(lambda a: a, array), array)
    assert call(lambda: array[3, 4]) == array[3, 4]


@numpy_case()
def results_are_writable(call):
    back = call(lambda: np.zeros(100_000))
    back[0] = 1
    assert back[0] == 1


@numpy_case()
def text_and_dates(call):
    for value in (
        np.array(["a", "bcd"]),
        np.array([b"x", b"yz"]),
        np.array(["2020-01-01"], "datetime64[D]"),
        np.array([5], "timedelta64[s]"),
    ):
        assert same(call(lambda a: a, value), value)


@numpy_case()
def structured(call):
    array = np.array([(1, 2.5, "a")], dtype=[("n", "i4"), ("x", "f8"), ("s", "U3")])
    assert same(call(lambda a: a, array), array)
    assert call(lambda a: a["x"].tolist(), array) == [2.5]


@numpy_case()
def record_arrays(call):
    array = np.rec.array([(1, 2.0)], dtype=[("n", int), ("x", float)])
    assert call(lambda a: a.n[0], array) == 1
    assert type(call(lambda a: a, array)) is np.recarray


@numpy_case()
def masked(call):
    array = np.ma.array([1, 2, 3], mask=[False, True, False])
    assert call(lambda a: a.sum(), array) == 4
    assert call(lambda a: a, array).tolist() == [1, None, 3]


@numpy_case()
def of_objects(call):
    class Thing:
        def __init__(self, n):
            self.n = n

    array = np.array([Thing(1), [2], None], dtype=object)
    back = call(lambda a: a, array)
    assert type(back[0]) is Thing
    assert back[1] == [2]


@numpy_case()
def dtypes(call):
    values = [np.dtype("f8"), np.dtype([("a", "i2")]), np.dtype(">u4"), np.float32]
    assert call(lambda v: v, values) == values


@numpy_case()
def generators(call):
    rng = np.random.default_rng(5)
    expected = np.random.default_rng(5).random(3)
    assert (call(lambda r: r.random(3), rng) == expected).all()
    assert (call(lambda: np.random.default_rng(5)).random(3) == expected).all()


@numpy_case()
def random_state(call):
    expected = np.random.RandomState(5).rand(2)
    assert (call(lambda r: r.rand(2), np.random.RandomState(5)) == expected).all()
    assert (call(lambda: np.random.RandomState(5)).rand(2) == expected).all()


@numpy_case()
def universal_functions(call):
    assert call(np.add, 1, 2) == 3
    assert call(lambda f: f(4.0), np.sqrt) == 2.0
    assert call(lambda: np.sin) is np.sin


@numpy_case()
def functions_of_numpy(call):
    assert same(call(np.linspace, 0, 1, 3), np.linspace(0, 1, 3))
    assert call(np.linalg.norm, np.array([3.0, 4.0])) == 5.0
    assert same(call(np.dot, np.eye(2), np.ones(2)), np.ones(2))


@numpy_case()
def a_global_and_a_closure(call):
    weights = np.array([1.0, 2.0])
    assert call(lambda v: float(np.dot(weights, v)), np.array([3.0, 4.0])) == 11.0


@numpy_case()
def the_latest_contents_of_a_captured_array(call):
    weights = np.zeros(3)
    f = lambda: weights.sum()
    got = [call(f)]
    weights[:] = 2
    got.append(call(f))
    assert got == [0.0, 6.0]


@numpy_case()
def vectorised(call):
    f = np.vectorize(lambda x: x + 1)
    assert call(lambda: f(np.arange(3)).tolist()) == [1, 2, 3]


@numpy_case()
def a_subclass(call):
    class Named(np.ndarray):
        pass

    array = np.arange(3).view(Named)
    back = call(lambda a: a + 1, array)
    assert type(back) is Named
    assert back.tolist() == [1, 2, 3]


@numpy_case()
def a_polynomial(call):
    p = np.poly1d([1, 0, 2])
    assert call(lambda p: p(2), p) == 6
    assert call(lambda: np.polynomial.Polynomial([1, 2]))(1) == 3.0


@numpy_case()
def shared_memory_inside_a_value(call):
    array = np.arange(3)
    assert call(lambda v: v[0] is v[1], [array, array]) is True


@numpy_case()
def errors_of_numpy(call):
    error = call.error(lambda: np.linalg.inv(np.zeros((2, 2))))
    assert type(error) is np.linalg.LinAlgError


@numpy_case()
def in_a_dataclass(call):
    import dataclasses

    @dataclasses.dataclass
    class Sample:
        values: object
        name: str = "s"

        def mean(self):
            return float(self.values.mean())

    assert call(lambda s: s.mean(), Sample(np.array([1.0, 3.0]))) == 2.0
    assert call(lambda: Sample(np.ones(2))).values.tolist() == [1.0, 1.0]
