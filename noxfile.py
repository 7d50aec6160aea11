"""The house's checks, each a session: ``nox`` runs those a change must pass, ``nox -l`` lists all.

One package or test: ``nox -s tests-3.13 -- packages/farm-common/tests -k frames``.
"""

import json
import os
import shutil
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml("pyproject.toml")
PACKAGES = [f"packages/farm-{name}" for name in ("common", "server", "client", "admin", "gss")]
DECLARED = nox.project.python_versions(nox.project.load_toml(f"{PACKAGES[0]}/pyproject.toml"))
OLDEST, NEWEST = DECLARED[0], DECLARED[-1]

# pyenv's interpreters count as found. Its shims do not: there is one for every version, and all
# but the chosen version's only print an error.
PYENV = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
os.environ["PATH"] = os.pathsep.join(
    [
        *(path for path in os.get_exec_path() if Path(path) != PYENV / "shims"),
        *(str(path) for path in sorted(PYENV.glob("versions/*/bin"))),
    ]
)
# What later Debians have, see ci/root; by the names that tests know the interpreters by.
ROOTS = {"sid": {"3.14": "python3.14", "3.15": "python3.15", "pypy3.11": "pypy3"}}
# What is tested is what was installed.
os.environ.pop("PYTHONPATH", None)
WANTED = {
    **{version: f"python{version}" for version in DECLARED},
    **{f"pypy{version}": f"pypy{version}" for version in DECLARED},
}
FOUND = {name: path for name, command in WANTED.items() if (path := shutil.which(command))}
# Debian 12's, which most people will run; the figures in the docs were measured on it.
DEFAULT = "3.11" if "3.11" in FOUND else next(iter(FOUND))

# What every change is tried with: a release that siblings accept, and one that they do not.
REHEARSALS = [["farm-common", "0.1.99", "--check"], ["farm-server", "99.0", "--check"]]

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.sessions = [
    *("lint", "types", "tests", "fuzz", "docs", "build", "release", "integration", "kerberos"),
]


def group(name: str) -> tuple[str, ...]:
    """What a dependency group of the root pyproject.toml asks for."""
    return nox.project.dependency_groups(PROJECT, name)


def install_packages(session: nox.Session, *extra: str) -> None:
    """Install the packages from the tree, farm-gss without the gssapi that needs a compiler."""
    editable = [f"-e{package}" for package in PACKAGES[:-1]]
    session.install(*extra, *editable)
    session.install("--no-deps", f"-e{PACKAGES[-1]}")


def build_wheels(session: nox.Session, folder: Path) -> None:
    """Build every sdist, and from each sdist its wheel, into an emptied folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for package in PACKAGES:
        session.run("uv", "build", "--quiet", "--out-dir", str(folder), package)


def install_wheels(session: nox.Session, python: str, wheels: Path, *extra: str) -> None:
    """Install the wheels, not the tree, for the interpreter of some environment."""
    command = ["uv", "pip", "install", "--quiet", "--python", python]
    built = [str(wheel) for wheel in wheels.glob("*.whl") if "farm_gss" not in wheel.name]
    session.run(*command, *built, *extra)
    session.run(*command, "--no-deps", *map(str, wheels.glob("farm_gss*.whl")))


def install_gssapi(session: nox.Session, python: str) -> None:
    """Install what farm-gss needs, by itself: --reinstall would compile it anew each time."""
    session.run("uv", "pip", "install", "--quiet", "--python", python, *group("gss"))


@nox.session(python=list(FOUND))
def tests(session: nox.Session) -> None:
    """Each package's own tests, on each interpreter found."""
    install_packages(session, *group("test"), *group("numpy"), *group("certs"))
    session.run("pytest", *session.posargs)


@nox.session(python=DEFAULT)
def lint(session: nox.Session) -> None:
    """Style, format, and the rules of who imports whom."""
    session.install(*group("lint"), *group("test"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("python", "ci/check_layering.py")
    session.run("pytest", "--quiet", "ci/tests")


@nox.session(python=DEFAULT)
def types(session: nox.Session) -> None:
    """Strict types, as the oldest and the newest Python see them."""
    session.install(*group("types"), "cloudpickle")
    for version in (OLDEST, NEWEST):
        sources = [f"{package}/src" for package in PACKAGES]
        session.run("mypy", "--python-version", version, *sources)


@nox.session(python=DEFAULT)
def docs(session: nox.Session) -> None:
    """The documentation without a warning, and every snippet in it."""
    install_packages(session, *group("docs"))
    options = ["-W", "--keep-going", "-n", "-q", "docs"]
    session.run("sphinx-build", "-b", "html", *options, "docs/_build/html")
    session.run("sphinx-build", "-b", "doctest", *options, "docs/_build/doctest")


@nox.session(python=DEFAULT)
def build(session: nox.Session) -> None:
    """All wheels and sdists into dist/, and each wheel checked."""
    session.install(*group("build"))
    build_wheels(session, ROOT / "dist")
    session.run("python", "ci/check_wheels.py", "dist")


def install_everywhere(session: nox.Session) -> dict[str, str]:
    """Build the wheels and install them for every interpreter found.

    Returns:
        What tests-integration is told by FARM_PYTHONS, a JSON object from the name of each
        interpreter, the default one first, to a Python that has the wheels installed; and by
        FARM_WHEELS, the folder of the wheels.
    """
    session.install(*group("build"), *group("test"))
    home = Path(session.virtualenv.location)
    wheels = home / "wheels"
    build_wheels(session, wheels)
    pythons = {DEFAULT: str(home / "bin" / "python")}
    for name, path in FOUND.items():
        if name != DEFAULT:
            folder = str(home / "peers" / name)
            session.run("uv", "venv", "--quiet", "--clear", "--python", path, folder)
            pythons[name] = f"{folder}/bin/python"
    for name, python in pythons.items():
        others = (*group("libraries"), *group("certs")) if name == DEFAULT else group("joblib")
        install_wheels(session, python, wheels, "--reinstall", *group("numpy"), *others)
    return {"FARM_PYTHONS": json.dumps(pythons), "FARM_WHEELS": str(wheels)}


def install_in_roots(session: nox.Session, wheels: Path) -> dict[str, str]:
    """Install wheels for the interpreters of later Debians; return these as programs to run."""
    pythons = {}
    for suite, commands in ROOTS.items():
        packages = [*commands.values(), "openssh-client"]  # for clients that use ssh
        made = session.run("ci/root", suite, *packages, external=True, silent=True)
        folder = str(made).strip().splitlines()[-1]
        for name, command in commands.items():
            home = Path(session.virtualenv.location) / "peers" / name
            target = home / "site-packages"
            shutil.rmtree(home, ignore_errors=True)
            target.mkdir(parents=True)
            install = ["uv", "pip", "install", "--quiet", "--target", str(target)]
            install += ["--python", FOUND[DEFAULT], "--python-version", name.replace("pypy", "")]
            built = [str(wheel) for wheel in wheels.glob("*.whl") if "farm_gss" not in wheel.name]
            session.run(*install, *built)
            session.run(*install, "--no-deps", *map(str, wheels.glob("farm_gss*.whl")))
            if "pypy" not in name:  # without a wheel, tests of arrays are skipped
                numpy = [*install, "--only-binary", ":all:", "numpy"]
                session.run(*numpy, success_codes=range(256), silent=True)
            # The one has the wheels, the other nothing that was installed.
            for program, path in (("python", f"PYTHONPATH={target} "), ("bare", "")):
                python = home / program
                python.write_text(
                    "#!/bin/sh\n"
                    f"export FARM_ROOT_PLACES={ROOT} {path}PYTHONDONTWRITEBYTECODE=1\n"
                    f'exec {ROOT}/ci/root --run {folder} {command} "$@"\n'
                )
                python.chmod(0o755)
            pythons[name] = str(home / "python")
    return pythons


def install_earlier(session: nox.Session) -> dict[str, str]:
    """Build and install the wheels of earlier states of farm, which this one must work with.

    Returns:
        What tests-integration is told by FARM_EARLIER, as for FARM_PYTHONS. What ci/earlier.json
        names and this clone's history does not have is left out, and said so.
    """
    home = Path(session.virtualenv.location) / "earlier"
    pythons = {}
    for name, commit in json.loads((ROOT / "ci" / "earlier.json").read_text()).items():
        folder = home / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        archive = str(folder / "tree.tar")
        git = ["git", "archive", "--output", archive, commit, "packages"]
        if session.run(*git, external=True, success_codes=range(256), silent=True):
            session.warn(f"no earlier farm {name!r}: this clone does not have {commit}")
            continue
        shutil.unpack_archive(archive, folder)
        for package in PACKAGES:
            session.run("uv", "build", "--quiet", "--wheel", "--out-dir", str(folder / "wheels"),
                        str(folder / package))  # fmt: skip
        session.run("uv", "venv", "--quiet", "--python", FOUND[DEFAULT], str(folder / "venv"))
        pythons[name] = str(folder / "venv" / "bin" / "python")
        install_wheels(session, pythons[name], folder / "wheels", "--reinstall")
    return {"FARM_EARLIER": json.dumps(pythons)}


@nox.session(python=DEFAULT)
def integration(session: nox.Session) -> None:
    """The built wheels and real processes, with every interpreter found at the other end."""
    environment = {**install_everywhere(session), **install_earlier(session)}
    # Those of Kerberos need a KDC, and a session of their own.
    tests = ["--durations=20", "tests-integration", "--ignore=tests-integration/kerberos"]
    session.run("pytest", *(session.posargs or tests), env=environment)


@nox.session(python=DEFAULT)
def kerberos(session: nox.Session) -> None:
    """farm-gss with a real KDC, and a server on PyPy, too, where there is one."""
    # gssapi is compiled: 50 to 130 s for each interpreter the first time, so not for all.
    for program in ("krb5-config", "krb5kdc", "kadmin.local", "kinit"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            session.skip(f"{program} is missing; ci/test installs what this needs")
    session.install(*group("build"), *group("test"))
    home = Path(session.virtualenv.location)
    build_wheels(session, home / "wheels")
    pythons = {DEFAULT: str(home / "bin" / "python")}
    for name in [name for name in FOUND if name.startswith("pypy")][:1]:
        folder = str(home / "peers" / name)
        session.run("uv", "venv", "--quiet", "--clear", "--python", FOUND[name], folder)
        pythons[name] = f"{folder}/bin/python"
    for python in pythons.values():
        install_gssapi(session, python)
        install_wheels(session, python, home / "wheels", "--reinstall")
    environment = {"FARM_PYTHONS": json.dumps(pythons), "FARM_KERBEROS": "required"}
    tests = session.posargs or ["tests-integration/kerberos"]
    session.run("pytest", *tests, env=environment)


@nox.session(python=DEFAULT)
def matrix(session: nox.Session) -> None:
    """Every interpreter with every other: the corpus, and the transports; --write keeps the tables.

    With --full also those that this system has no packages of: they are installed into folders, see
    ci/root, which takes root and some minutes.
    """
    options = list(session.posargs)
    environment = {**install_everywhere(session), "FARM_MATRIX": "all"}
    if "--full" in options:
        options.remove("--full")
        wheels = Path(session.virtualenv.location) / "wheels"
        pythons = {**json.loads(environment["FARM_PYTHONS"]), **install_in_roots(session, wheels)}
        environment["FARM_PYTHONS"] = json.dumps(pythons)
    if "--write" in options:
        options.remove("--write")
        environment["FARM_MATRIX_WRITE"] = str(ROOT / "docs" / "reference")
    tests = [f"tests-integration/shipping/test_{name}.py" for name in ("matrix", "contexts")]
    tests.append("tests-integration/transports")
    session.run("pytest", "--quiet", "--tb=short", *(options or tests), env=environment)


@nox.session(python=DEFAULT)
def trial(session: nox.Session) -> None:
    """Functions of popular packages, which only the client has; --write keeps the table."""
    environment = install_everywhere(session)
    home = Path(session.virtualenv.location)
    client = str(home / "trial" / "bin" / "python")
    session.run("uv", "venv", "--quiet", "--clear", "--python", FOUND[DEFAULT], str(home / "trial"))
    install_wheels(session, client, home / "wheels")
    command = ["uv", "pip", "install", "--quiet", "--python", client, "--python-version", OLDEST]
    session.run(*command, *group("trial"))
    environment["FARM_TRIAL_CLIENT"] = client
    session.run("python", "tests-integration/shipping/trial.py", *session.posargs, env=environment)


@nox.session(python=DEFAULT)
def release(session: nox.Session) -> None:
    """One wheel's release: PACKAGE VERSION. Without these, what a release of some would be."""
    session.install(*group("build"), *group("news"))
    for posargs in [session.posargs] if session.posargs else REHEARSALS:
        session.run("python", "ci/release.py", *posargs)


@nox.session(python=DEFAULT)
def coverage(session: nox.Session) -> None:
    """Which lines and branches the packages' own tests reach, worker processes included."""
    extra = ("test", "coverage", "numpy", "certs")
    install_packages(session, *(name for what in extra for name in group(what)))
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session(python=[name for name in FOUND if name in ("3.11", "3.13") or "pypy" in name])
def bench(session: nox.Session) -> None:
    """Tables of ratios to raw sockets and the standard library. No pass or fail."""
    session.install(*group("build"))
    wheels = Path(session.virtualenv.location) / "wheels"
    build_wheels(session, wheels)
    python = str(Path(session.virtualenv.location) / "bin" / "python")
    if shutil.which("krb5-config"):
        install_gssapi(session, python)
    install_wheels(session, python, wheels, "--reinstall", *group("numpy"), *group("certs"))
    session.run("python", "tests-integration/bench", *session.posargs)


@nox.session(python=DEFAULT)
def fuzz(session: nox.Session) -> None:
    """Random bytes into what reads them before authentication; posargs say for how long."""
    install_packages(session, *group("test"))
    if shutil.which("krb5-config"):
        install_gssapi(session, str(Path(session.virtualenv.location) / "bin" / "python"))
    session.run("python", "tests-integration/fuzz", *session.posargs)


def do_harm(session: nox.Session, kind: str) -> None:
    """Run one of the kinds of tests-integration/faults on the tree."""
    install_packages(session, *group("test"))
    session.run("python", "tests-integration/faults", kind, *session.posargs)


@nox.session(python=[name for name in FOUND if name in (DEFAULT, "pypy3.9")])
def chaos(session: nox.Session) -> None:
    """Ten minutes of killing and cutting at random, then the books; see --minutes, --seed."""
    do_harm(session, "chaos")


@nox.session(python=DEFAULT)
def soak(session: nox.Session) -> None:
    """An hour of everything, then the curves of memory and descriptors; --minutes says else."""
    do_harm(session, "soak")


@nox.session(python=DEFAULT)
def crowd(session: nox.Session) -> None:
    """64 kernels, 1,000 connections, 1,000 killed clients at one server; --scale takes a part."""
    do_harm(session, "crowd")


@nox.session(python=DEFAULT)
def races(session: nox.Session) -> None:
    """Ten minutes of threads that are preempted in one module after the other; see --module."""
    do_harm(session, "races")


@nox.session(python=DEFAULT)
def pages(session: nox.Session) -> None:
    """Every page of the documentation as wide as a phone; of those in posargs, pictures."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        session.skip("there is no Chromium; on Debian: apt-get install chromium")
    install_packages(session, *group("docs"), *group("pages"))
    session.run("sphinx-build", "-b", "html", "-W", "-q", "docs", "docs/_build/html")
    session.run("python", "ci/look_at_pages.py", "docs/_build", chromium, *session.posargs)


@nox.session(python=DEFAULT)
def picture(session: nox.Session) -> None:
    """The README's picture, from a run of its programs; port 11111 must be free."""
    install_packages(session)
    session.run("python", "ci/make_picture.py")


@nox.session(python=False)
def demo(session: nox.Session) -> None:
    """What the README tells a newcomer to run."""
    session.run("ci/demo", *session.posargs)
