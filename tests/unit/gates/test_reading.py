"""A gate with a ray of equal weights is read in three ways: raw, as the ratio beta / tau, and at length one."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

import moestat as ms
from moestat.errors import InputError


def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    first = rng.random(200) < 1 / (1 + np.exp(-2 * X[:, 0]))
    return X, np.where(first, 3 + X[:, 0], -3 - X[:, 0]) + 0.3 * rng.normal(size=200)


def flat(record):
    values = astuple(record)
    return np.concatenate([flat_of(value) if isinstance(value, tuple) else np.ravel(value) for value in values])


def flat_of(values):
    return np.concatenate([np.ravel(value) for value in values])


RAYS = ["temperature", "temperature(quadratic)", "activation('relu')", "activation('identity')"]


@pytest.mark.filterwarnings("ignore::moestat.errors.MoestatWarning")
@pytest.mark.parametrize(
    "gate", ["temperature", "temperature(quadratic)", "activation('relu')", "activation('identity')"]
)
def test_all_readings_are_one_gate(gate):
    X, y = rows()
    model = ms.MixtureOfExperts(gate=gate)
    results = ms.fit(model, X, y, n_starts=2, bounds={"gate.temperature": (2.0, 3.0)})
    reading = results.gate_reading()
    assert 2.0 <= float(reading.raw.temperature) <= 3.0
    assert float(reading.ratio.temperature) == pytest.approx(1.0, rel=1e-12)
    assert np.linalg.norm(flat(reading.unit)) == pytest.approx(1.0, rel=1e-12)
    for record in (reading.raw, reading.ratio, reading.unit):
        params = model.params(gate=record, expert=results.params.expert)
        np.testing.assert_allclose(model.gate_weights(params, X), results.gate_weights(X), rtol=1e-9)
    slopes, ratio = (flat(record)[:-1] for record in (reading.raw, reading.ratio))
    np.testing.assert_allclose(slopes / float(reading.raw.temperature), ratio, rtol=1e-12)


@pytest.mark.filterwarnings("ignore::moestat.errors.MoestatWarning")
@pytest.mark.parametrize("gate", ["softmax", "temperature(laplace)", "temperature(tau=0.5)", "activation('tanh')"])
def test_a_gate_without_a_ray_has_no_readings(gate):
    results = ms.fit(ms.MixtureOfExperts(gate=gate), *rows(), n_starts=1)
    with pytest.raises(InputError, match="only their ratio is identified; the gate is"):
        results.gate_reading()


def test_nobody_is_shown_an_error_of_the_raw_temperature():
    results = ms.fit(ms.MixtureOfExperts(gate="activation('relu')"), *rows(), n_starts=2)
    assert "gate.temperature" not in results.names
    assert np.isnan(results.table().std_err["gate.temperature"])
