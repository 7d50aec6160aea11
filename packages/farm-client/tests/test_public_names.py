"""What programs import from farm_client: it is fixed, and other programs are written against it."""

import importlib
import pkgutil

import pytest

import farm_client as farm

NAMES = """
AddressError AuthError Channel FarmError Future IncompatibleVersionError InvalidTaskError Kernel
KernelCreationError KernelEndedError NoKernelError ProtocolError SerializationError Shared
TaskExecutionError TaskKilledError TaskTimeoutError UnsupportedError WorkerInfo WorkerLostError
__version__ broadcast_task check_kernel current_kernel deftask do_fast_receives end_kernel force
future kernel_name kernel_worker_count kill_tasks make_channel make_kernel receive_result set_kernel
shared submit_task task_categories_running task_category task_options task_priority
try_receive_result worker_index
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
