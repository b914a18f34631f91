"""The M-step: where one pass of EM sends gate and experts.

Both raise Q, the expected log-likelihood of rows and labels given the responsibilities. Q is a sum of a
gate's part and an experts' part, so each is raised alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from moestat.errors import InputError
from moestat.solvers.problem import Problem
from moestat.sums import EMSums
from moestat.typing import BoolArray, FloatArray

#: Largest move of a parameter in one Newton step, in logits per standardised unit: a gate that separates
#: hard responsibilities would jump to infinity at once and never come back.
STEP_CAP = 5.0

#: An exact M-step ends at this gradient of Q per row, or after so many Newton steps.
INNER_GTOL = 1e-10
INNER_STEPS = 100

#: Round-off allowance when two log-likelihoods are compared, relative to their size.
SLACK = 1e-13


class Move(NamedTuple):
    """Moves of the gate (Pg,) and of the experts (Pe,), and whether the experts' maximises their part of Q."""

    gate: FloatArray
    expert: FloatArray
    exact: bool

    def share(self, share: float) -> FloatArray:
        """A part of the move; one that maximises Q can only raise the log-likelihood, and is made whole."""
        return np.concatenate([share * self.gate, self.expert if self.exact else share * self.expert])


class PartOfQ(Protocol):
    """One part of Q at some parameters: its value, score and minus its Hessian, in the part's own parameters."""

    @property
    def value(self) -> float: ...
    @property
    def score(self) -> FloatArray: ...
    @property
    def information(self) -> FloatArray: ...


# --------------------------------------------------------------------------------------- the two kinds
def newton_m_step(problem: Problem, theta: FloatArray, score: FloatArray, sums: EMSums) -> Move:
    """The experts' maximiser where it has a closed form, else a damped Newton step; one Newton step for the gate."""
    terms = problem.passes.terms
    n = terms.n_gate
    gate = _closed_form_gate(problem, theta, score)
    if gate is None:
        information = (
            problem.passes.gate_q(theta, theta).information if terms.gate.closed_form else sums.gate_information
        )
        gate = _move_inside(problem, theta, score, information, slice(0, n))
    closed = _closed_form(problem, theta, sums)
    if closed is not None:
        return Move(gate, closed, True)
    # a closed-form expert that is held or bounded: its pass has not added up the information
    information = (
        problem.passes.expert_information(theta).matrix if terms.expert.closed_form else sums.expert_information
    )
    return Move(gate, _move_inside(problem, theta, score, information, slice(n, None)), False)


def exact_m_step(problem: Problem, theta: FloatArray, score: FloatArray, sums: EMSums) -> Move:
    """The maximiser of Q, in closed form where there is one, else by damped Newton steps to the end.

    Q need not have one: hard responsibilities may be separated by the gate, whose logits then grow until
    the gradient is gone to `INNER_GTOL` or the steps are used up. Q has risen all the same, and so has the
    log-likelihood.
    """
    passes, n = problem.passes, problem.passes.terms.n_gate
    gate = _closed_form_gate(problem, theta, score)
    if gate is None:
        gate = _maximise(problem, theta, slice(0, n), passes.gate_q)
    closed = _closed_form(problem, theta, sums)
    if closed is not None:
        return Move(gate, closed, True)
    return Move(gate, _maximise(problem, theta, slice(n, None), passes.expert_q), True)


M_STEPS: dict[str, Callable[[Problem, FloatArray, FloatArray, EMSums], Move]] = {
    "newton": newton_m_step,
    "exact": exact_m_step,
}


def check_m_step(name: object) -> None:
    """Refuse what is no M-step."""
    if not isinstance(name, str) or name not in M_STEPS:
        raise InputError(
            f"m_step must be 'newton' (one damped Newton step where there is no closed form) or 'exact' "
            f"(maximise to the end); got {name!r}."
        )


# --------------------------------------------------------------------------------------- closed form
def _closed_form(problem: Problem, theta: FloatArray, sums: EMSums) -> FloatArray | None:
    """The experts' move to their closed-form maximiser, or None where what is held or bounded rules it out."""
    terms, n = problem.passes.terms, problem.passes.terms.n_gate
    if not terms.expert.closed_form:
        return None
    best, _ = sums.closed_form
    if terms.expert.ill_conditioned(sums.local_expert, sums.moments):
        best, _ = terms.expert.m_step(sums.local_expert, sums.moments, problem.passes.factors(theta).factors)
    target = theta.copy()
    target[terms.expert_columns] = best
    cut = (problem.admit(target) != target)[n:]
    return (target - theta)[n:] if not cut.any() or _may_be_cut(problem)[cut].all() else None


def _closed_form_gate(problem: Problem, theta: FloatArray, score: FloatArray) -> FloatArray | None:
    """The gate's move to its closed-form maximiser, or None where what is held or bounded rules it out."""
    terms, n = problem.passes.terms, problem.passes.terms.n_gate
    if not terms.gate.closed_form:
        return None
    target = theta.copy()
    target[:n] = terms.gate.m_step(terms.gate_layout, theta[:n], score[:n], problem.total_weight)
    return (target - theta)[:n] if problem.admits(target) else None


def _may_be_cut(problem: Problem) -> BoolArray:
    """Expert parameters (Pe,) that a closed form may lose to a bound, or to a held value, and stay exact.

    These are the ones with a floor of the family's own, the variances: whatever value one of them has, the
    other parameters' maximiser is the same, and Q falls away from its own maximiser on either side.
    """
    terms = problem.passes.terms
    spread = np.ones(len(problem.passes.source.schema.responses))
    return np.isfinite(terms.expert.lower_bounds(terms.expert_layout, spread, False))


# --------------------------------------------------------------------------------------- Newton steps
def _maximise(
    problem: Problem, theta: FloatArray, part: slice, q: Callable[[FloatArray, FloatArray], PartOfQ]
) -> FloatArray:
    """The move of one part of the parameters that maximises its part of Q, responsibilities as at theta."""
    at, here = theta, q(theta, theta)
    for _ in range(INNER_STEPS):
        score = _padded(here.score, part, theta)
        if problem.gradient_norm(at, score) <= INNER_GTOL:
            break
        move = _padded(_move_inside(problem, at, score, here.information, part), part, theta)
        found = _ascend(problem, theta, at, here, move, part, q)
        if found is None:
            break
        at, here = found
    return (at - theta)[part]


def _ascend(
    problem: Problem,
    theta: FloatArray,
    at: FloatArray,
    here: PartOfQ,
    move: FloatArray,
    part: slice,
    q: Callable[[FloatArray, FloatArray], PartOfQ],
) -> tuple[FloatArray, PartOfQ] | None:
    """The first of ever smaller shares of a move that raises Q; None where nothing but rounding is left."""
    roundoff = SLACK * max(abs(here.value), problem.total_weight)
    for halvings in range(40):
        new = problem.admit(at + 0.5**halvings * move)
        there = q(theta, new)
        if there.value > here.value + roundoff:
            return new, there
        if there.value >= here.value - roundoff:
            # Q cannot tell the two apart: the gradient decides, and without progress that was the end
            old_norm = problem.gradient_norm(at, _padded(here.score, part, theta))
            new_norm = problem.gradient_norm(new, _padded(there.score, part, theta))
            return (new, there) if new_norm < 0.5 * old_norm else None
    return None


def _padded(values: FloatArray, part: slice, like: FloatArray) -> FloatArray:
    """A part's values among zeros."""
    out = np.zeros_like(like)
    out[part] = values
    return out


def _move_inside(
    problem: Problem, theta: FloatArray, score: FloatArray, information: FloatArray, part: slice
) -> FloatArray:
    """Damped Newton move of one part of the parameters that starts into the box.

    What is at a bound and would be sent across it by the others stays, and the rest is solved for again: a
    move that is merely cut at the bound still ascends, but is no Newton move of what is left.
    """
    here, lower, upper = theta[part], problem.lower[part], problem.upper[part]
    movable = problem.movable(theta, score)[part]
    information = _without_curved(problem, theta, information, part)
    while True:
        move = newton_move(information, score[part], movable)
        across = ((here <= lower) & (move < 0)) | ((here >= upper) & (move > 0))
        if not across.any():
            return move
        movable = movable & ~across


def _without_curved(problem: Problem, theta: FloatArray, information: FloatArray, part: slice) -> FloatArray:
    """The information of one part, projected to where steps change the density.

    Where equal densities lie on a curve, the information sees the curve's bend, and would have a step go along it: the
    length of a vector of which only the direction counts would end at zero. Along straight ones it vanishes by itself.
    """
    outside = np.ones(theta.size, dtype=bool)
    outside[part] = False
    aside = problem.invariances(theta, problem.free & ~outside)[:, part]
    seen = np.abs(aside @ information).max(axis=1, initial=0.0) > 1e-10 * np.abs(information).max(initial=0.0)
    if not seen.any():
        return information
    onto = np.eye(len(information)) - aside.T @ aside
    projected: FloatArray = onto @ information @ onto
    return projected


def newton_move(information: FloatArray, score: FloatArray, movable: BoolArray) -> FloatArray:
    """Damped Newton move on a part of Q: along eigenvectors, with |eigenvalue|, at most `STEP_CAP`.

    What the information knows nothing of stays: an expert without rows keeps its parameters.
    """
    move = np.zeros_like(score)
    index = np.flatnonzero(movable & information.any(axis=0))
    if not index.size:
        return move
    eigenvalues, vectors = np.linalg.eigh(information[np.ix_(index, index)])
    size = np.abs(eigenvalues)
    seen = size > 1e-13 * max(size.max(), 1e-300)
    along = vectors.T @ score[index]
    step = vectors @ np.where(seen, along / np.where(seen, size, 1.0), 0.0)
    largest = np.abs(step).max()
    move[index] = step * min(1.0, STEP_CAP / largest) if largest > 0 else step
    return move
