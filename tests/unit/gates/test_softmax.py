"""Softmax of a transform: a softmax gate of other columns, named or a function."""

from __future__ import annotations

import numpy as np
import pytest

import moestat as ms
from moestat.errors import InputError
from moestat.gates import Softmax
from tests.unit.draws import normal


def cube_root(z):
    return np.cbrt(z)


def rows(n=240):
    X = 1.5 * normal(n, 2, seed=1)
    y = np.where(normal(n, seed=2) < np.tanh(2 * X[:, 0]), 1 + X[:, 1], -1 - X[:, 0]) + 0.3 * normal(n, seed=3)
    return X, y


def fit(gate, *data, **options):
    return ms.fit(ms.MixtureOfExperts(gate=gate), *data, n_starts=4, **options)


@pytest.fixture(scope="module")
def by_function(tmp_path_factory):
    results = fit(Softmax(transform=cube_root), *rows())
    return results, results.save(tmp_path_factory.mktemp("fits") / "cbrt")


@pytest.mark.parametrize(("transform", "columns"), [("tanh", np.tanh), ("sin", np.sin), (cube_root, cube_root)])
def test_it_is_the_softmax_gate_of_transformed_columns(transform, columns):
    X, y = rows()
    ours, plain = fit(Softmax(transform=transform), X, y), fit("softmax", X, y, columns(X))
    assert ours.llf == pytest.approx(plain.llf, abs=1e-8)
    np.testing.assert_allclose(ours.params.gate.slopes, plain.params.gate.slopes, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(ours.bse, plain.bse, rtol=1e-5)
    np.testing.assert_allclose(ours.gate_weights(X), plain.gate_weights(X, columns(X)), atol=1e-8)


def test_an_expression_names_it():
    assert ms.MixtureOfExperts(gate="softmax(transform='tanh')").gate == Softmax(transform="tanh")


def test_only_the_plain_gate_moves_with_its_covariates():
    assert Softmax().mixable
    assert not Softmax(transform="identity").equivariant


@pytest.mark.parametrize("bad", ["tnah", "polynomial", 3])
def test_unknown_transforms_are_refused_with_the_list(bad):
    with pytest.raises(InputError, match=r"transform must be one of \['identity', 'tanh'") as error:
        Softmax(transform=bad)
    assert ("Did you mean 'tanh'" in str(error.value)) == (bad == "tnah")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda z: z.sum(), r"an array of the shape that it was given, entry by entry; got \(\) for"),
        (lambda z: np.where(z > 0, np.nan, z), "finite numbers; it does not at the covariate"),
        (lambda z: float(z), "it fails with TypeError"),
    ],
)
def test_functions_that_are_no_transforms_are_refused(function, message):
    with pytest.raises(InputError, match=f"transform must.*{message}"):
        fit(Softmax(transform=function), *rows())


def test_a_fit_with_a_function_is_loaded_with_its_model(by_function):
    results, path = by_function
    again = ms.load(path, model=results.model)
    assert again.summary().as_text() == results.summary().as_text()


def test_without_the_model_the_function_is_named(by_function):
    with pytest.raises(InputError, match=r"the function 'cube_root' as a setting; pass model="):
        ms.load(by_function[1])
