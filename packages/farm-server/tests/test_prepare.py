"""What happens before a server listens."""

import pytest

from farm_common.errors import AuthError
from farm_common.security import NoAuth
from farm_server import start_server


class Unready(NoAuth):
    """A mechanism whose key is missing."""

    def prepare_server(self):
        raise AuthError("there is no key")


def test_a_mechanism_that_lets_nobody_in(tmp_path):
    """The server does not start, and leaves no socket behind."""
    path = tmp_path / "farm.sock"
    with pytest.raises(AuthError, match="there is no key"):
        start_server(f"unix://{path}", auth=Unready())
    assert not path.exists()
