"""The pickler that is chosen remembers what it has reduced, on every interpreter."""

import io
import pickle

import pytest

from farm_common.shipping import pickler


def target():
    """What the pickler below reduces."""


class Recorder(pickler.Pickler):
    """Reduces a function to a list that holds the function, by way of its state."""

    def reducer_override(self, obj):
        """One list for `target`."""
        return (list, (), None, iter([obj])) if obj is target else NotImplemented


def dumped(value):
    """A value, there and back."""
    file = io.BytesIO()
    Recorder(file, 5).dump(value)
    return pickle.loads(file.getvalue())


def test_an_object_that_is_met_twice_is_one():
    """Two references to it are still two references to one thing."""
    first, second = dumped([target, target])
    assert first is second


def test_an_object_that_refers_to_itself_arrives_so():
    """What is under way is remembered, too."""
    made = dumped(target)
    assert made[0] is made


class Forgetful(pickle._Pickler):
    """As PyPy 8.0's: it remembers nothing that was reduced by an override."""

    def memoize(self, obj):
        """Forget functions."""
        if type(obj) is not type(target):
            super().memoize(obj)


@pytest.mark.parametrize(("kind", "sound"), [(pickle._Pickler, True), (Forgetful, False)])
def test_a_forgetful_pickler_is_found_out(kind, sound):
    """It is tried, so that no list of versions is needed."""
    assert pickler._remembers(kind) is sound
