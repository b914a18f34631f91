"""Fits of small awkward data drawn at random: no foreign exception, no missing number, no silence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import moestat as ms
from moestat.errors import MoestatError
from tests.traps.fits import assert_honest, told


def drawn(max_examples: int) -> settings:
    """The same on every machine and in every run."""
    phases = (Phase.explicit, Phase.generate)
    return settings(derandomize=True, max_examples=max_examples, deadline=None, database=None, phases=phases)


#: what is done to the columns of an example, one after the other
FAULTS = ("ties", "constant", "repeated column", "combination", "huge", "tiny", "far", "outlier")

#: and to its rows
ROW_FAULTS = ("repeated rows", "weights", "zero weights", "lopsided weights")


@dataclass(frozen=True)
class Example:
    """Settings from which a data set and a fit of it are made."""

    n: int
    d: int
    expert: str
    response: str
    faults: frozenset[str]
    row_faults: frozenset[str]
    gate: str
    seed: int

    def data(self):
        """Covariates of experts and gate, response, weights."""
        rng = np.random.default_rng(self.seed)
        X = rng.standard_normal((self.n, self.d))
        y = self._response(X, rng)
        for name in FAULTS:
            if name in self.faults:
                X, y = spoil(name, X, y, rng, self.expert == "gaussian")
        weight = None
        if "repeated rows" in self.row_faults:
            rows = rng.integers(self.n, size=self.n)
            X, y = X[rows], y[rows]
        if "weights" in self.row_faults:
            weight = rng.gamma(1.0, size=self.n)
        if "lopsided weights" in self.row_faults:
            weight = 10.0 ** rng.uniform(-6, 6, self.n)
        if "zero weights" in self.row_faults:
            weight = (np.ones(self.n) if weight is None else weight) * (rng.random(self.n) < 0.7)
        Z = {"same": None, "constant": np.empty((self.n, 0)), "own": rng.standard_normal((self.n, 1))}[self.gate]
        return X, y, Z, weight

    def _response(self, X, rng):
        if self.expert == "multinomial":
            return rng.integers(3, size=self.n) if self.response == "noise" else (X.sum(axis=1) > 0).astype(int)
        side = np.sign(rng.standard_normal(self.n))
        return {
            "noise": rng.standard_normal(self.n),
            "lines": side * (1 + X.sum(axis=1)) + 0.3 * rng.standard_normal(self.n),
            "exact lines": side * (1 + X.sum(axis=1)),
            "steps": np.sign(X.sum(axis=1)) * 5 + 0.1 * rng.standard_normal(self.n),
            "constant": np.full(self.n, 2.0),
            "whole numbers": rng.integers(3, size=self.n).astype(float),
        }[self.response]

    def fit(self, n_experts):
        X, y, Z, weight = self.data()
        model = ms.MixtureOfExperts(expert=self.expert, n_experts=n_experts)
        return told(model, X, y, Z, weight, n_starts=1 + self.seed % 2)


def spoil(name, X, y, rng, numerical):
    """One fault more."""
    d = X.shape[1]
    if d and name in ("constant", "repeated column", "combination", "huge", "tiny", "far", "ties"):
        j = rng.integers(d)
        if name == "ties":
            X[:, j] = np.round(X[:, j])
        elif name == "constant":
            X[:, j] = 3.7
        elif name == "repeated column":
            X[:, j] = X[:, 0]
        elif name == "combination":
            X[:, j] = X @ rng.integers(-2, 3, d) + 1
        elif name == "huge":
            X[:, j] *= 10.0 ** rng.integers(1, 140)
        elif name == "tiny":
            X[:, j] *= 10.0 ** -rng.integers(1, 140)
        else:
            X[:, j] += 1e6
    if numerical and name in ("huge", "tiny"):
        y = y * 10.0 ** (rng.integers(1, 140) * (1 if name == "huge" else -1))
    if numerical and name == "outlier":
        y = y.copy()
        y[rng.integers(y.size)] += 1e3 * (1 + np.abs(y).max())
    return X, y


examples = st.builds(
    Example,
    n=st.integers(5, 40),
    d=st.integers(0, 3),
    expert=st.sampled_from(["gaussian", "gaussian", "gaussian", "multinomial"]),
    response=st.sampled_from(["noise", "lines", "lines", "exact lines", "steps", "constant", "whole numbers"]),
    faults=st.frozensets(st.sampled_from(FAULTS), max_size=3),
    row_faults=st.frozensets(st.sampled_from(ROW_FAULTS), max_size=2),
    gate=st.sampled_from(["same", "same", "constant", "own"]),
    seed=st.integers(0, 2**16),
)


def assert_answers(example: Example, n_experts: int) -> None:
    """An error of moestat's own, or an honest fit."""
    try:
        fit = example.fit(n_experts)
    except MoestatError:
        return
    assert_honest(fit)


@pytest.mark.parametrize("n_experts", [1, 2, 3, 4])
@drawn(40)
@given(example=examples)
def test_any_small_data_get_an_answer(n_experts, example):
    """Ties, constant and collinear columns, sizes from 1e-140 to 1e140, repeated rows, weights."""
    assert_answers(example, n_experts)


@pytest.mark.slow
@pytest.mark.parametrize("n_experts", [1, 2, 3, 4])
@drawn(500)
@given(example=examples)
def test_any_small_data_get_an_answer_in_many_fits(n_experts, example):
    """The same for two thousand of them."""
    assert_answers(example, n_experts)
