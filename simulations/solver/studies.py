"""The three studies; each gives a data frame that is written beside this file."""

from __future__ import annotations

import json
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

import moestat as ms
from moestat.certificate import Status
from moestat.search import Outcome, Search
from moestat.solvers import Problem
from moestat.starts import FAMILIES, StartLaw
from simulations.solver.cases import CASES, Case, benchmark_rows

HERE = Path(__file__).parent

#: Single starts of each family in `families`.
SINGLE_STARTS = 60

#: Data sets of each size in `overspecified`, the sizes, and how many times the default starts the long search has.
SETS = 100
SIZES = (1_000, 10_000)
LONGER = 10

SPIKES = (Status.SPIKE, Status.AT_FLOOR)


def families() -> pd.DataFrame:
    """Share of single starts that reach the best solution found by any, by data set and family."""
    return pd.concat([_families(make()) for make in CASES], ignore_index=True)


def _families(case: Case) -> pd.DataFrame:
    problem = Problem.of(case.model, case.model.data(case.X, case.y, case.Z))
    searches = {}
    for name in FAMILIES:
        searches[name] = Search(case.model, problem, StartLaw.of(problem, 0, [name]))
        searches[name].run([], SINGLE_STARTS)
    everything = Search(case.model, problem, StartLaw.of(problem, 0))
    everything.outcomes = [outcome for search in searches.values() for outcome in search.outcomes]
    best = everything.group_of(everything.best)
    return pd.DataFrame(
        {
            "data": case.name,
            "family": name,
            "reached": np.mean([any(o is b for b in best) for o in search.outcomes]),
            "spikes": np.mean([_status(o) in SPIKES for o in search.outcomes]),
            "solutions": len(search.solutions),
            "best": _loglik(everything.best),
            "kind": _status(everything.best).value,
        }
        for name, search in searches.items()
    )


def overspecified() -> pd.DataFrame:
    """Three experts on rows of two: how the default fit ends, and what ten times its starts gain.

    Every data set is one line of a file beside this one, so that an interrupted run goes on where it was.
    """
    store = HERE / "overspecified.jsonl"
    done = [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
    seen = {(row["n"], row["seed"]) for row in done}
    with store.open("a") as file:
        for n in SIZES:
            for seed in range(SETS):
                if (n, seed) not in seen:
                    done.append(_overspecified(n, seed))
                    file.write(json.dumps(done[-1]) + "\n")
                    file.flush()
    return pd.DataFrame(done).sort_values(["n", "seed"], ignore_index=True)


def _overspecified(n: int, seed: int) -> dict[str, object]:
    model = ms.MixtureOfExperts(n_experts=3)
    x, y = benchmark_rows(seed, n)
    began = time.perf_counter()
    results = _quiet(model, x, y)
    seconds = time.perf_counter() - began
    longer = _quiet(model, x, y, n_starts=LONGER * 20)
    return {
        "n": n,
        "seed": seed,
        "status": results.certificate.status.value,
        "gradient": results.certificate.optimum.fine_gradient,
        "loglik": results.certificate.optimum.limit,
        "starts": results.certificate.n_starts,
        "reached": results.certificate.n_reached,
        "longer_status": longer.certificate.status.value,
        "gain": longer.certificate.optimum.limit - results.certificate.optimum.limit,
        "longer_reached": longer.certificate.n_reached / longer.certificate.n_finished,
        "seconds": round(seconds, 3),
    }


def hard_cases() -> pd.DataFrame:
    """Default fits of the hard cases over ten seeds: what is found, how often, how long."""
    rows = []
    for make in CASES:
        case = make()
        fits, seconds = [], []
        for seed in range(10):
            began = time.perf_counter()
            fits.append(_quiet(case.model, case.X, case.y, case.Z, seed=seed))
            seconds.append(time.perf_counter() - began)
        limits = np.array([f.certificate.optimum.limit for f in fits])
        kinds = Counter(f.certificate.status.value for f in fits)
        best = fits[int(limits.argmax())]
        rows.append(
            {
                "data": case.name,
                "best": limits.max(),
                "kind": best.certificate.status.value,
                "seeds": int((limits >= limits.max() - 1e-5).sum()),
                "ends": "; ".join(f"{count} {kind}" for kind, count in kinds.most_common()),
                "starts": np.mean([f.certificate.n_reached / f.certificate.n_finished for f in fits]),
                "seconds": float(np.median(seconds)),
            }
        )
    return pd.DataFrame(rows)


def _quiet(model: ms.MixtureOfExperts, *rows: object, **options: object) -> ms.Results:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ms.MoestatWarning)
        return ms.fit(model, *rows, **options)  # type: ignore[arg-type]


def _status(outcome: Outcome) -> Status:
    assert outcome.optimum is not None
    return outcome.optimum.status


def _loglik(outcome: Outcome) -> float:
    assert outcome.optimum is not None
    return outcome.optimum.limit


STUDIES = {study.__name__: study for study in (families, overspecified, hard_cases)}
