"""Newton steps between jumps: they stop at the switching ties that they meet and go on along them.

The steps are those of an active set. A tie that the ascent presses against is held as a linear constraint; one from
which it leads back is let go. Where nothing is left to gain, the gradient is a combination of the margins of the held
ties alone, pressing against each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from moestat.charts import Chart
from moestat.solvers.loop import Stop
from moestat.solvers.newton import ROUNDOFF, NewtonState, QuadraticModel, TrustRegionNewton, leads_up
from moestat.solvers.problem import Problem
from moestat.solvers.ties import HELD, Tie, first_switch, normals, onto, pulls, switched, ties_at
from moestat.typing import FloatArray

#: Steps at most, shrinkings of one step at most, and the trust region's smallest and largest radius.
STEPS = 200
SHRINKINGS = 60
RADII = (1e-13, 1e4)

#: A pull towards where a tied row keeps its experts, per row, that counts as none.
NO_PULL = 1e-9

#: Margin, in logits, that a step is to leave to a tie in its way, one that is near enough, and tries to find it.
AIM = 2.0 * HELD
NEAR = 3.0 * HELD
SECANTS = 200

#: Share of what a step promises that it has to gain.
ENOUGH = 0.1

NEWTON = TrustRegionNewton()


@dataclass(frozen=True, eq=False)
class Settled:
    """Where the steps ended: log-likelihood and score (P,) there, the ties that hold them back, and why they ended."""

    theta: FloatArray
    loglik: float
    score: FloatArray
    ties: list[Tie]
    stop: Stop


@dataclass(frozen=True)
class _Advance:
    theta: FloatArray
    radius: float
    met: Tie | None = None


def settle(problem: Problem, theta: FloatArray) -> Settled:
    """Ascend from a point between jumps to one that the ties around it hold back."""
    problem = replace(problem, chart=Chart.straight(theta.size))  # ties are met along straight steps
    ties, radius, stop = ties_at(problem, theta), 1.0, Stop.LIMIT
    for _ in range(STEPS):
        held = replace(problem, ties=normals(problem, theta, ties))
        here = NEWTON.init(held, theta)
        model = QuadraticModel.at(held, here)
        if held.gradient_norm(theta, here.score, model.unit) <= 1e-11 and not leads_up(model.curvature):
            pull = pulls(held, here.score)
            if not (pull > NO_PULL).any():
                stop = Stop.GRADIENT
                break
            ties.pop(int(pull.argmax()))
            continue
        found = _advance(held, here, model, radius, ties)
        if found is None:
            stop = Stop.PRECISION
            break
        theta, radius = found.theta, found.radius
        ties = [tie for tie in ties if tie.holds(problem, theta)] + ([found.met] if found.met else [])
    if (again := _held_again(problem, theta, ties)) is not theta:
        here = NEWTON.init(problem, again)
    return Settled(here.theta, here.loglik, here.score, ties, stop)


@np.errstate(over="ignore", invalid="ignore")
def _advance(
    problem: Problem, here: NewtonState, model: QuadraticModel, radius: float, ties: list[Tie]
) -> _Advance | None:
    """A step that gains what it promises, or one to the first tie in its way; None where nothing is left to gain."""

    def along(step: FloatArray, share: float) -> FloatArray:
        theta = here.theta + share * step
        return onto(problem, theta, ties, problem.ties) if ties and share > 0.0 else theta

    roundoff = ROUNDOFF * max(problem.total_weight, abs(here.loglik))
    steepness = problem.gradient_norm(here.theta, here.score, model.unit)
    for _ in range(SHRINKINGS):
        step = model.step(radius)
        promised = model.gain(step) * problem.total_weight
        there = along(step, 1.0)
        sums = problem.passes.score(there)
        gained = sums.loglik - here.loglik
        if not np.isfinite(gained):  # so far that logits overflow
            pass
        elif gained >= ENOUGH * promised and gained > roundoff:
            return _Advance(there, min(2.5 * max(radius, model.length(step)), RADII[1]))
        elif switched(problem, here.theta, there).count:
            met = _to_first_tie(problem, here, partial(along, step), roundoff)
            if met is not None and not any(met.met == tie for tie in ties):  # those are only met by rounding
                return replace(met, radius=radius)
        elif promised <= roundoff:
            # both are below round-off: the gradient decides
            better = problem.gradient_norm(there, sums.score, model.unit) < 0.5 * steepness
            return _Advance(there, radius) if better else None
        radius = 0.25 * min(radius, model.length(step))
        if radius < RADII[0]:
            break
    return None


def _to_first_tie(
    problem: Problem, here: NewtonState, path: Callable[[float], FloatArray], roundoff: float
) -> _Advance | None:
    """The point of a step where its first row is about to switch, by so little as rounding leaves alone."""
    low, high, tie = first_switch(problem, path)
    if tie is None:
        return None
    low = _last_held(lambda share: tie.margin(problem, path(share)), low, high)
    at = path(low)
    if problem.passes.loglik(at) < here.loglik - roundoff:
        return None
    return _Advance(at, 0.0, tie)


def _last_held(margin: Callable[[float], float], low: float, high: float) -> float:
    """A share of a step at which a margin is about to become too small to hold: by secants, and halves now and then."""
    left, right = margin(low), margin(high)
    for i in range(SECANTS):
        if left <= NEAR:
            break
        share = (left - AIM) / (left - right) if i % 3 < 2 and left > right else 0.5
        middle = low + share * (high - low)
        if not low < middle < high:
            break
        if (there := margin(middle)) >= HELD:
            low, left = middle, there
        else:
            high, right = middle, there
    return low


def _held_again(problem: Problem, theta: FloatArray, ties: list[Tie]) -> FloatArray:
    """The point nearby whose ties have the margins that rounding along the way, or a short first step, has eaten up."""
    margins = np.array([tie.margin(problem, theta) for tie in ties])
    if (margins >= 0.5 * HELD).all():
        return theta
    moved = problem.admit(theta + np.linalg.pinv(normals(problem, theta, ties)) @ np.maximum(AIM - margins, 0.0))
    return moved if all(tie.holds(problem, moved) for tie in ties) else theta
