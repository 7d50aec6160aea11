"""What programs import from farm_client: it is fixed, and other programs are written against it."""

import importlib
import pkgutil
import subprocess
import sys
import textwrap

import pytest

import farm_client as farm

NAMES = """
AddressError AuthError Channel FarmError Future IncompatibleVersionError InvalidTaskError Kernel
KernelCreationError KernelEndedError NoKernelError Promise ProtocolError Ptree PtreeCycleError
PtreeError PtreeRedefinitionError PtreeUndefinedFunctionError SerializationError Shared Stream
TaskExecutionError TaskKilledError TaskTimeoutError UnsupportedError WorkerInfo WorkerLostError
__version__ broadcast_task cancel_timeout chain check_kernel current_kernel deftask delay
do_fast_receives end_kernel force fulfill future is_fulfilled kernel_name kernel_worker_count
kill_tasks make_channel make_kernel pand pcount pcount_if pcount_if_not pdotimes pevery pfind
pfind_if pfind_if_not pfuncall plet plet_if pmap pmap_into pmap_iter pmap_reduce pmapc pmapcan
pmapcar pmapcon pmapl pmaplist pmaplist_into pnotany pnotevery por preduce preduce_partial premove
premove_if premove_if_not promise psome psort receive_result set_kernel shared speculate submit_task
submit_timeout task_categories_running task_category task_options task_priority try_receive_result
worker_index
"""

MODULES = [
    module.name
    for module in pkgutil.walk_packages(farm.__path__, "farm_client.")
    if not module.name.endswith("__about__")
]


def test_the_package_exports_these_names():
    """No more, no less, in order."""
    assert sorted(NAMES.split()) == sorted(farm.__all__)
    for name in farm.__all__:
        assert hasattr(farm, name), name


KERNEL = """
Channel Kernel WorkerInfo broadcast_task cancel_timeout check_kernel current_kernel deftask
do_fast_receives end_kernel kernel_name kernel_worker_count kill_tasks make_channel make_kernel
receive_result set_kernel submit_task submit_timeout task_categories_running task_category
task_options task_priority try_receive_result worker_index
"""

PROMISE = """
Chain Delay Future Promise chain delay force fulfill future is_fulfilled promise speculate
"""


@pytest.mark.parametrize(
    ("module", "names"), [("kernel", KERNEL), ("promise", PROMISE)], ids=["kernel", "promise"]
)
def test_the_families_have_modules_of_their_own(module, names):
    """As lparallel's packages: what the kernel has to do with, and the promises."""
    found = importlib.import_module(f"farm_client.{module}")
    assert sorted(names.split()) == sorted(found.__all__)
    for name in set(found.__all__) - {"Chain", "Delay"}:
        assert getattr(found, name) is getattr(farm, name)


def test_the_cognates_have_a_module_of_their_own():
    """All of the names that begin with p but the promises', trees, and what they return."""
    found = importlib.import_module("farm_client.cognate")
    others = {"Promise", "ProtocolError", "Ptree", "promise"}
    p = {name for name in farm.__all__ if name.startswith("p")} - others
    assert set(found.__all__) == p | {"Ptree", "Stream"}


@pytest.mark.parametrize("name", MODULES)
def test_each_module_says_what_is_public(name):
    """In an ``__all__`` without unknown names."""
    module = importlib.import_module(name)
    for public in module.__all__:
        assert hasattr(module, public), public


def test_tracebacks_and_documentation_have_docstrings():
    """Whatever is exported explains itself."""
    for name in set(farm.__all__) - {"__version__"}:
        assert getattr(farm, name).__doc__, name


def in_a_fresh_interpreter(program):
    """What a program prints, which nothing was imported for yet."""
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=True)
    return done.stdout.decode().split()


#: What takes long to import and what few programs use.
SPARED = """
_hashlib _ssl asyncio cloudpickle email joblib multiprocessing numpy platform ssl tqdm
farm_client.cognate farm_client.foreign farm_client.joblib farm_client.ptree farm_client.trace
farm_common.guest farm_common.parts farm_common.ssh
"""


def test_importing_the_package_brings_little():
    """Nothing that is slow to import, or large, before a program uses it."""
    program = """
        import sys
        before = set(sys.modules)
        import farm_client
        print(*sorted(set(sys.modules) - before))
        """
    brought = in_a_fresh_interpreter(program)
    assert "farm_client.kernel" in brought
    assert not [name for name in SPARED.split() if name in brought]


def test_what_is_imported_later_is_there_from_the_start():
    """In ``dir()``, by ``import *``, and as an attribute, always the same; others are an error."""
    program = """
        import sys
        import farm_client as farm

        assert {*farm.__all__, "cognate", "joblib", "kernel", "ptree", "ssh"} <= set(dir(farm))
        assert "pmap" not in vars(farm)
        assert farm.pmap is farm.pmap is vars(farm)["pmap"] is farm.cognate.pmap
        assert farm.Ptree is farm.ptree.Ptree is farm.cognate.Ptree
        assert farm.joblib is sys.modules["farm_client.joblib"]
        try:
            farm.pmapp
        except AttributeError as error:
            assert str(error) == "module 'farm_client' has no attribute 'pmapp'", error
        else:
            raise AssertionError
        from farm_client import *
        assert pmap is farm.pmap and psort is farm.psort and "joblib" not in dir()
        print("whole")
        """
    assert in_a_fresh_interpreter(program) == ["whole"]


def test_many_threads_may_ask_first():
    """All get the same function, and none an unfinished module."""
    program = """
        import sys, threading
        import farm_client as farm

        sys.setswitchinterval(1e-6)
        gate, found = threading.Barrier(8), []

        def ask(name):
            gate.wait(30)
            found.append((name, getattr(farm, name)))

        names = ["pmap", "Ptree", "preduce", "Stream"] * 2
        threads = [threading.Thread(target=ask, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(found) == 8 and all(getattr(farm, name) is value for name, value in found)
        print("same")
        """
    assert in_a_fresh_interpreter(program) == ["same"]
