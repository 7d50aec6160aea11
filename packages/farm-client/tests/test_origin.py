"""Where modules come from, and how they are found without importing anything."""

import importlib
import json
import os
import sys
import types
from importlib.machinery import ModuleSpec

import pytest

from farm_client import origin
from farm_client.origin import find_module, is_installed, is_own, is_standard, spec_of


def spec(path=None, places=None):
    """The spec of a module at a path, or of a namespace package."""
    made = ModuleSpec("zz", None, origin=path)
    made.submodule_search_locations = places
    return made


@pytest.mark.parametrize(
    ("path", "installed"),
    [
        ("/home/u/project/zz.py", False),
        ("/home/u/project/.venv/lib/python3.11/site-packages/zz/__init__.py", True),
        ("/usr/lib/python3/dist-packages/zz.py", True),
        ("/home/u/site-packages-of-mine/zz.py", False),
    ],
)
def test_what_is_installed(path, installed):
    """It is in a folder that installers use; the folder that a project is in does not count."""
    assert is_installed(path) is installed
    assert is_own(spec(path)) is not installed


def test_what_is_standard():
    """What lies where the standard library does, but for what is installed there."""
    assert is_standard(json.__file__)
    assert is_standard(os.path.dirname(os.__file__))
    assert not is_standard(os.path.join(os.path.dirname(os.__file__), "site-packages", "zz.py"))
    assert not is_own(json.__spec__)
    assert not is_own(sys.__spec__)
    assert not is_own(spec("frozen"))


def test_namespace_packages():
    """They are the user's if any part is."""
    installed = "/usr/lib/python3/dist-packages/zz"
    assert not is_own(spec(places=[installed]))
    assert is_own(spec(places=[installed, "/home/u/zz"]))
    assert not is_own(spec(places=[]))


def test_the_spec_of_anything():
    """Only modules have one, and not all."""
    assert spec_of(json) is json.__spec__
    assert spec_of(types.ModuleType("zz")) is None
    assert spec_of(None) is None
    assert spec_of(object()) is None


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of the user's, on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


class TestFinding:
    def test_what_is_loaded(self):
        """It is as it was imported."""
        assert find_module("json") is json.__spec__
        assert find_module("json.decoder") is json.decoder.__spec__

    def test_what_is_not_loaded(self, folder):
        """Modules, packages and their parts are found, and nothing is imported."""
        bomb = "raise AssertionError('it was imported')"
        (folder / "zz" / "deep").mkdir(parents=True)
        for name in ("zz/__init__.py", "zz/part.py", "zz/deep/__init__.py", "zz/deep/leaf.py"):
            (folder / name).write_text(bomb)
        for name in ("zz", "zz.part", "zz.deep.leaf"):
            assert find_module(name).origin.startswith(str(folder))
            assert find_module(name).name == name
        assert find_module("zz.none") is None
        assert find_module("zz.part.none") is None
        assert find_module("zz_none.part") is None
        assert not [name for name in sys.modules if name.startswith("zz")]

    def test_namespace_packages_that_are_not_loaded(self, folder):
        """Also one in another, which the path finder cannot find by itself."""
        (folder / "zz" / "inner" / "last").mkdir(parents=True)
        (folder / "zz" / "inner" / "leaf.py").write_text("")
        (folder / "zz" / "inner" / "last" / "leaf.py").write_text("")
        assert find_module("zz").origin is None
        assert list(find_module("zz.inner").submodule_search_locations) == [
            str(folder / "zz" / "inner")
        ]
        assert find_module("zz.inner.leaf").origin == str(folder / "zz" / "inner" / "leaf.py")
        last = str(folder / "zz" / "inner" / "last" / "leaf.py")
        assert find_module("zz.inner.last.leaf").origin == last
        assert find_module("zz.none.leaf") is None

    def test_a_path_that_a_package_changed(self, folder, monkeypatch):
        """What is loaded is looked into as it is now."""
        other = folder / "elsewhere"
        other.mkdir()
        (other / "part.py").write_text("")
        package = types.ModuleType("zz")
        package.__path__ = [str(other)]
        package.__spec__ = spec(str(folder / "zz" / "__init__.py"), [str(folder / "zz")])
        monkeypatch.setitem(sys.modules, "zz", package)
        assert find_module("zz.part").origin == str(other / "part.py")

    def test_what_was_written_just_now(self, folder, monkeypatch):
        """A finder that remembers the folder as it was is told to look again."""
        assert find_module("zz") is None  # the folder is remembered now
        finder = sys.path_importer_cache[str(folder)]
        (folder / "zz.py").write_text("")
        finder._path_mtime = os.stat(folder).st_mtime  # as within one tick of the clock
        assert importlib.machinery.PathFinder.find_spec("zz") is None
        assert find_module("zz").origin == str(folder / "zz.py")

    def test_other_finders(self, monkeypatch):
        """Those of editable installations are asked, too."""
        made = spec("/home/u/zz.py")

        class Finder:
            @staticmethod
            def find_spec(name, path=None, target=None):
                return made if name == "zz" else None

        class Old:
            """One without the method of today."""

        monkeypatch.setattr(sys, "meta_path", [Old(), *sys.meta_path, Finder])
        assert find_module("zz") is made

    def test_a_finder_that_fails(self, monkeypatch):
        """Its error is the caller's."""

        class Finder:
            @staticmethod
            def find_spec(name, path=None, target=None):
                raise ZeroDivisionError

        monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
        with pytest.raises(ZeroDivisionError):
            find_module("zz")

    def test_without_a_working_directory(self, tmp_path, monkeypatch):
        """It may have been removed; the rest of the path is still there."""
        (tmp_path / "zz.py").write_text("")
        gone = tmp_path / "gone"
        gone.mkdir()
        monkeypatch.chdir(gone)
        monkeypatch.setattr(sys, "path", ["", str(tmp_path)])
        gone.rmdir()
        assert find_module("zz").origin == str(tmp_path / "zz.py")


def test_nothing_of_it_imports():
    """The module says so; what it calls is `find_spec` of the finders."""
    with open(origin.__file__, encoding="utf-8") as file:
        text = file.read()
    assert "import_module" not in text
    assert "__import__" not in text
