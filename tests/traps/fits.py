"""Fits with the warnings that they gave, and what every fit promises."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

import moestat as ms
from moestat.errors import ConvergenceWarning, EmptyExpertWarning, MoestatWarning
from moestat.results import Results
from moestat.solvers import Problem
from moestat.starts import start_from
from tests.unit.samples import all_rows


@dataclass(frozen=True)
class Told:
    """Results, and the warnings that came with them."""

    results: Results
    said: tuple[Warning, ...]

    def warned(self, kind: type[Warning], text: str = "") -> bool:
        return any(isinstance(one, kind) and text in str(one) for one in self.said)


def told(*args, **options) -> Told:
    """``ms.fit`` with its warnings collected; none but moestat's own may come."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = ms.fit(*args, **options)
    said = tuple(w.message for w in caught)
    assert all(isinstance(one, MoestatWarning) for one in said), said
    return Told(results, said)


def quiet(*args, **options) -> Results:
    """Results of a fit that may warn."""
    return told(*args, **options).results


def numbers(params) -> np.ndarray:
    """All parameters, in the user's units, end to end."""
    return np.concatenate([np.ravel(value) for part in (params.gate, params.expert) for value in vars(part).values()])


def assert_honest(told: Told) -> None:
    """No number is missing, no expert is missing, and what is no strict maximum says so."""
    results, certificate = told.results, told.results.certificate
    assert np.isfinite(results.llf)
    assert np.isfinite(numbers(results.params)).all()
    assert len(certificate.optimum.masses) == results.model.n_experts
    assert results.converged is (certificate.status is not ms.Status.NOT_CONVERGED)
    if certificate.trusted:
        assert certificate.optimum.fine_gradient <= 1e-8
        assert not any(type(one) is not EmptyExpertWarning for one in told.said if isinstance(one, ConvergenceWarning))
    else:
        assert told.warned(ConvergenceWarning)


def from_labels(model, X, y, Z, resp):
    """Parameters that an M-step makes of responsibilities (K, n)."""
    source = model.data(X, y, Z)
    problem = Problem.of(model, source)
    theta = start_from(problem, all_rows(source), np.asarray(resp, dtype=float))
    return model.from_theta(theta, source.schema, source.coordinates)


def relabelled(params, order):
    """The same mixture with its experts in another order."""
    order = np.asarray(order)
    gate, expert = ({name: value[order] for name, value in vars(part).items()} for part in (params.gate, params.expert))
    return ms.MixtureOfExperts(n_experts=order.size).params(gate=gate, expert=expert)


def two_lines(n=80, seed=0, noise=0.3):
    """Rows around two crossing lines, each line half of the time."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, n)
    return x, np.where(rng.random(n) < 0.5, 1 + 2 * x, 3 - x) + noise * rng.standard_normal(n)
