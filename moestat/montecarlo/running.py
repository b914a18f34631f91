"""Run a study: what its store lacks, on any engine; and what is found in the store afterwards."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moestat.errors import InputError, VersionsWarning, warn
from moestat.montecarlo.engine import Cluster, Engine, Outcome, Plan, Processes, Serial, Shard, drive
from moestat.montecarlo.platform import versions
from moestat.montecarlo.replication import Work
from moestat.montecarlo.rows import Cell
from moestat.montecarlo.store import Store
from moestat.montecarlo.study import Study

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """A run of a study, as it ended.

    Parameters
    ----------
    study : Study
    path : Path
        Of the store.
    outcome : moestat.montecarlo.engine.Outcome
        How many rows were added and how many are missing, and whether it was interrupted.
    """

    study: Study
    path: Path
    outcome: Outcome

    @property
    def complete(self) -> bool:
        """Whether nothing is missing of what was to be run."""
        return self.outcome.missing == 0

    def rows(self) -> pd.DataFrame:
        """All results of the store, one row for each replication of each cell."""
        with Store.open(self.path, read_only=True) as store:
            return store.frame()

    def digest(self) -> str:
        """SHA-256 of all results: the same whatever the engine, the workers, the order and the interruptions."""
        with Store.open(self.path, read_only=True) as store:
            return store.results_digest()


def run(
    study: Study,
    store: str | Path,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    engine: Engine | None = None,
    shard: str | Shard | None = None,
    progress: Any = False,
    max_time: float | None = None,
    strict: bool = False,
) -> Run:
    """Run what a store lacks of a study; the same call goes on after any interruption.

    Parameters
    ----------
    study : Study
    store : str or Path
        File of the results; made where there is none. What is in it already is not run again.
    workers : int
        1 runs in this process, more in so many others.
    scheduler : str, optional
        Address of a Dask cluster to run on.
    engine : Engine, optional
        Any other engine of `moestat.montecarlo.engine`.
    shard : str, optional
        ``"3/20"``: only the third of twenty equal parts of the replications, for machines that share nothing. Every
        part has a store of its own; `moestat.montecarlo.merge` joins them.
    progress : bool or callable
        A bar on a terminal, lines elsewhere; or a function of a `moestat.montecarlo.engine.Standing`.
    max_time : float, optional
        Seconds after which nothing new is begun.
    strict : bool
        Whether to refuse a store that was begun with other versions, or on another kind of machine, where results may
        differ in the last bits; otherwise a warning says so.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        When the store holds other cells by the same names; the differences are listed, and nothing is written.
    StoreError
        When the store cannot be written to; what was written is safe, and the same call goes on.

    Warns
    -----
    VersionsWarning
    """
    part = Shard.parse(shard) if isinstance(shard, str) else shard
    chosen = _engine(workers, scheduler, engine)
    with Store.open_or_create(store, study.text, study.cells) as journal:
        _check_versions(journal, strict)
        plan = Plan(wanted(study, journal), shard=part)
        work = Work(study)
        outcome = drive(plan, work, chosen, journal.append, crashed=work.crashed, progress=progress, max_time=max_time)
    return Run(study, Path(store), outcome)


def wanted(study: Study, store: Store, cells: Sequence[Cell] | None = None) -> dict[int, dict[int, list[str]]]:
    """What a store lacks: digests of cells by size and replication."""
    chosen = study.cells if cells is None else cells
    missing = store.missing(chosen, range(study.design.replications))
    found: dict[int, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for cell in chosen:
        for replication in missing[cell.digest].tolist():
            found[cell.n][replication].append(cell.digest)
    return found


def _engine(workers: Any, scheduler: str | None, engine: Engine | None) -> Engine:
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise InputError(f"workers must be a whole number of at least 1; got {workers!r}.")
    if sum((workers > 1, scheduler is not None, engine is not None)) > 1:
        raise InputError("workers, scheduler and engine are three ways to run; give one of them.")
    if engine is not None:
        return engine
    if scheduler is not None:
        return Cluster(scheduler)
    return Processes(workers) if workers > 1 else Serial()


def _check_versions(store: Store, strict: bool) -> None:
    """Say so when results of other versions, or of another kind of machine, are in the store."""
    mine = json.loads(versions())
    others = [json.loads(text) for text in store.versions() if json.loads(text) != mine]
    if not others:
        return
    changed = sorted({key for other in others for key in mine.keys() | other.keys() if mine.get(key) != other.get(key)})
    listed = ", ".join(f"{key} {others[0].get(key)} (now {mine.get(key)})" for key in changed)
    text = (
        f"{store.path} has results of other versions, or of another machine: {listed}. Numbers may differ in their "
        "last bits from those that are added now"
    )
    if strict:
        raise InputError(f"{text}; without strict they are added all the same. To have one digest, begin a new store.")
    warn(f"{text}.", VersionsWarning)
