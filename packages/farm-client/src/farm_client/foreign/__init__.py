"""Kernels over executors that are not farm's own: a process pool, Dask's, MPI's.

Each slot of such an executor is a worker to the kernel, and has a link like any other. Only, what
is sent over it goes not to a socket but, as an argument of `farm_common.guest.run`, to the
executor, and answers come as results of that.
"""

from .site import ForeignSite

__all__ = ["ForeignSite"]
