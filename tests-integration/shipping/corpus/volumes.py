"""Large values and buffers."""

import array
import pickle

import farm_client as farm
from harness import case

SIZE = 3_000_000


class Blob:
    """Gives its bytes out of band, as large arrays do."""

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        if protocol >= 5:
            return Blob, (pickle.PickleBuffer(self.data),)
        return Blob, (bytes(self.data),)


@case
def bytes_as_an_argument(call):
    assert call(len, bytes(SIZE)) == SIZE


@case
def bytes_as_a_result(call):
    assert call(lambda n: b"x" * n, SIZE) == b"x" * SIZE


@case
def bytes_in_a_closure(call):
    block = b"\x07" * SIZE
    assert call(lambda: (len(block), block[-1])) == (SIZE, 7)


@case
def a_closure_over_bytes_used_often(call):
    block = b"\x01" * 200_000
    f = lambda i: block[i] + i
    assert [call(f, i) for i in range(20)] == [i + 1 for i in range(20)]


@case
def a_bytearray(call):
    back = call(lambda b: b, bytearray(b"ab") * 100_000)
    assert type(back) is bytearray
    back[0] = 0
    assert len(back) == 200_000


@case
def text(call):
    assert call(lambda s: s[::-1], "aé" * 500_000) == "éa" * 500_000


@case
def an_array(call):
    assert call(sum, array.array("q", range(50_000))) == sum(range(50_000))


@case
def a_list_of_numbers(call):
    assert call(lambda v: sum(v), list(range(200_000))) == sum(range(200_000))


@case
def a_large_dict_as_a_result(call):
    back = call(lambda n: {i: str(i) for i in range(n)}, 50_000)
    assert back[49_999] == "49999"


@case
def a_large_integer(call):
    assert call(lambda n: n.bit_length(), 1 << 100_000) == 100_001


@case
def out_of_band_buffers(call):
    blob = Blob(bytearray(b"z" * 100_000))
    assert call(lambda b: len(bytes(b.data)), blob) == 100_000


@case
def out_of_band_buffers_in_a_result(call):
    back = call(lambda: Blob(bytearray(b"z" * 100_000)))
    assert type(back) is Blob
    assert bytes(back.data) == b"z" * 100_000


@case
def out_of_band_buffers_in_a_closure(call):
    blob = Blob(bytearray(b"y" * 100_000))
    assert call(lambda: bytes(blob.data[:2])) == b"yy"


@case
def a_memoryview_of_much(call):
    assert call(lambda v: len(v), memoryview(bytes(200_000))) == 200_000


@case(remote=True)
def a_shared_value(call):
    handle = farm.shared({"k": bytes(100_000)})
    assert call(lambda: len(handle.value["k"])) == 100_000
    assert call(lambda h: len(h.value), handle) == 1
    handle.release()


@case(remote=True)
def a_shared_value_with_functions_and_instances(call):
    class Model:
        def predict(self, x):
            return x + 1

    handle = farm.shared([Model(), lambda x: x * 2])
    assert call(lambda: handle.value[0].predict(1) + handle.value[1](5)) == 12
    assert call(lambda: handle.value[0].predict(2)) == 3
    handle.release()
