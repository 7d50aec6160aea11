"""The names that other packages and users may rely on: a change here is a change for them."""

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import farm_common

PUBLIC = {
    "farm_common": """
        Address AddressError AddressLike AuthError Authenticator Deadline FarmError
        IncompatibleVersionError InvalidTaskError KernelCreationError KernelEndedError Layer NoAuth
        NoKernelError PeerIdentity ProtocolError PtreeCycleError PtreeError PtreeRedefinitionError
        PtreeUndefinedFunctionError SerializationError TLSAuth TaskExecutionError TaskKilledError
        TaskTimeoutError UnsupportedError WorkerLostError __version__ parse_address
    """,
    "farm_common.address": "UNIX_PATH_LIMIT Address AddressLike parse_address",
    "farm_common.connection": "Connection Happening",
    "farm_common.deadline": "Deadline",
    "farm_common.errors": """
        AddressError AuthError FarmError IncompatibleVersionError InvalidTaskError
        KernelCreationError KernelEndedError NoKernelError ProtocolError PtreeCycleError PtreeError
        PtreeRedefinitionError PtreeUndefinedFunctionError SerializationError TaskExecutionError
        TaskKilledError TaskTimeoutError UnsupportedError WorkerLostError
    """,
    "farm_common.folder": "private_folder",
    "farm_common.frames": """
        Buffer Flag Frame FrameReader HEADER_SIZE IGNORABLE Kind MAX_BUFFERS NAMES PREAUTH_LIMIT
        Unreadable byte_view encode_frame
    """,
    "farm_common.greeting": """
        Greeting HANDSHAKE_SECONDS client_handshake connect_stream server_handshake
    """,
    "farm_common.guest": "Seat introduce run",
    "farm_common.handshake": """
        ClientHello Hello MAGIC NEW_SESSION Offer PREAMBLE_SIZE PROTOCOL_VERSIONS Preamble Refusal
        SESSION_SIZE Select ServerHello check_magic common_version decode_json encode_json
    """,
    "farm_common.kills": """
        KILLED KILL_BY_PID Spans TIMEOUT pack_kill pack_killed spans_of unpack_kill unpack_killed
    """,
    "farm_common.logs": "LEVELS environment_level log_to_stderr set_up_logging",
    "farm_common.memory": "allocate note physical_memory trim",
    "farm_common.parts": """
        MISSING CallPart ChainPart ChainTails CountPart EachPart EachTail Failure FindPart
        MapPart MapTails MarkPart ReducePart Runner SomePart SortPart make_array
        make_ndarray pack_failures_by time_calls_by
    """,
    "farm_common.resumption": "FEATURE Resumption",
    "farm_common.peer": "is_loopback is_trusted peer_name peer_uid user_name",
    "farm_common.security": """
        Authenticator Layer NoAuth PeerIdentity PlainLayer TLSAuth find_authenticator
    """,
    "farm_common.security.options": """
        add_client_options add_server_options client_auth server_auths
    """,
    "farm_common.security.tls_layer": "ALPN TLSLayer",
    "farm_common.shipping.interruptions": "Interruption pack_interruption unpack_interruption",
    "farm_common.shipping.modules": """
        GivenModule KINDS NAME_LIMIT contents is_module_name pack_changes pack_module python_name
        unpack_changes unpack_module
    """,
    "farm_common.shipping.exceptions": """
        PackedException fresh pack_exception reduce_exception reduce_traceback unpack_exception
    """,
    "farm_common.shipping.rebuild_belongings": """
        absent_function advice belonging context_variable fill_plain is_member key_of local
        make_event make_lock make_plain missing_member offer_module renew_offered semaphore
        sent_module slots_of
    """,
    "farm_common.shipping.source": "find_unit minimum_version remember",
    "farm_common.shipping.unit": """
        LAMBDA Unit build compile_unit made_from parse span
    """,
    "farm_common.sockets": "connect is_silent tune unreachable",
    "farm_common.ssh": "SshServer",
    "farm_common.states": "Event Role State TRANSITIONS next_state",
    "farm_common.stream": "Stream",
    "farm_common.testing": "ConnectionPair FakeClock client_hello cut server_hello stream_pair",
}


@pytest.mark.parametrize("name", PUBLIC)
def test_names(name):
    """The module exports exactly these names, and has each of them."""
    module = importlib.import_module(name)
    assert sorted(module.__all__) == sorted(PUBLIC[name].split())
    assert all(hasattr(module, exported) for exported in module.__all__)


def test_every_module_says_what_is_public():
    """No module leaves it open."""
    for module in pkgutil.walk_packages(farm_common.__path__, "farm_common."):
        if not module.name.endswith("__about__"):
            source = Path(module.module_finder.path, module.name.rpartition(".")[2])
            path = source / "__init__.py" if module.ispkg else source.with_suffix(".py")
            assigned = {
                target.id
                for node in ast.parse(path.read_text("utf-8")).body
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            assert "__all__" in assigned, module.name
