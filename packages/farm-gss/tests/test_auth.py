"""What farm-gss 0.1 promises: importable without gssapi, and one clear error when used."""

import sys
import types
from importlib import import_module
from importlib.metadata import distribution

import pytest

import farm_gss
from farm_common.errors import AuthError, UnsupportedError


@pytest.fixture
def without_gssapi(monkeypatch):
    """``import gssapi`` fails, whether or not it is installed."""
    monkeypatch.setitem(sys.modules, "gssapi", None)


@pytest.fixture
def with_gssapi(monkeypatch):
    """``import gssapi`` succeeds, whether or not it is installed."""
    monkeypatch.setitem(sys.modules, "gssapi", types.ModuleType("gssapi"))


def test_importing_the_package_needs_no_gssapi(without_gssapi, monkeypatch):
    """A fresh import of farm_gss succeeds where gssapi is missing."""
    for name in ("farm_gss", "farm_gss.auth"):
        monkeypatch.delitem(sys.modules, name)
    assert import_module("farm_gss") is not farm_gss


def test_missing_gssapi_is_an_auth_error_that_names_the_cure(without_gssapi):
    """The error names the Python package and the system packages it is built with."""
    with pytest.raises(AuthError, match=r"apt install .*libkrb5-dev && pip install gssapi") as info:
        farm_gss.GSSAuth(allowed_users=["alice@EXAMPLE.ORG"])
    assert isinstance(info.value.__cause__, ImportError)


def test_present_gssapi_is_told_that_there_is_no_mechanism_yet(with_gssapi):
    """The error names the version that lacks it, and what to use instead."""
    with pytest.raises(UnsupportedError) as info:
        farm_gss.GSSAuth("farm")
    text = str(info.value)
    assert text.startswith(f"farm-gss {farm_gss.__version__} has no Kerberos mechanism yet")
    assert "Unix socket" in text
    assert "ssh -N -L" in text


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
