"""Which mechanisms a command line asks for."""

import argparse

import pytest

from farm_common.security import options

ALICE, BOB = "alice@EXAMPLE.COM", "bob@EXAMPLE.COM"


@pytest.fixture
def made(monkeypatch):
    """What mechanisms would be made, with their arguments, in place of the mechanisms."""

    class TLSAuth:
        @staticmethod
        def from_directory(directory, **keywords):
            return ("tls", directory, keywords)

    monkeypatch.setattr(options, "TLSAuth", TLSAuth)
    monkeypatch.setattr(
        options, "find_authenticator", lambda name: lambda **keywords: (name, keywords)
    )


def server(*arguments):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    options.add_server_options(parser)
    return options.server_auths(parser.parse_args(arguments))


def client(*arguments):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    options.add_client_options(parser)
    return options.client_auth(parser.parse_args(arguments))


class TestServer:
    def test_none(self, made):
        """Without any of them there is no mechanism."""
        assert server() is None

    @pytest.mark.parametrize(
        ("arguments", "auths"),
        [
            (["--tls", "d"], [("tls", "d", {"allowed_names": None})]),
            (["--tls", "d", "--allow", "n"], [("tls", "d", {"allowed_names": ["n"]})]),
            (["--gss", "--allow", ALICE], [("gss", {"tls": False, "allowed_users": [ALICE]})]),
            (
                ["--gss-tls", "--allow", ALICE, "--allow", BOB, "--gss-service", "compute"],
                [("gss", {"tls": True, "allowed_users": [ALICE, BOB], "service_name": "compute"})],
            ),
        ],
    )
    def test_one(self, made, arguments, auths):
        """The arguments reach it."""
        assert server(*arguments) == auths

    def test_several(self, made):
        """TLS comes before what is slower; names without a realm are not for Kerberos."""
        found = server("--gss", "--gss-tls", "--tls", "d", "--allow", ALICE, "--allow", "node1")
        assert found == [
            ("tls", "d", {"allowed_names": [ALICE, "node1"]}),
            ("gss", {"tls": True, "allowed_users": [ALICE]}),
            ("gss", {"tls": False, "allowed_users": [ALICE]}),
        ]

    def test_no_realm(self, made):
        """Where there is Kerberos only, it is left to it to refuse a name without one."""
        assert server("--gss", "--allow", "alice")[0][1]["allowed_users"] == ["alice"]

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["--allow", "x"], "add --tls, --gss or --gss-tls"),
            (["--gss"], "nobody could come in by Kerberos: name who may, .* --allow alice@"),
            (["--gss-tls", "--tls", "d", "--allow", "x"], "nobody could come in by Kerberos"),
            (["--gss-service", "x"], "belongs to --gss or --gss-tls"),
        ],
    )
    def test_nonsense(self, made, arguments, text):
        """What does not fit together is refused with what to do."""
        with pytest.raises(ValueError, match=text):
            server(*arguments)


class TestClient:
    @pytest.mark.parametrize(
        ("arguments", "auth"),
        [
            ([], None),
            (["--tls", "d"], ("tls", "d", {})),
            (["--gss"], ("gss", {"tls": False})),
            (["--gss-tls", "--gss-service", "s"], ("gss", {"tls": True, "service_name": "s"})),
        ],
    )
    def test_one(self, made, arguments, auth):
        """The arguments reach it."""
        assert client(*arguments) == auth

    @pytest.mark.parametrize(
        "arguments", [["--gss", "--gss-tls"], ["--tls", "d", "--gss"], ["--tls", "d", "--gss-tls"]]
    )
    def test_several(self, made, arguments):
        """A client uses one."""
        with pytest.raises(ValueError, match="are three mechanisms: give the one to use"):
            client(*arguments)

    def test_nonsense(self, made):
        """As for servers."""
        with pytest.raises(ValueError, match="belongs to --gss or --gss-tls: give one of them"):
            client("--gss-service", "x")
