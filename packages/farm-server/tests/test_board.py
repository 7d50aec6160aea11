"""The memory that parent and workers share."""

import os

import pytest

from farm_server.board import Board, Slot


def test_a_slot_is_cleared_and_starting():
    """A new session shows nothing of the one before it."""
    board = Board(1)
    slot = board.take()
    slot.words[Slot.TASK] = 8
    slot.category = "sim"
    board.give_back(slot)
    slot = board.take()
    assert list(slot.words) == [Slot.STARTING, 0, 0, 0, 0, 0, 0, 0]
    assert slot.category == ""


def test_slots_do_not_overlap():
    """What one session writes, no other has."""
    board = Board(2)
    first, second = board.take(), board.take()
    for index in range(8):
        first.words[index] = 2**64 - 1
    first.category = "x" * 100
    assert list(second.words) == [Slot.STARTING, 0, 0, 0, 0, 0, 0, 0]
    assert second.category == ""


def test_it_has_a_fixed_number_of_slots():
    """The listener limits connections, so running out is its error."""
    board = Board(1)
    board.take()
    with pytest.raises(IndexError):
        board.take()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("sim", "sim"),
        ("", ""),
        ("größe", "größe"),
        ("x" * 64, "x" * 64),
        ("x" * 65, "x" * 64),
        ("x" * 63 + "é", "x" * 63),
        ("\ud800", "?"),
    ],
)
def test_a_category_is_text_of_64_bytes(written, read):
    """It is cut between characters, and never fails."""
    slot = Board(1).take()
    slot.category = "something before that was longer"
    slot.category = written
    assert slot.category == read


def test_the_parent_sees_what_a_child_writes():
    """Without a message, and after the child's death."""
    slot = Board(3).take()
    pid = os.fork()
    if not pid:
        slot.words[Slot.TASK] = 43
        slot.words[Slot.DONE] = 2**40
        slot.category = "sim"
        os._exit(0)
    os.waitpid(pid, 0)
    assert (slot.words[Slot.TASK], slot.words[Slot.DONE], slot.category) == (43, 2**40, "sim")


def test_what_runs():
    """A task from its first instruction on, and none while the worker sends."""
    slot = Board(1).take()
    slot.words[Slot.STATE] = Slot.WORK
    assert slot.running is None
    slot.words[Slot.TASK] = 1
    assert slot.running == 0
    slot.words[Slot.STATE] = Slot.SENDING
    assert slot.running is None
