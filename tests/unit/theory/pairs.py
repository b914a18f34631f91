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


R = np.array([0, 1, 4, 6, 8])


def plain_loss(fit, truth, t, c=None, sharp=False, active=None):
    """The published loss with joint norms at translations t (n, d), smallest over the factor c, or at c (n,).

    With ``active``, which needs c, the sum of so many largest cells.
    """
    b0, b1, a, b, nu = map(np.asarray, fit)
    b0s, b1s, as_, bs, nus = map(np.asarray, truth)
    true = np.exp(b0s)
    m = true.sum() * np.exp(b0) / np.exp(b0).sum()
    slope = ((b1[:, None] - b1s - t[:, None, None]) ** 2).sum(-1)  # (n, K, J), squares as all of these
    own, level, spread = ((a[:, None] - as_) ** 2).sum(-1), (b[:, None] - bs) ** 2, (nu[:, None] - nus) ** 2
    cells = (slope + own + level + spread).argmin(axis=2)
    inside = cells[:, :, None] == np.arange(len(true))
    size = np.take_along_axis(inside.sum(axis=1), cells, axis=1)
    i = np.arange(len(m))
    slope = np.take_along_axis(slope, cells[:, :, None], axis=2)[:, :, 0]
    own, level, spread, r = own[i, cells], level[i, cells], spread[i, cells], R[size]
    shared = (slope + level) ** (r / 2) + (own + spread) ** (r / 4)
    if sharp:
        shared = slope + own + level ** (r / 2) + spread ** (r / 4)
    term = m * np.where(size == 1, np.sqrt(slope + own + level + spread), shared)
    by_cell, masses = (term[:, :, None] * inside).sum(axis=1), (m[:, None] * inside).sum(axis=1)
    factors = np.column_stack([masses / true, np.zeros(len(t))]) if c is None else np.reshape(c, (-1, 1))
    values = by_cell[:, None] + np.abs(masses[:, None] - factors[:, :, None] * true)  # (n, factors, J)
    return np.sort(values, axis=2)[:, :, -(active or len(true)) :].sum(axis=2).min(axis=1)


def searched_loss(rng, fit, truth, n=1000):
    """The smallest loss that trying translations finds: at random, then ever nearer to the best of them."""
    t = tried(rng, fit, truth, n)
    values = plain_loss(fit, truth, t)
    order = np.argsort(values)[:10]
    t, values, width = t[order], values[order], np.full(len(order), 0.5)
    for _ in range(40):
        beside = t[:, None] + width[:, None, None] * rng.normal(size=(len(t), 8, t.shape[1]))
        found = plain_loss(fit, truth, beside.reshape(-1, t.shape[1])).reshape(len(t), 8)
        best = found.argmin(axis=1)
        gained = found.min(axis=1) < values
        t = np.where(gained[:, None], beside[np.arange(len(t)), best], t)
        values, width = np.minimum(values, found.min(axis=1)), width * np.where(gained, 1.3, 0.7)
    return values.min()


def tried(rng, fit, truth, n):
    """Translations (n, d) worth trying: those that lay an atom on another, their neighbours, and any."""
    kinks = (fit[1][:, None] - truth[1][None]).reshape(-1, fit[1].shape[1])
    chosen = kinks[rng.integers(len(kinks), size=n)]
    return np.vstack([kinks, chosen + rng.normal(size=chosen.shape) * 10.0 ** rng.uniform(-4, 1, size=(n, 1))])
