"""Curves of equal densities through a point of the parameter space, found numerically.

A direction is a tangent of such a curve if no row's log density changes along it to first order. That is not enough:
where two atoms coincide many directions are flat to first order, and the density changes to second. So a curve is
followed: at a distance along the direction, all other parameters are corrected by damped Gauss-Newton steps until the
log densities are those at the start, to rounding, or it is seen that they cannot be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from moestat.data import Block
from moestat.terms import Terms
from moestat.typing import FloatArray, IntArray

#: Singular values of the scores below this share of the largest count as zero.
NULL = 1e-10

#: Largest change of the density, as a share of its largest value, that counts as none.
SAME = 1e-13

#: Corrections at most, and damping at first.
MAX_STEPS, DAMPING = 60, 1e-3

#: Shares of the way at which the density is compared as well.
BETWEEN = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Rows:
    """Gate weights (K, B), log densities of experts (K, B) and of the mixture (B,) at some parameters."""

    weights: FloatArray
    experts: FloatArray
    log_density: FloatArray
    shares: FloatArray
    gap: FloatArray

    @classmethod
    def at(cls, terms: Terms, theta: FloatArray, block: Block) -> Rows:
        """Evaluate them; ``shares`` are responsibilities and ``gap`` what multiplies the gate's derivatives."""
        tile = next(terms.tiles(theta, [block]))
        weights = tile.PI.copy() if terms.gate.normalised else _conditional(terms, theta, block)
        return cls(weights, tile.E.copy(), tile.row.copy(), tile.R.copy(), tile.D.copy())


def _conditional(terms: Terms, theta: FloatArray, block: Block) -> FloatArray:
    """Weights (K, B) given the covariates, of a gate whose values are logs of joint densities."""
    local = theta[terms.gate_columns]
    value = np.empty((len(local), block.weight.size))
    terms.gate.value(local, block, value)
    return np.asarray(softmax(value, axis=0))


@dataclass(frozen=True)
class Derivatives:
    """Derivatives in all parameters: of log densities (B, P), gate weights (K B, P), experts' shares (K B, P)."""

    scores: FloatArray
    weights: FloatArray
    experts: FloatArray

    @classmethod
    def at(cls, terms: Terms, theta: FloatArray, block: Block) -> Derivatives:
        """Evaluate them."""
        rows = Rows.at(terms, theta, block)
        logits, densities = _jacobians(terms, theta, block)
        mean = np.einsum("kb,kpb->pb", rows.weights, logits)
        scores = np.einsum("kb,kpb->bp", rows.gap, logits) + np.einsum("kb,kpb->bp", rows.shares, densities)
        weights = rows.weights[:, None] * (logits - mean)
        experts = rows.shares[:, None] * densities
        return cls(scores, _stacked(weights), _stacked(experts))


def _stacked(values: FloatArray) -> FloatArray:
    """(K, P, B) as rows (K B, P)."""
    return np.ascontiguousarray(values.transpose(0, 2, 1)).reshape(-1, values.shape[1])


def _jacobians(terms: Terms, theta: FloatArray, block: Block) -> tuple[FloatArray, FloatArray]:
    """Derivatives (K, P, B) of logits and log densities in the flat vector."""
    out = []
    for component, columns in ((terms.gate, terms.gate_columns), (terms.expert, terms.expert_columns)):
        local, B = theta[columns], block.weight.size
        value = np.empty((len(local), B))
        component.value(local, block, value)
        shared = getattr(component, "known_features", False)
        J = np.empty((1 if shared else len(local), local.shape[1], B))
        component.jac(local, block, value, J)
        whole = np.zeros((len(local), theta.size, B))
        for k, own in enumerate(columns):
            np.add.at(whole[k], own, J[0 if shared else k])
        out.append(whole)
    return out[0], out[1]


def null_space(rows: FloatArray, size: int) -> FloatArray:
    """Orthonormal rows (r, P) that span what the matrix (n, P) does not see."""
    if not len(rows):
        return np.eye(size)
    _, s, vt = np.linalg.svd(rows, full_matrices=True)
    rank = int((s > NULL * max(float(s[0]), 1e-300)).sum())
    return np.asarray(vt[rank:])


def within(space: FloatArray, constraints: FloatArray, scale: float) -> FloatArray:
    """Orthonormal rows spanning the part of a space (r, P) that the constraints (n, P) do not see."""
    if not len(space):
        return space
    seen = constraints @ space.T
    _, s, vt = np.linalg.svd(seen, full_matrices=True)
    rank = int((s > 1e2 * NULL * scale).sum())
    return np.asarray(vt[rank:] @ space)


def beyond(space: FloatArray, known: FloatArray) -> FloatArray:
    """Orthonormal rows spanning the part of a space (r, P) that is orthogonal to known rows."""
    if not len(space) or not len(known):
        return space
    basis = np.linalg.qr(known.T)[0]
    rest = space - (space @ basis) @ basis.T
    _, s, vt = np.linalg.svd(rest, full_matrices=False)
    return np.asarray(vt[s > 1e-8])


# --------------------------------------------------------------------------------------- following a curve
@dataclass(frozen=True)
class Curve:
    """Where a curve of equal densities leads, and by how much the density differs there and on the way."""

    end: FloatArray
    difference: float


def follow(
    terms: Terms, theta: FloatArray, direction: FloatArray, block: Block, length: float, nudge: FloatArray | None = None
) -> Curve | None:
    """A point of equal density at this distance along a direction, if there is one.

    Parameters
    ----------
    terms : Terms
    theta : ndarray (P,)
    direction : ndarray (P,)
        Of length one.
    block : Block
    length : float
        How far to go along the direction; other parameters may move as well.
    nudge : ndarray (P,), optional
        Added to the first guess: where atoms coincide, symmetry holds a guess in place.
    """
    there = _corrected(terms, theta, direction, block, length, theta + length * direction, nudge)
    if there is None:
        return None
    worst = difference(terms, theta, there, block)
    for share in BETWEEN:  # from a guess on the chord
        guess = theta + share * (there - theta)
        along = float(direction @ (guess - theta))
        point = _corrected(terms, theta, direction, block, along, guess, None)
        if point is None:
            return None
        worst = max(worst, difference(terms, theta, point, block))
    return Curve(there, worst)


def difference(terms: Terms, theta: FloatArray, other: FloatArray, block: Block) -> float:
    """Largest difference of the densities on these rows, as a share of the largest density."""
    one, two = (Rows.at(terms, at, block).log_density for at in (theta, other))
    top = one.max()
    return float(np.abs(np.exp(two - top) - np.exp(one - top)).max())


def _corrected(
    terms: Terms,
    theta: FloatArray,
    direction: FloatArray,
    block: Block,
    length: float,
    guess: FloatArray,
    nudge: FloatArray | None,
) -> FloatArray | None:
    """The guess moved across the direction until log densities are those at theta; damped Gauss-Newton steps."""
    target = Rows.at(terms, theta, block).log_density
    across = null_space(direction[None], theta.size)
    if nudge is not None:
        guess = guess + (nudge @ across.T) @ across
    here, damping = guess, DAMPING
    gap = _gap(terms, here, block, target)
    for _ in range(MAX_STEPS):
        slopes = Derivatives.at(terms, here, block).scores @ across.T
        if not (np.isfinite(slopes).all() and np.isfinite(gap).all()):
            return None
        trial = here + _step(slopes, gap, damping) @ across
        moved = _gap(terms, trial, block, target)
        if not np.linalg.norm(moved) < np.linalg.norm(gap):
            if damping == 0.0 or damping > 1e6:
                break
            damping *= 10.0
            continue
        small = np.abs(moved).max() < 1e-6
        here, gap, damping = trial, moved, 0.0 if small else damping / 5.0
    close = difference(terms, theta, here, block) <= SAME and np.linalg.norm(here - theta) < 10 * abs(length) + 1e-3
    return here if close else None


def _gap(terms: Terms, theta: FloatArray, block: Block, target: FloatArray) -> FloatArray:
    with np.errstate(all="ignore"):
        return np.asarray(Rows.at(terms, theta, block).log_density - target)


def _step(slopes: FloatArray, gap: FloatArray, damping: float) -> FloatArray:
    """The shortest least-squares step, damped."""
    u, s, vt = np.linalg.svd(slopes, full_matrices=False)
    floor = damping * float(s[0]) if s.size else 0.0
    kept = s > NULL * max(float(s[0]), 1e-300)
    factor = np.where(kept, s / np.maximum(s**2 + floor**2, 1e-300), 0.0)
    return np.asarray(-((gap @ u) * factor) @ vt)


def chosen(block: Block, rows: IntArray) -> Block:
    """Some rows of a block, each counted once."""
    X, Z, Y = (np.ascontiguousarray(part[:, rows]) for part in (block.X, block.Z, block.Y))
    exposure = None if block.exposure is None else block.exposure[rows]
    return Block(X, Z, Y, block.offset[rows], np.ones(rows.size), exposure)
