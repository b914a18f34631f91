"""Classification EM: EM with hard assignments.

    C(theta) = sum_i w_i max_k [log pi_k(x_i) + log f_k(y_i | x_i)]        [Celeux and Govaert 1992]

The E-step gives every row whole to its likeliest expert, the M-step raises the log-likelihood of rows and
labels. Both raise the classification log-likelihood C, which is what this solver climbs. Its maxima are
not those of the likelihood: estimates are biased where experts overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from moestat.solvers.em import EMState, em_step, first_state
from moestat.solvers.loop import Stop
from moestat.solvers.m_step import check_m_step
from moestat.solvers.problem import Problem
from moestat.solvers.rules import Rules
from moestat.typing import FloatArray


@dataclass(frozen=True, kw_only=True)
class ClassificationEM(Rules):
    """EM on hard assignments; it climbs the classification log-likelihood and may lower the observed one.

    Stopping rules (see `Rules`) are applied to the classification log-likelihood and its score. A tie goes
    to the expert with the lowest index. An expert left without rows keeps its parameters, and its gate
    weight tends to zero.

    Parameters
    ----------
    max_iter, rtol, atol, xtol, gtol, rtol_offset, raw
        Stopping rules; by default until a step gains less than 1e-9 of the objective's size.
    m_step : {"newton", "exact"}
        As for `EM`. Where the gate can separate the labels its maximiser is at infinity; either M-step
        goes there by bounded steps, and the rules end it.

    Notes
    -----
    ``State.loglik`` stays the log-likelihood of the mixture; ``State.objective``, ``State.score`` and
    ``State.gradient`` are those of the classification log-likelihood.

    References
    ----------
    Celeux and Govaert (1992), A classification EM algorithm for clustering and two stochastic versions,
    Computational Statistics & Data Analysis 14.
    """

    rtol: float | None = 1e-9
    gtol: float | None = 1e-10
    m_step: str = "newton"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_m_step(self.m_step)

    def init(self, problem: Problem, theta: FloatArray) -> EMState:
        """State at the start."""
        return first_state(_hardened(problem), theta, "classification_em")

    def step(self, problem: Problem, state: EMState) -> EMState:
        """One step, halved until the classification log-likelihood does not fall."""
        return em_step(_hardened(problem), state, self.m_step)

    def finished(self, state: EMState) -> Stop | None:
        """The first stopping rule that holds."""
        return self.stop(state, state.stuck)


def _hardened(problem: Problem) -> Problem:
    """The same problem, its passes with hard assignments: then EM is classification EM."""
    return replace(problem, passes=problem.passes.hardened)
