"""What is sent: the same for the same modules, wherever and whenever it is made."""

import io
import zipfile

import pytest

from farm_common import KernelCreationError
from farm_common.ssh import archive
from farm_common.ssh.there import digest_of


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Three packages, and no other ones."""
    for name in archive.PACKAGES:
        (tmp_path / name / "part" / "__pycache__").mkdir(parents=True)
        (tmp_path / name / "__init__.py").write_text("")
        (tmp_path / name / "__about__.py").write_text('__version__ = "1.22.333"\n')
        (tmp_path / name / "part" / "module.py").write_text(f"name = {name!r}\n")
        (tmp_path / name / "part" / "__pycache__" / "module.pyc").write_bytes(b"not sent")
        (tmp_path / name / "py.typed").write_text("")
    monkeypatch.setattr(archive, "package_folder", lambda name: found(tmp_path / name))
    archive.find_archive.cache_clear()
    yield tmp_path
    archive.find_archive.cache_clear()


def found(folder):
    return str(folder) if folder.is_dir() else None


def test_what_is_in_it(packages):
    """The modules of all three, and nothing else."""
    names = ["__about__.py", "__init__.py", "part/module.py"]
    made = archive.find_archive()
    assert sorted(made.files) == sorted(f"{p}/{name}" for p in archive.PACKAGES for name in names)
    with zipfile.ZipFile(io.BytesIO(made.pack())) as packed:
        assert {name: packed.read(name) for name in packed.namelist()} == made.files


def test_the_other_side_computes_the_same(packages, tmp_path_factory):
    """Of the files that are unpacked, so that it can check them."""
    made = archive.find_archive()
    folder = tmp_path_factory.mktemp("there")
    with zipfile.ZipFile(io.BytesIO(made.pack())) as packed:
        packed.extractall(folder)
    assert digest_of(str(folder)) == made.digest
    (folder / "farm_server" / "__init__.py").write_text("x = 1")
    assert digest_of(str(folder)) != made.digest


def test_it_is_reproducible(packages):
    """Two clients with the same modules send the same bytes."""
    first = archive.find_archive()
    archive.find_archive.cache_clear()
    assert archive.find_archive() == first
    assert archive.find_archive().pack() == first.pack()


def test_a_name_is_part_of_it(packages):
    """Two files cannot trade their contents, nor their ends."""
    first = archive.find_archive().digest
    archive.find_archive.cache_clear()
    (packages / "cloudpickle" / "part" / "module.py").rename(packages / "cloudpickle" / "module.py")
    assert archive.find_archive().digest != first


def test_one_is_missing(packages):
    """The error says which, and what to do."""
    (packages / "farm_server").rename(packages / "elsewhere")
    with pytest.raises(
        KernelCreationError, match=r"farm_server is not installed here.*pip install"
    ):
        archive.find_archive()
    assert archive.series("farm_server") is None


def test_series(packages):
    """The first two numbers of the version."""
    assert archive.series("farm_common") == "1.22"
    (packages / "farm_common" / "__about__.py").unlink()
    assert archive.series("farm_common") is None


def test_what_is_installed_is_found():
    """Without a fake: the archive of this installation has a server in it."""
    archive.find_archive.cache_clear()
    files = archive.find_archive().files
    assert {"farm_server/__main__.py", "farm_common/ssh/there.py"} <= set(files)
    assert any(name.startswith("cloudpickle/") for name in files)
    assert archive.package_folder("no_such_package") is None
    assert archive.package_folder("sys") is None
