"""What programs import from farm_client: it is fixed, and other programs are written against it."""

import importlib
import pkgutil

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
