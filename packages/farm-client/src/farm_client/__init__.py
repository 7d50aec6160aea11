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
    SerializationError,
    TaskExecutionError,
    TaskKilledError,
    TaskTimeoutError,
    UnsupportedError,
    WorkerLostError,
)
from farm_common.logs import set_up_logging
from farm_common.shipping import Shared

from .__about__ import __version__
from .channel import Channel, do_fast_receives, receive_result, submit_task, try_receive_result
from .kernel import (
    Kernel,
    WorkerInfo,
    broadcast_task,
    check_kernel,
    current_kernel,
    end_kernel,
    kernel_name,
    kernel_worker_count,
    kill_tasks,
    make_channel,
    make_kernel,
    set_kernel,
    task_categories_running,
    worker_index,
)
from .options import task_category, task_options, task_priority
from .promise import Future, force, future
from .task import deftask, shared

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
    "ProtocolError",
    "SerializationError",
    "Shared",
    "TaskExecutionError",
    "TaskKilledError",
    "TaskTimeoutError",
    "UnsupportedError",
    "WorkerInfo",
    "WorkerLostError",
    "__version__",
    "broadcast_task",
    "check_kernel",
    "current_kernel",
    "deftask",
    "do_fast_receives",
    "end_kernel",
    "force",
    "future",
    "kernel_name",
    "kernel_worker_count",
    "kill_tasks",
    "make_channel",
    "make_kernel",
    "receive_result",
    "set_kernel",
    "shared",
    "submit_task",
    "task_categories_running",
    "task_category",
    "task_options",
    "task_priority",
    "try_receive_result",
    "worker_index",
]

set_up_logging()
