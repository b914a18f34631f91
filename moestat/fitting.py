"""Maximum likelihood: starts, solver, the best solution, its certificate."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from moestat.certificate import UNBOUNDED, Certificate, Optimum, Rival, Status, examine
from moestat.data import BlockSource
from moestat.errors import ConvergenceWarning, InputError
from moestat.model import MixtureOfExperts, MoEParams, log_jacobian
from moestat.results import Results
from moestat.solvers import EM, EMThenNewton, Problem, Solution, Solver, solve
from moestat.starts import Start, make_starts
from moestat.typing import FloatArray

#: Steps of EM that every start gets before the most promising are finished.
SHORT_RUN = EM(max_iter=15, rtol=1e-9)

#: Up to this many rows every start is finished; beyond, the best quarter and at least `MIN_FINISHED`.
FINISH_ALL_ROWS = 5000
MIN_FINISHED = 5

#: Log-likelihoods that agree to this, relative to their size, belong to one solution.
SAME_LOGLIK = 1e-9


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one start; two outcomes are the same only when they are one."""

    start: Start
    short: Solution
    final: Solution | None = None
    optimum: Optimum | None = None


def fit(
    model: MixtureOfExperts,
    X: Any,
    y: Any = None,
    Z: Any = None,
    sample_weight: Any = None,
    *,
    offset: Any = None,
    exposure: Any = None,
    n_starts: int = 20,
    seed: int = 0,
    start: MoEParams | None = None,
    solver: Solver | None = None,
) -> Results:
    """Fit a mixture of experts by maximum likelihood.

    Parameters
    ----------
    model : MixtureOfExperts
    X : array-like (n, d), None, or a block source
        Covariates of the experts. A block source brings y, Z and weights along.
    y : array-like (n,)
        Response; class labels for categorical experts.
    Z : array-like (n, e), optional
        Covariates of the gate; X when left out, an array without columns for a constant gate.
    sample_weight : array-like (n,), optional
        Frequencies: a row of weight 2 counts as two rows.
    offset, exposure : array-like (n,), optional
        Known terms of the experts' linear predictors.
    n_starts : int
        Number of starting points, from several families.
    seed : int
        Seed of the starting points; the same seed gives the same fit.
    start : MoEParams, optional
        Start from these parameters alone.
    solver : Solver, optional
        A solver of `moestat.solvers`; by default EM, then trust-region Newton to the maximum.

    Returns
    -------
    Results
        ``print(results.summary())`` and ``print(results.certificate)``.

    Raises
    ------
    InputError
        When an argument or the data break a rule; the message names it and the way out.

    Warns
    -----
    ConvergenceWarning
        When the solution is not a strict interior maximum, or a higher supremum was found beside it.
    """
    if not isinstance(model, MixtureOfExperts):
        raise InputError(f"model must be a MixtureOfExperts; got {type(model).__name__}.")
    if start is not None and not isinstance(start, MoEParams):
        raise InputError(f"start must be parameters made by model.params(...); got {type(start).__name__}.")
    if solver is not None and (isinstance(solver, type) or not isinstance(solver, Solver)):
        raise InputError(f"solver must be one of moestat.solvers, such as EM(max_iter=100); got {solver!r}.")
    source = _source(model, X, y, Z, sample_weight, offset, exposure)
    problem = Problem.of(model, source)
    _check_counts(model, source, n_starts, seed)
    if start is None:
        starts = make_starts(problem, int(n_starts), seed)
    else:
        starts = [Start("given", model.to_theta(start, source.schema, source.coordinates))]
    outcomes = _run(model, problem, starts, solver)
    return _results(model, problem, outcomes)


def _source(
    model: MixtureOfExperts, X: Any, y: Any, Z: Any, sample_weight: Any, offset: Any, exposure: Any
) -> BlockSource:
    if not isinstance(X, BlockSource):
        if y is None:
            raise InputError("y is needed: pass the response after X, or a block source that holds both.")
        return model.data(X, y, Z, sample_weight, offset=offset, exposure=exposure)
    extra = {"y": y, "Z": Z, "sample_weight": sample_weight, "offset": offset, "exposure": exposure}
    given = [name for name, value in extra.items() if value is not None]
    if given:
        raise InputError(f"{', '.join(given)} must be left out when X is a block source, which holds them.")
    return model.prepare(X)


def _check_counts(model: MixtureOfExperts, source: BlockSource, n_starts: Any, seed: Any) -> None:
    if isinstance(n_starts, bool) or not isinstance(n_starts, int | np.integer) or n_starts < 1:
        raise InputError(f"n_starts must be a whole number of at least 1; got {n_starts!r}.")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed must be a whole number of at least 0; got {seed!r}.")
    distinct = source.distinct_rows(model.n_experts)
    if distinct < model.n_experts:
        raise InputError(
            f"the data have only {distinct} distinct row{'s' if distinct != 1 else ''}, fewer than "
            f"n_experts={model.n_experts}. Ask for fewer experts or bring more rows."
        )


# --------------------------------------------------------------------------------------- the runs
def _run(model: MixtureOfExperts, problem: Problem, starts: Sequence[Start], solver: Solver | None) -> list[Outcome]:
    """Short EM from every start, then the solver from the most promising, best first."""
    finisher = EMThenNewton() if solver is None else solver
    if len(starts) == 1 or solver is not None:
        # a solver that the caller chose runs from the start itself, as a published recipe would
        return [_finish(model, problem, Outcome(s, solve(problem, finisher, s.theta)), None) for s in starts]
    outcomes = [Outcome(s, solve(problem, SHORT_RUN, s.theta)) for s in starts]
    order = sorted(range(len(outcomes)), key=lambda i: -outcomes[i].short.loglik)
    wanted = _n_finished(problem, len(outcomes))
    interior = False
    for rank, i in enumerate(order):
        if rank >= wanted and interior:
            break
        outcomes[i] = _finish(model, problem, outcomes[i], finisher)
        optimum = outcomes[i].optimum
        interior |= optimum is not None and optimum.status is Status.STRICT_MAXIMUM
    return outcomes


def _n_finished(problem: Problem, n_starts: int) -> int:
    if problem.passes.source.n_rows <= FINISH_ALL_ROWS:
        return n_starts
    return min(n_starts, max(MIN_FINISHED, n_starts // 4))


def _finish(model: MixtureOfExperts, problem: Problem, outcome: Outcome, solver: Solver | None) -> Outcome:
    final = outcome.short
    if solver is not None:
        final = solve(problem, solver, outcome.short.theta)
        final = replace(final, trace=outcome.short.trace + final.trace[1:])
    source = problem.passes.source
    optimum, _ = examine(problem, final.theta, model.names(source.schema), log_jacobian(source))
    return replace(outcome, final=final, optimum=optimum)


# --------------------------------------------------------------------------------------- the best
def _results(model: MixtureOfExperts, problem: Problem, outcomes: list[Outcome]) -> Results:
    finished = [o for o in outcomes if o.optimum is not None]
    best = _best(finished, problem.total_weight)
    assert best.final is not None
    theta = canonical(problem, best.final.theta)
    source = problem.passes.source
    optimum, sums = examine(problem, theta, model.names(source.schema), log_jacobian(source))
    groups = _solutions(finished)
    mine = next(group for group in groups if best in group)
    rivals = tuple(
        Rival(group[0].optimum.status, group[0].optimum.loglik, len(group))  # type: ignore[union-attr]
        for group in groups
        if group is not mine
    )
    certificate = Certificate(
        optimum=optimum,
        n_starts=len(outcomes),
        n_finished=len(finished),
        n_reached=len(mine),
        rivals=rivals,
        stop=best.final.stop.value,
        n_rows=source.total_weight,
        n_experts=model.n_experts,
    )
    if not certificate.trusted:
        warnings.warn(_warning(certificate), ConvergenceWarning, stacklevel=3)
    return Results.of(model, problem, theta, sums, certificate, _starts_table(outcomes, groups), best.final.trace)


def _best(finished: list[Outcome], rows: float) -> Outcome:
    """The solution to report: a strict interior maximum, unless it is implausibly low.

    A flat maximum or a supremum at infinity takes its place only when it is higher by more than the BIC
    penalty of the whole model, log(rows) / 2 for each parameter: then the strict maximum is a local one
    that no reader would want.
    """
    preferred = min(finished, key=_preference)
    assert preferred.optimum is not None
    if preferred.optimum.status is not Status.STRICT_MAXIMUM:
        return preferred
    others = [o for o in finished if o.optimum is not None and o.optimum.status in UNBOUNDED]
    if not others:
        return preferred
    highest = min(others, key=_preference)
    assert highest.optimum is not None
    penalty = 0.5 * np.log(rows) * preferred.optimum.n_identified
    return highest if highest.optimum.loglik - preferred.optimum.loglik > penalty else preferred


def _preference(outcome: Outcome) -> tuple[int, float]:
    assert outcome.optimum is not None
    assert outcome.final is not None
    return outcome.optimum.status.rank, -outcome.final.loglik


def _solutions(finished: list[Outcome]) -> list[list[Outcome]]:
    """Outcomes grouped by solution (kind and log-likelihood), in order of preference."""
    groups: list[list[Outcome]] = []
    for outcome in sorted(finished, key=_preference):
        group = next((group for group in groups if _same(group[0], outcome)), None)
        if group is None:
            groups.append([outcome])
        else:
            group.append(outcome)
    return groups


def _same(a: Outcome, b: Outcome) -> bool:
    assert a.optimum is not None
    assert b.optimum is not None
    assert a.final is not None
    assert b.final is not None
    one, other = a.final.loglik, b.final.loglik  # in working units, as the tolerance
    return a.optimum.status is b.optimum.status and abs(one - other) <= SAME_LOGLIK * (1.0 + abs(one)) + 1e-7


def _starts_table(outcomes: list[Outcome], groups: list[list[Outcome]]) -> list[dict[str, Any]]:
    number = {id(outcome): i + 1 for i, group in enumerate(groups) for outcome in group}
    rows = []
    for outcome in outcomes:
        optimum, final = outcome.optimum, outcome.final
        rows.append(
            {
                "family": outcome.start.family,
                "loglik_short": outcome.short.loglik,
                "loglik": None if optimum is None else optimum.loglik,
                "status": "not finished" if optimum is None else optimum.status.value,
                "solution": number.get(id(outcome)),
                "n_iter": (outcome.short if final is None else final).n_iter,
            }
        )
    return rows


def canonical(problem: Problem, theta: FloatArray) -> FloatArray:
    """Experts by decreasing mass, and the gate's representative among equal densities.

    Left alone where that would move a held parameter, or where experts cannot be relabelled.
    """
    terms = problem.passes.terms
    mass = problem.passes.shares(theta).mass
    ordered = theta
    if terms.gate.exchangeable and terms.expert.exchangeable:
        ordered = problem.layout.permute(theta, np.argsort(-mass, kind="stable"))
    ordered = ordered if _holds(problem, ordered) else theta
    gate = terms.gate.canonical(terms.gate_layout, ordered[: terms.n_gate])
    moved = np.concatenate([gate, ordered[terms.n_gate :]])
    return moved if _holds(problem, moved) else ordered


def _holds(problem: Problem, theta: FloatArray) -> bool:
    return bool(np.array_equal(theta[~problem.free], problem.held[~problem.free]))


def _warning(certificate: Certificate) -> str:
    if certificate.status is Status.STRICT_MAXIMUM:
        best = max(certificate.higher, key=lambda rival: rival.loglik)
        return (
            f"The fit ended at a strict interior maximum, but {best.n_starts} starts reached {best.loglik:.6g} "
            f"({best.loglik - certificate.loglik:+.4g}): {best.status.value}. Fewer covariates or experts remove such "
            "suprema. See results.certificate."
        )
    floor = "No interior maximum was found; raise n_starts, or try fewer experts or variance='common'."
    if certificate.n_experts == 1:
        floor = "The covariates reproduce the response up to rounding."
    advice = {
        Status.FLAT_MAXIMUM: "Estimates along the flat directions mean nothing; try fewer experts or covariates.",
        Status.RUNAWAY: "The gate or an expert separates the rows; use fewer covariates or experts, or more rows.",
        Status.AT_FLOOR: floor,
        Status.SADDLE: "Raise n_starts.",
        Status.NOT_CONVERGED: "Raise the solver's max_iter, or use the default solver.",
    }
    return f"The fit ended at: {certificate.status.value}. {advice[certificate.status]} See results.certificate."
