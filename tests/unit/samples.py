"""Rows drawn from known mixtures, and the mixture density written with SciPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import special, stats

import moestat as ms
from moestat.data import Block
from moestat.experts import MixedParams, MultinomialParams
from moestat.solvers import Problem


@dataclass(frozen=True)
class Sample:
    """A model, the parameters that drew the rows, and the rows."""

    model: ms.MixtureOfExperts
    truth: ms.MoEParams
    X: np.ndarray
    y: np.ndarray

    @property
    def problem(self):
        return problem_of(self.model, self.X, self.y)


def problem_of(model, *rows, **inputs):
    return Problem.of(model, model.data(*rows, **inputs))


def all_rows(source):
    """The rows of a source in their order, as one block without padding."""
    columns = zip(*(block[:5] for block in source.blocks()), strict=True)
    whole = Block(*(np.concatenate(parts, axis=-1) for parts in columns))
    return Block(*(np.ascontiguousarray(part[..., whole.weight > 0]) for part in whole[:5]))


@cache
def sample(n_experts=2, n=200, d=1, seed=0, expert="gaussian"):
    """Random lines of different noise, or random class probabilities, behind a random softmax gate."""
    rng = np.random.default_rng(seed)
    K, C = n_experts, 3
    gate = {"slopes": 1.5 * rng.standard_normal((K, d)), "intercepts": rng.standard_normal(K)}
    if expert == "gaussian":
        lines = {"slopes": 2 * rng.standard_normal((K, d)), "intercepts": 2 * rng.standard_normal(K)}
        experts = {**lines, "variances": rng.uniform(0.1, 0.5, K)}
    else:
        experts = {"slopes": 2 * rng.standard_normal((K, C - 1, d)), "intercepts": rng.standard_normal((K, C - 1))}
    model = ms.MixtureOfExperts(expert=expert, n_experts=K)
    truth = model.params(gate=gate, expert=experts)
    X = rng.standard_normal((n, d))
    return Sample(model, truth, X, model.sample(truth, X, rng))


# ------------------------------------------------------------------------------------ the density once more
def gate_weights(gate, Z):
    """Softmax weights (n, K)."""
    return special.softmax(Z @ gate.slopes.T + gate.intercepts, axis=1)


def expert_density(expert, X, y, offset=0.0):
    """Density, or probability, of y under each expert (n, K)."""
    if isinstance(expert, MixedParams):
        return np.hstack([expert_density(member, X, y, offset) for member in expert.members])
    if isinstance(expert, MultinomialParams):
        return np.take_along_axis(class_probabilities(expert, X), y.astype(int)[:, None, None], axis=2)[:, :, 0]
    means = X @ expert.slopes.T + expert.intercepts + np.reshape(offset, (-1, 1))
    variances = expert.variances if hasattr(expert, "variances") else expert.variance
    return stats.norm.pdf(y[:, None], means, np.sqrt(variances))


def class_probabilities(expert, X):
    """Probabilities (n, K, C); the first class is the reference."""
    logits = np.einsum("nd,kcd->nkc", X, expert.slopes) + expert.intercepts
    return special.softmax(np.pad(logits, ((0, 0), (0, 0), (1, 0))), axis=2)


def density(params, X, y, Z=None, offset=0.0):
    """p(y | x) of every row (n,)."""
    return (gate_weights(params.gate, X if Z is None else Z) * expert_density(params.expert, X, y, offset)).sum(axis=1)


def loglik(params, X, y, Z=None, weight=1.0, offset=0.0):
    return float(np.sum(weight * np.log(density(params, X, y, Z, offset))))
