"""farm: lparallel's API over machines. ``import farm_client as farm``."""

from typing import TYPE_CHECKING

from farm_common.errors import (
    AddressError,
    AuthError,
    FarmError,
    IncompatibleVersionError,
    InvalidTaskError,
    KernelCreationError,
    KernelEndedError,
    NoKernelError,
    ProtocolError,
    PtreeCycleError,
    PtreeError,
    PtreeRedefinitionError,
    PtreeUndefinedFunctionError,
    SerializationError,
    TaskExecutionError,
    TaskKilledError,
    TaskTimeoutError,
    UnsupportedError,
    WorkerLostError,
)
from farm_common.logs import set_up_logging
from farm_common.shipping import Shared

from . import ssh as ssh  # not in __all__, as joblib: `import *` must not hide the real one
from .__about__ import __version__
from .kernel import (
    Channel,
    Kernel,
    broadcast_task,
    cancel_timeout,
    check_kernel,
    current_kernel,
    deftask,
    do_fast_receives,
    end_kernel,
    kernel_name,
    kernel_worker_count,
    kill_tasks,
    make_channel,
    make_kernel,
    receive_result,
    set_kernel,
    submit_task,
    submit_timeout,
    task_categories_running,
    task_category,
    task_options,
    task_priority,
    try_receive_result,
    worker_index,
)
from .promise import (
    Future,
    Promise,
    chain,
    delay,
    force,
    fulfill,
    future,
    is_fulfilled,
    promise,
    speculate,
)
from .task import shared
from .workers import WorkerInfo

if TYPE_CHECKING:
    from . import cognate as cognate
    from . import joblib as joblib
    from . import ptree as ptree
    from .cognate import (
        Stream,
        pand,
        pcount,
        pcount_if,
        pcount_if_not,
        pdotimes,
        pevery,
        pfind,
        pfind_if,
        pfind_if_not,
        pfuncall,
        plet,
        plet_if,
        pmap,
        pmap_into,
        pmap_iter,
        pmap_reduce,
        pmapc,
        pmapcan,
        pmapcar,
        pmapcon,
        pmapl,
        pmaplist,
        pmaplist_into,
        pnotany,
        pnotevery,
        por,
        preduce,
        preduce_partial,
        premove,
        premove_if,
        premove_if_not,
        psome,
        psort,
    )
    from .ptree import Ptree

__all__ = [
    "AddressError",
    "AuthError",
    "Channel",
    "FarmError",
    "Future",
    "IncompatibleVersionError",
    "InvalidTaskError",
    "Kernel",
    "KernelCreationError",
    "KernelEndedError",
    "NoKernelError",
    "Promise",
    "ProtocolError",
    "Ptree",
    "PtreeCycleError",
    "PtreeError",
    "PtreeRedefinitionError",
    "PtreeUndefinedFunctionError",
    "SerializationError",
    "Shared",
    "Stream",
    "TaskExecutionError",
    "TaskKilledError",
    "TaskTimeoutError",
    "UnsupportedError",
    "WorkerInfo",
    "WorkerLostError",
    "__version__",
    "broadcast_task",
    "cancel_timeout",
    "chain",
    "check_kernel",
    "current_kernel",
    "deftask",
    "delay",
    "do_fast_receives",
    "end_kernel",
    "force",
    "fulfill",
    "future",
    "is_fulfilled",
    "kernel_name",
    "kernel_worker_count",
    "kill_tasks",
    "make_channel",
    "make_kernel",
    "pand",
    "pcount",
    "pcount_if",
    "pcount_if_not",
    "pdotimes",
    "pevery",
    "pfind",
    "pfind_if",
    "pfind_if_not",
    "pfuncall",
    "plet",
    "plet_if",
    "pmap",
    "pmap_into",
    "pmap_iter",
    "pmap_reduce",
    "pmapc",
    "pmapcan",
    "pmapcar",
    "pmapcon",
    "pmapl",
    "pmaplist",
    "pmaplist_into",
    "pnotany",
    "pnotevery",
    "por",
    "preduce",
    "preduce_partial",
    "premove",
    "premove_if",
    "premove_if_not",
    "promise",
    "psome",
    "psort",
    "receive_result",
    "set_kernel",
    "shared",
    "speculate",
    "submit_task",
    "submit_timeout",
    "task_categories_running",
    "task_category",
    "task_options",
    "task_priority",
    "try_receive_result",
    "worker_index",
]

if not TYPE_CHECKING:  # or a checker would believe in any name
    import importlib

    #: What the first task does not wait for, imported when a program first asks for it.
    _LATER = ("cognate", "joblib", "ptree")

    def __getattr__(name):
        if name in _LATER:
            return importlib.import_module(f"{__name__}.{name}")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.cognate"), name)
        globals()[name] = value  # so that it is looked up once
        return value

    def __dir__():
        return sorted({*globals(), *__all__, *_LATER})


set_up_logging()
