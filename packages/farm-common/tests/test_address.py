"""Addresses: every accepted form, and what is refused."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm_common import Address, AddressError, parse_address

ACCEPTED = [
    (("10.0.0.7", 11111), Address("tcp", "10.0.0.7", 11111), "10.0.0.7:11111"),
    (("::1", 0), Address("tcp", "::1", 0), "[::1]:0"),
    (("fe80::1%eth0", 1), Address("tcp", "fe80::1%eth0", 1), "[fe80::1%eth0]:1"),
    ("10.0.0.7:11111", Address("tcp", "10.0.0.7", 11111), "10.0.0.7:11111"),
    ("tcp://host:65535", Address("tcp", "host", 65535), "host:65535"),
    ("local:80", Address("tcp", "local", 80), "local:80"),
    ("[::1]:11111", Address("tcp", "::1", 11111), "[::1]:11111"),
    ("tcp://[::1]:0", Address("tcp", "::1", 0), "[::1]:0"),
    ("bücher.example:80", Address("tcp", "bücher.example", 80), "bücher.example:80"),
    (
        "h:1?workers=4",
        Address("tcp", "h", 1, options={"workers": "4"}),
        "h:1?workers=4",
    ),
    (
        "unix:///run/user/1000/farm.sock",
        Address("unix", path="/run/user/1000/farm.sock"),
        "unix:///run/user/1000/farm.sock",
    ),
    ("unix:///a%20b", Address("unix", path="/a b"), "unix:///a b"),
    ("unix:///50%25%3F", Address("unix", path="/50%?"), "unix:///50%25%3F"),
    ("unix:///caf%E9", Address("unix", path="/caf\udce9"), "unix:///caf\udce9"),
    (
        "unix:///s?workers=2",
        Address("unix", path="/s", options={"workers": "2"}),
        "unix:///s?workers=2",
    ),
    ("unix:///" + "x" * 102, Address("unix", path="/" + "x" * 102), "unix:///" + "x" * 102),
    ("ssh://h", Address("ssh", "h"), "ssh://h"),
    ("ssh://me@h:22", Address("ssh", "h", 22, user="me"), "ssh://me@h:22"),
    ("ssh://me@corp@[::1]:22", Address("ssh", "::1", 22, user="me@corp"), "ssh://me@corp@[::1]:22"),
    ("ssh://CORP%5Cme@h", Address("ssh", "h", user="CORP\\me"), "ssh://CORP%5Cme@h"),
    (
        "ssh://h?workers=8&python=~/bin/pypy3&config=/c&option=ProxyJump=a,b&option=KexAlgorithms=+x",
        Address(
            "ssh",
            "h",
            options={"workers": "8", "python": "~/bin/pypy3", "config": "/c"},
            ssh_options=("ProxyJump=a,b", "KexAlgorithms=+x"),
        ),
        "ssh://h?workers=8&python=~/bin/pypy3&config=/c&option=ProxyJump=a,b&option=KexAlgorithms=%2Bx",
    ),
    ("local", Address("local"), "local"),
    ("local://", Address("local"), "local"),
    (
        "local?workers=4&python=/opt/py/bin/python3",
        Address("local", options={"workers": "4", "python": "/opt/py/bin/python3"}),
        "local?workers=4&python=/opt/py/bin/python3",
    ),
]

REFUSED = [
    ("", "expected host:port"),
    ("host", "expected host:port"),
    ("host:", "'' is not a port"),
    (":80", "the host is empty"),
    ("[]:80", "the host is empty"),
    ("host:http", "'http' is not a port"),
    ("host:-1", "'-1' is not a port"),
    ("host:65536", "'65536' is not a port"),
    ("host:\u0661", "is not a port"),
    ("host: 80", "is not a port"),
    ("host:" + "9" * 5000, "is not a port"),
    ("::1:80", "IPv6 address in brackets"),
    ("user@host:80", "'user@host' is not a host"),
    ("a b:80", "'a b' is not a host"),
    ("a\0b:80", "is not a host"),
    ("[a b]:80", "'a b' is not a host"),
    ("host/path:80", "'host/path' is not a host"),
    ("http://host:80", "http:// is not a scheme that farm knows"),
    ("://host:80", ":// is not a scheme"),
    ("unix://run/farm.sock", "must be absolute"),
    ("unix://", "must be absolute"),
    ("unix:/run/farm.sock", "'/run/farm.sock' is not a port"),
    ("unix:///a%00b", "cannot hold a NUL"),
    ("unix:///\ud800", "text that a file system can hold"),
    ("unix:///" + "x" * 103, "at most 103 bytes"),
    ("unix:///" + "ü" * 52, "at most 103 bytes"),
    ("local://host", "local takes no host"),
    ("local?", "takes no option ''"),
    ("local?workers", "not a list of name=value pairs"),
    ("local?workers=", "workers= is not a number above 0"),
    ("local?workers=0", "workers=0 is not a number above 0"),
    ("local?workers=-1", "workers=-1 is not"),
    ("local?workers=two", "workers=two is not"),
    ("local?workers=" + "9" * 5000, "is not a number above 0"),
    ("h:1?python=x", "tcp takes no option 'python' (only user, workers)"),
    ("unix:///s?a=b", "unix takes no option 'a'"),
    ("ssh://", "the host is empty"),
    ("ssh://me@", "the host is empty"),
    ("ssh://@h", "'' is not a user"),
    ("ssh://me:secret@h", "a password has no place in an address"),
    ("ssh://-oProxyCommand=x", "is not a host"),
    ("ssh://-x@h", "'-x' is not a user"),
    ("ssh://a b@h", "'a b' is not a user"),
    ("ssh://h/path", "'h/path' is not a host"),
    ("ssh://h:0", "'0' is not a port from 1"),
    ("ssh://h:", "'' is not a port"),
    ("ssh://h:ssh", "'ssh' is not a port"),
    ("ssh://::1", "IPv6 address in brackets"),
    ("ssh://h?option=ProxyJump", "option='ProxyJump' is not an option of ssh: Name=value"),
    ("ssh://h?option=A=b%0AC=d", "is not an option of ssh"),
    ("ssh://h?python=", "python='' is not a file"),
    ("ssh://h?python=a%0Ab", "is not a file"),
    ("ssh://h?config=", "config='' is not a file"),
    ("ssh://h?shell=x", "ssh takes no option 'shell' (only config, option, python, workers)"),
    ("h:1?option=A=b", "tcp takes no option 'option'"),
    ("h:1?workers=1&workers=2", "'workers=1&workers=2' has an option twice"),
    ("ssh://h?python=a&python=a", "'python=a&python=a' has an option twice"),
    (("host",), "a tuple must be (host, port)"),
    (("host", "80"), "a tuple must be (host, port)"),
    (("host", True), "a tuple must be (host, port)"),
    (("host", 65536), "a tuple must be (host, port)"),
    ((b"host", 80), "a tuple must be (host, port)"),
    (("host", 80, 0, 0), "a tuple must be (host, port)"),
    (("", 80), "'' is not a host"),
    (("a b", 80), "'a b' is not a host"),
    (("[::1]", 80), "'[::1]' is not a host"),
    (("a\0b", 80), "is not a host"),
    (None, "a NoneType is not an address"),
    (80, "a int is not an address"),
    (b"host:80", "a bytes is not an address"),
    (["host", 80], "a list is not an address"),
]


@pytest.mark.parametrize(("given", "address", "text"), ACCEPTED)
def test_accepted(given, address, text):
    """Every form gives this address, which is written so, and read again as the same."""
    assert parse_address(given) == address
    assert str(address) == text
    assert parse_address(text) == address
    assert parse_address(address) is address


@pytest.mark.parametrize(("given", "why"), REFUSED, ids=lambda value: repr(value)[:30])
def test_refused(given, why):
    """Everything else is refused: the error quotes it, says why, and shows what would do."""
    with pytest.raises(AddressError) as caught:
        parse_address(given)
    first, *forms = str(caught.value).splitlines()
    assert first.startswith(f"bad address {given!r}: ")
    assert why in first
    assert forms[0] == "accepted forms:"


def test_is_a_value_error():
    """Programs that know nothing of farm can catch it."""
    assert issubclass(AddressError, ValueError)


@pytest.mark.parametrize(
    ("text", "endpoint", "workers"),
    [
        ("h:1?workers=4", "h:1", 4),
        ("local?python=x", "local", None),
        ("unix:///s", "unix:///s", None),
    ],
)
def test_parts(text, endpoint, workers):
    """The endpoint is the address without its options, the workers are a number."""
    address = parse_address(text)
    assert (address.endpoint, address.workers) == (endpoint, workers)


def test_is_a_value():
    """Equal addresses are one key, and they can be copied and pickled."""
    address = parse_address("h:1?workers=4")
    assert {address: 1}[parse_address("tcp://h:1?workers=4")]
    assert copy.copy(address) == pickle.loads(pickle.dumps(address)) == address


@given(st.text(max_size=40) | st.text("unix:/tcplo[]?=&%@.0123456789", max_size=40))
def test_any_text(text):
    """Any text is an address that can be written and read again, or an `AddressError`."""
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert parse_address(str(address)) == address
