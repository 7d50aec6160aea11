"""A client of each interpreter, and servers of each, over each transport.

All run what was built: FARM_PYTHONS names interpreters that have the wheels. What a client does
with a server is in ``client.py``.
"""

import re

import pytest


@pytest.mark.timeout(600)
def test_pair(client, server, transport, visits, tabulate, why_not):
    """Code, large values, errors and output travel, and the server is the one that was meant."""
    reason = why_not(transport)
    if reason:
        tabulate(client, server, transport, f"skipped: {reason}")
        pytest.skip(reason)
    found = visits(client)[server, transport]
    wrong = {case: text for case, text in found["results"].items() if text}
    if not wrong and not is_meant(server, transport, found):
        wrong["place"] = f"it ran on {found['python']}, and farm-server is {found['where']}"
    passed = f"{len(found['results'])} passed"
    tabulate(client, server, transport, f"failed: {', '.join(wrong)}" if wrong else passed)
    assert not wrong, "\n\n".join(f"{case}:\n{text}" for case, text in wrong.items())
    assert len(found["results"]) == 7


def is_meant(server, transport, found):
    """Whether what answered is this interpreter, with farm-server installed or sent to it."""
    implementation, version = found["python"]
    name = ("pypy" if implementation == "pypy" else "") + ".".join(version.split(".")[:2])
    was_sent = re.search("/farm/[0-9a-f]{64}/farm_server/", found["where"]) is not None
    return name == server and was_sent == (transport == "bare")
