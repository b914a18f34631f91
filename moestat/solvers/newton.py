"""Trust-region Newton on the observed log-likelihood, with the exact Hessian.

Steps live in the directions that change the density (declared invariances are set aside) and that
held parameters and active bounds leave open. The trust-region problem is solved exactly by
eigenvalues, so saddle points are left along their directions of ascent.

A Hessian costs several scores. It may be kept for as long as its steps are whole and shorten the gradient fast, brought
up to date by what each of them shows of it: a symmetric change of rank one (Conn, Gould and Toint 1991, Mathematical
Programming 50). The last word has the exact Hessian at the end point.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from moestat.directions import complement
from moestat.errors import InputError
from moestat.passes import FirstOrder
from moestat.solvers.loop import State, Stop
from moestat.solvers.problem import Problem
from moestat.solvers.rules import Rules
from moestat.typing import BoolArray, FloatArray

#: Log-likelihood changes below this share of its size are round-off.
ROUNDOFF = 4e-15

#: Curvature below this share of the largest is round-off, and a slope per row below this tells no direction.
NO_CURVATURE = 1e-15
NO_SLOPE = 1e-10

#: After so many steps in a row that gained less than this per row, a gradient that counts as zero is enough: on the
#: way to infinity it never gets smaller for good.
IDLE_STEPS = 20
IDLE_GAIN = 1e-9

#: What a step shows of the Hessian counts where it is no rounding; and a step is whole if it leaves at most this share
#: of the model's slope.
SHOWN = 1e-8
WHOLE = 1e-6

#: Curvature below this share of the largest does not tell a strict maximum from a ridge.
FLAT = 1e-8

#: Negative curvature below this share of the largest is round-off.
SADDLE = 1e-10


@dataclass(frozen=True)
class NewtonState(State):
    """Newton's state: the trust region's radius, why the last step found no way up, and idle steps in a row.

    model is the quadratic model of the next step, where that need not be made afresh.
    """

    radius: float = 1.0
    exhausted: Stop | None = None
    idle: int = 0
    model: QuadraticModel | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class TrustRegionNewton(Rules):
    """Newton's method inside a trust region.

    Parameters
    ----------
    max_iter, rtol, atol, xtol, gtol, rtol_offset
        Stopping rules (see `Rules`); by default the gradient alone, in finer units where the information per row
        exceeds one, and only where no direction leads up.
    radius, max_radius : float
        First and largest trust-region radius, in working coordinates and finer units as above.
    keep : float
        A Hessian is kept for another step, and updated, where a whole step leaves at most this share of the gradient;
        at 0 every step has its own. The last word always has the exact one.
    """

    max_iter: int = 300
    gtol: float | None = 1e-11
    radius: float = 1.0
    max_radius: float = 1e4
    keep: float = 0.0

    #: a stop at the limit of precision counts as converged below this gradient per row
    ACCEPTABLE: ClassVar[float] = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.radius <= self.max_radius:
            raise InputError(
                f"radius must be larger than 0 and at most max_radius; got {self.radius!r} and {self.max_radius!r}."
            )
        if not 0.0 <= self.keep < 1.0:
            raise InputError(f"keep must be at least 0 and less than 1; got {self.keep!r}. At 0 no Hessian is kept.")

    def init(self, problem: Problem, theta: FloatArray) -> NewtonState:
        """State at the start."""
        return self.at(problem, theta, problem.passes.score(theta))

    def at(self, problem: Problem, theta: FloatArray, sums: FirstOrder) -> NewtonState:
        """State at a start where the log-likelihood and its score are known."""
        gradient = problem.gradient_norm(theta, sums.score)
        return NewtonState(theta, sums.loglik, sums.score, gradient, 0, "newton", self.radius, shift=problem.shift)

    def step(self, problem: Problem, state: NewtonState) -> NewtonState:
        """One accepted step; the radius shrinks until there is one."""
        if state.model is not None:
            new = self._step(problem, state, state.model)
            if new.exhausted is None:
                return new
        # the exact Hessian has the last word
        sums = problem.passes.hessian(state.theta)
        fresh = replace(state, model=None, second_order=sums)
        return self._step(problem, fresh, QuadraticModel.of(problem, state.theta, state.score, sums.hessian))

    def _step(self, problem: Problem, state: NewtonState, here: QuadraticModel) -> NewtonState:
        """A step of this model that keeps a part of what it promises; otherwise, why there is none."""
        rows = problem.total_weight
        steepness = problem.steepness(state.theta, state.score, here.unit)
        if self._meets_gtol(steepness) and not leads_up(here.curvature):
            return replace(state, iteration=state.iteration + 1, exhausted=Stop.GRADIENT)
        roundoff = ROUNDOFF * max(1.0, abs(state.loglik) / rows)
        radius, promised = state.radius, 0.0
        for _ in range(60):
            step = here.step(radius)
            length = here.length(step)
            predicted = here.gain(step)
            promised = max(promised, predicted)
            theta = problem.move(state.theta, step)
            sums = problem.passes.score(theta)
            gained = (sums.loglik - state.loglik) / rows
            if abs(gained) <= roundoff and abs(predicted) <= roundoff:
                # both are below round-off: the gradient decides
                ratio = 1.0 if problem.steepness(theta, sums.score, here.unit) < steepness else -1.0
            else:
                ratio = gained / predicted if predicted > 0 and np.isfinite(gained) else -1.0
            if ratio > 0.75 and length > 0.9 * radius:
                radius = min(2.5 * radius, self.max_radius)
            elif not ratio > 0.25:
                radius = 0.25 * min(length, radius)
            if ratio > 1e-4:
                left = problem.steepness(theta, sums.score, here.unit)  # not before: a refused point may lie anywhere
                norm = problem.gradient_norm(theta, sums.score)
                gain, move = sums.loglik - state.loglik, float(np.abs(theta - state.theta).max(initial=0.0))
                after = state.iteration + 1
                new = NewtonState(theta, sums.loglik, sums.score, norm, after, "newton", radius)
                idle = state.idle + 1 if gain <= IDLE_GAIN * rows else 0
                creeps = idle >= IDLE_STEPS and left <= self.ACCEPTABLE
                exhausted = Stop.CREEPING if creeps else None
                good = left <= self.keep * steepness and not self._meets_gtol(left) and here.reaches(step)
                model = here.moved(step, theta, sums.score) if good else None
                new = replace(new, gain=gain, move=move, shift=state.shift, idle=idle, exhausted=exhausted)
                return replace(new, model=model)
            if radius < 1e-13 or abs(predicted) <= 1e-2 * roundoff:
                break
        # the best step had nothing to offer, or what it promised did not come
        nothing = promised <= roundoff or steepness <= self.ACCEPTABLE
        stop = Stop.PRECISION if nothing else Stop.STALLED
        return replace(state, iteration=state.iteration + 1, exhausted=stop)

    def _meets_gtol(self, steepness: float) -> bool:
        return self.gtol is not None and steepness <= self.gtol

    def finished(self, state: NewtonState) -> Stop | None:
        """Gradient (once no direction leads up), precision, a small step where that is asked for, or limit."""
        return state.exhausted or self.small_step(state) or self.limit(state)


@dataclass(frozen=True)
class QuadraticModel:
    """The quadratic model of the log-likelihood per row at a point, and its maximiser in box and trust region.

    Lengths are measured in `Problem.unit`: where a row tells much about a parameter, a step is as much longer.
    """

    problem: Problem
    theta: FloatArray
    gradient: FloatArray
    hessian: FloatArray
    unit: FloatArray
    movable: BoolArray
    basis: FloatArray  # columns, in these units: eigenvectors of the curvature among the movable directions
    curvature: FloatArray

    @staticmethod
    def at(problem: Problem, state: NewtonState) -> QuadraticModel:
        return QuadraticModel.of(problem, state.theta, state.score, problem.passes.hessian(state.theta).hessian)

    @staticmethod
    def of(problem: Problem, theta: FloatArray, score: FloatArray, hessian: FloatArray) -> QuadraticModel:
        """The model at theta (P,) with this score (P,) and Hessian (P, P), sums over rows."""
        hessian = problem.chart.hessian(theta, score, hessian)
        unit = problem.unit(hessian)
        hessian = hessian / problem.total_weight
        score = problem.chart.score(theta, score)
        gradient = score / problem.total_weight
        movable = problem.movable(theta, score)
        basis, curvature = _eigenbasis(problem, theta, gradient, hessian, unit, movable)
        return QuadraticModel(problem, theta, gradient, hessian, unit, movable, basis, curvature)

    @property
    def strict(self) -> bool:
        """Whether every direction but those set aside is clearly curved as at a maximum."""
        n = int(self.movable.sum()) - len(self.problem.aside(self.theta, self.movable, self.unit))
        return self.curvature.size == n and bool(n and self.curvature[0] > FLAT * self.curvature[-1])

    @property
    def ahead(self) -> float:
        """What the model promises for Newton's step to its top, of all rows; infinite where it has none."""
        if not (self.curvature.size and self.curvature[0] > 0.0):
            return np.inf
        slope = self.basis.T @ (self.unit * self.gradient)
        return float(0.5 * self.problem.total_weight * slope @ (slope / self.curvature))

    def gain(self, step: FloatArray) -> float:
        """What the model promises for a step."""
        return float(self.gradient @ step + 0.5 * step @ self.hessian @ step)

    def length(self, step: FloatArray) -> float:
        """Length of a step."""
        scaled = step / self.unit
        return float(np.sqrt(scaled @ scaled))

    def reaches(self, step: FloatArray) -> bool:
        """Whether a step is Newton's own, cut by neither box nor trust region, in coordinates that do not turn."""
        if self.problem.chart.bent or not self.curvature.size or self.curvature[0] <= 0.0:
            return False
        slope, left = (self.basis.T @ (self.unit * g) for g in (self.gradient, self.gradient + self.hessian @ step))
        return bool(np.abs(left).max() <= WHOLE * np.abs(slope).max())

    def moved(self, step: FloatArray, theta: FloatArray, score: FloatArray) -> QuadraticModel:
        """The model where a step has led, its Hessian changed so that it explains what became of the score (P,)."""
        gradient = score / self.problem.total_weight
        rest = np.where(self.movable, gradient - self.gradient - self.hessian @ step, 0.0)
        along, size = float(rest @ step), float(np.linalg.norm(self.unit * rest)) * self.length(step)
        hessian = self.hessian + (np.outer(rest, rest) / along if abs(along) > SHOWN * size else 0.0)
        basis, curvature = _eigenbasis(self.problem, theta, gradient, hessian, self.unit, self.movable)
        return replace(self, theta=theta, gradient=gradient, hessian=hessian, basis=basis, curvature=curvature)

    def step(self, radius: float) -> FloatArray:
        """The best step inside the trust region; what meets a wall stays there, and the rest is solved again."""
        movable, basis, curvature = self.movable, self.basis, self.curvature
        fixed = np.zeros_like(self.theta)
        while True:
            slope = basis.T @ (self.unit * (self.gradient + self.hessian @ fixed))
            free = self.unit * (basis @ trust_region_step(slope, curvature, radius))
            target = self.problem.move(self.theta, fixed + free)
            inside = self.problem.admit(target)
            hit = movable & (inside != target)
            if not hit.any():
                return np.asarray(np.where(self.problem.chart.concerns, fixed + free, inside - self.theta))
            fixed[hit] = (inside - self.theta)[hit]
            movable = movable & ~hit
            gradient = self.gradient + self.hessian @ fixed
            basis, curvature = _eigenbasis(self.problem, self.theta, gradient, self.hessian, self.unit, movable)


def _eigenbasis(
    problem: Problem,
    theta: FloatArray,
    gradient: FloatArray,
    hessian: FloatArray,
    unit: FloatArray,
    movable: BoolArray,
) -> tuple[FloatArray, FloatArray]:
    """Eigenvectors (P, m) and eigenvalues (m,), ascending, of minus the Hessian in these units.

    Directions without curvature and without slope are left out: nothing there says how far to go.
    """
    scaled = hessian * np.outer(unit, unit)
    basis = complement(problem.aside(theta, movable, unit), movable)
    curvature, vectors = np.linalg.eigh(-(basis.T @ scaled @ basis))
    vectors = basis @ vectors
    size = np.abs(curvature)
    known = (size > NO_CURVATURE * size.max(initial=0.0)) | (np.abs(vectors.T @ (unit * gradient)) > NO_SLOPE)
    return vectors[:, known], curvature[known]


def leads_up(curvature: FloatArray) -> bool:
    """Whether a stationary point has a direction of ascent beyond round-off (it is a saddle)."""
    return bool(curvature.size and curvature[0] < -SADDLE * max(abs(curvature[-1]), 1e-300))


def trust_region_step(slope: FloatArray, curvature: FloatArray, radius: float) -> FloatArray:
    """Maximiser of slope's - 1/2 sum curvature_i s_i^2 over |s| <= radius, in the eigenbasis.

    curvature is sorted; where it is not positive, the step ends on the sphere (the hard case included).
    """
    if not slope.size:
        return slope
    scale = max(abs(curvature[-1]), abs(curvature[0]), 1e-300)
    if curvature[0] > 1e-14 * scale:
        step = slope / curvature
        if step @ step <= radius * radius:
            return step
    lowest = max(0.0, -curvature[0]) + 1e-13 * scale
    shift = _shift_for_length(slope, curvature, radius, lowest)
    step = slope / (curvature + shift)
    if curvature[0] < 0 and step @ step < 0.81 * radius * radius:
        # hard case: the gradient has no part along the direction of ascent; go there anyway
        step[0] = np.copysign(np.sqrt(radius * radius - step[1:] @ step[1:]), slope[0])
    return step


def _shift_for_length(slope: FloatArray, curvature: FloatArray, radius: float, lowest: float) -> float:
    """Shift mu >= lowest with |slope / (curvature + mu)| close to the radius, by bisection."""
    low, high = lowest, lowest + float(np.sqrt(slope @ slope)) / radius + 1e-300
    for _ in range(100):
        middle = 0.5 * (low + high)
        step = slope / (curvature + middle)
        length = float(np.sqrt(step @ step))
        if abs(length - radius) < 0.01 * radius:
            return middle
        low, high = (middle, high) if length > radius else (low, middle)
    return high
