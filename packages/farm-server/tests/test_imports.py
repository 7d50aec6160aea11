"""What a server imports: each that starts waits for it, and each worker has it in memory."""

import subprocess
import sys

#: What takes long to import, and few tasks need; those that do import it in their worker.
SPARED = """
_hashlib _ssl asyncio cloudpickle email importlib.resources multiprocessing numpy platform
random shutil ssl subprocess tempfile
"""


def test_a_server_imports_little():
    """Nothing that is slow to import, or large, before a task uses it."""
    program = """if True:
        import sys
        before = set(sys.modules)
        import farm_server.cli, farm_server.listener, farm_server.worker
        print(*sorted(set(sys.modules) - before))
        """
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=True)
    brought = done.stdout.decode().split()
    assert "farm_server.importer" in brought
    assert not [name for name in SPARED.split() if name in brought]
