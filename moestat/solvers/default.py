"""The default: EM while it climbs fast, Newton to the end."""

from __future__ import annotations

from dataclasses import dataclass, field

from moestat.solvers.em import EM, EMState
from moestat.solvers.loop import Stop
from moestat.solvers.newton import NewtonState, TrustRegionNewton
from moestat.solvers.problem import Problem
from moestat.typing import FloatArray

#: Newton's method as the default ends with it.
NEWTON = TrustRegionNewton(keep=0.2)


@dataclass(frozen=True)
class EMThenNewton:
    """A few generalised EM steps, then trust-region Newton on the observed log-likelihood.

    Parameters
    ----------
    em : EM
        When to leave EM: by default after 30 steps, or when a step gains less than 1e-4 of the
        log-likelihood's size.
    newton : TrustRegionNewton
        The solver that finishes: by default `NEWTON`, which keeps a Hessian while it shortens the gradient to a fifth.
    """

    em: EM = field(default_factory=lambda: EM(max_iter=30, rtol=1e-4))
    newton: TrustRegionNewton = NEWTON

    def init(self, problem: Problem, theta: FloatArray) -> EMState | NewtonState:
        """EM's first state."""
        return self.em.init(problem, theta)

    def step(self, problem: Problem, state: EMState | NewtonState) -> EMState | NewtonState:
        """An EM step while EM is not finished, then Newton steps."""
        if isinstance(state, NewtonState):
            return self.newton.step(problem, state)
        if self.em.finished(state) is None:
            return self.em.step(problem, state)
        return self.newton.step(problem, self.newton.at(problem, state.theta, state))

    def finished(self, state: EMState | NewtonState) -> Stop | None:
        """Newton decides: it also sees whether a point with zero gradient is a saddle."""
        return self.newton.finished(state) if isinstance(state, NewtonState) else None
