"""GSSAuth: what it takes, what it refuses, and whom it lets in."""

import pickle
import socket
import sys
from importlib import import_module
from importlib.metadata import distribution

import pytest

import farm_gss
from farm_common.address import parse_address
from farm_common.errors import AuthError
from farm_common.security import Authenticator
from farm_gss import GSSAuth


@pytest.fixture
def without_gssapi(monkeypatch):
    """``import gssapi`` fails, whether or not it is installed."""
    monkeypatch.setitem(sys.modules, "gssapi", None)


class Everybody(GSSAuth):
    """Rules of a user's own: whoever has a ticket of the realm."""

    def name_accepted(self, name):
        return str(name).endswith("@EXAMPLE.COM")


class TestWithoutGSSAPI:
    def test_importing_the_package_needs_none(self, without_gssapi, monkeypatch):
        """A fresh import of farm_gss succeeds where gssapi is missing."""
        for name in [name for name in sys.modules if name.partition(".")[0] == "farm_gss"]:
            monkeypatch.delitem(sys.modules, name)
        assert import_module("farm_gss") is not farm_gss

    def test_the_error_names_the_cure(self, without_gssapi):
        """It names the Python package and the system packages it is built with."""
        with pytest.raises(AuthError, match=r"apt install .*libkrb5-dev && pip install") as info:
            GSSAuth(allowed_users=["alice@EXAMPLE.ORG"])
        assert isinstance(info.value.__cause__, ImportError)

    def test_at_the_other_end_of_a_pickle(self, gssapi, monkeypatch):
        """A server's process that lacks it says so at its start, not when a client comes."""
        sent = pickle.dumps(GSSAuth())
        monkeypatch.setitem(sys.modules, "gssapi", None)
        with pytest.raises(AuthError, match="needs the Python package gssapi"):
            pickle.loads(sent)


class TestArguments:
    def test_defaults(self, gssapi):
        """The service is farm, the mechanism wraps, and nobody may come in."""
        auth = GSSAuth()
        assert isinstance(auth, Authenticator)
        assert (auth.service_name, auth.allowed_users, auth.host, auth.tls, auth.name) == (
            *("farm", frozenset(), None, False, "gss"),
        )
        assert repr(auth) == "<farm_gss.GSSAuth for farm, mechanism gss>"

    def test_tls(self, gssapi):
        """The two modes are two mechanisms, which cannot be taken for each other."""
        assert GSSAuth(tls=True).name == "gss-tls"

    def test_a_single_user(self, gssapi):
        """A text is one user, not one for each letter."""
        auth = GSSAuth(allowed_users="alice@EXAMPLE.COM")
        assert auth.allowed_users == {"alice@EXAMPLE.COM"}

    @pytest.mark.parametrize("user", ["alice", "", "alice@", "@EXAMPLE.COM"])
    def test_no_full_principal(self, gssapi, user):
        """A user without a realm, or without a name, is refused where it is written."""
        with pytest.raises(ValueError, match=r"is no full principal: .*@EXAMPLE.COM'"):
            GSSAuth(allowed_users=["bob@EXAMPLE.COM", user])

    @pytest.mark.parametrize("name", ["", "farm/host", "farm@host", "a b", "a\n"])
    def test_no_service(self, gssapi, name):
        """A service's name is the part before the slash, and nothing else."""
        with pytest.raises(ValueError, match="is no service's name: give the part before"):
            GSSAuth(name)

    def test_pickle(self, gssapi):
        """It can be sent to a server's process, a subclass too; secrets are not in it."""
        auth = Everybody("compute", allowed_users=["a@B"], host="h", tls=True)
        auth.client_layer(parse_address("h:1"))
        back = pickle.loads(pickle.dumps(auth))
        assert vars(back) == {**vars(auth), "_client_tls": None}
        assert type(back).__qualname__ == "Everybody"


class TestPrincipal:
    @pytest.mark.parametrize(
        ("address", "host"),
        [
            ("node7.example.com:11111", "node7.example.com"),
            ("192.0.2.7:11111", "192.0.2.7"),
            ("127.0.0.1:11111", None),
            ("[::1]:11111", None),
            ("localhost:11111", None),
            ("unix:///run/farm.sock", None),
        ],
    )
    def test_host(self, gssapi, address, host):
        """It is the address's; on this machine it is this machine's name."""
        GSSAuth().client_layer(parse_address(address)).start()
        wanted = f"farm@{host or socket.gethostname()}"
        assert gssapi.asked[-1]["name"] == (wanted, "service")

    def test_given(self, gssapi):
        """What the user says counts more, through a tunnel for example."""
        GSSAuth("compute", host="node7").client_layer(parse_address("127.0.0.1:9")).start()
        assert gssapi.asked[-1]["name"] == ("compute@node7", "service")

    def test_server(self, layers, meet, gssapi):
        """A server uses the keys of its service only, for whichever host, and only of Kerberos."""
        meet(*layers(service_name="compute"))
        (keys,) = [asked for asked in gssapi.asked if "name" in asked and "creds" not in asked][-1:]
        assert keys == {"name": ("compute", "service"), "mechs": ["kerberos"], "usage": "accept"}


class TestAdmission:
    @pytest.fixture
    def arrive(self, layers, meet):
        """A client that has proved to be alice@EXAMPLE.COM asks to come in."""

        def arrive_(auth):
            client, server = layers(auth)
            meet(client, server)
            assert server.peer == "alice@EXAMPLE.COM"
            server.admit()

        return arrive_

    def test_allowed(self, gssapi, arrive):
        """The full principal is in the list."""
        arrive(GSSAuth(allowed_users=["bob@EXAMPLE.COM", "alice@EXAMPLE.COM"]))

    @pytest.mark.parametrize("users", [[], ["alice@EXAMPLE.ORG"], ["Alice@EXAMPLE.COM"]])
    def test_not_allowed(self, gssapi, arrive, users):
        """An empty list is nobody, another realm another user; the error names the principal."""
        with pytest.raises(AuthError) as caught:
            arrive(GSSAuth(allowed_users=users))
        assert str(caught.value) == (
            "alice@EXAMPLE.COM is not among those who may use this server: "
            "whoever runs it can allow that (farm-server --allow alice@EXAMPLE.COM)"
        )

    def test_other_rules(self, gssapi, arrive):
        """An override decides alone, and gets the name as gssapi has it."""
        arrive(Everybody())

        class Nobody(GSSAuth):
            def name_accepted(self, name):
                assert name is gssapi.client
                return False

        with pytest.raises(AuthError, match="is not among"):
            arrive(Nobody(allowed_users=["alice@EXAMPLE.COM"]))

    @pytest.mark.parametrize("answer", [None, 1, "yes", object()])
    def test_no_answer(self, gssapi, arrive, answer):
        """Only True lets in: what a forgotten return or await leaves does not."""

        class Forgetful(GSSAuth):
            def name_accepted(self, name):
                return answer

        with pytest.raises(AuthError, match="is not among"):
            arrive(Forgetful())

    def test_broken_rules(self, gssapi, arrive):
        """An error in an override keeps the client out, and is told."""

        class Broken(GSSAuth):
            def name_accepted(self, name):
                return {}[name]

        with pytest.raises(AuthError, match="is not let in: name_accepted failed with KeyError"):
            arrive(Broken())


class TestPrepare:
    def test_ready(self, gssapi):
        """With a key in the keytab a server may start."""
        assert GSSAuth().prepare_server() is None
        assert gssapi.asked[-1]["usage"] == "accept"

    def test_no_key(self, gssapi, gss_error):
        """Without one it is told before it listens."""
        text = "Key table file '/etc/krb5.keytab' not found"
        gssapi.failures["keys"] = gss_error(text, kind="missing")
        with pytest.raises(AuthError) as caught:
            GSSAuth().prepare_server()
        assert str(caught.value) == (
            f"Kerberos, for farm/*: {text}; the server's keytab (KRB5_KTNAME, or /etc/krb5.keytab) "
            "must be readable by it and hold the current key of its principal; "
            "klist -k shows what it holds"
        )


def test_the_entry_point_leads_to_gssauth():
    """farm finds the scheme ``gss`` without importing farm_gss by name."""
    points = [
        point for point in distribution("farm-gss").entry_points if point.group == "farm.auth"
    ]
    assert [point.name for point in points] == ["gss"]
    assert points[0].load() is farm_gss.GSSAuth


def test_public_names():
    """What crosses wheels is listed, and nothing else."""
    assert farm_gss.__all__ == ["GSSAuth", "__version__"]
