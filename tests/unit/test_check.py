"""`Results.check` passes on a good fit and fails on a broken one."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import moestat as ms
from moestat.experts import Gaussian, Multinomial
from moestat.gates import Softmax
from moestat.inference.check import CheckReport, numerical_score
from moestat.passes import Passes
from moestat.solvers import TraceRow
from tests.unit.draws import normal
from tests.unit.fitted import CASES, fitted


def report_of(case, **changes):
    return replace(fitted(case).results, **changes).check()


@pytest.mark.parametrize("case", list(CASES))
def test_good_fits_pass(case):
    report = fitted(case).results.check()
    assert report.score_agrees
    assert report.stationary
    assert report.monotone
    assert report.passed


@pytest.mark.parametrize("case", ["gate", "three experts", "classes"])
def test_a_moved_estimate_is_not_stationary(case):
    """The derivatives are right there too; only the point is wrong."""
    report = report_of(case, theta=fitted(case).results.theta + 1e-4)
    assert report.score_agrees
    assert not report.stationary
    assert not report.passed


@pytest.mark.parametrize(
    ("case", "component"), [("gate", Softmax), ("gate", Gaussian), ("classes", Softmax), ("classes", Multinomial)]
)
def test_a_broken_derivative_disagrees(monkeypatch, case, component):
    right = component.pull

    def wrong(self, local, block, value, weights, out):
        right(self, local, block, value, weights, out)
        out[0, 0] *= 1.01

    monkeypatch.setattr(component, "pull", wrong)
    report = fitted(case).results.check()
    assert not report.score_agrees
    assert report.stationary  # differences do not use it
    assert not report.passed


def test_a_broken_density_is_not_stationary(monkeypatch):
    """Differences see the density alone, so that both checks fail."""
    right = Gaussian.value

    def wrong(self, local, block, out):
        right(self, local, block, out)
        out *= 1.0 + 1e-3

    monkeypatch.setattr(Gaussian, "value", wrong)
    report = fitted("gate").results.check()
    assert not report.score_agrees
    assert not report.stationary


def test_held_parameters_need_not_be_stationary():
    """The score of a held field is not zero, and is not asked to be."""
    results = fitted("held").results
    passes = Passes(results._terms, results.source)
    held = results.held.to_numpy()
    assert np.abs(passes.score(results.theta).score[held]).max() > 1e-3
    assert results.check().stationary


def test_a_trace_that_falls_is_not_monotone():
    rows = tuple(TraceRow("em", value, 1.0) for value in (-3.0, -2.0, -2.5))
    report = report_of("gate", _trace=rows)
    assert report.largest_fall == 0.5
    assert not report.monotone
    assert not report.passed


def test_a_fall_of_rounding_size_is_forgiven():
    rows = tuple(TraceRow("newton", value, 0.0) for value in (-1e3, -1e3 - 1e-10))
    assert report_of("gate", _trace=rows).monotone


def test_numerical_score_is_of_sixth_order():
    """Halving the step of a polynomial of degree seven divides the error by 64."""

    class Polynomial:
        def loglik(self, theta):
            return float(theta[0] ** 7)

    exact = 7 * 1.3**6
    errors = [numerical_score(Polynomial(), np.array([1.3]), np.ones(1), step)[0] - exact for step in (0.4, 0.2)]
    assert errors[0] / errors[1] == pytest.approx(64.0, rel=1e-3)


# --------------------------------------------------------------------------------------- text
def test_a_good_report_in_words():
    report = CheckReport(score_error=2e-12, gradient=3e-11, largest_fall=0.0, loglik=-10.0)
    assert str(report).splitlines() == [
        "Checks passed",
        "  ok    score equals finite differences to 2.0e-12 per row",
        "  ok    gradient by finite differences 3.0e-11 per row",
        "  ok    log-likelihood rose at every step (largest fall 0.0e+00)",
    ]


@pytest.mark.parametrize(("fault", "line"), [("score_error", 1), ("gradient", 2), ("largest_fall", 3)])
def test_a_fault_is_marked_in_its_line(fault, line):
    good = dict(score_error=0.0, gradient=0.0, largest_fall=0.0, loglik=-10.0)
    lines = str(CheckReport(**good | {fault: 1.0})).splitlines()
    assert lines[0] == "Checks FAILED"
    assert [text.split()[0] for text in lines[1:]] == ["FAIL" if i == line else "ok" for i in (1, 2, 3)]


# ------------------------------------------------------------------------------------ jumps and kinks
JUMPS = ["topk", "threshold(mass=0.8)", "topk(n_active=1)", "sparsemax", "entmax(alpha=1.5)"]


@cache
def of_gate(gate):
    X = normal(200, 2, seed=1)
    y = np.abs(X[:, 0]) + np.maximum(X[:, 1], 0.0) + 0.5 * normal(200, seed=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ms.MoestatWarning)
        return ms.fit(ms.MixtureOfExperts(gate=gate, n_experts=3 if gate == "topk" else 2), X, y, n_starts=4)


@pytest.mark.parametrize("gate", JUMPS)
def test_differences_do_not_step_over_jumps_and_kinks(gate):
    results = of_gate(gate)
    report = results.check()
    assert report.passed == (results.certificate.status is not ms.Status.NOT_CONVERGED)
    assert report.score_agrees
    assert report.unchecked == (0, 0)
    assert report.ties == len(results.certificate.optimum.ties)


def test_ends_at_ties_pass_along_them():
    results = of_gate("topk")
    assert results.certificate.status is ms.Status.AT_TIES
    assert "along the switching ties" in str(results.check())


def test_a_wrong_derivative_is_seen_inside_a_region_too(monkeypatch):
    right = Softmax.pull

    def wrong(self, local, block, value, weights, out):
        right(self, local, block, value, weights, out)
        out[0, 0] *= 1.01

    results = of_gate("topk")
    monkeypatch.setattr(Softmax, "pull", wrong)
    assert not results.check().score_agrees
