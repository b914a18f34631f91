"""Simulation studies: declared as data, run anywhere, resumed after anything, read with honest uncertainty.

    study = montecarlo.Study.from_toml("study.toml")
    run = montecarlo.run(study, "study.db", workers=2)
    run.rows()

A `Study` says what is drawn, how often, what is fitted and how, and what is written down. `run` adds to its store what
is missing there. Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moestat.montecarlo import engine, slopes, store
    from moestat.montecarlo.covariates import CovariateLaw, FromDataset, Grid, Mixture, Normal, Uniform
    from moestat.montecarlo.design import Design, geometric, linear
    from moestat.montecarlo.fits import FittedModel
    from moestat.montecarlo.measuring import slope_table
    from moestat.montecarlo.protocols import MLE, PROTOCOLS, End, Protocol, Published, Task
    from moestat.montecarlo.recording import Record
    from moestat.montecarlo.replaying import Replay, replay
    from moestat.montecarlo.replication import sample
    from moestat.montecarlo.reporting import Report, report
    from moestat.montecarlo.running import Run, run
    from moestat.montecarlo.store import Store, merge, read_export, repair, verify
    from moestat.montecarlo.study import StatedRate, Study
    from moestat.montecarlo.truth import Truth

_MODULES = ("engine", "slopes", "store")
_NAMES = {
    "CovariateLaw": "covariates",
    "Design": "design",
    "End": "protocols",
    "FittedModel": "fits",
    "FromDataset": "covariates",
    "Grid": "covariates",
    "MLE": "protocols",
    "Mixture": "covariates",
    "Normal": "covariates",
    "PROTOCOLS": "protocols",
    "Protocol": "protocols",
    "Published": "protocols",
    "Record": "recording",
    "Replay": "replaying",
    "Report": "reporting",
    "Run": "running",
    "StatedRate": "study",
    "Store": "store",
    "Study": "study",
    "Task": "protocols",
    "Truth": "truth",
    "Uniform": "covariates",
    "geometric": "design",
    "linear": "design",
    "merge": "store",
    "read_export": "store",
    "repair": "store",
    "replay": "replaying",
    "run": "running",
    "report": "reporting",
    "sample": "replication",
    "slope_table": "measuring",
    "verify": "store",
}

__all__ = [
    "MLE",
    "PROTOCOLS",
    "CovariateLaw",
    "Design",
    "End",
    "FittedModel",
    "FromDataset",
    "Grid",
    "Mixture",
    "Normal",
    "Protocol",
    "Published",
    "Record",
    "Replay",
    "Report",
    "Run",
    "StatedRate",
    "Store",
    "Study",
    "Task",
    "Truth",
    "Uniform",
    "engine",
    "geometric",
    "linear",
    "merge",
    "read_export",
    "repair",
    "replay",
    "run",
    "report",
    "sample",
    "slope_table",
    "slopes",
    "store",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"moestat.montecarlo.{name}")
    if name in _NAMES:
        value = getattr(import_module(f"moestat.montecarlo.{_NAMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'moestat.montecarlo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(__all__) | set(globals()))
