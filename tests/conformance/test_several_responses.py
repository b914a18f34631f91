"""Responses of shape (n, m): an expert of several columns needs nothing but its own functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm

from moestat.component import Dims, Expert
from moestat.data import Data
from moestat.gates import Softmax
from moestat.model import MixtureOfExperts, mixture_mean
from moestat.params import Layout, axes, layout_of, own_columns, parameters
from moestat.passes import Passes


@parameters
class CentreParams:
    """Means of each expert, (K, m)."""

    centres: np.ndarray = axes("expert", "response")


@dataclass(frozen=True)
class Centres(Expert):
    """Independent standard normal responses about a centre: a sketch in plain NumPy."""

    name: ClassVar[str] = "centres"

    def check(self, source):
        """Any number of columns will do."""

    def layout(self, dims: Dims) -> Layout:
        return layout_of(CentreParams, {"expert": dims.n_experts, "response": dims.n_responses})

    def columns(self, layout):
        return own_columns(layout.index("centres"))

    def value(self, local, block, out):
        out[:] = norm.logpdf(block.Y[None] - local[:, :, None]).sum(axis=1)

    def jac(self, local, block, value, out):
        out[:] = block.Y[None] - local[:, :, None]

    def curv(self, local, block, value, weights, out):
        out -= weights.sum(axis=1)[:, None, None] * np.eye(local.shape[1])

    def start(self, layout, block, resp, schema):
        return CentreParams(centres=resp @ block.Y.T / resp.sum(axis=1, keepdims=True))

    def mean(self, local, block):
        return np.repeat(local[:, :, None], block.weight.size, axis=2)

    def mean_jac(self, local, block):
        m = local.shape[1]
        return np.broadcast_to(np.eye(m)[None, :, :, None], (len(local), m, m, block.weight.size))

    def draw(self, local, block, chosen, rng):
        return local[chosen].T + rng.standard_normal((local.shape[1], chosen.size))


def problem():
    rng = np.random.default_rng(5)
    X, Y = rng.normal(size=(60, 1)), rng.normal(size=(60, 3))
    model = MixtureOfExperts(gate=Softmax(), expert=Centres(), n_experts=2)
    source = model.prepare(Data(X, Y, block_rows=16))
    terms = model.terms(source.schema)
    return X, Y, Passes(terms, source), rng.normal(size=terms.size)


def test_loglik_of_several_columns():
    X, Y, passes, theta = problem()
    params = passes.terms.layout.unpack(theta)
    Z = passes.source.coordinates.Z.apply(X)
    logits = Z @ params.gate.slopes.T + params.gate.intercepts
    density = norm.logpdf(Y[:, None] - params.expert.centres).sum(axis=2)
    want = (logsumexp(logits + density, axis=1) - logsumexp(logits, axis=1)).sum()
    np.testing.assert_allclose(passes.loglik(theta), want, rtol=1e-12)


def test_score_and_hessian_of_several_columns():
    """Central differences with step 1e-5: half the digits."""
    _, _, passes, theta = problem()
    sums, step = passes.hessian(theta), 1e-5
    for i, unit in enumerate(step * np.eye(theta.size)):
        slope = (passes.loglik(theta + unit) - passes.loglik(theta - unit)) / (2 * step)
        bend = (passes.score(theta + unit).score - passes.score(theta - unit).score) / (2 * step)
        np.testing.assert_allclose(sums.score[i], slope, atol=1e-6)
        np.testing.assert_allclose(sums.hessian[i], bend, atol=1e-5)


def test_mean_of_several_columns():
    _, _, passes, theta = problem()
    block = next(iter(passes.source.blocks()))
    means = mixture_mean(passes.terms, theta, block)
    weights = passes.terms.gate_weights(theta, block)
    np.testing.assert_allclose(means, weights.T @ theta[passes.terms.expert_columns], rtol=1e-12)
