"""The importer: modules from a client that is a dict, and every way not to find one."""

import builtins
import importlib
import importlib.resources
import importlib.util
import inspect
import linecache
import os
import pkgutil
import socket
import sys
import threading
import traceback
from importlib.machinery import EXTENSION_SUFFIXES

import pytest

from farm_common.shipping.modules import GivenModule, python_name
from farm_common.shipping.rebuild_belongings import sent_module
from farm_common.testing import client_hello
from farm_server import importer as module_under_test
from farm_server.importer import GivenLoader, Importer

BOUND = 20.0

THIS = python_name(sys.implementation.name, sys.version_info[:3])
WHERE = f"on worker {socket.gethostname()} ({THIS}), and the client"


class Library(dict):
    """What the client has, by name; remembers what it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def put(self, name, text, kind="module"):
        """Have a module, or a package."""
        tail = "/__init__.py" if kind == "package" else ".py"
        self[name] = GivenModule(kind, f"/nowhere/{name.replace('.', '/')}{tail}", text)

    def __missing__(self, name):
        return GivenModule("none", reason="has none of that name either")

    def ask(self, name):
        self.asked.append(name)
        found = self[name]
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def library():
    """A client's modules; their names begin with zz."""
    return Library()


@pytest.fixture
def install(library):
    """Installs an importer, and takes everything back."""
    before = set(sys.modules)
    installed = []

    def install_(**hello):
        made = Importer(library.ask, client_hello(**hello))
        made.install()
        installed.append(made)
        return made

    yield install_
    for made in installed:
        made.uninstall()
    for name in set(sys.modules) - before:
        if name.startswith("zz"):
            del sys.modules[name]
    for name in list(linecache.cache):
        if name.startswith("/nowhere/"):
            del linecache.cache[name]


@pytest.fixture
def importer(install):
    """An importer that asks `library`."""
    return install()


class TestModules:
    def test_a_module(self, library, importer):
        """It is executed once, and knows what an imported module knows of itself."""
        library.put("zz", "value = [__name__, __file__, __package__]")
        zz = importlib.import_module("zz")
        assert zz.value == ["zz", "/nowhere/zz.py", ""]
        assert importlib.import_module("zz") is zz
        assert library.asked == ["zz"]
        assert isinstance(zz.__loader__, GivenLoader)
        assert zz.__spec__.origin == "/nowhere/zz.py"

    def test_a_package(self, library, importer):
        """Its parts are asked for by their full names, and imported relative to one another."""
        library.put("zz", "from . import one\nfrom .one import two\nname = __package__", "package")
        library.put("zz.one", "from .deep.leaf import two", "module")
        library.put("zz.deep", "", "package")
        library.put("zz.deep.leaf", "two = __package__")
        zz = importlib.import_module("zz")
        assert (zz.two, zz.name) == ("zz.deep", "zz")
        assert zz.__spec__.submodule_search_locations == zz.__path__
        assert library.asked == ["zz", "zz.one", "zz.deep", "zz.deep.leaf"]

    def test_a_part_that_is_missing(self, library, importer):
        """A package from the client lacks what the client's lacks."""
        library.put("zz", "", "package")
        with pytest.raises(ImportError, match="cannot import name 'part' from 'zz'"):
            exec("from zz import part", {})
        with pytest.raises(ModuleNotFoundError, match=r"No module named 'zz\.part'"):
            importlib.import_module("zz.part")
        assert library.asked == ["zz", "zz.part"]

    def test_modules_in_a_circle(self, library, importer):
        """They see each other half made, as everywhere."""
        library.put("zz_one", "first = 1\nimport zz_two\nsecond = zz_two.second")
        library.put("zz_two", "import zz_one\nsecond = zz_one.first + 1")
        assert importlib.import_module("zz_one").second == 2

    def test_a_namespace_package(self, library, importer):
        """It has no text and no file."""
        library["zz"] = GivenModule("namespace")
        library["zz.inner"] = GivenModule("namespace")
        library.put("zz.inner.part", "value = 1")
        assert importlib.import_module("zz.inner.part").value == 1
        assert getattr(sys.modules["zz"], "__file__", None) is None

    def test_a_module_that_raises(self, library, importer):
        """It is not kept, its error shows its own line, and it is executed again, not asked for."""
        library.put("zz", "import sys\nsys.zz_value = 1 / sys.zz_divisor\n")
        sys.zz_divisor = 0
        try:
            with pytest.raises(ZeroDivisionError) as caught:
                importlib.import_module("zz")
            last = traceback.extract_tb(caught.value.__traceback__)[-1]
            assert (last.filename, last.lineno) == ("/nowhere/zz.py", 2)
            assert last.line == "sys.zz_value = 1 / sys.zz_divisor"
            assert "zz" not in sys.modules
            sys.zz_divisor = 1
            importlib.import_module("zz")
        finally:
            del sys.zz_divisor
        assert library.asked == ["zz"]

    def test_source(self, library, importer):
        """`inspect` and `linecache` have the client's text, whatever file is here."""
        text = "def function():\n    return 'é'\n"
        library["zz"] = GivenModule("module", __file__, text)
        before = linecache.cache.get(__file__)
        try:
            zz = importlib.import_module("zz")
            assert inspect.getsource(zz.function) == text
            assert inspect.getsource(zz) == text
            linecache.checkcache()
            assert linecache.getline(__file__, 2) == "    return 'é'\n"
            assert zz.__loader__.get_source("zz") == text
            assert zz.__loader__.get_filename("zz") == __file__
            assert not zz.__loader__.is_package("zz")
        finally:
            linecache.cache.pop(__file__)
            if before is not None:
                linecache.cache[__file__] = before

    def test_files_beside_it(self, library, importer, tmp_path):
        """They are read if they are here, as on the client's own machine."""
        (tmp_path / "data.txt").write_text("some")
        library["zz"] = GivenModule("package", str(tmp_path / "__init__.py"), "")
        zz = importlib.import_module("zz")
        assert importlib.resources.files(zz).joinpath("data.txt").read_text() == "some"
        assert pkgutil.get_data("zz", "data.txt") == b"some"
        with pytest.raises(FileNotFoundError):
            importlib.resources.files(zz).joinpath("none.txt").read_text()
        with pytest.raises(FileNotFoundError):
            pkgutil.get_data("zz", "none.txt")

    def test_without_a_file(self, library, importer):
        """What is in no file is imported all the same."""
        library["zz"] = GivenModule("module", "", "value = __name__")
        zz = importlib.import_module("zz")
        assert zz.value == "zz"
        assert not hasattr(zz, "__file__")

    def test_a_reload(self, library, importer):
        """`importlib.reload` works, and executes the text that there is."""
        library.put("zz", "count = globals().get('count', 0) + 1")
        zz = importlib.import_module("zz")
        assert importlib.reload(zz).count == 2
        assert library.asked == ["zz"]

    def test_an_extension_module(self, library, importer, tmp_path):
        """It is taken from its file if that is here, and reported missing if not."""
        library["zz"] = GivenModule("extension", str(tmp_path / "zz.so"))
        assert importlib.util.find_spec("zz") is None
        with pytest.raises(ModuleNotFoundError) as caught:
            importlib.import_module("zz")
        importer.explain(caught.value)
        assert f"the client has it as {tmp_path / 'zz.so'}, which is not here" in str(caught.value)
        path = tmp_path / f"zz2{EXTENSION_SUFFIXES[0]}"
        path.write_bytes(b"this is no library")
        library["zz2"] = GivenModule("extension", str(path))
        with pytest.raises(ImportError, match=path.name):
            importlib.import_module("zz2")


class TestWhatIsHere:
    def test_wins(self, library, importer, tmp_path, monkeypatch):
        """The client is not asked for what the worker finds itself."""
        (tmp_path / "zz.py").write_text("value = 'here'")
        monkeypatch.syspath_prepend(str(tmp_path))
        library.put("zz", "value = 'there'")
        assert importlib.import_module("zz").value == "here"
        assert library.asked == []

    def test_is_not_mixed(self, library, importer, tmp_path, monkeypatch):
        """A package that is here has no parts from the client, and the error says so."""
        (tmp_path / "zz").mkdir()
        (tmp_path / "zz" / "__init__.py").write_text("")
        monkeypatch.syspath_prepend(str(tmp_path))
        library.put("zz.new", "")
        with pytest.raises(ModuleNotFoundError) as caught:
            importlib.import_module("zz.new")
        importer.explain(caught.value)
        assert str(caught.value) == (
            f"No module named 'zz.new' {WHERE} is not asked for it, because zz is the worker's own "
            f"({tmp_path / 'zz' / '__init__.py'})"
        )
        assert library.asked == []

    def test_a_folder_in_a_package_is_its_own(self, library, importer, tmp_path, monkeypatch):
        """The client is not asked for parts of a package that is whole here, folders or not."""
        (tmp_path / "zz" / "data").mkdir(parents=True)
        (tmp_path / "zz" / "__init__.py").write_text("")
        monkeypatch.syspath_prepend(str(tmp_path))
        library.put("zz.data", "value = 'there'", "package")
        assert not hasattr(importlib.import_module("zz.data"), "value")
        assert library.asked == []

    def test_a_mere_folder_hides_nothing(self, library, importer, tmp_path, monkeypatch):
        """A folder that happens to have the module's name is no package, if the client has one."""
        (tmp_path / "zz").mkdir()
        monkeypatch.syspath_prepend(str(tmp_path))
        library.put("zz", "value = 'there'")
        assert importlib.import_module("zz").value == "there"

    def test_a_namespace_package_may_lie_on_both_sides(
        self, library, importer, tmp_path, monkeypatch
    ):
        """Parts come from here, and those that are not here from the client."""
        (tmp_path / "zz" / "both").mkdir(parents=True)
        (tmp_path / "zz" / "here.py").write_text("value = 'here'")
        (tmp_path / "zz" / "both" / "leaf.py").write_text("value = 'leaf'")
        monkeypatch.syspath_prepend(str(tmp_path))
        library["zz"] = GivenModule("namespace")
        library["zz.both"] = GivenModule("namespace")
        library.put("zz.there", "value = 'there'")
        library.put("zz.both.other", "value = 'other'")
        names = ["zz.here", "zz.there", "zz.both.leaf", "zz.both.other"]
        values = [importlib.import_module(name).value for name in names]
        assert values == ["here", "there", "leaf", "other"]

    def test_a_namespace_package_that_only_the_worker_has(
        self, library, importer, tmp_path, monkeypatch
    ):
        """It is one, though the client was asked."""
        (tmp_path / "zz").mkdir()
        (tmp_path / "zz" / "here.py").write_text("value = 'here'")
        monkeypatch.syspath_prepend(str(tmp_path))
        assert importlib.import_module("zz.here").value == "here"
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("zz.there")
        assert library.asked == ["zz", "zz.there"]


class TestMissing:
    def test_it_is_an_import_error(self, library, importer):
        """The interpreter's own, so that a task can do without; asked for once."""
        for _ in range(3):
            assert importlib.util.find_spec("zz") is None
            with pytest.raises(ModuleNotFoundError, match=r"^No module named 'zz'$") as caught:
                importlib.import_module("zz")
            assert caught.value.name == "zz"
        assert library.asked == ["zz"]

    def test_the_reason(self, library, importer):
        """The error that leaves the task says where, which interpreter, and why."""
        with pytest.raises(ModuleNotFoundError) as caught:
            importlib.import_module("zz.part")
        importer.explain(caught.value)
        importer.explain(caught.value)  # once is enough
        text = f"No module named 'zz' {WHERE} has none of that name either"
        assert str(caught.value) == caught.value.args[0] == text
        assert caught.value.name == "zz"

    def test_the_reason_of_an_error_s_cause(self, importer):
        """Also where the task made another error of it, in a circle even."""
        try:
            try:
                importlib.import_module("zz")
            except ImportError as error:
                inner = error
                raise ValueError("no zz") from error
        except ValueError as error:
            outer = error
        inner.__context__ = outer
        importer.explain(outer)
        assert "and the client has none" in str(inner)
        assert str(outer) == "no zz"

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no groups")
    def test_the_reasons_of_a_group(self, importer):
        """Each of the errors in it has its own."""
        group = builtins.ExceptionGroup
        with pytest.raises(ModuleNotFoundError) as caught:
            importlib.import_module("zz")
        importer.explain(group("several", [ValueError(), group("inner", [caught.value])]))
        assert "and the client has none" in str(caught.value)

    def test_errors_of_others(self, importer):
        """What was never asked for, and what somebody else has to say, stay as they are."""
        for error in (
            ImportError("No module named 'zz'", name="zz"),
            ImportError("install zz", name="zz"),
            ImportError(),
            ImportError(3, name=3),
            ValueError("zz"),
            None,
        ):
            before = str(error)
            importer.explain(error)
            assert str(error) == before

    def test_sent_by_value(self, importer):
        """What a module lacks that was sent by value, the error says once what helps."""
        sent_module("zz_sent.part", None)
        error = ImportError("cannot import name 'x' from 'zz_sent.part'", name="zz_sent.part")
        importer.explain(error)
        importer.explain(error)
        assert str(error) == (
            "cannot import name 'x' from 'zz_sent.part': zz_sent.part was sent by value, and of it "
            "only what the code of functions names; to have all of it, "
            "make_kernel(modules=['zz_sent']) rather than by value"
        )
        other = ImportError("cannot import name 'x' from 'json'", name="json")
        importer.explain(other)
        assert str(other) == "cannot import name 'x' from 'json'"

    def test_names_that_nobody_asks_for(self, library, importer, monkeypatch):
        """The standard library's that this system lacks, and what cannot be imported."""
        monkeypatch.setattr(sys, "stdlib_module_names", frozenset({"zz_std"}), raising=False)
        library["zz"] = GivenModule("namespace")
        importlib.import_module("zz")
        library.asked.clear()
        for name in ("zz_std", "zz_std.part", "_winapi", "zz.a b", "z" * 2000, "__mp_main__"):
            assert importer.find(name) is None
        assert library.asked == []

    def test_how_many_are_remembered(self, library, importer, monkeypatch):
        """A task that tries names without end does not fill the memory."""
        monkeypatch.setattr(module_under_test, "_MOST_REFUSED", 10)
        for number in range(100):
            assert importer.find(f"zz{number}") is None
        assert len(importer._refused) <= 10

    def test_the_client_is_gone(self, library, importer):
        """An error that is not remembered as an answer."""
        library["zz"] = ConnectionError()
        with pytest.raises(ImportError, match=r"cannot import zz: the client .* is gone") as caught:
            importlib.import_module("zz")
        assert not isinstance(caught.value, ModuleNotFoundError)
        library.put("zz", "")
        importlib.import_module("zz")

    def test_a_thread_that_cannot_wait(self, library, importer):
        """It does not get the module; another does."""
        library["zz"] = RuntimeError()
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("zz")
        library.put("zz", "")
        importlib.import_module("zz")

    def test_in_the_child_of_a_fork(self, library, importer, monkeypatch):
        """It has the texts that its parent was given, and nobody to ask."""
        library.put("zz", "")
        importlib.import_module("zz")
        del sys.modules["zz"]
        library.put("zz2", "")
        process = os.getpid()
        monkeypatch.setattr(os, "getpid", lambda: process + 1)
        importlib.import_module("zz")
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("zz2")
        assert library.asked == ["zz"]


class TestSyntax:
    def test_of_another_version(self, library, install):
        """The error has the file and the line, and names both versions."""
        install(implementation="pypy", python=(3, 99, 1))
        library.put("zz", "x = 1\ny = = 2\n")
        with pytest.raises(SyntaxError) as caught:
            importlib.import_module("zz")
        assert (caught.value.filename, caught.value.lineno) == ("/nowhere/zz.py", 2)
        assert caught.value.text.strip() == "y = = 2"
        assert (
            f"; module zz comes from the client's PyPy 3.99.1, and this worker runs {THIS}"
            in caught.value.msg
        )
        assert caught.value.args[0] == caught.value.msg

    def test_of_the_same_version(self, library, importer):
        """Nothing is said of versions."""
        library.put("zz", "y = = 2\n")
        with pytest.raises(SyntaxError) as caught:
            importlib.import_module("zz")
        assert "client" not in str(caught.value)


class TestLocks:
    def test_others_may_import_meanwhile(self, importer, library, tmp_path, monkeypatch):
        """While the client is asked, nobody waits for the import system's lock."""
        (tmp_path / "zz_here.py").write_text("value = 'here'")
        monkeypatch.syspath_prepend(str(tmp_path))
        imported = threading.Event()

        def import_another():
            importlib.import_module("zz_here")
            imported.set()

        def ask(name):
            thread = threading.Thread(target=import_another, daemon=True)
            thread.start()
            assert imported.wait(BOUND)
            return GivenModule("module", "", "import zz_here")

        monkeypatch.setattr(importer, "_ask", ask)
        importlib.import_module("zz")

    def test_two_threads_want_the_same(self, importer, library):
        """It is executed once."""
        library.put("zz", "import sys\nsys.zz_count = getattr(sys, 'zz_count', 0) + 1")
        try:
            threads = [
                threading.Thread(target=importlib.import_module, args=("zz",)) for _ in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(BOUND)
            assert sys.zz_count == 1
        finally:
            del sys.zz_count


class TestForgetting:
    def test_a_module_that_changed(self, library, importer):
        """It is asked for again when it is imported next, and only it."""
        library.put("zz", "value = 1")
        library.put("zz_other", "value = 2")
        old, other = map(importlib.import_module, ("zz", "zz_other"))
        library.put("zz", "value = 3")
        importer.forget({"zz": "/nowhere/zz.py"})
        assert importlib.import_module("zz").value == 3
        assert old.value == 1
        assert importlib.import_module("zz_other") is other
        assert library.asked == ["zz", "zz_other", "zz"]

    def test_who_uses_it(self, library, importer):
        """Modules that have it, or something from it, are executed again, from the same text."""
        library.put("zz", "class Class: pass\ndef function(): pass\n", "package")
        library.put("zz.part", "number = 3")
        library.put("zz_module", "import zz")
        library.put("zz_class", "from zz import Class")
        library.put("zz_function", "from zz import function")
        library.put("zz_instance", "import zz\nitem = zz.Class()\ndel zz")
        library.put("zz_second", "import zz_class")
        library.put("zz_constant", "if True:\n    from zz.part import number")
        library.put("zz_dynamic", "zz = __import__('zz')")
        library.put("zz_not", "import sys\ndef later():\n    import zz")
        users = ["zz_module", "zz_class", "zz_function", "zz_instance", "zz_second"]
        users += ["zz_constant", "zz_dynamic"]
        before = {name: importlib.import_module(name) for name in [*users, "zz_not"]}
        importer.forget({"zz": ""})
        for name in users:
            assert importlib.import_module(name) is not before[name], name
        assert importlib.import_module("zz_not") is before["zz_not"]
        new = importlib.import_module("zz").Class
        assert importlib.import_module("zz_class").Class is new
        assert library.asked.count("zz") == 2
        assert all(library.asked.count(name) == 1 for name in users)

    def test_a_package_as_a_whole(self, library, importer):
        """Its parts are bound to it, so they go with it."""
        library.put("zz", "", "package")
        library.put("zz.one", "value = 1")
        library.put("zz.two", "value = 2")
        for name in ("zz.one", "zz.two"):
            importlib.import_module(name)
        old = sys.modules["zz.two"]
        library.put("zz.one", "value = 3")
        importer.forget({"zz.one": ""})
        namespace = {}
        exec("import zz.one, zz.two\nvalues = zz.one.value, zz.two.value", namespace)
        assert namespace["values"] == (3, 2)
        assert sys.modules["zz.two"] is not old
        assert library.asked == ["zz", "zz.one", "zz.two", "zz.one"]

    def test_a_part_of_a_namespace_package(self, library, importer, tmp_path, monkeypatch):
        """The worker's own parts stay, and so does the package; those that use the part do not."""
        (tmp_path / "zz").mkdir()
        (tmp_path / "zz" / "here.py").write_text("")
        monkeypatch.syspath_prepend(str(tmp_path))
        library["zz"] = GivenModule("namespace")
        library.put("zz.there", "value = 1")
        library.put("zz.user", "from .there import value")
        library.put("zz.other", "import zz")
        library["zz.inner"] = GivenModule("namespace")
        library.put("zz.inner.user", "from ..there import value")
        names = ["zz", "zz.here", "zz.other", "zz.there", "zz.user", "zz.inner.user"]
        before = [importlib.import_module(name) for name in names]
        library.put("zz.there", "value = 2")
        importer.forget({"zz.there": ""})
        after = [importlib.import_module(name) for name in names]
        assert [old is new for old, new in zip(before, after)] == [True] * 3 + [False] * 3
        assert [module.value for module in after[3:]] == [2, 2, 2]
        assert after[0].there is after[3]

    def test_what_was_missing(self, library, importer):
        """It is asked for again."""
        assert importlib.util.find_spec("zz") is None
        library.put("zz", "")
        importer.forget({"zz": ""})
        importlib.import_module("zz")

    def test_the_worker_s_own_from_the_same_file(self, importer, tmp_path, monkeypatch):
        """Where both see the file, it is read again; another file of the name is not."""
        path = tmp_path / "zz.py"
        path.write_text("value = 1")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        old = importlib.import_module("zz")
        importer.forget({"zz": "/elsewhere/zz.py"})
        assert importlib.import_module("zz") is old
        path.write_text("value = 22")
        importer.forget({"zz": str(path)})
        assert importlib.import_module("zz").value == 22

    def test_nobody_s_else(self, importer):
        """What is standard stays, whatever the client says."""
        before = dict(sys.modules)
        importer.forget({"json": "/nowhere/json.py", "sys": "", "zz_none": ""})
        assert dict(sys.modules) == before

    def test_one_that_is_being_imported(self, importer, library):
        """It stays until it is there: taking it away would break the import."""
        library.put("zz", "import sys\nsys.zz_forget()\nvalue = 1")
        sys.zz_forget = lambda: importer.forget({"zz": ""})
        try:
            assert importlib.import_module("zz").value == 1
        finally:
            del sys.zz_forget


def test_uninstalling(importer):
    """Nothing of it is left among the finders; twice is no error."""
    importer.uninstall()
    importer.uninstall()
    assert not any(type(finder).__module__ == "farm_server.importer" for finder in sys.meta_path)
