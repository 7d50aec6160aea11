"""Two hundred connections: what a kernel of many workers costs.

The null tasks of `throughput`, through a channel, with a kernel of 2 workers and with one of 200,
on the same server over Unix sockets. The machine has no more processors for the 200, so more than
the speed of 2 cannot be expected; the ratio says what choosing among 200 and waiting for all of
them costs.
"""

from __future__ import annotations

from effort import Effort
from farms import Farm
from table import Table, at_least, at_most
from throughput import Spent, spend, through_channel


def measure(table: Table, effort: Effort) -> None:
    """Both kernels at the same time."""
    count = effort.of(100_000, 10_000)
    with Farm(workers=200) as place:
        few = place.kernel(workers=2).make_channel()
        many = place.kernel(workers=200).make_channel()
        samples = effort.interleave(
            {
                "few": lambda: spend(lambda n: through_channel(few, n), count),
                "many": lambda: spend(lambda n: through_channel(many, n), count),
            },
            rounds=effort.of(7, 3),
            warmups=2,
        )
    ours, base = (Spent(*zip(*samples[name])) for name in ("many", "few"))
    table.add("200 connections: tasks", "/s", ours.rate, two=base.rate)
    table.compare("200 connections: tasks over those of 2", ours.rate, base.rate, at_least(0.5))
    table.add("200 connections: CPU per task", "us", ours.cpu, two=base.cpu)
    table.compare("200 connections: CPU over that of 2", ours.cpu, base.cpu, at_most(2.0))
