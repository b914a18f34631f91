"""What a profile of a fit shows: the share of its time that is spent in compiled code."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable, Iterator

import numpy as np

import moestat as ms
from moestat.kernels.compile import KERNELS
from simulations.solver.cases import benchmark_rows
from tests.benchmarks.many_fits import study
from tests.benchmarks.measure import Found


def compiled_share(call: Callable[[], object]) -> tuple[float, str]:
    """Percent of the time, and what takes most of the rest."""
    call()
    profile = cProfile.Profile()
    profile.runcall(call)
    times = {place: figures[2] for place, figures in pstats.Stats(profile).stats.items()}  # type: ignore[attr-defined]
    codes = {kernel.py_func.__code__ for kernel in KERNELS}
    kernels = {(code.co_filename, code.co_firstlineno, code.co_name) for code in codes}
    total = sum(times.values())
    inside = sum(seconds for place, seconds in times.items() if place in kernels)
    _, _, name = max((place for place in times if place not in kernels), key=lambda place: times[place])
    return 100.0 * inside / total, f"most of the rest in {name}"


def shares(quick: bool) -> Iterator[Found]:
    """Many fits at once, and whole fits of more and more rows from one start, with their certificates."""
    with ms.threads.limit(1):
        prepared, X, y, starts = study(2, 100, 500)
        yield Found("500 fits at once, n=100, K=2", *compiled_share(lambda: prepared.fit_many(X, y, start=starts)))
        for n in (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000):
            x, response = benchmark_rows(0, n)
            response = response + 2.0 * np.random.default_rng(0).standard_normal(n)
            model = ms.MixtureOfExperts(n_experts=2)
            rows = model.data(x, response)
            share, rest = compiled_share(lambda model=model, rows=rows: ms.fit(model, rows, n_starts=1))
            yield Found(f"ms.fit, n={n:,}, K=2, one start", share, rest)
