"""Cosine gate, plain and perturbed.

    h_k = b_k' x / ((|b_k| + t1) (|x| + t2) tau) + c_k,   pi = softmax(h)

With t1 = t2 = 0 the logit is the cosine of the angle between x and b_k, divided by the temperature tau. The lengths of
b_k then mean nothing, and estimation is slow; perturbed norms, t1, t2 > 0, cure that.
                                                      [Nguyen et al. 2024, arXiv 2405.14131]

The logits are linear in the features f(x) = x / (|x| + t2), with coefficients s_k = b_k / ((|b_k| + t1) tau) that lie
on a sphere of radius 1 / tau (t1 = 0) or in the ball. What moves all s_k by one vector changes no weight. In the ball
that is always possible, and tau is nothing but room for it: the weights are those of a softmax gate of f(x). On the
sphere it is possible, at another tau, along vectors orthogonal to all differences s_k - s_l: where there are at most
as many experts as covariates. With at most one more, any softmax gate of f(x) has its sphere.

Canonical are lengths |b_k| = 1 and the smallest sphere (t1 = 0); b_K = 0 and max |b_k| = t1 (t1 > 0); c_K = 0 in both.
A row of zeros has no direction: its cosines are 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any, ClassVar

import numpy as np

from moestat.component import Dims, Gate
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.gates.translated import log_mass
from moestat.kernels import jit
from moestat.kernels.linear import linear_predictor, pull_linear
from moestat.params import POSITIVE, Layout, axes, layout_of, own_columns, parameters, shared_columns
from moestat.typing import FloatArray, IntArray


@parameters
class CosineParams:
    """intercepts c (K,), slopes b (K, d), whose direction counts, and one temperature tau for all experts."""

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")
    temperature: FloatArray = axes(support=POSITIVE, label="temperature")


@dataclass(frozen=True)
class Cosine(Gate):
    """Weights by the angle between the covariates and a direction; raw covariates, as angles have an origin.

    Parameters
    ----------
    perturbation : float or (float, float)
        t1 and t2, added to the lengths of b_k and of x; one number stands for both.

    References
    ----------
    Nguyen et al. (2024), Statistical advantages of perturbing cosine router in mixture of experts, arXiv 2405.14131.
    """

    perturbation: float | tuple[float, float] = 0.0

    name: ClassVar[str] = "cosine"

    def __post_init__(self) -> None:
        given: Any = self.perturbation
        pair = given if isinstance(given, tuple | list) else (given, given)
        numbers = all(isinstance(t, int | float) and not isinstance(t, bool) and isfinite(t) and t >= 0 for t in pair)
        if len(pair) != 2 or not numbers:
            raise InputError(
                f"perturbation must be a number of at least 0, or two for |b| and |x|; got {self.perturbation!r}."
            )
        if isinstance(given, list):
            object.__setattr__(self, "perturbation", tuple(given))

    @property
    def _added(self) -> tuple[float, float]:
        t = self.perturbation
        return t if isinstance(t, tuple) else (t, t)

    # ------------------------------------------------------------------------------- parameters
    def layout(self, dims: Dims) -> Layout:
        if dims.n_features == 0:
            raise InputError(
                "the cosine gate measures angles between covariates, and there are none. Give X or Z columns, or "
                "use gate='softmax', whose weights may be constant."
            )
        return layout_of(CosineParams, {"expert": dims.n_experts, "feature": dims.n_features})

    def columns(self, layout: Layout) -> IntArray:
        intercepts = layout.index("intercepts")
        temperature = shared_columns(intercepts.size, layout.index("temperature"))
        return own_columns(intercepts, layout.index("slopes"), temperature)

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> CosineParams:
        features = self._features(block)[1:]
        mass = np.maximum(resp.sum(axis=1, keepdims=True), 1e-300)
        towards = resp @ features.T / mass - features @ block.weight / block.weight.sum()
        lengths = np.linalg.norm(towards, axis=1, keepdims=True)
        own_axis = np.eye(towards.shape[1])[np.arange(len(towards)) % towards.shape[1]]
        slopes = np.where(lengths > 1e-8, towards / np.where(lengths > 1e-8, lengths, 1.0), own_axis)
        return CosineParams(slopes=slopes, intercepts=log_mass(resp), temperature=np.array(2.0))

    # ------------------------------------------------------------------------------- logits
    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        linear_predictor(self._coefficients(local), self._features(block), out)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        features, turns = self._features(block), self._turns(local)
        for own, turn, row, intercept in zip(out, turns, value, local[:, 0], strict=True):
            own[0] = 1.0
            linear_predictor(turn, features, own[1:-1])
            np.subtract(intercept, row, out=own[-1])

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        pulled = self._pulled(block, weights)
        out[:, 0] += pulled[:, 0]
        out[:, 1:-1] += np.einsum("kvu,ku->kv", self._turns(local), pulled)
        out[:, -1] -= (self._coefficients(local) * pulled)[:, 1:].sum(axis=1)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        pulled = self._pulled(block, weights)
        slope = np.einsum("kvu,ku->kv", self._turns(local), pulled)
        out[:, -1, -1] += (self._coefficients(local) * pulled)[:, 1:].sum(axis=1)
        out[:, 1:-1, -1] -= slope
        out[:, -1, 1:-1] -= slope
        for own, b, f in zip(out, local, pulled[:, 1:], strict=True):
            own[1:-1, 1:-1] += self._bend(b[1:-1], f) * np.exp(-b[-1])

    def _features(self, block: Block) -> FloatArray:
        """One, then x / (|x| + t2), (1 + d, B)."""
        out = np.ones_like(block.Z)
        _directions(block.Z, self._added[1], out)
        return out

    def _pulled(self, block: Block, weights: FloatArray) -> FloatArray:
        """Sums (K, 1 + d) of weights times features."""
        features = self._features(block)
        out = np.zeros((len(weights), len(features)))
        pull_linear(weights, features, out)
        return out

    def _coefficients(self, local: FloatArray) -> FloatArray:
        """Intercept and s = b / ((|b| + t1) tau), (K, 1 + d)."""
        out: FloatArray = local[:, :-1].copy()
        _, _, longer = self._lengths(out[:, 1:])
        out[:, 1:] *= np.exp(-local[:, -1:]) / longer
        return out

    def _turns(self, local: FloatArray) -> FloatArray:
        """Derivatives (K, d, 1 + d) of these coefficients in b: row v is the one in b_v."""
        b = local[:, 1:-1]
        unit, _, longer = self._lengths(b)
        d = b.shape[1]
        out = np.zeros((len(b), d, 1 + d))
        out[:, :, 1:] = (np.eye(d) - unit[:, :, None] * (b / longer)[:, None, :]) / longer[:, :, None]
        return np.asarray(out * np.exp(-local[:, -1])[:, None, None])

    def _bend(self, b: FloatArray, f: FloatArray) -> FloatArray:
        """Second derivative (d, d) of b' f / (|b| + t1)."""
        unit, length, longer = (part[0] for part in self._lengths(b[None]))
        across = np.outer(f, unit) / longer**2
        round_ = (b @ f) / longer**2 * (np.eye(b.size) - np.outer(unit, unit)) / (length if length > 0 else 1.0)
        out: FloatArray = 2.0 * (b @ f) / longer**3 * np.outer(unit, unit) - across - across.T - round_
        return out

    def _lengths(self, b: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Unit vectors (K, d), lengths (K, 1), and lengths with t1; a plain b = 0 has cosine 0 and stays."""
        length = np.linalg.norm(b, axis=1, keepdims=True)
        longer = length + self._added[0]
        return b / np.where(length > 0, length, 1.0), length, np.where(longer > 0, longer, 1.0)

    # ------------------------------------------------------------------------------- equal weights
    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        found = {"common shift of the gate's intercepts": {"intercepts": 1.0}}
        found |= self._of_the_ball(layout, theta) if self._added[0] > 0 else self._of_the_sphere(layout, theta)
        directions = np.zeros((len(found), layout.size))
        for direction, moves in zip(directions, found.values(), strict=True):
            for field, move in moves.items():
                direction[layout.index(field)] = move
        return directions, tuple(found)

    def _of_the_ball(self, layout: Layout, theta: FloatArray) -> dict[str, dict[str, Any]]:
        """Shifts of all s_k, and a larger ball round all of them; tau falls so that nobody meets the boundary."""
        b = theta[layout.index("slopes")]
        t1 = self._added[0]
        unit, _, longer = self._lengths(b)

        def moved(scaled: FloatArray) -> dict[str, Any]:
            """Move of b with s tau = b / (|b| + t1)."""
            along = (unit * scaled).sum(axis=1, keepdims=True) * unit
            return {"slopes": longer * (scaled - along) + longer**2 / t1 * along, "temperature": -1.0}

        shifts = {
            f"common shift of the gate's slopes on covariate {u}": moved(v - b / longer)
            for u, v in enumerate(np.eye(b.shape[1]), start=1)
        }
        return shifts | {"common scale of the gate's slopes and temperature": moved(-b / longer)}

    def _of_the_sphere(self, layout: Layout, theta: FloatArray) -> dict[str, dict[str, Any]]:
        """Lengths of every b_k, and shifts of all s_k to a sphere of another radius."""
        b = theta[layout.index("slopes")]
        unit, length, _ = self._lengths(b)
        lengths = {f"length of the slopes of the gate's expert {k}": own for k, own in enumerate(np.eye(len(b)), 1)}
        found: dict[str, dict[str, Any]] = {name: {"slopes": own[:, None] * b} for name, own in lengths.items()}
        for a, v in enumerate(_orthogonal(unit), start=1):
            along = unit @ v  # the same for every expert
            found[f"common shift of the gate's directions, {a}"] = {
                "slopes": length * (v - along[:, None] * unit),
                "temperature": -along.mean(),
            }
        return found

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        params = layout.unpack(theta)
        intercepts = params.intercepts - params.intercepts[-1]
        unit, _, longer = self._lengths(params.slopes)
        if self._added[0] > 0:
            scaled = params.slopes / longer - (params.slopes / longer)[-1]
            radius = np.linalg.norm(scaled, axis=1, keepdims=True)
            largest = 2.0 * radius.max()  # the longest b has length t1, half way out
            if largest == 0.0:
                return layout.pack(CosineParams(intercepts=intercepts, slopes=scaled, temperature=params.temperature))
            inner = radius / largest
            slopes = self._added[0] * scaled / largest / (1.0 - inner)
        else:
            null = _orthogonal(unit)
            nearer = unit - (unit @ null.T) @ null
            largest = np.linalg.norm(nearer, axis=1).mean()
            if largest < 1e-8:  # all in one direction: a sphere without radius
                nearer, largest = unit, 1.0
            slopes = nearer / np.linalg.norm(nearer, axis=1, keepdims=True)
        return layout.pack(CosineParams(intercepts=intercepts, slopes=slopes, temperature=params.temperature / largest))

    def pinned(self, layout: Layout) -> IntArray:
        last, slopes = layout.index("intercepts")[-1:], layout.index("slopes")
        if self._added[0] > 0:
            return np.concatenate([last, slopes[-1]])
        return np.concatenate([last, slopes[:, 0]]) if slopes.shape[1] == 1 else last

    def constraints(self, layout: Layout, theta: FloatArray) -> FloatArray:
        slopes = layout.index("slopes")
        fixed = np.eye(layout.size)[self.pinned(layout)]
        if self._added[0] == 0 and slopes.shape[1] == 1:
            return fixed
        b = theta[slopes]
        unit, length, _ = self._lengths(b)
        if self._added[0] > 0:
            longest = int(length.argmax())
            rows = np.zeros((1, layout.size))
            rows[0, slopes[longest]] = unit[longest]
            return np.vstack([fixed, rows])
        rows = np.zeros((len(b), layout.size))
        np.put_along_axis(rows, slopes, unit, axis=1)
        # the sphere's centre, at zero, is the point sum_k share_k unit_k of the experts' own plane
        null = _orthogonal(unit)
        differences = unit[:-1] - unit[-1]
        share = np.full(len(b), 1.0 / len(b))
        back = np.linalg.pinv(differences).T @ unit.mean(axis=0)
        share[:-1] -= back
        share[-1] += back.sum()
        centre = np.zeros((len(null), layout.size))
        centre[:, slopes] = share[None, :, None] * null[:, None, :]
        return np.vstack([fixed, rows, centre])


def _orthogonal(unit: FloatArray) -> FloatArray:
    """Orthonormal vectors (r, d) orthogonal to all differences between these (K, d)."""
    _, size, right = np.linalg.svd(unit[:-1] - unit[-1], full_matrices=True)
    rank = int((size > 1e-10).sum())
    return np.asarray(right[rank:])


@jit
def _directions(Z: FloatArray, added: float, out: FloatArray) -> None:
    """out[u] = x_u / (|x| + added) for u >= 1, zero where x is."""
    inverse = np.zeros(Z.shape[1])
    for u in range(1, Z.shape[0]):
        x = Z[u]
        for j in range(inverse.size):
            inverse[j] += x[j] * x[j]
    for j in range(inverse.size):
        longer = sqrt(inverse[j]) + added
        inverse[j] = 1.0 / longer if longer > 0.0 else 0.0
    for u in range(1, Z.shape[0]):
        x = Z[u]
        o = out[u]
        for j in range(inverse.size):
            o[j] = x[j] * inverse[j]
