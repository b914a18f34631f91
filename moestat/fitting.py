"""Maximum likelihood: the front door from data to results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from moestat.bounds import check_bounds
from moestat.certificate import SPIKES, Certificate, Rival, Status, examine
from moestat.coordinates import Affine
from moestat.data import BlockSource, Data
from moestat.design import deficiencies
from moestat.errors import (
    ConvergenceWarning,
    EmptyExpertWarning,
    InputError,
    NotIdentifiedWarning,
    RankDeficientWarning,
    ScaleWarning,
    SeparationWarning,
    SpikeWarning,
    warn,
)
from moestat.model import MixtureOfExperts, MoEParams
from moestat.objectives import objective_named
from moestat.progress import Report, reporting
from moestat.representative import canonical
from moestat.results import Results
from moestat.search import Law, Outcome, Search
from moestat.solvers import SOLVERS, Problem, Solver, Stop, solver_named
from moestat.starts import GIVEN, Start
from moestat.terms import Terms
from moestat.typing import FloatArray

#: Number of starts when neither a number nor a starting point is given.
N_STARTS = 20
#: The same where the likelihood jumps, which has many more maxima.
N_STARTS_OF_JUMPS = 60


def fit(
    model: MixtureOfExperts,
    X: Any,
    y: Any = None,
    Z: Any = None,
    sample_weight: Any = None,
    *,
    offset: Any = None,
    exposure: Any = None,
    n_starts: int | str | None = None,
    seed: int = 0,
    start: MoEParams | Sequence[MoEParams] | None = None,
    families: Sequence[str] | None = None,
    bounds: Mapping[str, Any] | None = None,
    solver: Solver | str | None = None,
    progress: bool | Report = False,
    objective: str = "likelihood",
) -> Results:
    """Fit a mixture of experts by maximum likelihood, or its regression function by least squares.

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
        Known terms of the experts' linear predictors. The logarithm of an exposure joins the offset; for a binomial
        expert exposures are numbers of trials.
    n_starts : int or "auto", optional
        Number of data-driven starting points. When left out: 20, or 60 where the gate's weights jump, and up to
        twice as many more while all end in spikes; none when ``start`` is given.
        ``"auto"`` goes on until the best solution has been reached several times.
    seed : int
        Seed of the starting points; the same seed gives the same fit.
    start : MoEParams or sequence of MoEParams, optional
        Starting points to begin with.
    families : sequence of str, optional
        Families of data-driven starts (see ``moestat.starts.FAMILIES``); all that suit the model by default.
    bounds : mapping, optional
        A box on whole fields, in the user's units: ``{"gate.slopes": 50.0, "expert.variances": (0.01, 9.0)}``;
        one number c stands for (-c, c). Either end may be None or an array of the field's shape.
    solver : Solver or str, optional
        A solver of `moestat.solvers`, or its name, to run from each start; by default a short EM on all starts,
        then EM and trust-region Newton to the maximum on the most promising.
    progress : bool or callable
        True shows a bar on standard error; a function is called with the stage, the number of starts done, and the
        number of starts.
    objective : {"likelihood", "least_squares"}
        What to maximise, or minimise: the likelihood of the response, or the weighted sum of squares of its distances
        from the regression function ``sum_k pi_k(z) mu_k(x)``, which takes no variances, and needs no law, of the
        response.

    Returns
    -------
    Results
        ``print(results.summary())`` and ``print(results.certificate)``. `LeastSquaresResults` of least squares.

    Raises
    ------
    InputError
        When an argument or the data break a rule; the message names it and the way out.

    Warns
    -----
    ConvergenceWarning
        When the solution is not a strict maximum, or a higher supremum was found beside it. Its kinds are
        `SeparationWarning`, `SpikeWarning`, `NotIdentifiedWarning` and `EmptyExpertWarning`.
    RankDeficientWarning
        When columns are constant or linear combinations of others; the message names them.
    ScaleWarning
        When the gate's covariates come in units in which it can hardly do what it is for.
    """
    if not isinstance(model, MixtureOfExperts):
        raise InputError(f"model must be a MixtureOfExperts; got {type(model).__name__}.")
    solver, way = _solver(solver), objective_named(objective)
    model = way.model(model)
    rows = _source(model, X, y, Z, sample_weight, offset, exposure)
    model.check_fields(rows.schema, {"fixed": model.fixed or {}, "bounds": bounds or {}})
    box = check_bounds(model, rows.schema, bounds)
    source = model.prepare(_merged(rows), bounded=tuple(box))
    problem = Problem.of(model, source, box)
    _check_seed(seed)
    law = way.law(model, problem, int(seed), families, box)
    _check_rows(model, law)
    given = _given(problem, model, start)
    spread = source.moments.Z
    for words in model.gate.concerns(spread.scale) if model.n_experts > 1 and isinstance(spread, Affine) else ():
        warn(words, ScaleWarning)
    if isinstance(n_starts, str):
        _check_auto(n_starts)
    with reporting(progress) as report:
        search = way.search(model, problem, law, solver, report)
        _run(search, given, n_starts)
    return _results(search, rows, way.results)


def _run(search: Search, given: list[Start], n_starts: Any) -> None:
    if isinstance(n_starts, str):
        search.run_until_found_often(given)
    elif n_starts is None and not given:
        search.run_default(N_STARTS if search.problem.passes.terms.gate.continuous else N_STARTS_OF_JUMPS)
    else:
        search.run(given, 0 if n_starts is None else _count(n_starts))


def _source(
    model: MixtureOfExperts, X: Any, y: Any, Z: Any, sample_weight: Any, offset: Any, exposure: Any
) -> BlockSource:
    if not isinstance(X, BlockSource):
        if y is None:
            raise InputError("y is needed: pass the response after X, or a block source that holds both.")
        return Data(X, y, Z, sample_weight, offset=offset, exposure=exposure, categorical=model.expert.categorical)
    extra = {"y": y, "Z": Z, "sample_weight": sample_weight, "offset": offset, "exposure": exposure}
    given = [name for name, value in extra.items() if value is not None]
    if given:
        raise InputError(f"{', '.join(given)} must be left out when X is a block source, which holds them.")
    return X


def _merged(rows: BlockSource) -> BlockSource:
    """What is fitted: few rows are merged, so that their order and a row written twice do not show in any bit."""
    return rows.merged() if isinstance(rows, Data) else rows


def _solver(solver: Solver | str | None) -> Solver | None:
    if isinstance(solver, str):
        return solver_named(solver)
    if solver is not None and (isinstance(solver, type) or not isinstance(solver, Solver)):
        raise InputError(
            f"solver must be one of moestat.solvers, such as EM(max_iter=100), or a name of {sorted(SOLVERS)}; "
            f"got {solver!r}."
        )
    return solver


def _given(problem: Problem, model: MixtureOfExperts, start: Any) -> list[Start]:
    """Starting points of the caller's, in working coordinates."""
    if start is None:
        return []
    points = [start] if isinstance(start, MoEParams) else start
    if not isinstance(points, list | tuple) or not points or not all(isinstance(p, MoEParams) for p in points):
        raise InputError(
            f"start must be parameters made by model.params(...), or a list of them; got {type(start).__name__}."
        )
    source = problem.passes.source
    thetas = [model.to_theta(point, source.schema, source.coordinates) for point in points]
    for theta in thetas:
        _check_inside(problem, theta, model.names(source.schema))
    return [Start(GIVEN, theta) for theta in thetas]


def _check_inside(problem: Problem, theta: FloatArray, names: list[str]) -> None:
    """A start outside the user's bounds is a mistake; one below a floor of ours is only moved."""
    outside = problem.free & (
        (theta < np.where(problem.floors > -np.inf, -np.inf, problem.lower)) | (theta > problem.upper)
    )
    if outside.any():
        listed = ", ".join(name for name, out in zip(names, outside, strict=True) if out)
        raise InputError(f"start lies outside the bounds in {listed}. Move the start inside, or widen the bounds.")


def _check_auto(n_starts: str) -> None:
    if n_starts != "auto":
        raise InputError(f"n_starts must be a whole number of at least 1, or 'auto'; got {n_starts!r}.")


def _count(n_starts: Any) -> int:
    if isinstance(n_starts, bool) or not isinstance(n_starts, int | np.integer) or n_starts < 1:
        raise InputError(f"n_starts must be a whole number of at least 1, or 'auto'; got {n_starts!r}.")
    return int(n_starts)


def _check_seed(seed: Any) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed must be a whole number of at least 0; got {seed!r}.")


def _check_rows(model: MixtureOfExperts, law: Law) -> None:
    distinct = law.rows.weight.size
    if distinct < model.n_experts:
        raise InputError(
            f"the data have only {distinct} distinct row{'s' if distinct != 1 else ''}, fewer than "
            f"n_experts={model.n_experts}. Ask for fewer experts or bring more rows."
        )


# --------------------------------------------------------------------------------------- the result
def _results(search: Search, rows: BlockSource, kind: type[Results]) -> Results:
    model, problem, best = search.model, search.problem, search.best
    assert best.final is not None
    source = problem.passes.source
    theta = canonical(problem, best.final.theta)
    optimum, sums = examine(problem, theta, model.names(source.schema), problem.shift)
    groups = search.solutions
    mine = search.group_of(best)
    certificate = Certificate(
        optimum=optimum,
        n_starts=len(search.outcomes),
        n_finished=len(search.finished),
        n_reached=len(mine),
        n_reseeded=sum(o.reseeded > 0 for o in search.outcomes),
        rivals=tuple(_rival(group) for group in groups if not any(o is best for o in group)),
        stop=_stop(best),
        gave_up=search.gave_up,
        n_rows=source.total_weight,
        n_experts=model.n_experts,
        joint=not model.gate.normalised,
        objective=kind.objective,
        floor=problem.passes.floor,
        deficient=tuple(f"in {d.of}, {d.equation}" for d in deficiencies(source.schema, source.coordinates)),
    )
    _warn(certificate, problem.passes.terms)
    starts = _starts_table(search, groups)
    results = kind.of(model, problem, theta, sums, certificate, starts, best.final.trace)
    if _merged(rows) is rows:
        return results
    return replace(results, source=rows.in_coordinates(source.coordinates))  # in the caller's order


def _stop(best: Outcome) -> str:
    """Why the solver stopped, and of what, where that is not the likelihood."""
    assert best.final is not None
    objective = best.final.trace[-1].objective is not None
    return best.final.stop.value + (" (of the classification log-likelihood)" if objective else "")


def _rival(group: list[Outcome]) -> Rival:
    optimum = group[0].optimum
    assert optimum is not None
    return Rival(optimum.status, optimum.limit, len(group))


def _starts_table(search: Search, groups: list[list[Outcome]]) -> list[dict[str, Any]]:
    number = {id(outcome): i + 1 for i, group in enumerate(groups) for outcome in group}
    shift = search.problem.shift
    return [
        {
            "family": o.start.family,
            "loglik_short": o.short.loglik + shift,
            "loglik": None if o.optimum is None else o.optimum.loglik,
            "status": "not finished" if o.optimum is None else o.optimum.status.value,
            "solution": number.get(id(o)),
            "n_iter": (o.final or o.short).n_iter,
            "reseeded": o.reseeded,
        }
        for o in search.outcomes
    ]


# --------------------------------------------------------------------------------------- warnings
def _warn(certificate: Certificate, terms: Terms) -> None:
    for words in certificate.deficient:
        warn(
            f"Columns are rank deficient: {words}; the solution of least norm is reported. See results.certificate.",
            RankDeficientWarning,
        )
    if not certificate.trusted:
        kind, text = _complaint(certificate, terms)
        warn(f"{text} See results.certificate.", kind)
    elif certificate.optimum.empty:
        warn(f"{_emptiness(certificate)} See results.certificate.", EmptyExpertWarning)


def _complaint(c: Certificate, terms: Terms) -> tuple[type[ConvergenceWarning], str]:
    """What is wrong with the solution, and what to do."""
    kind: type[ConvergenceWarning]
    if c.status.trusted:
        best = max(c.higher, key=lambda rival: rival.loglik)
        reached, own = (float(c.reading(level)) for level in (best.loglik, c.loglik))
        name, measure = c.measure.kind(c.status), c.measure
        kind = SeparationWarning if best.status is Status.RUNAWAY else NotIdentifiedWarning
        if best.status in SPIKES:
            return SpikeWarning, (
                f"The fit ended at a {name}, but {sum(r.n_starts for r in c.higher)} of {c.n_starts} starts "
                f"ended in spikes, up to {best.loglik - c.loglik:+.4g} higher: a few rows stand out from all others. "
                "Look at them, or bound the variances, which lets an expert describe them."
            )
        ended = f"The fit ended at a {name}, but"
        if best.status is Status.NOT_CONVERGED:
            return ConvergenceWarning, (
                f"{ended} {sum(r.n_starts for r in c.higher)} of {c.n_starts} starts were {measure.better} when they "
                f"stopped short of convergence, to {reached:.6g} ({reached - own:+.4g}): it is not the least. Where "
                "they drift without end, bound the parameters, or try fewer experts or another form."
            )
        return kind, (
            f"{ended} {best.n_starts} starts reached {reached:.6g} ({reached - own:+.4g}): "
            f"{measure.kind(best.status)}. Fewer covariates or experts remove such {measure.limits}."
        )
    kind, advice = _ADVICE[c.status]
    if c.status is Status.FLAT_MAXIMUM and c.optimum.empty:
        kind, advice = EmptyExpertWarning, _emptiness(c)
    if c.optimum.towards:  # where nothing is separated
        advice = f"It rises as {c.optimum.towards}: take a gate of that form, or bound the gate's parameters."
    if c.status is Status.NOT_CONVERGED and c.stop == Stop.LIMIT.value:
        advice = "Raise the solver's max_iter, or use the default solver."
    if c.status is Status.NOT_CONVERGED and not terms.smooth:
        what = "experts' means" if terms.gate.smooth else "gate's logits"
        advice = f"The {what} have kinks, and a maximum at one has a gradient that is not zero."
    elif c.status is Status.NOT_CONVERGED and terms.expert.drifts and c.stop == Stop.LIMIT.value:
        advice = (
            "The scale of an expert may grow without end as its curve straightens: try another form, or fewer experts."
        )
    if c.status is Status.AT_FLOOR and c.n_experts == 1:
        advice = "The covariates reproduce the response up to rounding."
    related = c.joint and any("Z" in words.partition(",")[0] for words in c.deficient)
    if related and c.status in (Status.AT_FLOOR, Status.NOT_CONVERGED):
        advice = (
            "The joint likelihood is one of the gate's covariates too, and related ones, or a constant, have no "
            "density: leave out what is superfluous, or use the gate's conditional form."
        )
    return kind, f"The fit ended at: {c.measure.kind(c.status)}. {advice}"


def _emptiness(c: Certificate) -> str:
    experts = ", ".join(map(str, c.optimum.empty))
    anew = ", also after being placed anew" if c.n_reseeded else ""
    nobody = c.optimum.jumps and all(c.optimum.masses[k - 1] == 0 for k in c.optimum.empty)
    state = "is selected by no row" if nobody else "has almost no mass"
    return f"Expert {experts} {state}{anew}; fit fewer experts."


_SPIKES = "No interior maximum was found; raise n_starts, bound the variances, or try fewer experts."

_ADVICE: dict[Status, tuple[type[ConvergenceWarning], str]] = {
    Status.FLAT_MAXIMUM: (
        NotIdentifiedWarning,
        "Estimates along the flat directions mean nothing; try fewer experts or covariates.",
    ),
    Status.RUNAWAY: (
        SeparationWarning,
        "The gate or an expert separates the rows; bound it, use fewer covariates or experts, or more rows.",
    ),
    Status.SPIKE: (SpikeWarning, _SPIKES),
    Status.AT_FLOOR: (SpikeWarning, _SPIKES),
    Status.SADDLE: (ConvergenceWarning, "Use more or other starts, or the default solver."),
    Status.NOT_CONVERGED: (
        ConvergenceWarning,
        "The solver's rules ended it before the maximum; tighten them, or use the default solver.",
    ),
}
