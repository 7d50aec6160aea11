"""The library: which modules are given, and when their texts do not count any more."""

import importlib
import importlib.machinery
import importlib.util
import os
import py_compile
import sys
import types
import zipfile

import pytest

import farm_client as farm
from farm_client import library as module_under_test
from farm_client.library import Library
from farm_common.shipping.modules import NAME_LIMIT


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of the user's, on the path; its modules begin with zz."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("zz")]:
        del sys.modules[name]


@pytest.fixture
def make():
    """Makes libraries, and closes them."""
    made = []

    def make_(modules="auto"):
        made.append(Library(modules))
        return made[-1]

    before = sys.meta_path[:]
    yield make_
    for library in made:
        library.close()
        library.close()
    assert sys.meta_path == before


@pytest.fixture
def library(make):
    """What `make_kernel` has if not told otherwise."""
    return make()


def edit(path, text):
    """Change a file as an editor does, so that it can be seen whatever the clock's grain is."""
    before = os.stat(path)
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10_000_000))


def reason(library, name):
    """Why a module is not given."""
    module = library.answer(name).module
    assert module.kind == "none"
    assert module.text == ""
    return module.reason


class TestGiven:
    def test_modules_and_packages(self, library, folder):
        """Their texts, and their files as they are called here; nothing is imported for it."""
        (folder / "zz.py").write_text("x = 1\n")
        (folder / "zzp").mkdir()
        (folder / "zzp" / "__init__.py").write_text("")
        (folder / "zzp" / "part.py").write_text("y = 2\n")
        (folder / "zzn").mkdir()
        assert library.answer("zz").module[:3] == ("module", str(folder / "zz.py"), "x = 1\n")
        package = str(folder / "zzp" / "__init__.py")
        assert library.answer("zzp").module[:3] == ("package", package, "")
        assert library.answer("zzp.part").module.text == "y = 2\n"
        assert library.answer("zzn").module.kind == "namespace"
        assert not [name for name in sys.modules if name.startswith("zz")]

    def test_encodings(self, library, folder):
        """What counts is the text, not the bytes of the file."""
        (folder / "zz.py").write_bytes("# coding: latin-1\r\nx = 'é'\r\n".encode("latin-1"))
        assert library.answer("zz").module.text == "# coding: latin-1\nx = 'é'\n"

    def test_from_an_archive(self, library, tmp_path, monkeypatch):
        """Loaders have the text where files have not."""
        with zipfile.ZipFile(tmp_path / "zz.zip", "w") as archive:
            archive.writestr("zz_zipped.py", "x = 1\n")
        monkeypatch.syspath_prepend(str(tmp_path / "zz.zip"))
        module = library.answer("zz_zipped").module
        assert (module.kind, module.text) == ("module", "x = 1\n")
        assert module.origin == str(tmp_path / "zz.zip" / "zz_zipped.py")

    def test_what_was_loaded_by_another_loader(self, library, folder, monkeypatch):
        """One that does not tell sources, as pytest's own, or knows the module by another name."""
        path = folder / "zz.py"
        path.write_text("x = 1\n")

        class Loader:
            def create_module(self, spec):
                return None

            def exec_module(self, module):
                pass

        for loader in (Loader(), importlib.machinery.SourceFileLoader("other", str(path))):
            spec = importlib.machinery.ModuleSpec("zz", loader, origin=str(path))
            module = types.ModuleType("zz")
            module.__spec__ = spec
            monkeypatch.setitem(sys.modules, "zz", module)
            library.version += 1
            library._answers.clear()
            assert library.answer("zz").module.text == "x = 1\n"

    def test_a_package_made_by_hand(self, library, folder, monkeypatch):
        """It has no text, and stands for what is in it."""
        (folder / "leaf.py").write_text("x = 1\n")
        spec = importlib.util.spec_from_file_location("zz-tests.leaf", folder / "leaf.py")
        monkeypatch.setitem(sys.modules, "zz-tests", types.ModuleType("zz-tests"))
        monkeypatch.setitem(sys.modules, "zz-tests.leaf", importlib.util.module_from_spec(spec))
        assert library.answer("zz-tests").module.kind == "namespace"
        assert library.answer("zz-tests.leaf").module.text == "x = 1\n"

    def test_a_package_that_a_finder_makes(self, make, monkeypatch):
        """As six does: on the server that finder is there, too, once its module is imported."""

        class Finder:
            def find_spec(self, name, path=None, target=None):
                if name != "zz_moves":
                    return None
                return importlib.machinery.ModuleSpec(name, self, is_package=True)

            def create_module(self, spec):
                return None

            def exec_module(self, module):
                module.__path__ = []

        monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
        library = make(["zz_moves"])
        assert library.answer("zz_moves").module.kind == "none"
        assert "made by hand" in reason(library, "zz_moves")

    def test_an_extension_module(self, library, folder):
        """Its file, for a worker that has the same."""
        path = folder / f"zz{importlib.machinery.EXTENSION_SUFFIXES[0]}"
        path.write_bytes(b"")
        assert library.answer("zz").module[:3] == ("extension", str(path), "")

    def test_all_workers_get_the_same(self, library, folder):
        """A file that is edited while the program runs counts as it was the first time."""
        path = folder / "zz.py"
        path.write_text("x = 1\n")
        importlib.import_module("zz")
        assert library.answer("zz").module.text == "x = 1\n"
        edit(path, "x = 22\n")
        assert library.look() == {}
        assert library.answer("zz").module.text == "x = 1\n"


class TestRefused:
    def test_what_is_not_there(self, library):
        """The reason is the end of a sentence that begins with the client."""
        text = "has none of that name either: install it for the worker's Python"
        assert reason(library, "zz_none") == reason(library, "zz_none.part") == text

    def test_what_is_installed(self, library):
        """The reason says how to have it given."""
        assert reason(library, "pytest") == (
            "may not give it: it is in site-packages there. Install it for the worker's Python, or "
            "name it in make_kernel(modules=['pytest'])"
        )
        assert "modules=['_pytest']" in reason(library, "_pytest.mark")

    @pytest.mark.parametrize("name", ["json", "json.decoder", "sys", "sqlite3"])
    def test_what_is_standard(self, library, name):
        """Older and newer versions have other modules, and each must do with its own."""
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        assert reason(library, name).startswith("does not give it: it is of the standard library")
        assert reason(library, name).endswith(f"Python {version}") or "PyPy" in reason(
            library, name
        )

    def test_without_source(self, library, folder):
        """Bytecode alone does not travel."""
        (folder / "zz.py").write_text("x = 1\n")
        py_compile.compile(str(folder / "zz.py"), str(folder / "zz.pyc"))
        (folder / "zz.py").unlink()
        path = folder / "zz.pyc"
        text = f"has no source of it, only {path}: install it for the worker's Python"
        assert reason(library, "zz") == text

    def test_made_by_hand(self, library, monkeypatch):
        """Such a module is in no file."""
        monkeypatch.setitem(sys.modules, "zz", types.ModuleType("zz"))
        assert reason(library, "zz") == "has it without a file: it was made by hand there"

    @pytest.mark.parametrize(
        "name", ["__main__", "__mp_main__", "", "a b", "../zz", "zz.", "z" * (NAME_LIMIT + 1)]
    )
    def test_what_nobody_asks_for(self, library, name):
        """The script itself, and what is no name; neither is looked for, nor remembered."""
        assert reason(library, name) == "gives no such thing"

    def test_what_cannot_be_read(self, library, folder):
        """The reason is the error."""
        (folder / "zz.py").write_bytes(b"x = '\xff'\n")
        assert "SyntaxError" in reason(library, "zz") or "UnicodeDecodeError" in reason(
            library, "zz"
        )

    def test_a_finder_that_fails(self, library, monkeypatch):
        """Even one that exits: it must not end the thread that reads from the workers."""

        class Finder:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name == "zz":
                    raise SystemExit("enough")

        monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
        assert reason(library, "zz") == "could not look for it: SystemExit: enough"

    def test_how_much_is_remembered(self, library, monkeypatch):
        """A task that tries names without end does not fill the client's memory."""
        monkeypatch.setattr(module_under_test, "_MOST", 50)
        monkeypatch.setattr(module_under_test, "_MOST_ABSENT", 20)
        for number in range(300):
            assert "has none of that name" in reason(library, f"zz_{number}")
        assert len(library._answers) <= 50
        assert len(library._absent) <= 20


class TestLists:
    def test_only_what_is_named(self, make, folder):
        """A name stands for what is in it, and needs the packages that it is in."""
        for package in ("zzp", "zzp/deep", "zzq"):
            (folder / package).mkdir()
            (folder / package / "__init__.py").write_text("")
        for module in ("zz", "zzp/one", "zzp/deep/leaf", "zzq/leaf", "zzq/other"):
            (folder / f"{module}.py").write_text("")
        library = make(["zzp", "zzq.leaf"])
        for name in ("zzp", "zzp.one", "zzp.deep", "zzp.deep.leaf", "zzq", "zzq.leaf"):
            assert library.answer(name).module.kind in ("module", "package")
        for name in ("zz", "zzq.other", "zzpq", "json"):
            assert reason(library, name) == "gives only what its make_kernel(modules=[...]) names"

    def test_wherever_it_is(self, make):
        """What is installed, and what is standard, where that is wanted."""
        library = make(("pytest", "json"))
        assert library.answer("pytest").module.kind == "package"
        assert library.answer("json.decoder").module.text.startswith('"""')

    def test_nothing(self, make, folder):
        """An empty list, and None, which says so."""
        (folder / "zz.py").write_text("")
        assert "gives only what" in reason(make([]), "zz")
        library = make(None)
        assert reason(library, "zz") == "gives none, as its kernel was made with modules=None"
        assert library.look() == {}

    @pytest.mark.parametrize("modules", ["zz", "AUTO", ["a b"], [""], ["a..b"], ["__main__"]])
    def test_wrong_values(self, modules):
        """They are refused when the kernel is made, and nothing is connected to."""
        before = sys.meta_path[:]
        with pytest.raises(ValueError, match="modules"):
            farm.make_kernel("127.0.0.1:1", modules=modules)
        assert sys.meta_path == before

    @pytest.mark.parametrize("modules", [3, [3], ["a", None], [sys]])
    def test_wrong_types(self, modules):
        """Likewise."""
        with pytest.raises(TypeError, match="modules is 'auto', a list of names, or None"):
            farm.make_kernel("127.0.0.1:1", modules=modules)


class TestChanges:
    def test_a_file_that_only_workers_have_imported(self, library, folder):
        """There is no version here but the file's."""
        path = folder / "zz.py"
        path.write_text("x = 1\n")
        version = library.answer("zz").version
        assert library.look() == {}
        edit(path, "x = 2\n")
        assert library.look() == {"zz": str(path)}
        assert library.look() == {}
        answer = library.answer("zz")
        assert answer.module.text == "x = 2\n"
        assert answer.version == library.version > version

    def test_a_file_that_is_gone(self, library, folder):
        """It is perhaps being written: what is known of it counts."""
        path = folder / "zz.py"
        path.write_text("x = 1\n")
        library.answer("zz")
        path.rename(folder / "zz_old.py")
        assert library.look() == {}
        assert library.answer("zz").module.text == "x = 1\n"

    def test_a_reload(self, library, folder):
        """What is imported here counts as it was imported last."""
        path = folder / "zz.py"
        path.write_text("x = 1\n")
        zz = importlib.import_module("zz")
        library.answer("zz")
        edit(path, "x = 2\n")
        assert library.look() == {}
        importlib.reload(zz)
        assert library.look() == {"zz": str(path)}
        assert library.answer("zz").module.text == "x = 2\n"
        importlib.reload(zz)  # of the same text
        assert library.look() == {}

    def test_a_reload_of_what_nobody_asked_for(self, library, folder):
        """A worker that sees the same file may have imported it without asking."""
        path = folder / "zz.py"
        path.write_text("")
        importlib.reload(importlib.import_module("zz"))
        assert library.look() == {"zz": str(path)}

    def test_a_reload_of_what_is_not_given(self, make, folder):
        """It does not concern the workers."""
        library, chosen = make(), make(["zz2"])
        for name in ("zz1", "zz2"):
            (folder / f"{name}.py").write_text("")
        for name in ("zz1", "zz2", "colorsys"):
            importlib.reload(importlib.import_module(name))
        assert set(library.look()) == {"zz1", "zz2"}
        assert set(chosen.look()) == {"zz2"}

    def test_imported_again(self, library, folder):
        """Removing a module and importing it is a reload, too."""
        path = folder / "zz.py"
        path.write_text("x = 1\n")
        importlib.import_module("zz")
        library.answer("zz")
        edit(path, "x = 2\n")
        del sys.modules["zz"]
        importlib.import_module("zz")
        assert library.look() == {"zz": str(path)}

    def test_imported_here_after_it_was_given(self, library, folder):
        """From then on this process has a version of its own, and workers get that."""
        path = folder / "zz.py"
        path.write_text("x = 1\n")
        library.answer("zz")
        importlib.import_module("zz")
        assert library.look() == {}
        del sys.modules["zz"]
        edit(path, "x = 2\n")
        importlib.import_module("zz")
        assert library.look() == {"zz": str(path)}

    def test_a_module_that_was_missing(self, library, folder):
        """It is asked for again once it is written; what is still missing is not."""
        (folder / "zzp").mkdir()
        (folder / "zzp" / "__init__.py").write_text("")
        for name in ("zz", "zz_none", "zzp.part"):
            reason(library, name)
        assert library.look() == {}
        (folder / "zz.py").write_text("x = 1\n")
        (folder / "zzp" / "part.py").write_text("")
        os.utime(folder, ns=(0, os.stat(folder).st_mtime_ns + 10_000_000))
        changed = library.look()
        assert changed == {"zz": str(folder / "zz.py"), "zzp.part": str(folder / "zzp" / "part.py")}
        assert library.answer("zz").module.text == "x = 1\n"
        assert library.look() == {}

    def test_an_answer_that_is_overtaken(self, library, folder, monkeypatch):
        """A text that was read before the change is not remembered after it."""
        path = folder / "zz.py"
        path.write_text("x = 1\n")
        find = library._find

        def find_and_change(name):
            found = find(name)
            library.version += 1
            return found

        monkeypatch.setattr(library, "_find", find_and_change)
        answer = library.answer("zz")
        assert answer.version < library.version
        monkeypatch.setattr(library, "_find", find)
        edit(path, "x = 2\n")
        assert library.answer("zz").module.text == "x = 2\n"


class TestLooking:
    def test_when_there_is_nothing_to_look_at(self, make, folder):
        """Nobody looks: not before a module was given, nor of those that are loaded here."""
        for library in (make(), make(None), make([])):
            assert library.due == float("inf")
        library = make()
        (folder / "zz.py").write_text("")
        importlib.import_module("zz")
        library.answer("zz")
        library.look()
        assert library.due == float("inf")

    def test_when_it_is_due(self, library, folder, monkeypatch):
        """At once for what was noticed; else later, the more there is to look at the later."""
        now = 100.0
        monkeypatch.setattr(module_under_test, "perf_counter", lambda: now)
        (folder / "zz.py").write_text("")
        library.answer("zz")
        assert library.due <= now
        stamp = module_under_test._stamp

        def slow(path):
            nonlocal now
            now += 0.001
            return stamp(path)

        monkeypatch.setattr(module_under_test, "_stamp", slow)
        library.look()
        assert now == pytest.approx(100.001)
        assert library.due == pytest.approx(now + 0.010)
        importlib.import_module("zz")
        assert library.due == 0.0

    def test_after_the_end(self, library, folder):
        """A closed library hears of nothing."""
        library.close()
        (folder / "zz.py").write_text("")
        importlib.reload(importlib.import_module("zz"))
        assert library.due == float("inf")
        assert library.look() == {}
