"""Newton's method for least squares, with a few last steps of Gauss and Newton.

They bring out the last digits, which the exact Hessian of an ill-conditioned problem loses; and they tell a minimum
that is no point but a surface.

Where the data do not determine every parameter, the minima form a surface, along which the exact Hessian vanishes only
as far as the residuals are orthogonal to it: a gradient of 1e-9 leaves curvature of that size and either sign, in which
a trust region sees directions to go. The products of the slopes know the surface's dimension beforehand, and lead onto
it the short way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from moestat.directions import complement
from moestat.solvers.loop import Stop
from moestat.solvers.newton import ROUNDOFF, NewtonState, TrustRegionNewton
from moestat.solvers.problem import Problem
from moestat.squares import SquaresPasses
from moestat.typing import FloatArray

#: Steps of Gauss-Newton at most; each leaves less than this share of what the one before saw ahead.
STEPS = 10
LEFT = 0.25

#: Share of the largest curvature that is none.
NO_CURVATURE = 1e-12


@dataclass(frozen=True, kw_only=True)
class LeastSquaresNewton(TrustRegionNewton):
    """Trust-region Newton on a sum of squares; where the gradient is zero, Gauss-Newton steps as far as they lead.

    Parameters
    ----------
    max_iter, rtol, atol, xtol, gtol, rtol_offset, radius, max_radius
        As those of `TrustRegionNewton`.
    """

    def step(self, problem: Problem, state: NewtonState) -> NewtonState:
        """One accepted step of Newton, or at the end all those of Gauss-Newton."""
        new = super().step(problem, state)
        if new.exhausted not in (Stop.GRADIENT, Stop.PRECISION):
            return new
        for _ in range(STEPS):
            found = _gauss_newton(problem, new)
            if found is None:
                return new
            new = found
        return new


def _gauss_newton(problem: Problem, state: NewtonState) -> NewtonState | None:
    """The shortest Gauss-Newton step, if it leaves little ahead and raises the sum of squares by rounding at most."""
    passes, rows = problem.passes, problem.total_weight
    assert isinstance(passes, SquaresPasses)
    movable = problem.movable(state.theta, state.score)
    basis = complement(problem.invariances(state.theta, movable), movable)
    mean_square = passes.rss(state.theta) / rows
    inverse = mean_square * _inverse(basis, passes.products(state.theta).plain)  # scores are those of the logarithm
    step = inverse @ state.score
    theta = problem.admit(state.theta + step)
    sums = passes.score(theta)
    # residuals are differences of numbers near one: the smaller they are, the fewer digits they have
    slack = ROUNDOFF * max(rows / min(1.0, float(np.sqrt(mean_square)) or 1.0), abs(state.loglik))
    ahead, left = state.score @ step, sums.score @ inverse @ sums.score
    if not (left < LEFT * ahead and sums.loglik >= state.loglik - slack):
        return None
    return replace(
        state,
        theta=theta,
        loglik=max(sums.loglik, state.loglik),
        score=sums.score,
        gradient=problem.gradient_norm(theta, sums.score),
        gain=max(sums.loglik - state.loglik, 0.0),
        move=float(np.abs(theta - state.theta).max(initial=0.0)),
        second_order=None,
    )


def _inverse(basis: FloatArray, matrix: FloatArray) -> FloatArray:
    """Inverse of a matrix (P, P) among the directions of the basis (P, m) in which it has substantial curvature."""
    eigenvalues, vectors = np.linalg.eigh(basis.T @ matrix @ basis)
    kept = eigenvalues > NO_CURVATURE * max(float(eigenvalues.max(initial=0.0)), 1e-300)
    vectors = basis @ vectors[:, kept]
    return np.asarray((vectors / eigenvalues[kept]) @ vectors.T)
