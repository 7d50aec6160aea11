"""Bytes that no peer of ours sends: an `AuthError` or patience, and nothing kept that is large."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm_common.address import Address
from farm_common.errors import AuthError
from farm_gss import GSSAuth

CALM = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

heads = st.builds(
    lambda kind, length: bytes([kind]) + length.to_bytes(4, "big"),
    st.integers(0, 5),
    st.one_of(st.integers(0, 64), st.integers(65000, 66000), st.integers(0, 2**32 - 1)),
)
pieces = st.lists(st.one_of(st.binary(max_size=100), heads, st.just(bytes(9000))), max_size=20)


@pytest.fixture
def fresh(gssapi):
    """Makes a layer of either side that has begun."""

    def make(server):
        auth = GSSAuth(allowed_users=["alice@EXAMPLE.COM"])
        layer = auth.server_layer() if server else auth.client_layer(Address("tcp", "h", 1))
        layer.start()
        return layer

    return make


@CALM
@given(server=st.booleans(), stream=pieces)
def test_before_trust(fresh, server, stream):
    """Nobody is trusted for rubbish, no other error comes of it, and little is kept."""
    layer = fresh(server)
    try:
        for piece in stream:
            assert layer.feed(piece)[0] == b""
    except AuthError:
        pass
    assert not layer.established
    assert len(layer._records._buffer) < 2 * (1 << 16)


@CALM
@given(stream=pieces)
def test_after_trust(layers, meet, stream):
    """Nor is rubbish taken for data."""
    client, server = layers()
    meet(client, server)
    plain = b""
    try:
        for piece in stream:
            plain += server.feed(piece)[0]
    except AuthError:
        pass
    assert plain == b""
