"""A driver as a program of its own, for tests that kill it: ``python driver.py ENGINE SECONDS GRACE STORE``.

The engine is ``serial``, ``loky``, or the address of a scheduler.

Every delivered batch adds a line to the store, its rows and the process that made them; what comes last is the outcome.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from moestat.montecarlo.engine import Cluster, Plan, Processes, Serial, drive
from moestat.montecarlo.rows import Finished
from tests.unit.montecarlo.engine.works import Slow, crashed, wanted


def main(engine: str, seconds: str, grace: str, store: str) -> None:
    """Drive a plan that takes longer than any test waits."""
    for each in (signal.SIGINT, signal.SIGTERM):  # whatever the test's runner ignores
        signal.signal(each, signal.default_int_handler)
    with Path(store).open("a") as file:

        def deliver(batch: Finished) -> None:
            print(len(batch.rows), batch.host, file=file, flush=True)

        where = {"serial": Serial(), "loky": Processes(2)}.get(engine) or Cluster(engine)
        plan = Plan(wanted(replications=5000))
        outcome = drive(
            plan,
            Slow(float(seconds), begun=store + ".begun"),
            where,
            deliver,
            crashed=crashed,
            progress=sys.stderr.isatty(),
            grace=float(grace),
        )
    print(outcome.rows, outcome.interrupted, flush=True)
    sys.exit(130 if outcome.interrupted else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
