"""Whole fits beside other programs: the same rows, the same start, the same maximum.

Ours is ``ms.fit`` from a given start to its certified maximum: validation, coordinates, solver, certificate, results.
Others are timed without reading the rows, those in R inside R. Every one is checked to end at our maximum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

import moestat as ms
from moestat.prepared import End
from moestat.results import Results
from tests.benchmarks import numpy_em
from tests.benchmarks.measure import Found, NotMeasured
from tests.benchmarks.peers import r
from tests.benchmarks.peers.rows import Rows, planes

#: A log-likelihood further below ours than this, per row, belongs to another maximum, or to none.
SAME = 1e-4

#: The relative change of the log-likelihood at which flexmix ends if nothing else is said. It divides variances by
#: n - p, and stays below the maximum by some thousandths for that.
DEFAULT = 1e-6

#: NumPy EM ends when no parameter moves by more than this.
STILL = 1e-8


def fastest(call: Callable[[], Any], rounds: int = 3) -> tuple[Any, float]:
    """What a call returns, and its least time."""
    times = []
    for _ in range(rounds):
        start = perf_counter()
        result = call()
        times.append(perf_counter() - start)
    return result, min(times)


class Ours(NamedTuple):
    """Where our fit ended, and its seconds."""

    status: ms.Status
    loglik: float
    seconds: float


def beside(rows: str, n: int, ours: Ours, loglik: float, seconds: float, n_iter: int) -> Found:
    """Their time over ours, once both have been seen to end at the same maximum."""
    assert ours.status is ms.Status.STRICT_MAXIMUM, ours.status
    below, own = ours.loglik - loglik, ours.seconds
    if abs(below) > SAME * n:
        raise NotMeasured(f"{rows}: the programs ended at different solutions, {loglik:.4f} and {ours.loglik:.4f}.")
    return Found(
        rows,
        seconds / own,
        f"{told(seconds)} ({n_iter} iterations) beside {told(own)}; log-likelihood {below:.1e} below ours",
    )


def told(seconds: float) -> str:
    """A time in words."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.1f} ms"


def m_step_of(model: ms.MixtureOfExperts, rows: Rows) -> ms.MoEParams:
    """The start: what the M-step makes of the responsibilities."""
    logits, coef, variance = rows.start()
    constant = model.gate.name == "constant"
    intercepts = np.log(rows.resp.mean(axis=0)) if constant else logits[:, 0]
    fields = {"intercepts": intercepts} | ({} if constant else {"slopes": logits[:, 1:]})
    return model.params(gate=fields, expert={"intercepts": coef[:, 0], "slopes": coef[:, 1:], "variances": variance})


def certified(rows: Rows, gate: str = "softmax") -> Ours:
    """Our fit from the M-step of the responsibilities, which is timed as well."""
    model = ms.MixtureOfExperts(gate=gate, n_experts=rows.resp.shape[1])

    def call() -> Results:
        return ms.fit(model, rows.X, rows.y, start=m_step_of(model, rows))

    call()
    results, seconds = fastest(call, 5)
    return Ours(results.certificate.status, results.llf, seconds)


def prepared(rows: Rows) -> Ours:
    """The same by a model that was prepared before: no standard errors, no words, the verdict all the same."""
    model = ms.MixtureOfExperts(n_experts=rows.resp.shape[1])
    ready = ms.prepare(model, rows.X, rows.y)

    def call() -> End:
        return ready.fit(rows.X, rows.y, start=m_step_of(model, rows))

    call()
    end, seconds = fastest(call, 5)
    return Ours(end.status, end.loglik, seconds)


# ------------------------------------------------------------------------------------- NumPy
def numpy_to_the_end(rows: Rows) -> tuple[float, int]:
    """Log-likelihood where vectorised EM comes to rest, and its number of iterations."""
    F, point, moved, count = rows.design, rows.start(), np.inf, 0
    while moved > STILL:
        new = numpy_em.iteration(F, rows.y, *point)
        moved = max(np.abs(a - b).max() for a, b in zip(new, point, strict=True))
        point, count = new, count + 1
    return numpy_em.e_step(F, rows.y, *point)[1], count


def against_numpy(quick: bool) -> Iterator[Found]:
    """Vectorised EM with exact experts' steps and one guarded Newton step of the gate, until nothing moves."""
    for n, d, K in ((10_000, 1, 2), (10_000, 2, 3)) if quick else ((10_000, 1, 2), (10_000, 2, 3), (100_000, 2, 3)):
        rows = planes(n, d, K)
        (loglik, count), seconds = fastest(lambda rows=rows: numpy_to_the_end(rows), 1 if n > 10_000 else 3)
        yield beside(rows.size, n, certified(rows), loglik, seconds, count)


# ------------------------------------------------------------------------------------- R
def against_flexmix(quick: bool) -> Iterator[Found]:
    """Gated mixtures by flexmix: by its default tolerance, and by one that ends near the maximum."""
    r.demand("flexmix")
    cases = ((10_000, 1, 2, DEFAULT), (10_000, 2, 3, DEFAULT))
    more = ((10_000, 1, 2, 1e-8), (10_000, 2, 3, 1e-8), (100_000, 1, 2, DEFAULT), (100_000, 2, 3, DEFAULT))
    for n, d, K, tolerance in cases if quick else cases + more:
        rows = planes(n, d, K)
        found = r.run("flexmix", [_table(rows)], "yes", tolerance, 1 if quick else 3)
        case = rows.size if tolerance == DEFAULT else f"{rows.size}, tolerance {tolerance:g}"
        theirs = found["loglik"], found["seconds"], found["iterations"]
        yield beside(f"{case}, ms.fit", n, certified(rows), *theirs)
        yield beside(f"{case}, prepared", n, prepared(rows), *theirs)


def against_flexmix_without_gate(quick: bool) -> Iterator[Found]:
    """The same with a constant gate."""
    r.demand("flexmix")
    for n, d, K in ((10_000, 1, 2),) if quick else ((10_000, 1, 2), (100_000, 1, 2)):
        rows = planes(n, d, K)
        found = r.run("flexmix", [_table(rows)], "no", DEFAULT, 1 if quick else 3)
        yield beside(rows.size, n, certified(rows, "constant"), found["loglik"], found["seconds"], found["iterations"])


def against_mixtools(quick: bool) -> Iterator[Found]:
    """Mixtures of regressions with a constant gate by regmixEM, by its default tolerance."""
    r.demand("mixtools")
    for n, d, K in ((2_000, 1, 2),) if quick else ((2_000, 1, 2), (10_000, 1, 2)):
        rows = planes(n, d, K)
        _, coef, variance = rows.start()
        start = {"weight": rows.resp.mean(axis=0), "variance": variance}
        start |= {f"b{j}": coef[:, j] for j in range(d + 1)}
        found = r.run("mixtools", [_table(rows), start], 1e-8, 1 if n > 2_000 else 3)
        ours = certified(rows, "constant")
        yield beside(rows.size, n, ours, found["loglik"], found["seconds"], found["iterations"])


def _table(rows: Rows) -> dict[str, np.ndarray]:
    covariates = {f"x{j + 1}": column for j, column in enumerate(rows.X.T)}
    return {"y": rows.y} | covariates | {f"r{k + 1}": column for k, column in enumerate(rows.resp.T)}
