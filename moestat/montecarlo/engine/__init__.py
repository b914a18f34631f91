"""Runs batches anywhere and brings them to their end: workers die, clusters vanish and users press Ctrl-C.

    outcome = drive(Plan(wanted), work, Processes(2), store.append, crashed=crashed_rows, progress=True)

Nothing here knows what a batch computes, nor where its rows go.
"""

from __future__ import annotations

from moestat.montecarlo.engine.calls import Work
from moestat.montecarlo.engine.cluster import Cluster
from moestat.montecarlo.engine.driving import Outcome, drive
from moestat.montecarlo.engine.engines import Engine, Executors, Pool
from moestat.montecarlo.engine.faults import EngineError, WorkError
from moestat.montecarlo.engine.planning import Plan
from moestat.montecarlo.engine.processes import Processes
from moestat.montecarlo.engine.reporting import Report, Standing
from moestat.montecarlo.engine.serial import Serial
from moestat.montecarlo.engine.shards import Shard

__all__ = [
    "Cluster",
    "Engine",
    "EngineError",
    "Executors",
    "Outcome",
    "Plan",
    "Pool",
    "Processes",
    "Report",
    "Serial",
    "Shard",
    "Standing",
    "Work",
    "WorkError",
    "drive",
]
