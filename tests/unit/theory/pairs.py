"""Measures of softmax-gated Gaussian experts at random, and their loss written out once more, as plainly as can be."""

from __future__ import annotations

import numpy as np

import moestat as ms
from moestat.theory import mixing_measure


def softmax_measure(b0, b1, a, b, nu, gate="softmax", **options):
    """A measure from arrays: masses exp(b0), gate slopes b1 (K, d), experts' slopes a (K, d), intercepts, variances."""
    model = ms.MixtureOfExperts(gate=gate, n_experts=len(b0))
    field = "centres" if "laplace" in gate else "slopes"
    params = model.params(gate={"intercepts": b0, field: b1}, expert={"slopes": a, "intercepts": b, "variances": nu})
    return mixing_measure(model, params, **options)


def random_arrays(rng, K, d=1, spread=1.0):
    b0, b1, a, b = rng.normal(size=K), *(spread * rng.normal(size=(2, K, d))), spread * rng.normal(size=K)
    return b0, b1, a, b, np.exp(rng.normal(scale=0.5, size=K))


def near(rng, truth, K, sd):
    """K atoms round those of the truth, each true one with at least one while there are enough."""
    k = len(truth[0])
    source = np.concatenate([rng.permutation(k), rng.integers(k, size=max(K - k, 0))])[:K]
    b0, b1, a, b, nu = (np.asarray(x)[source] + sd * rng.normal(size=np.asarray(x)[source].shape) for x in truth)
    return b0, b1, a, b, np.abs(nu) + 1e-3


def random_pair(rng, d=1):
    """Arrays of a fit and of a truth: far apart, or near each other, of any sizes from 1 to 4."""
    K, k = rng.integers(1, 5), rng.integers(1, 4)
    truth = random_arrays(rng, k, d)
    fit = random_arrays(rng, K, d) if rng.random() < 0.5 else near(rng, truth, K, 10.0 ** rng.uniform(-3, 0))
    return fit, truth


R = {1: 1, 2: 4, 3: 6, 4: 8}


def plain_cells(fit, truth, t, absolute=False):
    """Nearest true atoms (n, K) at translations t (n, d)."""
    _, b1, a, b, nu = fit
    _, b1s, as_, bs, nus = truth
    power = 1 if absolute else 2
    still = (np.abs(a[:, None] - as_) ** power).sum(-1) + np.abs(b[:, None] - bs) ** power
    still = still + np.abs(nu[:, None] - nus) ** power
    moving = (np.abs(b1[None, :, None] - b1s[None, None] - t[:, None, None]) ** power).sum(-1)
    return (still + moving).argmin(axis=2)


def plain_loss(fit, truth, t, c=None, sharp=False):
    """The published loss with joint norms at translations t (n, d), smallest over the factor c, or at c (n,)."""
    b0, b1, a, b, nu = fit
    b0s, b1s, as_, bs, nus = truth
    total = np.exp(b0s).sum()
    m, ms_ = total * np.exp(b0) / np.exp(b0).sum(), np.exp(b0s)
    out = []
    for n, (shift, cells) in enumerate(zip(t, plain_cells(fit, truth, t), strict=True)):
        value, masses = 0.0, np.zeros(len(ms_))
        for i, j in enumerate(cells):
            size = int((cells == j).sum())
            masses[j] += m[i]
            slope, own = np.linalg.norm(b1[i] - b1s[j] - shift), np.linalg.norm(a[i] - as_[j])
            level, spread = abs(b[i] - bs[j]), abs(nu[i] - nus[j])
            r = R[size]
            if size == 1:
                term = np.sqrt(slope**2 + own**2 + level**2 + spread**2)
            elif sharp:
                term = slope**2 + own**2 + level**r + spread ** (r / 2)
            else:
                term = np.hypot(slope, level) ** r + np.hypot(own, spread) ** (r / 2)
            value += m[i] * term
        factors = masses / ms_ if c is None else c[n : n + 1]
        out.append(value + min(np.abs(masses - x * ms_).sum() for x in [*factors, *([0.0] if c is None else [])]))
    return np.array(out)


def tried(rng, fit, truth, n):
    """Translations (n, d) worth trying: those that lay an atom on another, their neighbours, and any."""
    kinks = (fit[1][:, None] - truth[1][None]).reshape(-1, fit[1].shape[1])
    chosen = kinks[rng.integers(len(kinks), size=n)]
    return np.vstack([kinks, chosen + rng.normal(size=chosen.shape) * 10.0 ** rng.uniform(-4, 1, size=(n, 1))])
