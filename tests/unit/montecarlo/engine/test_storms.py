"""Long runs under fire: workers that are killed at random, and a cluster that goes away."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from contextlib import suppress

import numpy as np
import psutil
import pytest

from moestat.montecarlo.engine import Cluster, EngineError, Plan, Processes, drive
from tests.unit.montecarlo.engine.works import Slow, Store, crashed, expected, run, wanted

pytestmark = pytest.mark.slow


def shoot(seed, over):
    """Kill a random worker now and then."""
    rng = np.random.default_rng(seed)
    while not over.wait(rng.exponential(2.0)):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):  # one that just ended
            workers = [each for each in psutil.Process().children() if "--process-name" in each.cmdline()]
            if workers:
                workers[rng.integers(len(workers))].kill()


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_delivered_once_while_workers_are_shot(seed):
    what, store, over = wanted((100, 200), 400), Store(), threading.Event()
    shooter = threading.Thread(target=shoot, args=(seed, over))
    shooter.start()
    try:
        outcome = drive(Plan(what, seconds=0.1), Slow(0.02), Processes(3), store, crashed=crashed)
    finally:
        over.set()
        shooter.join()
    innocent = [row for row in store.taken if row.replication not in store.crashes]
    assert outcome.missing == 0
    assert len(store.taken) == len(expected(what))
    assert len({(row.cell, row.replication, row.numbers[0]) for row in innocent}) == len(innocent)
    assert outcome.crashed <= 1  # three shots at the same one


@pytest.fixture
def servers():
    """A scheduler and a worker as programs of their own, and the scheduler's address."""
    python, quiet = [sys.executable, "-m"], {"stdout": subprocess.DEVNULL, "text": True}
    options = ["--no-dashboard", "--host", "127.0.0.1"]
    scheduler = subprocess.Popen(
        [*python, "distributed.cli.dask_scheduler", "--port", "0", *options], stderr=subprocess.PIPE, **quiet
    )
    address = next(found[1] for line in scheduler.stderr if (found := re.search(r"Scheduler at: +(tcp://\S+)", line)))
    threading.Thread(target=scheduler.stderr.read, daemon=True).start()
    worker = subprocess.Popen(
        [*python, "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", *options],
        stderr=subprocess.DEVNULL,
        **quiet,
    )
    yield {"scheduler": scheduler, "worker": worker}, address
    for each in (worker, scheduler):
        each.kill()
        each.wait()
    scheduler.stderr.close()


@pytest.mark.parametrize(
    ("victim", "text"), [("scheduler", "no scheduler answers at"), ("worker", "has had no worker for 3 s")]
)
def test_a_cluster_that_goes_away_is_told_of(servers, victim, text, monkeypatch):
    monkeypatch.setattr("moestat.montecarlo.engine.workplace.PATIENCE", 3.0)
    programs, address = servers
    deliveries = []

    def report(standing):
        deliveries.append(standing.done)
        if standing.done > 3:
            programs[victim].kill()

    with pytest.raises(EngineError, match=text):
        run(Cluster(address, patience=2.0), Slow(0.1), progress=report)
    assert 3 < deliveries[-1] < 78
