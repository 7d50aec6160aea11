"""A call of a cognate: what arrives while it looks."""

import operator
from collections import deque

import pytest

import farm_client as farm
from farm_client.cognate.call import Call
from farm_client.cognate.pieces import Slices
from farm_common.parts import ReducePart


class Late(deque):
    """Is found empty once, and right after that all that is on its way arrives.

    So another thread may deliver between any two steps of the one that waits.
    """

    call = None

    def __bool__(self):
        call, self.call = self.call, None
        if call is None:
            return len(self) > 0
        assert len(self) == 0
        # Whoever waits leads, or a thread of the kernel does: here it is a wait of our own.
        assert call._engine.wait(lambda: not call.pending, 20)
        return False


class TestWait:
    @pytest.mark.parametrize("parts", [1, 2, 3])
    def test_all_arrives_after_a_look(self, kernel, parts):
        """Nothing is missed: not the last part, nor others that come with it."""
        with Call(ReducePart(operator.add), Slices(("abc",), 0, 3), parts) as call:
            call._done = Late()
            got = []
            for _ in range(parts):
                call.submit()
                call._done.call = call if call.pending else None
                part = call.wait()
                assert part is not None
                got.append(part)
            assert call.wait() is None
        got.sort(key=operator.attrgetter("number"))
        assert "".join(part.value for part in got) == "abc"

    def test_a_cognate_whose_parts_all_come_late(self, kernel, monkeypatch):
        """Gives what the built-in gives."""
        real = Call.__init__

        def late(call, *args, **keywords):
            real(call, *args, **keywords)
            call._done = Late()
            call._done.call = call

        monkeypatch.setattr(Call, "__init__", late)
        assert farm.preduce(operator.add, "abcdefg", parts=3) == "abcdefg"
        assert farm.pmap(operator.neg, range(5), parts=1) == [0, -1, -2, -3, -4]
