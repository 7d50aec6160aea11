"""The backend for joblib, as far as that goes without joblib; the rest is in tests-integration."""

import sys

import pytest

import farm_client as farm


def test_is_there_at_once():
    """As `farm.joblib`, without joblib having been imported; and `import *` leaves it out."""
    assert farm.joblib.__name__ == "farm_client.joblib"
    assert "joblib" not in farm.__all__


def test_without_joblib(monkeypatch):
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(ImportError, match=r"pip install 'farm-client\[joblib\]'"):
        farm.joblib.register()
