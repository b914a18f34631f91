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
from math import exp, isfinite, sqrt
from typing import Any, ClassVar

import numpy as np

from moestat.component import Dilation, Dims, Gate
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
    """Weights by the angle between the covariates and a direction.

    Angles have an origin: covariates stay as they are given. Centre them first, and bring them to like scales; seen
    from far away, as years are from the year 0, all rows lie in one direction.

    Parameters
    ----------
    perturbation : float or (float, float)
        t1 and t2, added to the lengths of b_k and of x; one number stands for both.

    Notes
    -----
    Seen from far away angles hardly differ, and the likelihood is a long bent valley. With 400 rows and two experts
    Newton's method took 240 steps where the covariates' mean was twenty standard deviations from zero, 440 at thirty
    and 2000 at a hundred, plain or perturbed. It makes 300 unless told otherwise, and the fit then ends not converged.

    Bounds on the slopes shut out directions. Where they shut out the best one, the likelihood of the plain gate may
    rise without end as the temperature falls to zero and all directions become one: the fit ends not converged, unless
    the temperature is bounded too, as in ``bounds={"gate.slopes": (0.1, 0.2), "gate.temperature": (0.05, 20.0)}``.

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
        features = _features(block.Z, self._added[1])[1:]
        mass = np.maximum(resp.sum(axis=1, keepdims=True), 1e-300)
        towards = resp @ features.T / mass - features @ block.weight / block.weight.sum()
        lengths = np.linalg.norm(towards, axis=1, keepdims=True)
        own_axis = np.eye(towards.shape[1])[np.arange(len(towards)) % towards.shape[1]]
        slopes = np.where(lengths > 1e-8, towards / np.where(lengths > 1e-8, lengths, 1.0), own_axis)
        t1 = self._added[0]
        if t1 > 0:  # well inside the ball: |s_k| starts at a half, and may grow to ten
            return CosineParams(slopes=0.05 * t1 * slopes, intercepts=log_mass(resp), temperature=np.array(0.1 / 1.05))
        return CosineParams(slopes=slopes, intercepts=log_mass(resp), temperature=np.array(2.0))

    # ------------------------------------------------------------------------------- logits
    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        _value(local, block.Z, *self._added, out)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        _jac(local, block.Z, *self._added, out)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        _curv(local, block.Z, *self._added, weights, out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        _pull(local, block.Z, *self._added, weights, out)

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
        elif not unit.any(axis=1).all():  # a b = 0 is on no sphere
            slopes, largest = unit, 1.0
        else:
            null = _orthogonal(unit)
            nearer = unit - (unit @ null.T) @ null
            largest = np.linalg.norm(nearer, axis=1).mean()
            if largest < 1e-8:  # all in one direction: a sphere without radius
                nearer, largest = unit, 1.0
            slopes = nearer / np.linalg.norm(nearer, axis=1, keepdims=True)
        return layout.pack(CosineParams(intercepts=intercepts, slopes=slopes, temperature=params.temperature / largest))

    def dilation(self, layout: Layout) -> Dilation:
        scaled, shift = np.zeros(layout.size, dtype=bool), np.zeros(layout.size)
        scaled[layout.index("intercepts")] = True
        shift[layout.index("temperature")] = -1.0
        return Dilation(scaled, shift)

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


# --------------------------------------------------------------------------------------- kernels
# local parameters of an expert: intercept, b, log temperature


@jit
def _features(Z: FloatArray, added: float) -> FloatArray:
    """One, then x / (|x| + t2), (1 + d, B); zero where x is."""
    out = np.empty(Z.shape)
    inverse = np.zeros(Z.shape[1])
    for u in range(1, Z.shape[0]):
        x = Z[u]
        for j in range(inverse.size):
            inverse[j] += x[j] * x[j]
    for j in range(inverse.size):
        longer = sqrt(inverse[j]) + added
        inverse[j] = 1.0 / longer if longer > 0.0 else 0.0
    out[0] = 1.0
    for u in range(1, Z.shape[0]):
        x = Z[u]
        o = out[u]
        for j in range(inverse.size):
            o[j] = x[j] * inverse[j]
    return out


@jit
def _coefficients(own: FloatArray, t1: float, s: FloatArray, turn: FloatArray) -> None:
    """s = (c, b / ((|b| + t1) tau)) (1 + d,), and row v of turn (d, 1 + d) its derivative in b_v.

    A plain b = 0 has no direction: its cosine is 0, and so is every derivative.
    """
    d = own.size - 2
    square = 0.0
    for u in range(1, 1 + d):
        square += own[u] * own[u]
    length = sqrt(square)
    longer = length + t1
    inverse = 1.0 / longer if longer > 0.0 else 0.0
    scale = exp(-own[1 + d]) * inverse
    bend = inverse / length if length > 0.0 else 0.0
    s[0] = own[0]
    for v in range(d):
        s[1 + v] = scale * own[1 + v]
        turn[v, 0] = 0.0
        for u in range(1, 1 + d):
            turn[v, u] = -scale * bend * own[1 + v] * own[u]
        turn[v, 1 + v] += scale


@jit
def _value(local: FloatArray, Z: FloatArray, t1: float, t2: float, V: FloatArray) -> None:
    K, d = local.shape[0], Z.shape[0] - 1
    S, turn = np.empty((K, 1 + d)), np.empty((d, 1 + d))
    for k in range(K):
        _coefficients(local[k], t1, S[k], turn)
    linear_predictor(S, _features(Z, t2), V)


@jit
def _jac(local: FloatArray, Z: FloatArray, t1: float, t2: float, J: FloatArray) -> None:
    K, d = local.shape[0], Z.shape[0] - 1
    F, s, turn = _features(Z, t2), np.empty((1, 1 + d)), np.empty((d, 1 + d))
    for k in range(K):
        _coefficients(local[k], t1, s[0], turn)
        s[0, 0] = 0.0
        for u in range(1, 1 + d):
            s[0, u] = -s[0, u]
        J[k, 0] = 1.0
        linear_predictor(turn, F, J[k, 1 : 1 + d])
        linear_predictor(s, F, J[k, 1 + d :])


@jit
def _pull(local: FloatArray, Z: FloatArray, t1: float, t2: float, weights: FloatArray, out: FloatArray) -> None:
    K, d = local.shape[0], Z.shape[0] - 1
    s, turn, pulled = np.empty(1 + d), np.empty((d, 1 + d)), np.zeros((K, 1 + d))
    pull_linear(weights, _features(Z, t2), pulled)
    for k in range(K):
        f = pulled[k]
        _coefficients(local[k], t1, s, turn)
        out[k, 0] += f[0]
        for v in range(d):
            for u in range(1, 1 + d):
                out[k, 1 + v] += turn[v, u] * f[u]
            out[k, 1 + d] -= s[1 + v] * f[1 + v]


@jit
def _curv(local: FloatArray, Z: FloatArray, t1: float, t2: float, weights: FloatArray, out: FloatArray) -> None:
    """With g = b' f, n = |b|, a = n + t1 and u = b / n, the second derivative of g / a in b is

    -(f u' + u f') / a^2 - g (I - u u') / (n a^2) + 2 g u u' / a^3,

    and log tau multiplies whatever it meets by -1.
    """
    K, d = local.shape[0], Z.shape[0] - 1
    s, turn, pulled = np.empty(1 + d), np.empty((d, 1 + d)), np.zeros((K, 1 + d))
    pull_linear(weights, _features(Z, t2), pulled)
    for k in range(K):
        own = local[k]
        f = pulled[k]
        _coefficients(own, t1, s, turn)
        square = 0.0
        g = 0.0
        for u in range(1, 1 + d):
            square += own[u] * own[u]
            g += own[u] * f[u]
            out[k, 1 + d, 1 + d] += s[u] * f[u]
        for v in range(d):
            slope = 0.0
            for u in range(1, 1 + d):
                slope += turn[v, u] * f[u]
            out[k, 1 + v, 1 + d] -= slope
            out[k, 1 + d, 1 + v] -= slope
        n = sqrt(square)
        if n == 0.0:
            continue
        a = n + t1
        cool = exp(-own[1 + d])
        across = cool / (n * a * a)
        along = cool * g * (1.0 / n + 2.0 / a) / (n * n * a * a)
        for v in range(1, 1 + d):
            for u in range(1, 1 + d):
                out[k, v, u] += along * own[u] * own[v] - across * (f[v] * own[u] + own[v] * f[u])
            out[k, v, v] -= across * g
