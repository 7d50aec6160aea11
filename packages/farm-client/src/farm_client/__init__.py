"""farm: lparallel's API over machines. ``import farm_client as farm``."""

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
    UnsupportedError,
    WorkerLostError,
)
from farm_common.logs import set_up_logging
from farm_common.shipping import Shared

from . import joblib as joblib  # not in __all__: `import *` must not hide the real one
from .__about__ import __version__
from .channel import Channel, do_fast_receives, receive_result, submit_task, try_receive_result
from .cognate.control import pand, pfuncall, plet, plet_if, por
from .kernel import (
    Kernel,
    WorkerInfo,
    broadcast_task,
    check_kernel,
    current_kernel,
    end_kernel,
    kernel_name,
    kernel_worker_count,
    make_channel,
    make_kernel,
    set_kernel,
    task_categories_running,
    worker_index,
)
from .options import task_category, task_priority
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
from .ptree import Ptree
from .task import deftask, shared
from .timers import cancel_timeout, submit_timeout

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
    "TaskExecutionError",
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
    "make_channel",
    "make_kernel",
    "pand",
    "pfuncall",
    "plet",
    "plet_if",
    "por",
    "promise",
    "receive_result",
    "set_kernel",
    "shared",
    "speculate",
    "submit_task",
    "submit_timeout",
    "task_categories_running",
    "task_category",
    "task_priority",
    "try_receive_result",
    "worker_index",
]

set_up_logging()
