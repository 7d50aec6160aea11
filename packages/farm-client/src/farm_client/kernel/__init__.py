"""lparallel's kernel: workers, tasks, the channels that results come by, and what tasks may do."""

from farm_common.place import worker_index

from ..channel import Channel, do_fast_receives, receive_result, submit_task, try_receive_result
from ..options import task_category, task_options, task_priority
from ..task import deftask
from ..timers import cancel_timeout, submit_timeout
from ..workers import WorkerInfo
from .current import (
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
)
from .kernel import Kernel

__all__ = [
    "Channel",
    "Kernel",
    "WorkerInfo",
    "broadcast_task",
    "cancel_timeout",
    "check_kernel",
    "current_kernel",
    "deftask",
    "do_fast_receives",
    "end_kernel",
    "kernel_name",
    "kernel_worker_count",
    "kill_tasks",
    "make_channel",
    "make_kernel",
    "receive_result",
    "set_kernel",
    "submit_task",
    "submit_timeout",
    "task_categories_running",
    "task_category",
    "task_options",
    "task_priority",
    "try_receive_result",
    "worker_index",
]
