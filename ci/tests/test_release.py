"""What may be released is told from what may not, and the oldest allowed sibling is found."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
pytest.importorskip("packaging")

import release
from packaging.requirements import Requirement
from packaging.version import Version

LOG = """# Changes

<!-- towncrier release notes start -->

## 0.1.0 (not released yet)

What it brings.
"""


def git(where, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", "-C", where, *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path):
    """A repository with farm-common 0.1.0, not released yet."""
    package = tmp_path / "packages" / "farm-common"
    (package / "newsfragments").mkdir(parents=True)
    (package / "src" / "farm_common").mkdir(parents=True)
    (package / "CHANGELOG.md").write_text(LOG)
    (package / "src" / "farm_common" / "__about__.py").write_text('__version__ = "0.1.0"\n')
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "begin")
    return tmp_path


def test_the_first_release_may_have_the_version_of_the_tree(tree):
    """0.1.0 may be released while the changelog says that it is not released yet."""
    assert release.new_version(tree, "farm-common", "0.1.0") == Version("0.1.0")


def test_a_released_version_is_not_released_again(tree):
    """Without that line, the version must be later than the tree's."""
    (tree / "packages/farm-common/CHANGELOG.md").write_text("# Changes\n\n## 0.1.0 (2026-01-01)\n")
    with pytest.raises(release.ReleaseError, match=r"0\.1\.0 is not later than 0\.1\.0"):
        release.new_version(tree, "farm-common", "0.1.0")
    assert release.new_version(tree, "farm-common", "0.1.1") == Version("0.1.1")


@pytest.mark.parametrize(
    ("text", "why"), [("0.0.9", "not later than 0.1.0"), ("next", "'next' is not a version")]
)
def test_what_is_no_later_version_is_refused(tree, text, why):
    """An earlier version and a text that is no version are named in the error."""
    with pytest.raises(release.ReleaseError, match=why):
        release.new_version(tree, "farm-common", text)


def test_a_tag_is_not_used_twice(tree):
    """A version whose tag exists is refused, whatever the files say."""
    git(tree, "tag", "farm-common-v0.2.0")
    with pytest.raises(release.ReleaseError, match=r"tag farm-common-v0\.2\.0 already"):
        release.new_version(tree, "farm-common", "0.2.0")


def test_no_news_is_no_release(tree):
    """Without a fragment there is nothing to tell users, and no release."""
    with pytest.raises(release.ReleaseError, match="newsfragments is empty"):
        release.write_news(tree, "farm-common", Version("0.1.0"))


def test_the_version_is_bumped(tree):
    """The file that builds read the version from has the new one."""
    release.bump(tree, "farm-common", Version("0.3.0"))
    assert release.read_version(tree, "farm-common") == "0.3.0"


@pytest.mark.parametrize(
    ("tags", "wanted", "built"),
    [
        (["0.1.0", "0.1.2", "0.1.10"], ">=0.1.1,<0.2", "farm-common-0.1.2"),
        (["0.1.0", "0.1.2", "0.2.0"], ">=0.1,<0.2", "farm-common-0.1.0"),
        ([], ">=0.1,<0.2", "."),
        (["0.2.0"], ">=0.1,<0.2", "."),
    ],
)
def test_the_oldest_allowed_sibling(tree, tmp_path_factory, monkeypatch, tags, wanted, built):
    """The earliest tag in the range is built, from that tag; HEAD where there is none."""
    for version in tags:
        git(tree, "tag", f"farm-common-v{version}")
    folder = tmp_path_factory.mktemp("work")
    monkeypatch.setattr(release, "build", lambda source, name, target: source)
    allowed = Requirement(f"farm-common{wanted}")
    source = release.oldest_wheel(tree, "farm-common", allowed, folder)
    assert source == (tree if built == "." else folder / built)
    assert release.read_version(source, "farm-common") == "0.1.0"


def test_a_range_that_nothing_is_in_is_an_error(tree, tmp_path):
    """A range that neither a tag nor HEAD satisfies is named."""
    with pytest.raises(release.ReleaseError, match=r"nothing is in the range farm-common>=3"):
        release.oldest_wheel(tree, "farm-common", Requirement("farm-common>=3"), tmp_path)
