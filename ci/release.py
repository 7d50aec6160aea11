"""Release one wheel: its version, its news, what is uploaded, and proof that it works.

Usage: ``python ci/release.py PACKAGE VERSION [--check]``, by ``nox -s release``.

All is done in a copy of HEAD, and the tree changes only when all of it went well: the version is
bumped, the news fragments become a section of the changelog, the sdist and the wheel are built and
checked, and a smoke job runs over the wheel twice: beside the newest siblings, and beside the
oldest ones that its ranges allow, which are built from the tags of their releases. Then the change
is staged, the files are in ``dist/``, and what is left to do is printed. ``--check`` does all that
and leaves the tree as it was.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import check_wheels
from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent

NAMES = ["farm-common", "farm-server", "farm-client", "farm-admin", "farm-gss"]

#: Who runs the smoke job; farm-gss has no part in it, as its library needs a compiler.
ENDS = ("farm-server", "farm-client", "farm-admin")

UNRELEASED = re.compile(
    r"^## (\S+) \(not released yet\)\n\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL
)


class ReleaseError(Exception):
    """Why there will be no release."""


def main() -> int:
    """Release what the command line says."""
    parser = argparse.ArgumentParser(description="Release one wheel.")
    parser.add_argument("package", choices=NAMES)
    parser.add_argument("version", help="such as 0.2.0")
    parser.add_argument("--check", action="store_true", help="do it, but leave the tree as it is")
    options = parser.parse_args()
    try:
        if not options.check and git(ROOT, "status", "--porcelain", "--untracked-files=no"):
            raise ReleaseError("there are changes that are not committed; what is released is HEAD")
        with tempfile.TemporaryDirectory(prefix="farm-release-") as folder:
            release(options.package, options.version, Path(folder), apply=not options.check)
    except ReleaseError as error:
        print(f"not released: {error}", file=sys.stderr)
        return 1
    return 0


def release(name: str, text: str, folder: Path, *, apply: bool) -> None:
    """Release a package; see the module.

    Raises:
        ReleaseError: The tree or the version is not fit for it, or something failed.
    """
    copy = folder / "copy"
    git(ROOT, "clone", "--quiet", str(ROOT), str(copy))
    version = new_version(copy, name, text)
    newest = {other: build(copy, other, folder / "newest") for other in NAMES if other != name}
    before = build(copy, name, folder / "before")

    bump(copy, name, version)
    write_news(copy, name, version)
    dist = folder / "dist"
    wheel = build(copy, name, dist)
    siblings = sibling_ranges(wheel)
    for other in siblings:
        shutil.copy(newest[other], dist)
    check_wheels.check_contents(wheel, name.replace("-", "_"), str(version))
    oldest = {other: oldest_wheel(copy, other, siblings[other], folder) for other in siblings}
    # Whoever is at the other end has what is current now.
    current = {**newest, name: before}
    for title, beside in (("newest", newest), ("oldest", oldest)):
        chosen = [beside[other] for other in siblings]
        versions = ", ".join(sorted(map(title_of, chosen))) or "no sibling"
        print(f"with the {title} siblings it allows ({versions}):", flush=True)
        smoke(name, wheel, chosen, current, folder / title)

    for other in ENDS:
        allowed = sibling_ranges(newest[other]).get(name) if other != name else None
        if allowed is not None and version not in allowed.specifier:
            print(f"note: {other} asks for {allowed}; to be used with this, it needs a release too")
    print(f"{title_of(wheel)}: built, and works")
    if apply:
        keep(copy, [wheel, *dist.glob(f"{name.replace('-', '_')}-{version}.tar.gz")])
        print("staged, and in dist/. Look at it (git diff --cached), and then:")
        print(steps(name, version))


def new_version(copy: Path, name: str, text: str) -> Version:
    """The version to release, if it may be.

    Raises:
        ReleaseError: It is none, or not later than the one before.
    """
    try:
        version = Version(text)
    except InvalidVersion:
        raise ReleaseError(f"{text!r} is not a version (PEP 440), such as 0.2.0") from None
    current = Version(read_version(copy, name))
    first = UNRELEASED.search(changelog(copy, name).read_text(encoding="utf-8")) is not None
    if version < current or (version == current and not first):
        raise ReleaseError(f"{name} {version} is not later than {current}, which the tree has")
    if tag(name, version) in git(copy, "tag").split():
        raise ReleaseError(f"there is a tag {tag(name, version)} already")
    return version


def bump(copy: Path, name: str, version: Version) -> None:
    """Have the package say that it is this version."""
    about = about_file(copy, name)
    text = about.read_text(encoding="utf-8")
    changed = re.sub(r'__version__ = ".*?"', f'__version__ = "{version}"', text)
    about.write_text(changed, encoding="utf-8")


def write_news(copy: Path, name: str, version: Version) -> None:
    """Make a section of the changelog of the news fragments, which go away.

    Raises:
        ReleaseError: There are none.
    """
    package = copy / "packages" / name
    if not any((package / "newsfragments").glob("*.md")):
        raise ReleaseError(f"packages/{name}/newsfragments is empty: what would users get?")
    path = changelog(copy, name)
    path.write_text(UNRELEASED.sub("", path.read_text(encoding="utf-8")), encoding="utf-8")
    command = ["towncrier", "build", "--yes", "--dir", str(package)]
    command += ["--config", str(copy / "pyproject.toml")]
    run(*command, "--name", name, "--version", str(version), cwd=copy)
    if f"## {version} (" not in path.read_text(encoding="utf-8"):
        raise ReleaseError(f"towncrier left no section {version} in {path.relative_to(copy)}")


def build(copy: Path, name: str, folder: Path) -> Path:
    """Build a package's sdist, and from it the wheel; return the wheel."""
    run("uv", "build", "--quiet", "--out-dir", str(folder), str(copy / "packages" / name))
    (wheel,) = folder.glob(f"{name.replace('-', '_')}-*.whl")
    return wheel


def sibling_ranges(wheel: Path) -> dict[str, Requirement]:
    """Which siblings a wheel requires, extras left out, and in which ranges."""
    package, version = wheel.name.split("-")[:2]
    requirements = map(Requirement, check_wheels.check_contents(wheel, package, version))
    return {wanted.name: wanted for wanted in requirements if wanted.name in NAMES}


def oldest_wheel(copy: Path, name: str, allowed: Requirement, folder: Path) -> Path:
    """Build the oldest release of a sibling that a range allows; HEAD's where none was released.

    Raises:
        ReleaseError: Neither a release nor HEAD is in the range.
    """
    tags = git(copy, "tag", "-l", f"{name}-v*").split()
    released = [Version(line[len(f"{name}-v") :]) for line in tags]
    fitting = sorted(version for version in released if version in allowed.specifier)
    if fitting:
        source = folder / f"{name}-{fitting[0]}"
        if not source.exists():
            git(copy, "worktree", "add", "--quiet", "--detach", str(source), tag(name, fitting[0]))
        return build(source, name, source / "dist")
    if read_version(copy, name) not in allowed.specifier:
        raise ReleaseError(f"nothing is in the range {allowed}: neither HEAD nor any tag {name}-v*")
    return build(copy, name, folder / "oldest-of-head")


def smoke(
    name: str, wheel: Path, siblings: list[Path], current: dict[str, Path], folder: Path
) -> None:
    """Run the smoke job over a wheel and its siblings; at the other ends is what is current."""
    released, others = environment(folder / "released"), environment(folder / "others")
    install(released, wheel, *siblings)
    install(others, *(path for other, path in current.items() if other != "farm-gss"))
    if name == "farm-gss":
        return  # without its library, what can be seen is that it installs with these siblings
    if name == "farm-common":
        for end in ENDS:
            allowed = sibling_ranges(current[end])[name]
            if Version(wheel.name.split("-")[1]) in allowed.specifier:
                install(released, current[end])
    has = {end: released if imports(released, end) else others for end in ENDS}
    run(sys.executable, str(HERE / "smoke.py"), *(str(has[end]) for end in ENDS))


def environment(folder: Path) -> Path:
    """Make an environment with nothing in it; return its interpreter."""
    run("uv", "venv", "--quiet", "--python", sys.executable, str(folder))
    return folder / "bin" / "python"


def install(python: Path, *wheels: Path) -> None:
    """Install wheels, with what they require: siblings must be among them or there already."""
    # Compiled when installed, and it has no part in the smoke job.
    gss = [path for path in wheels if path.name.startswith("farm_gss")]
    rest = [path for path in wheels if path not in gss]
    command = ["uv", "pip", "install", "--quiet", "--python", str(python)]
    for name in NAMES:  # uv remembers by name and version what it unpacked
        command += ["--refresh-package", name]
    if rest:
        run(*command, *map(str, rest))
    for path in gss:
        run(*command, "--no-deps", str(path))


def imports(python: Path, name: str) -> bool:
    """Whether an environment has a package."""
    probe = [str(python), "-I", "-c", f"import {name.replace('-', '_')}"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def keep(copy: Path, built: list[Path]) -> None:
    """Stage what changed in the copy, and put what was built into dist/."""
    git(copy, "add", "--all", "packages")
    patch = subprocess.run(
        ["git", "diff", "--cached", "--binary"], cwd=copy, check=True, capture_output=True
    ).stdout
    subprocess.run(["git", "apply", "--index"], cwd=ROOT, input=patch, check=True)
    (ROOT / "dist").mkdir(exist_ok=True)
    for path in built:
        shutil.copy(path, ROOT / "dist")


def steps(name: str, version: Version) -> str:
    """What a person does to finish a release."""
    stem = f"{name.replace('-', '_')}-{version}"
    return (
        f"  git commit -m 'Release {name} {version}'\n"
        f"  git tag -a {tag(name, version)} -m '{name} {version}'\n"
        f"  git push --follow-tags\n"
        f"  uv publish dist/{stem}*"
    )


def tag(name: str, version: Version) -> str:
    """What a release is tagged with."""
    return f"{name}-v{version}"


def title_of(wheel: Path) -> str:
    """A wheel's name and version, for people."""
    name, version = wheel.name.split("-")[:2]
    return f"{name.replace('_', '-')} {version}"


def about_file(copy: Path, name: str) -> Path:
    """Where a package's version is."""
    return copy / "packages" / name / "src" / name.replace("-", "_") / "__about__.py"


def read_version(copy: Path, name: str) -> str:
    """The version that a package says it is."""
    found = re.search(r'__version__ = "(.*?)"', about_file(copy, name).read_text(encoding="utf-8"))
    assert found is not None, f"no version in {about_file(copy, name)}"
    return found[1]


def changelog(copy: Path, name: str) -> Path:
    """A package's changelog."""
    return copy / "packages" / name / "CHANGELOG.md"


def git(where: Path, *arguments: str) -> str:
    """Run git; return what it printed."""
    command = ["git", "-C", str(where), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"git {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout


def run(*command: str, cwd: Path | None = None) -> None:
    """Run a command, its output shown.

    Raises:
        ReleaseError: It failed.
    """
    if subprocess.run(command, cwd=cwd, check=False).returncode:
        raise ReleaseError(f"failed: {' '.join(command)}")


if __name__ == "__main__":
    sys.exit(main())
