"""What the user gave, checked."""

import pytest

from farm_common.address import parse_address
from farm_common.errors import AddressError
from farm_common.security import NoAuth
from farm_server.settings import make_settings


class Other(NoAuth.__base__):
    """A mechanism that authenticates."""

    name = "other"

    def client_layer(self, address):
        """Not used here."""

    def server_layer(self):
        """Not used here."""


class Another(Other):
    """One more."""

    name = "another"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("127.0.0.1:1", ["127.0.0.1:1"]),
        (("::1", 2), ["[::1]:2"]),
        (parse_address("h:3"), ["h:3"]),
        (["h:1", ("h", 2), "unix:///s"], ["h:1", "h:2", "unix:///s"]),
        (("h:1", "h:2"), ["h:1", "h:2"]),
        ((address for address in ["h:1"]), ["h:1"]),
    ],
)
def test_one_address_or_several(given, expected):
    """A pair of host and port is one address, any other iterable is several."""
    assert [str(address) for address in make_settings(given).addresses] == expected


def test_no_address():
    """The error gives an example."""
    with pytest.raises(AddressError, match=r"no address to listen on.*127\.0\.0\.1:11111"):
        make_settings([])


@pytest.mark.parametrize("bad", [None, 5, 1.5, b"h:1", [None], object()])
def test_what_is_no_address(bad):
    """The same error as for a text that is none."""
    with pytest.raises(AddressError, match=r"(?s)bad address .*accepted forms"):
        make_settings(bad)


def test_local_is_not_to_listen_on():
    """It means something to clients only."""
    with pytest.raises(AddressError, match="a server cannot listen on 'local'"):
        make_settings("local")


@pytest.mark.parametrize("name", ["workers", "max_connections"])
@pytest.mark.parametrize("number", [0, -1])
def test_numbers_out_of_range(name, number):
    """The error names the argument."""
    with pytest.raises(ValueError, match=f"{name}={number} is not above 0"):
        make_settings("h:1", **{name: number})


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"workers": 1.5}, "workers is a whole number above 0, not 1.5"),
        ({"workers": "2"}, "workers is a whole number above 0, not '2'"),
        ({"max_connections": "2"}, "max_connections is a whole number above 0, not '2'"),
        ({"name": 5}, "a server's name is a string, not 5"),
        ({"auth": 5}, "auth is an Authenticator, or several, not 5"),
        ({"auth": "TLS"}, "auth is an Authenticator, or several, not 'TLS'"),
        ({"tags": 5}, "tags are strings, such as"),
        ({"tags": b"gpu"}, "tags are strings, such as"),
        ({"tags": ["gpu", 5]}, "tags are strings, such as"),
    ],
)
def test_types_that_will_not_do(keywords, text):
    """Refused at once, and not by the process that would have served."""
    with pytest.raises(TypeError, match=text):
        make_settings("h:1", **keywords)


@pytest.mark.parametrize(
    ("workers", "connections", "asked", "advertised"),
    [(2, 9, None, 2), (9, 2, None, 2), (2, 9, 5, 5), (2, 4, 5, 4)],
)
def test_what_is_advertised(workers, connections, asked, advertised):
    """No more than is served: a kernel would wait for the others for ever."""
    settings = make_settings("h:1", workers=workers, max_connections=connections)
    assert settings.advertised(asked) == advertised


def test_defaults():
    """A name, processors, and no authentication."""
    settings = make_settings("h:1")
    assert settings.name
    assert settings.workers >= 1
    assert not settings.authenticates
    assert settings.tags == ()


def test_authentication():
    """One mechanism or several; offering none besides is no authentication."""
    assert make_settings("h:1", auth=Other()).authenticates
    assert make_settings("h:1", auth=[Other(), Another()]).authenticates
    assert not make_settings("h:1", auth=[Other(), NoAuth()]).authenticates


def test_mechanisms_that_will_not_do():
    """None at all would be nobody, and of two of one name one would never be used."""
    with pytest.raises(ValueError, match="empty list"):
        make_settings("h:1", auth=[])
    with pytest.raises(ValueError, match="two mechanisms of one name: other, other"):
        make_settings("h:1", auth=[Other(), Other()])


def test_the_user_of_an_address():
    """That is a client's to say; a server that ignored it would seem to keep others out."""
    with pytest.raises(AddressError, match=r"for clients.*--allow-local-users"):
        make_settings("127.0.0.1:1?user=alice")


def test_a_single_tag():
    """A string is a tag, not its letters."""
    assert make_settings("h:1", tags="gpu").tags == ("gpu",)
    assert make_settings("h:1", tags={"gpu"}).tags == ("gpu",)
