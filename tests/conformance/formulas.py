"""The models written a second time: arrays (n, K), no blocks, no derivatives, none of moestat's arithmetic.

Every formula is analytic in its parameters and takes complex ones, so that the imaginary part of a tiny
imaginary step is a derivative to full precision. A registered component has its formula here; the tests ask
nothing else of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, singledispatch
from typing import Any

import numpy as np
from scipy import special, stats
from scipy.special import erf, gammaln, loggamma

from moestat import gates
from moestat.experts import (
    Binomial,
    Constant,
    Gamma,
    Gaussian,
    Known,
    Mixed,
    Multinomial,
    MultivariateGaussian,
    Noise,
    Poisson,
    Zero,
)
from moestat.gates import Cosine, Laplace, NoRGa, Quadratic, Sigmoid, Softmax
from moestat.gates import Gaussian as GaussianGate
from moestat.gates.gumbel import gumbel_draws
from moestat.gates.noisy import normal_draws
from moestat.params import Layout
from tests.conformance.sketches import Background

Array = np.ndarray[Any, Any]

ACTIVATED = {
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "gelu": lambda z: 0.5 * z * (1 + erf(z / np.sqrt(2))),
    "relu": lambda z: np.where(z.real > 0, z, 0.0),
}
Fields = dict[str, Any]


def fields(layout: Layout, theta: Array) -> Fields:
    """Natural parameters of a flat, possibly complex, vector as nested dictionaries."""
    out: Fields = {}
    offset = 0
    for name, entry in layout.entries:
        chunk = theta[offset : offset + entry.size]
        nested = isinstance(entry, Layout)
        out[name] = fields(entry, chunk) if nested else entry.record(chunk)
        offset += entry.size
    return out


def log_sum_exp(a: Array) -> Array:
    """log sum_k exp(a[:, k]); entries may be complex or -inf."""
    top = a.real.max(axis=1)
    return np.log(np.exp(a - top[:, None]).sum(axis=1)) + top


def row_loglik(gate: Any, expert: Any, p: Fields, X: Array, Z: Array, y: Array, offset: Array) -> Array:
    """log p(y_i | x_i), (n,); of (z_i, y_i) together when the gate is a joint likelihood."""
    h = logits(gate, p["gate"], Z)
    joint = log_sum_exp(h + log_density(expert, p["expert"], X, y, offset))
    return joint - log_sum_exp(h) if gate.normalised else joint


#: What settings name, for complex arguments.
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda z: z,
    "relu": lambda z: np.where(z.real > 0, z, 0.0),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1.0 / (1.0 + np.exp(-z)),
    "silu": lambda z: z / (1.0 + np.exp(-z)),
    "gelu": lambda z: 0.5 * z * special.erfc(-z / np.sqrt(2.0)),
}


# --------------------------------------------------------------------------------------- gates
@singledispatch
def logits(gate: Any, p: Fields, Z: Array) -> Array:
    """Log weights (n, K) up to a common term."""
    raise NotImplementedError(f"{type(gate).__name__} has no formula in {__file__} yet.")


@logits.register
def _(gate: Softmax, p: Fields, Z: Array) -> Array:
    return ACTIVATIONS[gate.transform or "identity"](Z) @ p["slopes"].T + p["intercepts"]


@logits.register
def _(gate: Quadratic, p: Fields, Z: Array) -> Array:
    d = Z.shape[1]
    A = np.zeros((*p["intercepts"].shape, d, d), dtype=p["quadratic"].dtype)
    for entry, (u, v) in enumerate(zip(*np.tril_indices(d), strict=True)):
        A[:, u, v] = A[:, v, u] = p["quadratic"][:, entry]
    linear = Z @ p["slopes"].T if gate.linear else 0.0
    return np.einsum("nu,kuv,nv->nk", Z, A, Z) + linear + p["intercepts"]


@logits.register
def _(gate: Cosine, p: Fields, Z: Array) -> Array:
    t1, t2 = np.broadcast_to(gate.perturbation, 2)
    b_length = np.sqrt((p["slopes"] ** 2).sum(axis=1)) + t1
    x_length = np.sqrt((Z**2).sum(axis=1)) + t2
    return Z @ p["slopes"].T / np.outer(x_length, b_length) / p["temperature"] + p["intercepts"]


@logits.register
def _(gate: Sigmoid, p: Fields, Z: Array) -> Array:
    return -np.log(1.0 + np.exp(-(Z @ p["slopes"].T + p["intercepts"])))


@logits.register
def _(gate: NoRGa, p: Fields, Z: Array) -> Array:
    score = Z @ p["slopes"].T + p["intercepts"]
    return score + gate.alpha * ACTIVATIONS[gate.activation](gate.tau * score)


@logits.register
def _(gate: Laplace, p: Fields, Z: Array) -> Array:
    square = ((Z[:, None, :] - p["centres"]) ** 2).sum(axis=2)
    return p["intercepts"] - np.sqrt(square + gate.smoothing**2)


@logits.register
def _(gate: gates.Sparsemax, p: Fields, Z: Array) -> Array:
    return log_entmax(logits(gate.inner, p, Z), 2.0)


@logits.register
def _(gate: gates.Entmax, p: Fields, Z: Array) -> Array:
    if gate.alpha == 1.0:
        return logits(gate.inner, p, Z)
    if gate.alpha is not None:
        return log_entmax(logits(gate.inner, p, Z), gate.alpha)
    return log_entmax(logits(gate.inner, p["inner"], Z), 1.0 + p["excess"])


def log_entmax(t: Array, alpha: Any) -> Array:
    """log of [(alpha - 1) t - tau]_+ ** (1 / (alpha - 1)), tau by bisection."""
    t = np.where(np.isfinite(t.real), t, -1e300)
    scaled, power = (alpha - 1.0) * t, 1.0 / (alpha - 1.0)
    low, high = scaled.real.max(axis=1) - 1.0, scaled.real.max(axis=1)
    for _ in range(60):
        middle = 0.5 * (low + high)
        heavy = (np.maximum(scaled.real - middle[:, None], 0.0) ** np.real(power)).sum(axis=1) > 1.0
        low, high = np.where(heavy, middle, low), np.where(heavy, high, middle)
    on = scaled.real > low[:, None]
    tau = low
    for _ in range(2):  # Newton's steps carry the imaginary part
        gap = np.where(on, scaled - tau[:, None], 1.0)
        weight = np.where(on, gap**power, 0.0)
        tau = tau + (weight.sum(axis=1) - 1.0) / (power * (weight / gap).sum(axis=1))
    return np.where(on, power * np.log(np.where(on, scaled - tau[:, None], 1.0)), -np.inf)


@logits.register
def _(gate: gates.Threshold, p: Fields, Z: Array) -> Array:
    h = logits(gate.inner, p, Z)
    order = np.argsort(-h.real, axis=1, kind="stable")
    if gate.margin is not None:
        on = h.real >= h.real.max(axis=1, keepdims=True) - gate.margin
        return np.where(on, h, -np.inf)
    pi = np.take_along_axis(special.softmax(h.real, axis=1), order, axis=1)
    before = np.cumsum(pi, axis=1) - pi
    on = np.empty(h.shape, dtype=bool)
    np.put_along_axis(on, order, before < (0.9 if gate.mass is None else gate.mass) - 1e-12, axis=1)
    return np.where(on, h, -np.inf)


@logits.register
def _(gate: gates.Temperature, p: Fields, Z: Array) -> Array:
    h = logits(gate.inner, p if gate.tau is not None else p["inner"], Z)
    tau = gate.tau if gate.tau is not None else p["temperature"]
    if gate.depends_on == "covariates":
        tau = (tau * np.exp(Z @ p["log_slopes"]))[:, None]
    on = np.isfinite(h.real)
    return np.where(on, np.where(on, h, 0.0) / tau, -np.inf)


@logits.register
def _(gate: gates.AdaptiveTemperature, p: Fields, Z: Array) -> Array:
    u = logits(gate.inner, p["inner"], Z)
    on = np.isfinite(u.real)
    log_share = np.where(on, np.where(on, u, 0.0) - log_sum_exp(u)[:, None], 0.0)
    entropy = -(np.exp(np.where(on, log_share, -np.inf)) * log_share).sum(axis=1)
    tau = p["temperature"] * np.exp(p["entropy"] * (entropy - np.log(u.shape[1])))
    return np.where(on, np.where(on, u, 0.0) / tau[:, None], -np.inf)


@logits.register
def _(gate: gates.Gumbel, p: Fields, Z: Array) -> Array:
    u = logits(gate.inner, p if gate.tau is not None else p["inner"], Z)
    tau = gate.tau if gate.tau is not None else p["temperature"]
    if gate.tau == 0.0:
        return u
    noise = gumbel_draws(gate.n_draws, u.shape[1], gate.seed)
    z = (u[:, None, :] + noise) / tau
    z = z - z.real.max(axis=2, keepdims=True)
    weights = np.exp(z) / np.exp(z).sum(axis=2, keepdims=True)
    return np.log(weights.mean(axis=1))


@logits.register
def _(gate: gates.NoisyTopK, p: Fields, Z: Array) -> Array:
    u = logits(gate.inner, p if gate.scale is not None else p["inner"], Z)
    s = gate.scale if gate.scale is not None else p["scale"]
    K = u.shape[1]
    n = min(2, K) if gate.n_active is None else gate.n_active
    noise = normal_draws(gate.n_draws, K, gate.seed)
    noisy = u[:, None, :] + s * noise
    found = np.zeros(u.shape, dtype=np.result_type(u, s, float))
    for k in range(K):
        others = np.delete(noisy, k, axis=2)
        others = np.take_along_axis(others, np.argsort(-others.real, axis=2), axis=2)
        mass, own = 1.0, noise[:, k]
        if n < K:
            mass = special.ndtr((u[:, k : k + 1] - others[:, :, n - 1]) / s)
            own = normal_quantile(special.ndtr(-noise[:, k]) * mass)
        beside = np.exp(others[:, :, : n - 1] - (u[:, k : k + 1] + s * own)[:, :, None]).sum(axis=2)
        found[:, k] = (mass / (1.0 + beside)).mean(axis=1)
    share = found / found.sum(axis=1, keepdims=True)
    on = share.real > 1e-290
    return np.where(on, np.log(np.where(on, share, 1.0)), -np.inf)


def ranking(gate: Any, p: Fields, Z: Array) -> Array:
    """The order of the noisy logits of every row and draw, where derivatives have kinks at its changes; else empty."""
    if not isinstance(gate, gates.NoisyTopK):
        return np.empty(0)
    u = logits(gate.inner, p if gate.scale is not None else p["inner"], Z)
    s = gate.scale if gate.scale is not None else p["scale"]
    return np.argsort(u[:, None, :] + s * normal_draws(gate.n_draws, u.shape[1], gate.seed), axis=2)


def normal_quantile(upper: Array) -> Array:
    """x with Phi(-x) = upper; one Newton step carries the imaginary part."""
    x = -special.ndtri(np.clip(upper.real, 1e-300, 1.0 - 1e-16))
    return x + (special.ndtr(-x) - upper) / np.exp(-0.5 * x**2) * np.sqrt(2.0 * np.pi)


@logits.register
def _(gate: gates.Activation, p: Fields, Z: Array) -> Array:
    tau = p["temperature"] if gate.tau is None else gate.tau
    return (ACTIVATIONS[gate.activation](Z @ p["slopes"].T) + p["intercepts"]) / tau


@logits.register
def _(gate: gates.Constant, p: Fields, Z: Array) -> Array:
    return np.tile(p["intercepts"] if gate.weights is None else np.log(gate.weights), (len(Z), 1))


@logits.register
def _(gate: gates.Hierarchical, p: Fields, Z: Array) -> Array:
    groups = list(p["group"].values())
    outer = logits(gate.outer, p["outer"], Z) if len(groups) > 1 else np.zeros((len(Z), 1))
    each = gate.inner if isinstance(gate.inner, tuple) else (gate.inner,) * len(groups)
    leaves = []
    for g, (inner, own) in enumerate(zip(each, groups, strict=True)):
        v = logits(inner, own, Z) if own or getattr(inner, "weights", None) else np.zeros((len(Z), 1))
        leaves.append(outer[:, [g]] + v - log_sum_exp(v)[:, None])
    return np.concatenate(leaves, axis=1)


@logits.register
def _(gate: gates.TopK, p: Fields, Z: Array) -> Array:
    h = logits(gate.inner, p, Z)
    ranked = (logits(gate.inner, without_intercepts(p), Z) if gate.rank_on == "score" else h).real
    mine, other = ranked[:, :, None], ranked[:, None, :]
    earlier = np.tri(h.shape[1], k=-1, dtype=bool)  # [k, l]: l comes before k
    ahead = (other > mine) | ((other == mine) & earlier)
    return np.where(ahead.sum(axis=2) < (gate.n_active or min(2, h.shape[1])), h, -np.inf)


def without_intercepts(p: Fields) -> Fields:
    """The same parameters with intercepts of zero, at whatever depth."""
    return {
        name: without_intercepts(own) if isinstance(own, dict) else own * (name != "intercepts")
        for name, own in p.items()
    }


@logits.register
def _(gate: GaussianGate, p: Fields, Z: Array) -> Array:
    if gate.likelihood == "conditional":
        h = Z @ p["slopes"].T + p["intercepts"]
        if gate.covariance == "common":
            return h
        products = {
            "full": [Z[:, u] * Z[:, v] for u in range(Z.shape[1]) for v in range(u + 1)],
            "diagonal": list(Z.T**2),
            "spherical": [(Z**2).sum(axis=1)],
        }
        return h + np.stack(products[gate.shape], axis=1) @ p["quadratics"].reshape(len(h.T), -1).T
    K, d = p["centres"].shape
    S = p["covariances"]
    if gate.shape == "spherical":
        S = S[..., None] * np.ones(d)
    if gate.shape != "full":
        S = S[..., None] * np.eye(d)
    S = np.broadcast_to(S, (K, d, d))
    gap = Z[:, None, :] - p["centres"]
    square = np.einsum("nku,nku->nk", gap, np.stack([np.linalg.solve(S[k], gap[:, k].T).T for k in range(K)], axis=1))
    log_weights = p["log_weights"] - log_sum_exp(p["log_weights"][None])
    return log_weights - 0.5 * (d * np.log(2 * np.pi) + np.log(np.linalg.det(S)) + square)


# --------------------------------------------------------------------------------------- experts
@singledispatch
def log_density(expert: Any, p: Fields, X: Array, y: Array, offset: Array) -> Array:
    """Log densities (n, K); y holds class codes when the expert is categorical."""
    raise NotImplementedError(f"{type(expert).__name__} has no formula in {__file__} yet.")


@log_density.register
def _(expert: Gaussian, p: Fields, X: Array, y: Array, offset: Array) -> Array:
    v = p["variance"] if expert.form == "linear" and expert.variance == "common" else p["variances"]
    mean = X @ p["slopes"].T + p["intercepts"]
    if expert.form == "polynomial":
        powers = X[:, :, None] ** np.arange(2, expert.degree + 1)
        mean = mean + np.einsum("ndq,kdq->nk", powers, p["powers"])
    elif expert.form != "linear":
        mean = p["scales"] * ACTIVATED[expert.form](mean)
    gap = y[:, None] - mean - offset[:, None]
    return -0.5 * np.log(2 * np.pi * v) - 0.5 * gap**2 / v


@log_density.register
def _(expert: MultivariateGaussian, p: Fields, X: Array, y: Array, offset: Array) -> Array:
    K, m, _ = p["slopes"].shape
    S = p["covariances"] if expert.shape == "full" else p["covariances"][..., None] * np.eye(m)
    S = np.broadcast_to(S, (K, m, m))
    gap = y[:, None] - np.einsum("nd,kmd->nkm", X, p["slopes"]) - p["intercepts"]
    solved = np.stack([np.linalg.solve(S[k], gap[:, k].T).T for k in range(K)], axis=1)
    return -0.5 * (m * np.log(2 * np.pi) + np.log(np.linalg.det(S)) + np.einsum("nkm,nkm->nk", gap, solved))


@log_density.register
def _(expert: Multinomial, p: Fields, X: Array, y: Array, offset: Array) -> Array:
    eta = np.einsum("nd,kcd->nkc", X, p["slopes"]) + p["intercepts"]
    eta = np.concatenate([np.zeros_like(eta[:, :, :1]), eta], axis=2)
    picked = np.take_along_axis(eta, y.astype(int)[:, None, None], axis=2)[:, :, 0]
    return np.stack([picked[:, k] - log_sum_exp(eta[:, k]) for k in range(eta.shape[1])], axis=1)


@log_density.register
def _(expert: Poisson, p: Fields, X: Array, y: Array, offset: Array) -> Array:
    eta = X @ p["slopes"].T + p["intercepts"] + offset[:, None]
    return y[:, None] * eta - np.exp(eta) - gammaln(y + 1.0)[:, None]


@log_density.register
def _(expert: Binomial, p: Fields, X: Array, y: Array, offset: Array) -> Array:
    """One trial in each row."""
    eta = X @ p["slopes"].T + p["intercepts"] + offset[:, None]
    chance = 1.0 / (1.0 + np.exp(-eta))
    return np.log(np.where(y[:, None] == 1.0, chance, 1.0 - chance))


@log_density.register
def _(expert: Gamma, p: Fields, X: Array, y: Array, offset: Array) -> Array:
    shape = 1.0 / (p["dispersions"] if expert.dispersion == "own" else p["dispersion"])
    rate = shape * np.exp(-(X @ p["slopes"].T + p["intercepts"] + offset[:, None]))
    return shape * np.log(rate) + (shape - 1.0) * np.log(y)[:, None] - rate * y[:, None] - loggamma(shape)


@log_density.register
def _(expert: Noise, p: Fields, X: Array, y: Array, offset: Array) -> Array:
    v = p["variances"]
    return -0.5 * np.log(2 * np.pi * v) - 0.5 * (y - offset - expert.level)[:, None] ** 2 / v


@log_density.register
def _(expert: Constant, p: Fields, X: Array, y: Array, offset: Array) -> Array:
    none = np.zeros((*p["intercepts"].shape, 0))
    return log_density(expert.family, p | {"slopes": none}, X[:, :0], y, offset)


@log_density.register
def _(expert: Known, p: Fields, X: Array, y: Array, offset: Array) -> Array:
    """The same for every expert: one column, (n, 1)."""
    away = y - (X @ np.array(expert.slopes) if expert.slopes else 0.0)
    law = {"normal": stats.norm, "laplace": stats.laplace, "poisson": stats.poisson}[expert.law]
    density = law.logpmf if expert.law == "poisson" else partial(law.logpdf, scale=expert.scale)
    return density(away, *expert.shapes, loc=expert.loc)[:, None]


@log_density.register
def _(expert: Zero, p: Fields, X: Array, y: Array, offset: Array) -> Array:
    return np.where(y == 0.0, 0.0, -np.inf)[:, None]


@log_density.register
def _(expert: Background, p: Fields, X: Array, y: Array, offset: Array) -> Array:
    v = p["variances"]
    return -0.5 * np.log(2 * np.pi * v) - 0.5 * (y[:, None] - p["means"]) ** 2 / v


@log_density.register
def _(expert: Mixed, p: Fields, X: Array, y: Array, offset: Array) -> Array:
    each = [log_density(family, p[str(k)], X, y, offset) for k, family in enumerate(expert.families)]
    return np.concatenate(each, axis=1)
