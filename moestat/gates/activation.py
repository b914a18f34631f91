"""Activation dense-to-sparse gate.

    h_k(x) = (a(beta_1k' x) + beta_0k) / tau          pi = softmax(h)       [Nguyen, Akbarian and Ho 2024]

with an activation a between the linear predictor and the softmax. Where 1, a and x a' are linearly independent, as for
sigmoid, tanh, GELU and SiLU (see `moestat.gates.independence`), the temperature is a parameter like any other and all
parameters converge at the rates of a regular model. Where they are not, the temperature cannot be told from a scale:

    identity        (beta_1, beta_0, tau) and (c beta_1, c beta_0, c tau) have the same weights; slopes shift together
    relu            the same ray, as a(c z) = c a(z) for c > 0; slopes do not shift

The intercepts shift together always. With two experts and an odd activation (and the sigmoid, odd about 1/2) the
slopes (b_1, b_2) and (-b_2, -b_1) have the same weights as well; the representative has b_1 + b_2 with a positive
first entry.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp
from typing import Any, ClassVar

import numpy as np

from moestat.activations import activation_named
from moestat.charts import Chart, contrasts
from moestat.component import Dilation, Dims, Gate
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block, Schema
from moestat.gates.mirror import upright
from moestat.gates.related import combined_without, one_for_each
from moestat.gates.temperature import check_tau
from moestat.gates.translated import log_mass
from moestat.kernels import jit
from moestat.kernels.activations import activate, differentiate
from moestat.kernels.linear import linear_predictor, row_dots, weighted_gram
from moestat.params import POSITIVE, Layout, axes, layout_of, own_columns, parameters, shared_columns
from moestat.typing import FloatArray, IntArray

#: Standard deviation of the linear predictors that a start proposes: an activation is neither straight nor saturated.
START_SPREAD = 1.0

#: A temperature that stands for zero: closer to it the second derivatives of differences of slopes are lost.
LEAST_TEMPERATURE = 1e-4

#: What the gate is there.
LIMIT = "slopes and temperature shrink together, towards logits a'(m'x) (d_k'x) + c_k"


@parameters
class ActivationParams:
    """slopes beta_1 (K, d), intercepts beta_0 (K,) and the temperature tau."""

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")
    temperature: FloatArray = axes(support=POSITIVE, label="temperature")


@parameters
class HeldActivationParams:
    """slopes beta_1 (K, d) and intercepts beta_0 (K,); the temperature is held."""

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")


@dataclass(frozen=True)
class Activation(Gate):
    """Weights proportional to exp((a(beta_1k'x) + beta_0k) / tau).

    Parameters
    ----------
    activation : str
        Name of a in `moestat.activations.ACTIVATIONS`.
    tau : float, optional
        The temperature to hold, from 1e-8 to 1e8; estimated when left out.

    Notes
    -----
    The predictor beta_1'x has no constant, so covariates are not shifted: they enter about their own origin.

    The likelihood may rise towards a limit: for slopes and temperature that tend to zero together the logits become
    linear, for slopes that coincide and a temperature that tends to zero they become a'(b'x) (c_k'x). A fit follows
    that way to a temperature of 1e-4, and its certificate then names the limit and its log-likelihood. Theory assumes a
    compact parameter space; ``bounds={"gate.temperature": (0.01, 100.0)}`` in `moestat.fit` states one.

    With relu and softsign the likelihood has kinks, and ascent may end at one, where the gradient is not zero and
    standard errors mean little. silu, gelu and tanh are their smooth relatives.

    References
    ----------
    Nguyen, Akbarian and Ho (2024), Is temperature sample efficient for softmax Gaussian mixture of experts?,
    arXiv 2401.13875.
    """

    activation: str = "sigmoid"
    tau: float | None = None

    name: ClassVar[str] = "activation"

    def __post_init__(self) -> None:
        activation_named(self.activation)
        check_tau(self.tau)

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        return activation_named(self.activation).smooth

    # ------------------------------------------------------------------------------- parameters
    def layout(self, dims: Dims) -> Layout:
        record = ActivationParams if self.tau is None else HeldActivationParams
        return layout_of(record, {"expert": dims.n_experts, "feature": dims.n_features})

    def columns(self, layout: Layout) -> IntArray:
        own = own_columns(layout.index("intercepts"), layout.index("slopes"))
        if self.tau is not None:
            return own
        return own_columns(own, shared_columns(len(own), layout.index("temperature")))

    def null_directions(self, layout: Layout, relations: FloatArray) -> FloatArray:
        # the linear predictor has no constant
        rows = combined_without(relations[:, 1:], relations[:, :1])
        return one_for_each(layout.index("slopes"), rows, layout.size)

    def coordinates(self, moments: Affine) -> Affine:
        return moments.without_location()

    def rescale(self, params: Any, covariates: ColumnMap) -> Any:
        if covariates.gain(np.eye(covariates.size)).any():
            return super().rescale(params, covariates)  # a shift has no intercept to go to
        return replace(params, slopes=covariates.slopes(params.slopes))

    # ------------------------------------------------------------------------------- logits
    @property
    def _code(self) -> int:
        return activation_named(self.activation).code

    def _inverse(self, local: FloatArray) -> float:
        """1 / tau."""
        return exp(min(-local[0, -1], 709.0)) if self.tau is None else 1.0 / self.tau

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        _value(self._code, local, self._inverse(local), block.Z, out)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        _jac(self._code, local, self._inverse(local), block.Z, value, out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        _pull(self._code, local, self._inverse(local), block.Z, value, weights, out)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        _curv(self._code, local, self._inverse(local), block.Z, value, weights, out)

    def jac_and_curv(
        self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, J: FloatArray, out: FloatArray
    ) -> None:
        _jac_and_curv(self._code, local, self._inverse(local), block.Z, value, weights, J, out)

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        # slopes of linear discriminants, small enough for all rows to feel them; zero would be the kink of a relu
        mass = resp.sum(axis=1, keepdims=True)
        weight = resp.sum(axis=0)
        Z = block.Z[1:]
        square = (Z * weight) @ Z.T / weight.sum()
        apart = (resp @ Z.T) / np.maximum(mass, 1e-300) - weight @ Z.T / weight.sum()
        slopes = np.linalg.lstsq(square, apart.T, rcond=1e-10)[0].T
        spread = np.sqrt(np.einsum("ku,uv,kv->k", slopes, square, slopes)).max(initial=0.0)
        given = {} if self.tau is not None else {"temperature": 1.0}
        return layout.build(
            slopes=START_SPREAD * slopes / spread if spread > 0 else slopes,
            intercepts=(self.tau or 1.0) * log_mass(resp),
            **given,
        )

    def enlarge(self, old: Layout, new: Layout, theta: FloatArray, copied: IntArray, split: float = 0.0) -> FloatArray:
        tau = self.tau if self.tau is not None else float(np.exp(theta[-1]))
        return super().enlarge(old, new, theta, copied, split * tau)

    # ------------------------------------------------------------------------------- what is not identified
    def _shifts(self, layout: Layout) -> IntArray:
        """Flat positions (m, K) that may move together."""
        intercepts = layout.index("intercepts")[None]
        return np.vstack([intercepts, layout.index("slopes").T]) if self.activation == "identity" else intercepts

    @property
    def _has_ray(self) -> bool:
        return self.tau is None and activation_named(self.activation).homogeneous

    def dilation(self, layout: Layout) -> Dilation | None:
        if self.tau is not None:
            return Dilation.linear(layout.size) if activation_named(self.activation).homogeneous else None
        shift = np.zeros(layout.size)
        shift[layout.index("temperature")] = -1.0
        return Dilation(np.zeros(layout.size, dtype=bool), shift)

    def ray(self, layout: Layout) -> Dilation | None:
        if not self._has_ray:
            return None
        own = np.arange(layout.size) == layout.index("temperature")
        return Dilation(~own, own.astype(np.float64))

    def chart(self, layout: Layout) -> Chart:
        # intercepts and differences of slopes tend to zero with the temperature, the mean slopes do not
        if self.tau is not None or self._has_ray:
            return super().chart(layout)
        basis, powers = np.eye(layout.size), np.zeros(layout.size)
        slopes = layout.index("slopes")
        for together in slopes.T:
            basis[np.ix_(together, together)] = contrasts(together.size)
        powers[layout.index("intercepts")] = 1.0
        powers[slopes[:-1].ravel()] = 1.0
        return Chart(basis, powers, int(layout.index("temperature")), float(np.log(LEAST_TEMPERATURE)), LIMIT)

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        out = theta.copy()
        if self._has_ray:
            out = np.append(theta[:-1] * np.exp(-theta[-1]), 0.0)
        for together in self._shifts(layout):
            out[together] -= out[together[-1]]
        slopes = layout.index("slopes")
        odd = activation_named(self.activation).odd_about is not None
        return upright(out, slopes) if odd and len(slopes) == 2 and self.activation != "identity" else out

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        shifts = self._shifts(layout)
        directions = np.zeros((len(shifts), layout.size))
        np.put_along_axis(directions, shifts, 1.0, axis=1)
        slopes = (f"common shift of the gate's slopes on covariate {u}" for u in range(1, len(shifts)))
        names = ("common shift of the gate's intercepts", *slopes)
        if not self._has_ray:
            return directions, names
        ray = np.append(theta[:-1], 1.0)
        return np.vstack([directions, ray]), (*names, "common scale of the logits and their temperature")

    def pinned(self, layout: Layout) -> IntArray:
        last: IntArray = self._shifts(layout)[:, -1]
        return np.append(last, layout.index("temperature")) if self._has_ray else last


# --------------------------------------------------------------------------------------- kernels


@jit
def _value(code: int, local: FloatArray, inverse: float, Z: FloatArray, out: FloatArray) -> None:
    p, B = Z.shape
    z = np.empty((1, B))
    for k in range(out.shape[0]):
        linear_predictor(local[k : k + 1, 1:p], Z[1:], z)
        activate(code, z[0], out[k])
        b = local[k, 0]
        o = out[k]
        for j in range(B):
            o[j] = (o[j] + b) * inverse


@jit
def _slopes(
    code: int,
    coef: FloatArray,
    inverse: float,
    Z: FloatArray,
    z: FloatArray,
    a: FloatArray,
    s: FloatArray,
    t: FloatArray,
) -> None:
    """s = a'(z) / tau and t = a''(z) / tau at z = coef' Z."""
    linear_predictor(coef, Z[1:], z)
    differentiate(code, z[0], a, s, t)
    for j in range(s.size):
        s[j] *= inverse
        t[j] *= inverse


@jit
def _jac(code: int, local: FloatArray, inverse: float, Z: FloatArray, value: FloatArray, out: FloatArray) -> None:
    p, B = Z.shape
    z, a, s, t = np.empty((1, B)), np.empty(B), np.empty(B), np.empty(B)
    for k in range(out.shape[0]):
        _slopes(code, local[k : k + 1, 1:p], inverse, Z, z, a, s, t)
        _write_rows(inverse, s, Z, value[k], out[k])


@jit
def _write_rows(inverse: float, s: FloatArray, Z: FloatArray, v: FloatArray, out: FloatArray) -> None:
    p = Z.shape[0]
    out[0] = inverse
    for u in range(1, p):
        x = Z[u]
        o = out[u]
        for j in range(s.size):
            o[j] = s[j] * x[j]
    for u in range(p, out.shape[0]):  # log tau, where it is estimated
        o = out[u]
        for j in range(s.size):
            o[j] = -v[j]


@jit
def _pull(
    code: int, local: FloatArray, inverse: float, Z: FloatArray, value: FloatArray, c: FloatArray, out: FloatArray
) -> None:
    p, B = Z.shape
    z, a, s, t = np.empty((1, B)), np.empty(B), np.empty(B), np.empty(B)
    for k in range(out.shape[0]):
        _slopes(code, local[k : k + 1, 1:p], inverse, Z, z, a, s, t)
        w = c[k]
        v = value[k]
        total = 0.0
        along = 0.0
        for j in range(B):
            total += w[j]
            along += w[j] * v[j]
            s[j] *= w[j]
        out[k, 0] += inverse * total
        row_dots(s, Z[1:], out[k, 1:p])
        for u in range(p, out.shape[1]):
            out[k, u] -= along


@jit
def _curv(
    code: int, local: FloatArray, inverse: float, Z: FloatArray, value: FloatArray, c: FloatArray, out: FloatArray
) -> None:
    p, B = Z.shape
    z, a, s, t = np.empty((1, B)), np.empty(B), np.empty(B), np.empty(B)
    for k in range(out.shape[0]):
        _slopes(code, local[k : k + 1, 1:p], inverse, Z, z, a, s, t)
        _add_bends(inverse, s, t, Z, value[k], c[k], out[k])


@jit
def _add_bends(
    inverse: float, s: FloatArray, t: FloatArray, Z: FloatArray, v: FloatArray, w: FloatArray, out: FloatArray
) -> None:
    """s and t are used up."""
    p, B = Z.shape
    total = 0.0
    along = 0.0
    for j in range(B):
        total += w[j]
        along += w[j] * v[j]
        s[j] *= w[j]
        t[j] *= w[j]
    weighted_gram(t, Z[1:], 1.0, 1, out)
    cross = np.empty(p)
    for u in range(p, out.shape[0]):  # d2 h / d log tau d theta = - dh / d theta
        cross[:] = 0.0
        cross[0] = inverse * total
        row_dots(s, Z[1:], cross[1:])
        for b in range(p):
            out[b, u] -= cross[b]
            out[u, b] -= cross[b]
        out[u, u] += along


@jit
def _jac_and_curv(
    code: int,
    local: FloatArray,
    inverse: float,
    Z: FloatArray,
    value: FloatArray,
    c: FloatArray,
    J: FloatArray,
    out: FloatArray,
) -> None:
    p, B = Z.shape
    z, a, s, t = np.empty((1, B)), np.empty(B), np.empty(B), np.empty(B)
    for k in range(out.shape[0]):
        _slopes(code, local[k : k + 1, 1:p], inverse, Z, z, a, s, t)
        _write_rows(inverse, s, Z, value[k], J[k])
        _add_bends(inverse, s, t, Z, value[k], c[k], out[k])
