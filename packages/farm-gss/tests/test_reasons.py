"""What a library's error means, and what to do."""

import pytest

from farm_gss.reasons import explain, words


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("No Kerberos credentials available (default cache: FILE:/tmp/krb5cc_0)", "kinit"),
        ("No credentials cache found", "get a ticket with kinit"),
        ("Ticket expired", "the ticket has expired: get a new one with kinit"),
        ("Server farm/x@R not found in Kerberos database", "the KDC knows no such service"),
        ("Cannot contact any KDC for realm 'R'", "can its KDC be reached from here?"),
        ('Cannot find KDC for realm "R"', "is the realm in krb5.conf right"),
        ("unable to reach any KDC in realm R", "is the realm in krb5.conf right"),
        ("Clock skew too great", "set them, by NTP"),
        ("Configuration file does not specify default realm", "no usable krb5.conf"),
    ],
)
def test_client(gss_error, text, remedy):
    """The library's words, then the next step for a client."""
    said = explain(gss_error(text), server=False)
    assert said.startswith(f"{text}; ")
    assert remedy in said


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("Request is a replay", "was used before"),
        ("Clock skew too great", "set them, by NTP"),
        ("Ticket expired", "kinit there"),
        ("Generic error (see e-text)", "channel bindings"),
        ("Request ticket server farm/x@R kvno 3 not found in keytab", "clients need a new ticket"),
        ("Wrong principal in request", "klist -k shows what it holds"),
        ("Key table file '/etc/krb5.keytab' not found", "KRB5_KTNAME"),
        ("No key table entry found matching farm/@", "KRB5_KTNAME"),
    ],
)
def test_server(gss_error, text, remedy):
    """The same for a server."""
    said = explain(gss_error(text), server=True)
    assert said.startswith(f"{text}; ")
    assert remedy in said


def test_by_kind(gss_error):
    """Where the words say little, the kind of error tells."""
    said = explain(gss_error("Matching credential not found", kind="missing"), server=False)
    assert (
        said == "Matching credential not found; get a ticket with kinit, and look at it with klist"
    )


def test_unknown(gss_error):
    """What is not known stands alone."""
    assert explain(gss_error("Something new"), server=True) == "Something new"


@pytest.mark.parametrize("minor", ["", "Success", "Unknown error"])
def test_the_mechanism_says_nothing(gss_error, minor):
    """Then GSSAPI's own words are used."""
    assert words(gss_error(minor, "Invalid token was supplied")) == "Invalid token was supplied"


def test_nobody_says_anything(gss_error):
    """Then the codes are."""
    assert words(gss_error("", "")) == "GSSError 851968/7"
