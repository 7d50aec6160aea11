"""NumPy's objects that travel, as in values_corpus.py, which is loaded before this.

What is made here is made of what every NumPy from 1.26 on has.
"""

# ruff: noqa: ICN001, PLC3002

import tempfile

import numpy
from values_corpus import Case, Refusal, holds, named


def equal(made, come):
    """Equal in all that an array is."""
    return (
        type(made) is type(come)
        and made.dtype == come.dtype
        and made.shape == come.shape
        and made.flags.c_contiguous == come.flags.c_contiguous
        and made.flags.f_contiguous == come.flags.f_contiguous
        and made.flags.writeable == come.flags.writeable
        and (made.tobytes() == come.tobytes() if not made.dtype.hasobject else _same(made, come))
    )


def _same(made, come):
    return repr(made) == repr(come)


def close(made, come):
    """Equal in content and type, whatever the layout."""
    return type(made) is type(come) and made.dtype == come.dtype and _same(made, come)


def scalar(made, come):
    """A scalar of the same type and value."""
    return type(made) is type(come) and made.dtype == come.dtype and repr(made) == repr(come)


def random(made, come):
    """The same numbers to come."""
    return made.random(5).tolist() == come.random(5).tolist()


def frozen(array):
    array.setflags(write=False)
    return array


def advanced(generator):
    generator.random(3)
    return generator


class Tagged(numpy.ndarray):
    """A subclass with an attribute."""

    def __array_finalize__(self, obj):
        self.tag = getattr(obj, "tag", None)


class Signed(numpy.ndarray):
    """A subclass that says how it is pickled."""

    def __reduce__(self):
        function, args, state = super().__reduce__()
        return function, args, (*state, "signed")

    def __setstate__(self, state):
        self.note = state[-1]
        super().__setstate__(state[:-1])


def tagged():
    array = numpy.arange(3).view(Tagged)
    array.tag = "x"
    return array


def memory_map():
    with tempfile.TemporaryFile() as file:
        file.write(bytes(range(8)))
        file.flush()
        return numpy.memmap(file, dtype="u1", mode="r", shape=(8,))


def record_array():
    return numpy.rec.fromrecords([(1, 2.5), (3, 4.5)], names="a,b")


STRUCTURED = numpy.dtype([("a", "<i4"), ("b", "<f8", (2,)), ("c", "U3")])

DTYPES = (
    *("?", "i1", "u1", "<i2", ">i4", "<i8", "<u8", "<f2", "<f4", ">f8", "<c8", "<c16"),
    *("S3", "<U4", ">U2", "V5", "<M8[ns]", "<m8[s]", "<M8[25s]", "<M8"),
)

VALUES = {
    **{f"dtype {code}": Case(lambda code=code: numpy.dtype(code)) for code in (*DTYPES, "O", "g")},
    **{
        f"array of {code}": Case(lambda code=code: numpy.zeros((2, 3), code), equal)
        for code in DTYPES
    },
    **{
        f"scalar of {code}": Case(lambda code=code: numpy.ones(1, code)[0], scalar)
        for code in DTYPES
        if not code.startswith(">") and "M8" not in code and "m8" not in code
    },
    "structured dtype": Case(lambda: STRUCTURED),
    "aligned dtype": Case(
        lambda: numpy.dtype([("a", "i1"), ("b", "f8")], align=True),
        holds(lambda d: d.isalignedstruct and d.itemsize == 16),
    ),
    "dtype with titles": Case(lambda: numpy.dtype([(("title", "a"), "i4"), ("b", "i4")])),
    "dtype with offsets": Case(
        lambda: numpy.dtype({"names": ["a"], "formats": ["i4"], "offsets": [4], "itemsize": 16})
    ),
    "subarray dtype": Case(lambda: numpy.dtype(("i4", (2, 3)))),
    "nested dtype": Case(lambda: numpy.dtype([("p", [("x", "f4"), ("y", "O")])])),
    "dtype without fields": Case(lambda: numpy.dtype([])),
    "record dtype": Case(
        lambda: numpy.dtype((numpy.record, [("a", "i4")])),
        holds(lambda d: d.type is numpy.record and d.names == ("a",)),
    ),
    "one dimension": Case(lambda: numpy.arange(5.0), equal),
    "Fortran order": Case(lambda: numpy.asfortranarray(numpy.arange(6).reshape(2, 3)), equal),
    "large": Case(lambda: numpy.arange(100_000), equal),
    "large in Fortran order": Case(
        lambda: numpy.asfortranarray(numpy.arange(60_000).reshape(200, 300)), equal
    ),
    "large and read-only": Case(lambda: frozen(numpy.arange(100_000)), equal),
    "read-only": Case(lambda: frozen(numpy.arange(5)), equal),
    "strided": Case(lambda: numpy.arange(20)[::3], close),
    "large strided": Case(lambda: numpy.arange(100_000)[::3], close),
    "reversed": Case(lambda: numpy.arange(5)[::-1], close),
    "transposed": Case(lambda: numpy.arange(24).reshape(2, 3, 4).transpose(1, 0, 2), close),
    "broadcast": Case(lambda: numpy.broadcast_to(numpy.arange(3), (2, 3)), close),
    "no elements": Case(lambda: numpy.zeros((0, 3)), equal),
    "no dimensions": Case(lambda: numpy.array(3.5), equal),
    "no bytes": Case(lambda: numpy.zeros(3, "S0"), close),
    "objects": Case(lambda: numpy.array([1, "a", None, [2]], dtype=object), equal),
    "objects in Fortran order": Case(
        lambda: numpy.asfortranarray(numpy.array([[1, "a"], [None, 2]], dtype=object)), equal
    ),
    "arrays in an array": Case(
        lambda: numpy.array([numpy.arange(2), numpy.array(3), numpy.arange(3)], dtype=object),
        holds(lambda a: a[0].tolist() == [0, 1] and a.shape == (3,)),
    ),
    "structured": Case(lambda: numpy.zeros(2, STRUCTURED), equal),
    "structured with objects": Case(
        lambda: numpy.array([(1, "x")], dtype=[("a", "i4"), ("b", "O")]), equal
    ),
    "times": Case(lambda: numpy.array(["2020-01-02", "NaT"], "M8[D]"), equal),
    "shared": Case(
        lambda: (lambda a: [a, a, {"again": a}])(numpy.arange(3)),
        holds(lambda x: x[0] is x[1] is x[2]["again"]),
    ),
    "written to there": Case(
        lambda: [numpy.arange(3), numpy.arange(100_000)],
        holds(lambda x: [a.__setitem__(0, 9) or a[0] for a in x] == [9, 9]),
    ),
    "matrix": Case(lambda: numpy.zeros((1, 2)).view(numpy.matrix), equal),
    "record array": Case(record_array, close),
    "record": Case(lambda: record_array()[0], scalar),
    "structured scalar": Case(lambda: numpy.zeros(2, STRUCTURED)[1], scalar),
    "object scalar": Case(
        lambda: numpy.array([(1, "x")], dtype=[("a", "i4"), ("b", "O")])[0], scalar
    ),
    "masked array": Case(
        lambda: numpy.ma.array([1, 2, 3], mask=[0, 1, 0], fill_value=7),
        holds(lambda a: a.tolist() == [1, None, 3] and a.fill_value == 7 and not a.hardmask),
    ),
    "masked array with a hard mask": Case(
        lambda: numpy.ma.array([1.5, 2], hard_mask=True),
        holds(lambda a: a.hardmask and a.mask is numpy.ma.nomask),
    ),
    "structured masked array": Case(
        lambda: numpy.ma.array([(1, 2)], mask=[(0, 1)], dtype=[("a", "i4"), ("b", "i4")]), close
    ),
    "masked": Case(lambda: numpy.ma.masked, holds(lambda m: m is numpy.ma.masked)),
    "memory map": Case(
        memory_map, holds(lambda a: type(a) is numpy.ndarray and a.tolist() == list(range(8)))
    ),
    "subclass": Case(tagged, holds(lambda a: type(a) is Tagged and a.tag == "x" and a.sum() == 3)),
    "subclass with a reduce of its own": Case(
        lambda: numpy.arange(3).view(Signed),
        holds(lambda a: type(a) is Signed and a.note == "signed" and a.tolist() == [0, 1, 2]),
    ),
    "times and spans": Case(
        lambda: [
            numpy.datetime64("2020-01-02"),
            numpy.timedelta64(3, "s"),
            numpy.datetime64("NaT", "s"),
        ],
        holds(lambda x: [str(v) for v in x] == ["2020-01-02", "3 seconds", "NaT"]),
    ),
    "bools": Case(lambda: [numpy.True_, numpy.False_], holds(lambda x: x[1] is numpy.False_)),
    "empty strings": Case(
        lambda: [numpy.str_(""), numpy.bytes_(b"")],
        holds(lambda x: type(x[0]) is numpy.str_ and x == ["", b""]),
    ),
    "not a number": Case(lambda: numpy.float64("nan"), scalar),
    **{
        name: Case(
            lambda name=name: getattr(numpy.random, name)(5),
            holds(
                lambda b, name=name: random(
                    numpy.random.Generator(getattr(numpy.random, name)(5)),
                    numpy.random.Generator(b),
                )
            ),
        )
        for name in ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
    },
    "Generator": Case(lambda: advanced(numpy.random.default_rng(5)), random),
    "Generator that spawns": Case(
        lambda: numpy.random.default_rng(5),
        lambda made, come: random(made.spawn(2)[1], come.spawn(2)[1]),
    ),
    "generators that share": Case(
        lambda: (lambda b: [numpy.random.Generator(b), numpy.random.Generator(b)])(
            numpy.random.PCG64(5)
        ),
        holds(lambda x: x[0].bit_generator is x[1].bit_generator),
    ),
    "RandomState": Case(lambda: advanced(numpy.random.RandomState(5)), random),
    "RandomState with half a pair": Case(
        lambda: (lambda r: (r.standard_normal(), r)[1])(numpy.random.RandomState(5)),
        lambda made, come: made.standard_normal() == come.standard_normal(),
    ),
    "SeedSequence": Case(
        lambda: (lambda s: (s.spawn(2), s)[1])(numpy.random.SeedSequence(5)),
        lambda made, come: (
            made.spawn(1)[0].generate_state(2).tolist()
            == come.spawn(1)[0].generate_state(2).tolist()
        ),
    ),
    "the hidden RandomState": Case(
        lambda: numpy.random.rand.__self__, holds(lambda r: r is numpy.random.rand.__self__)
    ),
    "polynomial": Case(lambda: numpy.polynomial.Polynomial([1, 2]), holds(lambda p: p(3) == 7)),
    "poly1d": Case(lambda: numpy.poly1d([1, 2]), holds(lambda p: p(3) == 5)),
    "vectorized": Case(lambda: numpy.vectorize(abs), holds(lambda f: f([-1]).tolist() == [1])),
    "iinfo": Case(lambda: numpy.iinfo("i4"), holds(lambda i: i.max == 2**31 - 1)),
    **{
        name: Case(lambda name=name: named(name), holds(lambda f, name=name: f is named(name)))
        for name in (
            *("numpy.add", "numpy.sqrt", "numpy.maximum", "numpy.mean", "numpy.zeros", "numpy.dot"),
            *("numpy.array", "numpy.ndarray", "numpy.dtype", "numpy.float64", "numpy.int32"),
            *("numpy.bool_", "numpy.str_", "numpy.generic", "numpy.ufunc", "numpy.matrix"),
            *("numpy.int_", "numpy.intc", "numpy.uint", "numpy.longlong", "numpy.longdouble"),
            *("numpy.concatenate", "numpy.einsum", "numpy.where", "numpy.linspace", "numpy.pad"),
            *("numpy.vectorize", "numpy.poly1d", "numpy.random.Generator", "numpy.random.PCG64"),
            *("numpy.random.default_rng", "numpy.random.RandomState", "numpy.linalg.norm"),
            *("numpy.linalg.solve", "numpy.linalg.LinAlgError", "numpy.fft.fft", "numpy.ma.array"),
            *("numpy.ma.MaskedArray", "numpy.ma.masked_where", "numpy.recarray", "numpy.record"),
            *("numpy.testing.assert_allclose", "numpy.lib.stride_tricks.as_strided"),
            *("numpy.apply_along_axis", "numpy.frompyfunc", "numpy.errstate", "numpy.nditer"),
            *(
                "numpy.exceptions.AxisError",
                "numpy.exceptions.ComplexWarning",
                "numpy.polynomial.Polynomial",
                "numpy.void",
            ),
            *("numpy.random.SeedSequence", "numpy.random.BitGenerator", "numpy.char.upper"),
            *("numpy.memmap", "numpy.broadcast", "numpy.busdaycalendar", "numpy.flatiter"),
            *("numpy.rec.fromrecords", "numpy.char.title"),
        )
    },
    **{
        name: Case(lambda name=name: named(name), holds(lambda f, name=name: f == named(name)))
        for name in (
            *("numpy.random.rand", "numpy.random.seed", "numpy.random.randint"),
            *("numpy.random.normal", "numpy.random.shuffle", "numpy.random.choice"),
        )
    },
    "add.reduce": Case(lambda: numpy.add.reduce, holds(lambda f: f([1, 2]) == 3)),
    "a method": Case(lambda: numpy.arange(3).sum, holds(lambda f: f() == 3)),
    "ndarray.sum": Case(lambda: numpy.ndarray.sum, holds(lambda f: f(numpy.arange(3)) == 3)),
    "module": Case(lambda: numpy.linalg, holds(lambda m: m is numpy.linalg)),
}

CANNOT = {
    "frompyfunc": Refusal(lambda: numpy.frompyfunc(abs, 1, 1), "numpy.frompyfunc"),
}
