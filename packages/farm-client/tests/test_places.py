"""What `make_kernel` takes for an address."""

import pytest

from farm_client.places import list_places
from farm_common.address import parse_address


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("local", ["local"]),
        (("host", 1), [("host", 1)]),
        (("host", "1"), [("host", "1")]),
        (["a:1", ("b", 2)], ["a:1", ("b", 2)]),
        (("a:1", "b:2"), ["a:1", "b:2"]),
        ((("a", 1), ("b", 2)), [("a", 1), ("b", 2)]),
        ((address for address in ("a:1", "b:2")), ["a:1", "b:2"]),
        (parse_address("a:1"), [parse_address("a:1")]),
    ],
)
def test_one_address_or_many(given, expected):
    """A pair of a host and a port is one; every other iterable is many."""
    assert list_places(given) == expected
