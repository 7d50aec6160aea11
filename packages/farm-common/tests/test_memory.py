"""`farm_common.memory`: blocks for large values, used again."""

import sys
import types

import pytest

from farm_common import memory
from farm_common.memory import allocate, physical_memory, trim

LARGE = 1 << 20

counted = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="only CPython counts references"
)


@pytest.fixture(autouse=True)
def blocks(monkeypatch):
    """Nothing is remembered before the test, and nothing of it afterwards."""
    blocks = []
    monkeypatch.setattr(memory, "_blocks", blocks)
    return blocks


@pytest.mark.parametrize("size", [0, 1, 100_000, LARGE, LARGE + 1])
def test_allocate(size):
    """Memory has the size asked for, and can be written to."""
    view = memoryview(allocate(size)).cast("B")
    assert (len(view), view.readonly) == (size, False)


@counted
def test_a_block_is_used_again(blocks):
    """Once nobody has a block, it serves the next value of about its size."""
    first = memoryview(allocate(LARGE + 1000))
    first[0] = 7
    del first
    again = memoryview(allocate(LARGE))
    assert again[0] == 7
    assert len(again) == LARGE
    assert len(blocks) == 1


@counted
def test_a_block_in_use_is_not_used_again():
    """Not even where only a part of it is kept."""
    part = memoryview(allocate(LARGE))[10:20]
    part[0] = 7
    other = memoryview(allocate(LARGE))
    other[10] = 9
    assert part[0] == 7


@counted
def test_a_much_larger_block_is_left_alone(blocks):
    """A small value does not hold on to a large block."""
    allocate(4 * LARGE)
    kept = allocate(LARGE)
    assert len(kept) == LARGE
    assert len(blocks) == 2


@counted
def test_what_is_remembered_is_bounded(blocks, monkeypatch):
    """The oldest blocks are forgotten, and one over the limit is not remembered at all."""
    monkeypatch.setattr(memory, "_LIMIT", 3 * LARGE)
    kept = [allocate(LARGE) for _ in range(4)]
    assert sum(map(len, blocks)) == 3 * LARGE
    assert [len(block) for block in kept] == [LARGE] * 4
    assert len(allocate(4 * LARGE)) == 4 * LARGE
    assert sum(map(len, blocks)) <= 3 * LARGE


@counted
def test_trim(blocks):
    """What nobody uses is given back; what somebody uses is remembered."""
    kept = allocate(LARGE)
    allocate(2 * LARGE)
    trim()
    assert [len(block) for block in blocks] == [len(kept)]


def test_numpy_while_it_is_imported(monkeypatch):
    """NumPy is used only when it is there as a whole."""
    monkeypatch.setitem(sys.modules, "numpy", types.ModuleType("numpy"))
    assert type(allocate(LARGE)) is bytearray


def test_numpy(monkeypatch):
    """Where somebody imported NumPy, its memory is used for what is large."""
    asked = []
    numpy = types.ModuleType("numpy")
    numpy.empty = lambda size, kind: asked.append((size, kind)) or bytearray(size)
    monkeypatch.setitem(sys.modules, "numpy", numpy)
    assert len(allocate(LARGE)) == LARGE
    assert asked == [(LARGE, "u1")]
    assert type(allocate(1000)) is bytearray


@pytest.mark.parametrize("collected", [True, False])
def test_large_values_where_nobody_counts_references(monkeypatch, collected):
    """Once enough is of no use any more, an idle process has the collector run, once."""
    runs = []
    monkeypatch.setattr(memory, "_COLLECTED", collected)
    monkeypatch.setattr(memory, "_noted", 0)
    monkeypatch.setattr(memory.gc, "collect", lambda: runs.append(1))
    for _ in range(1000):
        memory.note(LARGE - 1)
    memory.note(20 * LARGE)
    trim()
    assert runs == []
    memory.note(20 * LARGE)
    trim()
    trim()
    assert runs == ([1] if collected else [])


@pytest.mark.skipif(hasattr(sys, "getrefcount"), reason="references are counted here")
def test_what_was_allocated_counts(monkeypatch):
    """Where nobody counts references, what arrives has to be collected, too."""
    monkeypatch.setattr(memory, "_noted", 0)
    allocate(3 * LARGE)
    assert memory._noted == 3 * LARGE


def test_physical_memory(monkeypatch):
    """The machine has some memory, and where it does not tell, plenty is assumed."""
    assert physical_memory() > 1 << 26
    monkeypatch.delattr("os.sysconf")
    assert physical_memory() == 1 << 36
