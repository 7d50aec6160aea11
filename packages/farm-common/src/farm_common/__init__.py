"""What both ends of farm share: addresses, errors, the wire protocol, security and shipping.

Programs import `farm_client`, `farm_server` or `farm_admin`. This package is for those who write
a security mechanism, another client, or a tool that looks at the protocol.
"""

from .__about__ import __version__
from .address import Address, AddressLike, parse_address
from .deadline import Deadline
from .errors import (
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
from .security import Authenticator, Layer, NoAuth, PeerIdentity, TLSAuth

__all__ = [
    "Address",
    "AddressError",
    "AddressLike",
    "AuthError",
    "Authenticator",
    "Deadline",
    "FarmError",
    "IncompatibleVersionError",
    "InvalidTaskError",
    "KernelCreationError",
    "KernelEndedError",
    "Layer",
    "NoAuth",
    "NoKernelError",
    "PeerIdentity",
    "ProtocolError",
    "PtreeCycleError",
    "PtreeError",
    "PtreeRedefinitionError",
    "PtreeUndefinedFunctionError",
    "SerializationError",
    "TLSAuth",
    "TaskExecutionError",
    "TaskKilledError",
    "TaskTimeoutError",
    "UnsupportedError",
    "WorkerLostError",
    "__version__",
    "parse_address",
]
